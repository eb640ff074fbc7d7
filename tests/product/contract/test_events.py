"""What a watcher of the snapshots folder sees, compared with what was recorded on the real server."""
import os
import pathlib
import re
import tempfile

import pytest
from contract_steps import make_collection, next_second, real_snapshot, take_snapshot, upload
from file_events import Recorder
from recordings import events_between, events_of, normalise


@pytest.fixture(scope="module", autouse=True)
def before_all_others():
    """A recording that begins late is none, and on a busy machine all would."""
    try:
        os.nice(-15)
    except PermissionError:
        pass


ELSEWHERE = pathlib.Path("/dev/shm")
UPLOADED = "docs-1235153728432657-2026-11-24-07-59-31.snapshot"


def with_collection(server):
    make_collection(server, "test_collection")


def with_snapshots(server):
    for name in ("docs", "test_collection"):
        make_collection(server, name)
        take_snapshot(server, name)
    next_second()


def with_a_folder_for_uploads(server):
    (server.snapshots / "up").mkdir()


def deletion(server):
    name = server.result("GET", "/collections/docs/snapshots")[0]["name"]
    server.result("DELETE", f"/collections/docs/snapshots/{name}")


def recorded_upload():
    """As recorded, but into a folder that is there: the recorder's watch on a new one came too late for the
    MOVED_TO, and so would ours."""
    events = events_between("CREATE snapshots/tmp/upload/", "CLOSE_WRITE,CLOSE snapshots/up/")
    events.remove("CREATE,ISDIR snapshots/up")
    return events[:-1] + [f"MOVED_TO snapshots/up/{UPLOADED}", events[-1]]


FULL = events_between("CREATE snapshots/docs/docs-1235153728432657-2026-11-24-07-59-36",
                      "DELETE snapshots/config-")
SHARD = [*events_between("CREATE,ISDIR snapshots/tmp/", "shard-0-2026-11-24-07-59-26.snapshot.checksum"),
         events_of("shard-0-2026-11-24-07-59-26")[-1]]

CASES = {  # what is there before, what is done, what was recorded
    "the first snapshot of a collection": (
        with_collection, lambda s: take_snapshot(s, "test_collection"),
        ["CREATE,ISDIR snapshots/test_collection", *events_of("07-59-23")]),
    "its next snapshot": (
        with_snapshots, lambda s: take_snapshot(s, "test_collection"), events_of("07-59-25")),
    "a shard snapshot": (
        with_snapshots, lambda s: s.result("POST", "/collections/test_collection/shards/0/snapshots"), SHARD),
    "a full-storage snapshot": (with_snapshots, lambda s: s.result("POST", "/snapshots"), FULL),
    "a snapshot of a collection that is not there": (
        with_collection, lambda s: s.request("POST", "/collections/nope/snapshots"),
        events_of("snapshots/nope")),
    "an upload": (
        with_a_folder_for_uploads, lambda s: upload(s, "up", real_snapshot("docs", UPLOADED), UPLOADED),
        recorded_upload()),
    "a deletion": (with_snapshots, deletion, [e for e in events_of("07-59-31") if e.startswith("DELETE")]),
}


def as_copied(events):
    """The same with a temporary folder on another file system, where a move is a copy and an unlink: what
    comes is written in its place, what goes is deleted, and no file is still open when it gets its name."""
    out = []
    for line in events:
        kind, path = line.split(" ", 1)
        if "snapshots/tmp/" in path or (kind == "CLOSE_WRITE,CLOSE" and path.endswith(".snapshot")):
            continue
        if kind == "MOVED_TO" and (path.endswith("NAME.tmp") or "/up/" in path):
            out += [f"CREATE {path}", f"ATTRIB {path}", f"MODIFY {path}", f"CLOSE_WRITE,CLOSE {path}"]
        elif kind == "MOVED_FROM" and re.search(r"NAME\.snapshot$", path):
            out.append(f"DELETE {path}")
        else:
            out.append(line)
    return out


def any_order(events):
    """The two unlinks of a deletion run at the same time."""
    return sorted(events) if all(e.startswith("DELETE ") for e in events) else events


def compare(fresh, case, expected, **more):
    prepare, action, _ = CASES[case]
    expected = any_order(expected)
    for _ in range(20):  # a recording that began too late is no evidence: once more
        server = fresh(**more).start()
        prepare(server)
        recorder = Recorder(server.snapshots)
        action(server)
        seen = recorder.wait(lambda events: any_order(normalise(events)) == expected)
        server.stop()
        recorder.close()
        if not recorder.late:
            assert any_order(normalise(seen)) == expected
            return
    pytest.fail("this machine is too busy: no recording was whole")


@pytest.mark.parametrize("case", CASES)
def test_the_events_are_the_recorded_ones_for(case, fresh):
    compare(fresh, case, normalise(CASES[case][2]))


def one_file_system():
    return not ELSEWHERE.is_dir() or os.stat(ELSEWHERE).st_dev == os.stat(tempfile.gettempdir()).st_dev


@pytest.mark.skipif(one_file_system(), reason="needs a second file system: /dev/shm")
@pytest.mark.parametrize("case", CASES)
def test_with_the_temporary_folder_on_another_file_system_files_are_copied_into_place_for(case, fresh):
    with tempfile.TemporaryDirectory(dir=ELSEWHERE) as temp:
        compare(fresh, case, as_copied(normalise(CASES[case][2])), env={"QDRANT__STORAGE__TEMP_PATH": temp})
