"""What the tests do with a schedule, in words."""
import calendar
import time

from harness import events

KEY = "k3y-that-nobody-may-see"
DAY = "1d"  # one slot from midnight to midnight


def attach(tree, server, **env):
    """Have the tree's replicator look after this server."""
    tree.snapshots = server.snapshots
    tree.env |= {"QDRANT_URL": server.url, "SNAPSHOTS_DIR": str(server.snapshots), "MIN_FREE": "0"} | env
    if getattr(server, "api_key", None):
        tree.env["QDRANT_API_KEY"] = server.api_key


def clean(tree):
    """After any test: every line of the log is JSON, and no output has a key."""
    for name in ("log", "stdout"):
        path = tree.root / name
        text = path.read_text() if path.exists() else ""
        assert "k3y" not in text
        if name == "log":
            assert all("event" in line for line in events(text))


def from_now(seconds):
    """The settings of a schedule of which a slot of so many seconds has just begun."""
    return {"SNAPSHOT_INTERVAL": f"{seconds}s", "SNAPSHOT_OFFSET": f"{int(time.time()) % seconds}s"}


def fill(server, *names):
    for name in names:
        server.result("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
        points = [{"id": i, "vector": [0.1, 0.2, 0.3, i], "payload": {"of": name}} for i in range(5)]
        server.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def slots(tree):
    """The slots of the finished runs, as seconds since 1970."""
    return [calendar.timegm(time.strptime(r["slot"], "%Y-%m-%dT%H:%M:%SZ")) for r in tree.logged("run_finished")]


def made(tree):
    """The collections of which snapshots were made, in that order; None for the whole storage."""
    return [line.get("collection") for line in tree.logged("snapshot_made")]


def failed(tree, collection):
    """The error lines about this collection."""
    return [line for line in tree.log() if line["level"] == "error" and line.get("collection") == collection]


def troubles(tree):
    """All that is said in earnest."""
    return [line for line in tree.log() if line["level"] in ("warn", "error")]


def tiers_on_efs(tree, collection="c"):
    return {b["snapshot"]: b["frequency"] for b in tree.ls() if b["collection"] == collection and b["state"] == "complete"}
