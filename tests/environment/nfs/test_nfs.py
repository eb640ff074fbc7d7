"""Our programs on a real NFSv4.1 mount with the options of EFS, and what a network file system does to them.

User-mode Linux runs all scenarios that were asked for in one go; each is a test of its own here.
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
def results(request, tmp_path_factory):
    wanted = {item.callspec.params["scenario"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec")}
    return uml.run(tmp_path_factory.mktemp("nfs"), BUILD, [name for name in SCENARIOS if name in wanted])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_on_nfs(results, scenario):
    result = results[scenario]
    if result["outcome"] == "skipped":
        pytest.skip(result["reason"])
    if result["outcome"] != "passed":
        pytest.fail(f"{result['reason']}\n{result['output']}", pytrace=False)
