"""Our programs on a real NFSv4.1 mount with the options of EFS, and what a network file system does to them.

One boot of user-mode Linux runs all scenarios that were asked for; each is a test of its own here.
"""
import os
import pathlib

import pytest
import uml
from nfs_scenarios import SCENARIOS

BUILD = pathlib.Path(os.environ.get("BUILD_DIR", uml.TESTS.parent / "build")).resolve()
REASON = uml.missing(BUILD)

pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no NFS guest: {REASON}")


@pytest.fixture(scope="module")
def guest(request, tmp_path_factory):
    wanted = {item.callspec.params["scenario"] for item in request.session.items
              if item.fspath == request.fspath and hasattr(item, "callspec")}
    g = uml.Guest(tmp_path_factory.mktemp("nfs"), BUILD)
    g.outcomes = g.run([name for name in SCENARIOS if name in wanted])
    return g


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_on_nfs(guest, scenario):
    result = guest.outcomes.get(scenario)
    if result is None:
        pytest.fail(f"the guest ended too early; its console:\n{guest.last_words()}", pytrace=False)
    if result["outcome"] == "skipped":
        pytest.skip(result["reason"])
    if result["outcome"] != "passed":
        pytest.fail(f"{result['reason']}\n{guest.output_of(scenario)}", pytrace=False)
