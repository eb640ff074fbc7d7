"""CONFINE=all: EFS is out of reach of the Qdrant that serves."""
import ctypes

import pytest
from running import ENTRYPOINT
from server import REAL, Server

needs_landlock = pytest.mark.skipif(ctypes.CDLL(None).syscall(444, None, 0, 1) < 2, reason="needs a kernel with Landlock (5.19)")

TRIES = """
for path in {efs} {data} {other}; do
    if echo x > $path/file; then echo wrote $path; fi
    if ls $path > /dev/null; then echo listed $path; fi
done
mv {data}/file {other}/moved && echo moved
exit 0
"""


@pytest.fixture
def places(container):
    """EFS beside other folders, and Qdrant's program, which says what it can do."""
    root = container.root / "mounts"
    paths = {name: root / name for name in ("efs", "data", "other")}
    for path in paths.values():
        path.mkdir(parents=True)
    container.init = ["env", "-C", str(paths["data"])]  # a working folder that is not on the way to EFS
    container.env |= {"EFS_ROOT": str(paths["efs"]), "QDRANT_BIN": container.script("tries", TRIES.format(**paths))}
    return paths


def everything(places, *but):
    return [f"{verb} {path}" for name, path in places.items() if name not in but for verb in ("wrote", "listed")] + ["moved"]


@needs_landlock
def test_qdrant_neither_reads_nor_writes_efs_and_has_all_else(container, places):
    assert container.run(argv=[], CONFINE="all") == 0
    assert container.output().splitlines() == everything(places, "efs")
    assert not (places["efs"] / "file").exists() and container.log("not_confined") == []


@needs_landlock
def test_the_second_root_is_out_of_reach_as_well(container, places):
    assert container.run(argv=[], CONFINE="all", RESTORE_FROM=str(places["other"])) == 0
    assert container.output().splitlines() == everything(places, "efs", "other")[:-1]


@pytest.mark.parametrize("confine", [None, "second", "off"])
def test_else_qdrant_is_left_as_it_is(container, places, confine):
    env = {"CONFINE": confine} if confine else {}
    assert container.run(argv=[], **env) == 0
    assert container.output().splitlines() == everything(places)


@pytest.mark.parametrize("how,why", [("a link", "no plain path without links"), ("a link on the way", "no plain path without links"),
                                     ("dots", "no plain path without links"), ("the working folder", "works in a folder on the way")])
@needs_landlock
def test_where_it_cannot_be_it_says_why_and_qdrant_starts(container, places, how, why):
    link = container.root / "link"
    if how == "a link":
        link.symlink_to(places["efs"])
    elif how == "a link on the way":
        link.symlink_to(places["efs"].parent)
    if how == "the working folder":
        container.init = []
    root = {"a link": link, "a link on the way": link / "efs", "dots": f"{places['data']}/../efs"}.get(how, places["efs"])
    assert container.run(argv=[], CONFINE="all", EFS_ROOT=str(root)) == 0
    assert container.output().splitlines() == everything(places)
    line, = container.log("not_confined")
    assert why in line["message"] and line["level"] == "warn"


@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: QDRANT_BIN names it")
@needs_landlock
def test_the_real_qdrant_makes_collections_points_and_snapshots_without_a_way_to_efs(tmp_path):
    efs = tmp_path / "efs"
    efs.mkdir()
    outside = tmp_path / "box"
    server = Server("real", outside, env={"QDRANT_BIN": REAL, "EFS_ROOT": str(efs), "EFS_ALLOW_LOCAL": "1", "CONFINE": "all",
                                          "REPLICATOR_BIN": "/bin/true", "QDRANT_INIT_FILE_PATH": ".qdrant-initialized"})
    server.program = str(ENTRYPOINT)
    with server:
        server.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        server.result("PUT", "/collections/c/points?wait=true", {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        name = server.result("POST", "/collections/c/snapshots")["name"]
        assert (server.snapshots / "c" / name).exists()
        (efs / "c.snapshot").write_bytes((server.snapshots / "c" / name).read_bytes())
        status, body = server.request("PUT", "/collections/d/snapshots/recover", {"location": f"file://{efs}/c.snapshot"})[:2]
        assert status != 200, body
        server.result("PUT", "/collections/d/snapshots/recover", {"location": f"file://{server.snapshots}/c/{name}"})
        server.result("POST", "/snapshots")  # through a folder for temporary files
        assert "not_confined" not in server.log.read_text() and (server.work / ".qdrant-initialized").exists()
