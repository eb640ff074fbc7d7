"""Snapshots opened with the real engine as a library, without any server."""
import tarfile

import qdrant_edge as edge


def points_of_shard(snapshot, folder):
    """{id: (payload, vector)} of a shard snapshot."""
    folder.mkdir(parents=True, exist_ok=True)
    edge.EdgeShard.unpack_snapshot(str(snapshot), str(folder / "shard"))
    shard = edge.EdgeShard.load(str(folder / "shard"))
    try:
        everything = edge.ScrollRequest(limit=100000, with_payload=True, with_vector=True)
        records, following = shard.scroll(everything)
        assert following is None
        return {r.id: (r.payload, [round(x, 6) for x in r.vector]) for r in records}
    finally:
        shard.close()


def points_of_collection(snapshot, folder):
    """The same of a collection snapshot: its folder 0 is the shard."""
    with tarfile.open(snapshot) as tar:
        tar.extractall(folder / "unpacked")
    with tarfile.open(folder / "shard.tar", "w") as tar:
        for path in sorted((folder / "unpacked" / "0").iterdir()):
            tar.add(path, arcname=path.name)
    return points_of_shard(folder / "shard.tar", folder)
