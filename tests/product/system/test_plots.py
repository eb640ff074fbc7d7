"""The pictures of docs/performance.md show its tables."""
import shutil
import sys
from xml.etree import ElementTree

import pytest
from harness import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import plots  # noqa: E402
import tables  # noqa: E402


@pytest.mark.parametrize("name", plots.PLOTS)
def test_a_picture_is_as_its_table(name):
    drawn = (ROOT / "docs/plots" / name).read_text()
    assert drawn == plots.draw(*plots.PLOTS[name]), "run `make plots`"
    texts = [t.text for t in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    heading, columns, _ = plots.PLOTS[name]
    for row in plots.table(heading):
        assert all(row[c] in texts for c in columns)


def test_the_page_shows_each_picture():
    page = (ROOT / "docs/performance.md").read_text()
    assert all(f"(plots/{name})" in page for name in plots.PLOTS)


def test_a_bench_writes_its_rows_into_the_page_and_draws_it_anew(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    monkeypatch.setattr(plots, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(tables, "PAGE", tmp_path / "docs/performance.md")
    before = plots.table("Deltas")
    tables.put("Deltas", [["1 % appended", "9.9", "8.8", "7", "0.66"]])
    assert plots.table("Deltas") == before and "| 1 % appended | 9.9 |" in capsys.readouterr().out
    monkeypatch.setenv("WRITE", "1")
    tables.put("Deltas", [["1 % appended", "9.9", "8.8", "7", "0.66"], ["a new load", "1.0", "2.0", "3", "0.50"]])
    after = plots.table("Deltas")
    assert [list(r.values()) for r in after if r not in before] == [["1 % appended", "9.9", "8.8", "7", "0.66"], ["a new load", "1.0", "2.0", "3", "0.50"]]
    assert len(after) == len(before) + 1 and ">9.9<" in (tmp_path / "docs/plots/deltas.svg").read_text()
    old, new = ((d / "performance.md").read_text() for d in (ROOT / "docs", tmp_path / "docs"))
    assert old.partition("## Restoring")[2] == new.partition("## Restoring")[2]
