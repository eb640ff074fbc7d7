"""Settings by name: what the files under docker/ set is what the programs read, and the README tells of all of it."""
import re

import pytest
from programs import ROOT, settings, source
from templates import DOCKER, PRIMARY, RENDER, SECOND, Template, names_of, render

COMPOSE = DOCKER / "docker-compose.yml"


def compose_names():
    # Those of its settings' blocks: upper case, at the beginning of a line.
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]+): ", COMPOSE.read_text(), re.M))


def set_by(what):
    if what == COMPOSE:
        return compose_names()
    if what == RENDER:
        c = render()["containerDefinitions"][0]
        return {v["name"] for v in c["environment"] + c["secrets"]}
    c = Template(what).task["ContainerDefinitions"][0]
    return {*names_of(c["Environment"]), *(s["Name"] for s in c["Secrets"])}


@pytest.mark.parametrize("what", [PRIMARY, SECOND, RENDER, COMPOSE], ids=lambda p: p.stem)
def test_every_variable_that_is_set_exists(what):
    names = set_by(what)
    assert "EFS_ROOT" in names
    assert {n for n in names if n not in settings() and not n.startswith("QDRANT__")} == set()


def readme():
    """(first columns, all cells) of the table of settings."""
    text = (ROOT / "README.md").read_text().split("\n## Settings\n", 1)[1].split("\n### ", 1)[0]
    rows = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    return [r[0] for r in rows[1:]], " ".join(c for r in rows for c in r)


def names_in(cells):
    """`A_B_C`, `…_D` is A_B_C and the one setting that begins as it does and ends in _D."""
    out = set()
    for cell in cells:
        words = re.findall(r"`(…?[A-Z][A-Z0-9_]+|…_[A-Z_]+)`", cell)
        for w in words:
            full = [n for n in settings() if n.endswith(w[1:]) and n[:8] == words[0][:8]] if w[0] == "…" else [w]
            assert len(full) == 1, (w, full)
            out.add(full[0])
    return out


def test_every_setting_in_the_readme_exists():
    names = names_in(readme()[0])
    assert len(names) > 30 and names - settings() == set()


def test_every_setting_is_in_the_readme():
    first, all_cells = readme()
    told = names_in(first) | set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", all_cells))
    assert {n for n in settings() if n not in told} == set()


def test_no_variable_is_read_without_being_a_setting_of_the_tables():
    read = set(re.findall(r'\bconfig_\w+\(\s*"([A-Z][A-Z0-9_]+)"', source("[ceqar]*/*.c")))
    foreign = {n for n in read if re.match("AWS_|ECS_|QDRANT__|TMPDIR$", n)}
    assert "COMPRESSION_THREADS" in read and read - foreign - settings() == set()
