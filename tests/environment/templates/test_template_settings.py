"""Settings by name: what the files under docker/ set is what the programs read, and the README tells of all of it."""
import re

import pytest
from programs import PROGRAMS, ROOT, default_of, settings, source, table
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
    text = (ROOT / "docs/settings.md").read_text()
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
    read = set(re.findall(r'\bconfig_\w+\(\s*"([A-Z][A-Z0-9_]+)"', source("[ceqar]*/**/*.c")))
    foreign = {n for n in read if re.match("AWS_|ECS_|QDRANT__|QDRANT_URI$|RUN_MODE$|TMPDIR$", n)}
    assert "COMPRESSION_THREADS" in read and read - foreign - settings() == set()


# --- the same names and defaults in --help, which prints the table that the code reads, in the manual pages and in docs/settings.md

PAGES = {p: next(ROOT.glob(f"**/{p}.8")) for p in PROGRAMS}
PAIRS = [(p, n) for p in PROGRAMS for n in sorted(table(p))]


def is_value(default):
    """And not words, or another variable."""
    return bool(re.fullmatch(r"[^\s']+", default)) and not re.fullmatch(r"required|[A-Z_]+", default)


def landmarks(default):
    """What words about a default must have in every place: variables and paths."""
    return set(re.findall(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+|/[\w/-]+|http://\S+", default.replace(",", " ")))


def split(text, names):
    parts = [text] if len(names) == 1 else re.split(r", (?:else )?| and ", text)
    return dict(zip(names, parts)) if len(parts) == len(names) else dict.fromkeys(names, text)


def plain(source):
    """mdoc without its macros, a line."""
    lines = [re.sub(r"^\.(?:[A-Z][a-z] )+|^\.Pq ", "", line) for line in source.splitlines()]
    return re.sub(r" ([.,;)])", r"\1", " ".join(lines)).replace("\\&", "").strip()


def of_manual(program):
    """{setting: the default that the page's entry tells, or ""}"""
    out = {}
    text = PAGES[program].read_text().split(".Sh ENVIRONMENT", 1)[1].split("\n.Sh ", 1)[0]
    for entry in re.split(r"^\.It ", text, flags=re.M)[1:]:
        head, _, body = entry.partition("\n")
        names = head.removeprefix("Ev ").replace(" Ns", "").split(" , ")
        default = re.search(r"^Default\b(.*?\.)$", body, re.M | re.S)
        said = plain(default[1].strip()) if default else ""
        out |= split(re.sub(r"( else| which).*", "", said).rstrip(".") if len(names) > 1 else said.removesuffix("."), names)
    return out


def of_docs():
    out = {}
    for line in (ROOT / "docs/settings.md").read_text().splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            words = re.findall(r"`(…?[A-Z_0-9]+)`", cells[0])
            names = [w if w[0] != "…" else next(n for n in settings() if n.endswith(w[1:]) and n[:8] == words[0][:8]) for w in words]
            out |= split(cells[1].replace("`", ""), names)
    return out


@pytest.mark.parametrize("program,name", PAIRS)
def test_a_default_is_the_same_in_help_and_in_the_manual_page(program, name):
    default, page = default_of(name, program), of_manual(program)
    assert name in page, f"{PAGES[program].name} has no entry for {name} in ENVIRONMENT"
    if is_value(default):
        assert page[name] == default
    else:
        assert landmarks(default) <= landmarks(page[name]), page[name]


@pytest.mark.parametrize("program,name", [p for p in PAIRS if p != ("qdrant-replicator", "STOP_GRACE_SECONDS")])
def test_a_default_is_the_same_in_help_and_in_the_docs(program, name):
    default, docs = default_of(name, program), of_docs()
    if name == "QDRANT_FQDN":
        return  # told at QDRANT_URL
    assert name in docs, name
    if is_value(default):
        assert docs[name] == default
    else:
        assert landmarks(default) <= landmarks(docs[name]), docs[name]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_manual_page_has_no_setting_that_the_program_does_not_read(program):
    foreign = r"QDRANT__|AWS_|ECS_|NO_COLOR$"
    assert {n for n in of_manual(program) if not re.match(foreign, n)} - set(table(program)) == set()


def test_programs_that_read_the_same_setting_have_the_same_default():
    told = {}
    for program, name in PAIRS:
        if is_value(default_of(name, program)):
            told.setdefault(name, set()).add(default_of(name, program))
    assert {n: d for n, d in told.items() if len(d) > 1} == {}


def test_no_default_stands_in_the_code_beside_the_tables():
    literal = re.findall(r'\b(?:config_(?!wrong)\w+|env|value)\((?:[^();]*, )?"([A-Z][A-Z0-9_]+)",\s*"([^"]+)"', source("[ceqr]*/**/*.c"))
    assert {(n, d) for n, d in literal if n in settings()} == set()
