"""SECURITY.md says which test shows what: each of them is there."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[3]


def test_each_test_that_is_named_is_there():
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    lost = [f"{file}::{name}" for file, name in named if not re.search(rf"^def {name}\(", (ROOT / file).read_text() if (ROOT / file).exists() else "", re.M)]
    assert lost == []


def test_every_line_of_who_must_not_do_what_names_a_test():
    text = (ROOT / "SECURITY.md").read_text()
    tables = text[text.index("## Who must not"):text.index("## What is not prevented")]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| must not")]
    assert len(rows) > 10 and all("::test_" in row for row in rows)
