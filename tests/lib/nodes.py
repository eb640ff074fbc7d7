"""The snapshots of a cluster's three nodes, as Qdrant 1.18.2 made them: `rf1` has 900 points in three shards, one on each
node; `cust` has the shard keys a (ids 0 to 499, shard 1) and b (500 to 899, shard 2)."""
import functools
import io
import json
import subprocess
import tarfile

from harness import DATA, checksum_of

PEERS = {"node-0": "8741264569174664", "node-1": "4944829838702253", "node-2": "2638745970980541"}
HELD = {"rf1": {"node-1": 0, "node-2": 1, "node-0": 2}, "cust": {"node-2": 1, "node-0": 2}}


@functools.cache
def snapshot_of(collection, node):
    path, = DATA.joinpath("cluster").glob(f"{collection}-{PEERS[node]}-*.snapshot.zst")
    return subprocess.run(["zstd", "-qdc", path], check=True, stdout=subprocess.PIPE).stdout


def members(data):
    """(name, raw bytes with all headers) of each member, and what stands behind the last."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = tar.getmembers()
        ends = [m.offset for m in found[1:]] + [tar.offset]
    return [(m.name, data[m.offset:end]) for m, end in zip(found, ends)], data[ends[-1]:]


def with_json(data, name, change):
    """That snapshot, with another JSON in the member of that name."""
    out, rest = [], None
    found, rest = members(data)
    for member, raw in found:
        if member == name:
            with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024))) as tar:
                value = json.load(tar.extractfile(tar.next()))
            change(value)
            text, info = json.dumps(value).encode(), tarfile.TarInfo(name)
            info.size = len(text)
            raw = info.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512)
        out.append(raw)
    return b"".join(out) + rest


class Nodes:
    """Publishes what the nodes made into one tree, each with its NODE_NAME."""

    def __init__(self, tree):
        self.tree = tree

    def publish(self, node, when, collection="rf1", data=None, **env):
        """`when`: as in a snapshot's name, 2026-11-24-08-00-03. The stem."""
        stem = f"{collection}-{PEERS[node]}-{when}"
        data = snapshot_of(collection, node) if data is None else data
        path = self.tree.snapshot(collection, stem, data, checksum_of(data))
        run = self.tree.once(NODE_NAME=node, **env)
        assert run.returncode == 0, run.stderr
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".checksum").unlink(missing_ok=True)
        return stem

    def slot(self, when, collection="rf1", nodes=None):
        """One of each node, some seconds apart."""
        return {node: self.publish(node, f"2026-11-24-{when}-{seconds:02d}", collection)
                for seconds, node in enumerate(nodes or HELD[collection], 3)}

    def sets(self, *args, returncode=0):
        run = self.tree.efs_tool("ls", "--sets", "--json", *args)
        assert run.returncode == returncode, run.stderr
        return json.loads(run.stdout)


def put_together(sources):
    """What a set of these (snapshot, shards) has to be: all members as they stand, those of the collection from the first one."""
    out = []
    for n, (data, shards) in enumerate(sources):
        out += [(name, raw) for name, raw in members(data)[0]
                if (name.split("/")[0].isdigit() and int(name.split("/")[0]) in shards) or (n == 0 and "/" not in name)]
    return b"".join(raw for _, raw in out) + bytes(1024)


TWICE = {"node-0": [2, 1], "node-1": [0, 2], "node-2": [1, 0]}  # two replicas of each shard


def replicated(node):
    """The snapshot that `node` would have made of rf1 with two replicas of each shard."""
    of = {shard: snapshot_of("rf1", n) for n, shard in HELD["rf1"].items()}
    own, rest = members(snapshot_of("rf1", node))
    out = [(name, raw) for name, raw in own if not name.split("/")[0].isdigit()]
    for shard in range(3):
        source = of[shard] if shard in TWICE[node] else snapshot_of("rf1", node)
        out += [(name, raw) for name, raw in members(source)[0] if name.startswith(f"{shard}/")]
    data = b"".join(raw for _, raw in out) + rest
    for shard in range(3):
        peers = {PEERS[n]: "Active" for n in PEERS if shard in TWICE[n]}
        data = with_json(data, f"{shard}/replica_state.json", lambda o, s=shard, p=peers: o.update(
            is_local=s in TWICE[node], this_peer_id=int(PEERS[node]), peers=p))
    return data
