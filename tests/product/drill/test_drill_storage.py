"""Drills of snapshots of the whole storage, and of single shards."""
import io
import json
import tarfile
import time

import pytest
from drilling import data_of, fill, put, retar, rewrite

ALL = "%storage"  # its folder on EFS; in a report its collection is ""


def back_up_all(node, *collections):
    node.back_up(*collections, "", FULL_SNAPSHOT="daily")


def test_the_newest_storage_snapshot_is_drilled_after_the_collections_and_proven_by_their_fingerprints(node):
    fill(node.server, "a")
    fill(node.server, "b", n=30)
    back_up_all(node, "a", "b")
    found = node.verdicts(code=0)
    assert [(c, d["kind"], d["verdict"], d["points"]) for c, d in found.items()] == \
        [("a", "collection", "proven", 20), ("b", "collection", "proven", 30), ("", "storage", "proven", 50)]
    assert "each of its 2 collections" in found[""]["note"] and node.left() == []
    assert set(node.verdicts("--collection", "a", code=0)) == {"a"}
    alone = node.drill("--snapshot", found[""]["snapshot"])
    assert alone.returncode == 0 and "the whole storage, full-snapshot-" in alone.stdout and " proven: restored in" in alone.stdout


def test_what_was_written_since_the_collections_own_backup_is_only_counted(node):
    fill(node.server, "a")
    fill(node.server, "b")
    node.back_up("a", "b")
    time.sleep(1.1)  # snapshots are named by the second
    put(node.server, "b", range(20, 25))
    node.server.result("POST", "/snapshots")
    assert node.tree.once().returncode == 0
    one = node.verdicts("--snapshot", node.manifest(ALL).stem, code=0)[""]
    assert (one["verdict"], one["points"]) == ("partly_proven", 45) and "of them 1 are as" in one["note"]
    assert "b: 25 points came back of 20" in one["note"]


@pytest.mark.parametrize("how", ["a flipped bit", "a collection's snapshot is missing", "a newer Qdrant"])
def test_a_storage_snapshot_that_is_not_good_fails(node, how):
    fill(node.server, "a")
    fill(node.server, "b")
    back_up_all(node, "a", "b")
    manifest = node.manifest(ALL)
    if how == "a flipped bit":
        data = bytearray(data_of(manifest).read_bytes())
        data[len(data) // 2] ^= 1
        data_of(manifest).write_bytes(data)
    elif how == "a newer Qdrant":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"qdrant_version": "99.0.0"}))
    else:
        rewrite(manifest, lambda data: retar(data, keep=lambda name: not name.startswith("b-")))
    one = node.verdicts("--snapshot", manifest.stem, code=1)[""]
    assert one["verdict"] == "failed" and {"a flipped bit": data_of(manifest).name, "a newer Qdrant": "99.0.0"}.get(how, "Qdrant") in one["why"]
    assert node.left() == []


@pytest.mark.parametrize("collection,file", [("../../../outside", None), ("b", "../../../../outside.snapshot"), ("b", "/tmp/outside.snapshot")])
def test_a_storage_snapshot_that_names_what_is_elsewhere_is_not_given_to_qdrant(node, collection, file):
    fill(node.server, "a")
    back_up_all(node, "a")
    manifest = node.manifest(ALL)
    def other_names(data):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            config = json.load(tar.extractfile("config.json"))
        config["collections_mapping"][collection] = file or config["collections_mapping"]["a"]
        return retar(data, replace={"config.json": json.dumps(config).encode()})
    rewrite(manifest, other_names)
    ran = node.tmp / "ran"
    spy = node.program("spy", f'echo "$@" >> {ran}\nexec {node.server.program} "$@"\n')
    one = node.verdicts("--snapshot", manifest.stem, code=1, QDRANT_BIN=spy)[""]
    assert one["verdict"] == "failed" and "its config.json names" in one["why"]
    assert not ran.exists() and not list(node.tmp.rglob("outside*")) and node.left() == []


def shard_snapshot(node):
    fill(node.server)
    node.back_up("c")
    time.sleep(1.1)
    put(node.server, "c", range(20, 25))
    node.server.result("POST", "/collections/c/shards/0/snapshots")
    assert node.tree.once().returncode == 0
    return next(node.tree.base.glob("*/c/%shard-0/*.json"))


@pytest.mark.real
def test_a_shard_is_restored_into_its_collection(node):
    if node.server.kind != "real":
        pytest.skip("the stand-in takes no upload of a shard")
    manifest = shard_snapshot(node)
    one = node.verdicts("--snapshot", manifest.stem, code=0)["c"]
    assert (one["kind"], one["shard"], one["verdict"], one["points"]) == ("shard", "0", "partly_proven", 25)
    rewrite(manifest, lambda data: data[:len(data) // 3])
    one = node.verdicts("--snapshot", manifest.stem, code=1)["c"]
    assert one["verdict"] == "failed" and "does not tell its vectors" in one["why"] and one["points"] is None


def test_a_shard_without_a_backup_of_its_collection_is_refused(node):
    manifest = shard_snapshot(node)
    for file in node.manifest().parent.glob("c-*"):
        file.unlink()
    one = node.verdicts("--snapshot", manifest.stem, code=1)["c"]
    assert (one["kind"], one["verdict"]) == ("shard", "refused") and "into its collection" in one["why"]


@pytest.mark.parametrize("wrong", [["--shard", "0"], ["--shard", "x", "--collection", "c"], ["--storage-snapshot", "--collection", "c"],
                                   ["--storage-snapshot", "--shard", "0"]])
def test_a_choice_that_makes_no_sense_is_refused(node, wrong):
    assert node.drill(*wrong).returncode == 64
