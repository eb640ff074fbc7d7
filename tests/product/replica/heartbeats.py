"""Heartbeats as the replicator writes them, made of the manifests of a tree; and trees to make them of."""
import json
import time

from harness import tar_of

STAMP, NAME = "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H-%M-%SZ.json"
TIERS = ("monthly", "daily", "hourly", "15min")


def utc(shape, when):
    return time.strftime(shape, time.gmtime(when))


def snapshot_name(collection, when, peer=1):
    return f"{collection}-{peer}-" + utc("%Y-%m-%d-%H-%M-%S", when)


def fill(tree, collections=("docs", "images"), ages=(3600, 1500, 900, 300), node="n0", peer=1, **env):
    """Backups of these ages in seconds; the oldest is the monthly one."""
    now = time.time()
    for c in collections:
        for age in ages:
            name = snapshot_name(c, now - age, peer)
            tree.snapshot(c, name, tar_of(f"{name} {peer}"))
    run = tree.once(NODE_NAME=node, **env)
    assert run.returncode == 0, run.stderr
    for p in sorted(tree.snapshots.rglob("*.snapshot*")):
        p.unlink()


def manifests(base):
    """[(folder below the tier, manifest)], the oldest first."""
    found = [(str(p.parent.relative_to(base / p.relative_to(base).parts[0])), json.loads(p.read_text()))
             for t in TIERS for p in (base / t).rglob("*.json")]
    return sorted(found, key=lambda f: f[1]["created"])


def heartbeat_of(base, node="n0", written=None, started=None, wanted=None, **changes):
    written = time.time() if written is None else written
    folders = {}
    for folder, m in manifests(base):
        name = "" if m["node"]["name"] == m["node"]["peer_id"] else m["node"]["name"]
        if name == node:
            folders.setdefault(folder, {})[m["frequency"]] = m
    return {"format": 1, "node": node, "written_at": utc(STAMP, written), "started": utc(STAMP, started or written - 86400),
            "rpo_seconds": 1800, "qdrant_version": "1.18.2", "version": "0.1.0", "left_out": 0, "folders": [
                {"kind": (m := next(iter(tiers.values())))["kind"], "collection": m["collection"], "shard": m["shard"],
                 "wanted": wanted if m["kind"] == "collection" else False,
                 "backups": [{k: tiers[t][k] for k in ("frequency", "snapshot", "slot", "stored_size", "stored_sha256")}
                             | {"taken": tiers[t]["created"], "published": utc(STAMP, written)} for t in TIERS if t in tiers]}
                for _, tiers in sorted(folders.items())]} | changes


def put(base, beat, when=None, folder=None):
    """Puts a heartbeat (or any text) where it belongs; returns its path."""
    node = beat["node"] if isinstance(beat, dict) else folder
    when = time.time() if when is None else when
    path = base / "heartbeat" / (folder or node or "%unnamed") / utc(NAME, when)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(beat) if isinstance(beat, dict) else beat)
    return path
