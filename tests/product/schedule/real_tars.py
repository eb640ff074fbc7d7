"""The real server's snapshots in pieces, to be put together with one thing changed."""
import functools
import io
import json
import subprocess
import tarfile

from harness import DATA

PARAMS = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 1}  # of test_collection
LARGER = {"vectors": {"size": 8, "distance": "Dot"}, "shard_number": 1}


def config(params):
    """What GET /collections/{name} answers."""
    return {"result": {"status": "green", "points_count": 5, "config": {"params": params}}, "status": "ok", "time": 0}


def parts(data):
    """(name, bytes) of each member; the logs are cut, whose holes would be 67 MB."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(m.name, tar.extractfile(m).read(4096 if "wal/" in m.name else -1)) for m in tar if m.isfile()]


@functools.cache
def real(pattern):
    source = next(DATA.joinpath("snapshots").rglob(pattern))
    return parts(subprocess.run(["zstd", "-q", "-d", "-c", source], check=True, stdout=subprocess.PIPE).stdout)


def collection():
    return list(real("test_collection-*07-59-25.snapshot.zst"))


def shard():
    return list(real("test_collection-shard-0-*.snapshot.zst"))


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def without(members, part):
    return [(n, d) for n, d in members if part not in n]


def with_json(members, name, change):
    """`change` is told what the JSON file of that name holds."""
    out = []
    for n, d in members:
        if n == name:
            o = json.loads(d)
            change(o)
            d = json.dumps(o).encode()
        out.append((n, d))
    return out


def with_replica(members, state, n=0):
    """The state of this node's replica of a shard; None: it is on another node."""
    def change(o):
        if state is None:
            o |= {"is_local": False, "peers": {"7": "Active"}}
        else:
            o["peers"] = {str(o["this_peer_id"]): state}
    members = with_json(members, f"{n}/replica_state.json", change)
    return members if state else [(m, d) for m, d in members if "/segments/" not in m and "/wal/" not in m]
