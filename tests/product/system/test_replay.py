"""Every event sequence recorded on the real server, replayed by real file operations in that order."""
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import DATA, Tree, tar_of, wait_for

PEER = "1235153728432657"
RIGHT = {("collection", "test_collection", f"test_collection-{PEER}-2026-11-24-07-59-23"),
         ("collection", "test_collection", f"test_collection-{PEER}-2026-11-24-07-59-25"),
         ("shard", "test_collection", "test_collection-shard-0-2026-11-24-07-59-26"),
         ("collection", "docs", f"docs-{PEER}-2026-11-24-07-59-34"),
         ("storage", "", "full-snapshot-2026-11-24-07-59-36")}
# Deleted by its user at the end: on EFS only if there was time to copy it.
DELETED = ("collection", "docs", f"docs-{PEER}-2026-11-24-07-59-31")


def stem_of(name):
    for suffix in (".snapshot.tmp", ".snapshot.checksum", ".snapshot", ".tmp"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def content(path):
    name = os.path.basename(path)
    data = tar_of(stem_of(name).split(".snapshot-")[0])
    return hashlib.sha256(data).hexdigest().encode() if name.endswith(".snapshot.tmp") else data


def replay(root, delay):
    lines = [l.split(" ", 1) for l in (DATA / "inotify-events.txt").read_text().splitlines() if l]
    outside, handles = root / "outside", {}
    outside.mkdir()
    (root / "snapshots/tmp/upload").mkdir(parents=True, exist_ok=True)
    i = 0
    while i < len(lines):
        event, path = lines[i][0], root / lines[i][1].rstrip("/")
        if event == "CREATE,ISDIR":
            path.mkdir()
        elif event == "CREATE":
            handles[path] = open(path, "wb")
        elif event == "MODIFY":
            if handles[path].tell() == 0:
                upload = path.name.startswith(".tmp")
                handles[path].write(tar_of(f"docs-{PEER}-2026-11-24-07-59-31") if upload else content(path))
                handles[path].flush()
        elif event == "CLOSE_WRITE,CLOSE":
            if path in handles:
                handles.pop(path).close()
            else:
                open(path, "ab").close()
        elif event == "MOVED_TO":
            source = outside / path.name
            source.write_bytes(content(path))
            source.rename(path)
        elif event == "MOVED_FROM":
            following = lines[i + 1]
            if following[0] == "MOVED_TO":
                path.rename(root / following[1])
                i += 1
            elif "/tmp/upload/" in str(path):
                path.rename(root / "snapshots/up" / f"docs-{PEER}-2026-11-24-07-59-31.snapshot")
            else:
                path.rename(outside / f"taken-{path.name}")
        elif event == "DELETE":
            path.unlink()
        elif event == "DELETE,ISDIR":
            path.rmdir()
        i += 1
        time.sleep(delay)


def one_run(root, delay):
    t = Tree(root)
    try:
        t.start()
        replay(root, delay)
        right = RIGHT | ({DELETED} if delay else set())
        wait_for(lambda: t.complete() == right and t.logged("upload_refused"), 60)
        time.sleep(2)
        assert {(b["kind"], b["collection"], b["snapshot"]) for b in t.ls()} == right
        assert t.efs_tool("verify").returncode == 0
        # What was uploaded is no snapshot here, and is refused; nothing else is wrong.
        assert [line["event"] for line in t.log() if line["level"] == "error"] == ["upload_refused"]
    finally:
        t.stop()


def test_replayed_with_delays(tmp_path):
    one_run(tmp_path / "t", 0.06)


def test_replayed_without_delays_two_hundred_times(tmp_path):
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda n: one_run(tmp_path / str(n), 0), range(200)))
