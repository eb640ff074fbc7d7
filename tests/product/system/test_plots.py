"""The pictures of docs/performance.md show its tables."""
import sys
from xml.etree import ElementTree

import pytest
from harness import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import plots  # noqa: E402


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
