"""`restore --set`: one snapshot out of those of all nodes, of the newest complete set and no other."""
import io
import json
import os
import pathlib
import re
import resource
import subprocess
import tarfile

import pytest
from days import Version
from harness import BUILD, manifests_of
from nodes import HELD, PEERS, put_together, replicated, snapshot_of, with_json
from restoring import attach, count, data_of, flip
from server import Server
from signing import make_key


def to_file(tree, tmp_path, *args, returncode=0, **env):
    """What it writes, and what it says; None: no file."""
    out = tmp_path / "out.snapshot"
    out.unlink(missing_ok=True)
    run = tree.efs_tool("restore", "--set", "--to", str(out), *args, **env)
    assert run.returncode == returncode, run.stdout + run.stderr
    return out.read_bytes() if out.exists() else None, run.stdout + run.stderr


def whole(collection="rf1"):
    """In the order of the times at which Nodes.slot has them made."""
    return put_together([(snapshot_of(collection, node), [shard]) for node, shard in HELD[collection].items()])


def test_every_member_is_as_it_was_and_each_shard_is_there_once(nodes, tree, tmp_path):
    nodes.slot("08-00")
    data, said = to_file(tree, tmp_path)
    assert data == whole()
    assert "rf1: wrote rf1-set-2026-11-24-08-00-00 (monthly, 2026-11-24T08:00:03Z" in said
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = [m.name for m in tar]
        assert len(names) == len(set(names)) and {n.split("/")[0] for n in names if "/" in n} == {"0", "1", "2"}
        assert all(json.load(tar.extractfile(f"{i}/replica_state.json"))["is_local"] for i in range(3))


def test_custom_sharding_at_qdrants_start(nodes, tree, tmp_path):
    nodes.slot("08-00", "cust")
    data, said = to_file(tree, tmp_path, "--as-storage")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.extractfile("collection.snapshot").read() == whole("cust")
        assert json.load(tar.extractfile("config.json"))["collections_mapping"] == {"cust": "collection.snapshot"}
    assert "qdrant --storage-snapshot" in said


def test_deltas_give_the_same_set(nodes, tree, tmp_path):
    version = Version()  # deltas are of one version, which somebody has to tell
    for node in HELD["rf1"]:
        for when in ("08-00", "08-15", "08-30"):
            nodes.publish(node, f"2026-11-24-{when}-03", COMPRESSION="delta", QDRANT_URL=version.url)
    version.stop()
    assert {b["codec"] for b in tree.ls() if b["slot"] == "2026-11-24T08:30:00Z"} == {"delta"}
    data, said = to_file(tree, tmp_path)
    # All of one second: by their peers.
    assert data == put_together([(snapshot_of("rf1", n), [HELD["rf1"][n]]) for n in sorted(PEERS, key=PEERS.get)])
    assert "rf1-set-2026-11-24-08-30-00" in said and to_file(tree, tmp_path, "--at", "2026-11-24T08:14Z")[0] == data


@pytest.mark.parametrize("harm", ["missing", "late", "short"])
def test_a_set_that_lacks_a_node_is_passed_over(harm, nodes, tree, tmp_path):
    nodes.slot("08-00")
    if harm == "late":
        nodes.slot("08-15", nodes=["node-0", "node-1"])
        nodes.publish("node-2", "2026-11-24-08-30-03")
    else:
        data = data_of(tree, nodes.slot("08-15")["node-2"])
        data.unlink() if harm == "missing" else data.write_bytes(data.read_bytes()[:-7])
    data, said = to_file(tree, tmp_path)
    assert data == whole() and "rf1-set-2026-11-24-08-00-00" in said
    assert re.search(r"passed over .*/the set of 2026-11-24T08:15:00Z: shard 1: ", said)
    data, said = to_file(tree, tmp_path, "--strict", returncode=1)
    assert data is None and "the newest set is not complete (--strict)" in said


def test_a_set_with_a_corrupt_backup_is_passed_over_before_anything_is_sent(nodes, tree, tmp_path):
    nodes.slot("08-00")
    stem = nodes.slot("08-15")["node-2"]
    flip(data_of(tree, stem))
    data, said = to_file(tree, tmp_path)
    assert data == whole() and "rf1-set-2026-11-24-08-00-00" in said and f"passed over {data_of(tree, stem)}" in said
    assert said.count(str(data_of(tree, stem))) == 1
    run = tree.efs_tool("restore", "--set", "--to", str(tmp_path / "x"), "--json")
    one, = json.loads(run.stdout)
    assert run.returncode == 0 and [s["snapshot"] for s in one["skipped"]] == [stem] and one["path"] == ""
    assert one["set"] == sorted(one["set"], key=lambda s: list(HELD["rf1"]).index(next(n for n in PEERS if PEERS[n] in s))) and len(one["set"]) == 3
    data, said = to_file(tree, tmp_path, "--strict", returncode=1)
    assert data is None and "found a defect" in said


def test_with_two_replicas_of_each_shard_the_other_one_takes_the_place_of_a_corrupt_one(nodes, tree, tmp_path):
    stems = {node: nodes.publish(node, f"2026-11-24-08-00-{n:02d}", data=replicated(node)) for n, node in enumerate(PEERS, 3)}
    data, said = to_file(tree, tmp_path)
    assert data == put_together([(replicated("node-0"), [1, 2]), (replicated("node-1"), [0])]) and "passed over" not in said
    flip(data_of(tree, stems["node-0"]))
    data, said = to_file(tree, tmp_path)
    assert data == put_together([(replicated("node-1"), [0, 2]), (replicated("node-2"), [1])]) and f"{stems['node-0']}" in said
    data_of(tree, stems["node-1"]).unlink()
    data, said = to_file(tree, tmp_path, returncode=1)
    assert data is None and "there is no complete set of it" in said


def test_of_a_time(nodes, tree, tmp_path):
    for when in ("08-00", "08-15", "08-30"):
        nodes.slot(when)
    assert "rf1-set-2026-11-24-08-15-00" in to_file(tree, tmp_path, "--at", "2026-11-24T08:29Z")[1]
    # While its last node had not made its snapshot.
    assert "rf1-set-2026-11-24-08-00-00" in to_file(tree, tmp_path, "--at", "2026-11-24T08:15:04Z")[1]
    said = to_file(tree, tmp_path, "--at", "2026-11-24T07:59Z", returncode=1)[1]
    assert "no complete set of it was made until 2026-11-24T07:59:00Z (--at); that of the slot 2026-11-24T08:00:00Z was complete at" in said


def test_snapshots_that_were_made_with_another_configuration_are_not_put_together(nodes, tree, tmp_path):
    nodes.slot("08-00")
    nodes.publish("node-0", "2026-11-24-08-15-03")
    nodes.publish("node-1", "2026-11-24-08-15-04", data=with_json(snapshot_of("rf1", "node-1"), "config.json", lambda o: o["params"].update(on_disk_payload=False)))
    nodes.publish("node-2", "2026-11-24-08-15-05")
    data, said = to_file(tree, tmp_path)
    assert "its configuration differs from that of another node's snapshot" in said and "rf1-set-2026-11-24-08-00-00" in said
    nodes.publish("node-0", "2026-11-24-08-30-03")
    nodes.publish("node-1", "2026-11-24-08-30-04")
    nodes.publish("node-2", "2026-11-24-08-30-05", data=with_json(snapshot_of("rf1", "node-2"), "payload_index.json", lambda o: o["schema"].update(city="keyword")))
    data, said = to_file(tree, tmp_path)
    assert "its payload indexes differ" in said and "rf1-set-2026-11-24-08-00-00" in said


def test_a_manifest_that_promises_a_shard_which_is_not_in_the_snapshot(nodes, tree, tmp_path):
    stem = nodes.publish("node-0", "2026-11-24-08-00-03")
    nodes.publish("node-1", "2026-11-24-08-00-03")
    path = next(p for p in manifests_of(tree.base) if p.stem == stem)
    told = json.loads(path.read_text())
    told["cluster"]["shards"].append({"id": 7, "local": True, "peers": {PEERS["node-0"]: "Active"}})
    told["cluster"]["shards"] = [s for s in told["cluster"]["shards"] if s["id"] != 1]
    other = next(p for p in manifests_of(tree.base) if PEERS["node-1"] in p.stem)
    path.write_text(json.dumps(told))
    told = json.loads(other.read_text())
    told["cluster"]["shards"] = [s for s in told["cluster"]["shards"] if s["id"] != 1]
    other.write_text(json.dumps(told))
    data, said = to_file(tree, tmp_path, returncode=1)
    assert data is None and "a shard that its manifest tells is not in it" in said


def test_what_is_not_signed_is_no_part_of_a_set_where_signatures_are_required(nodes, tree, tmp_path):
    key, public = make_key(tmp_path, "k")
    keys = {"VERIFY_KEYS": str(public), "REQUIRE_SIGNATURE": "1"}
    for node in HELD["rf1"]:
        nodes.publish(node, "2026-11-24-08-00-03", SIGNING_KEY_FILE=str(key))
    for node in HELD["rf1"]:
        nodes.publish(node, "2026-11-24-08-15-03", **({"SIGNING_KEY_FILE": str(key)} if node != "node-1" else {}))
    assert "rf1-set-2026-11-24-08-15-00" in to_file(tree, tmp_path)[1]
    data, said = to_file(tree, tmp_path, **keys)
    assert data is not None and "rf1-set-2026-11-24-08-00-00" in said and "of node-1 is unsigned" in said


@pytest.mark.parametrize("flag", ["--node=node-0", "--frequency=daily", "--snapshot=x", "--shard=1", "--storage-snapshot", "--from-s3",
                                  "--location=s3://b/k"])
def test_what_chooses_one_backup_does_not_go_with_a_set(flag, nodes, tree):
    nodes.slot("08-00")
    run = tree.efs_tool("restore", "--set", flag, SNAPSHOT_S3_BUCKET_NAME="b")
    assert run.returncode == 64 and flag.partition("=")[0] in run.stderr and run.stdout == ""


def test_a_collection_of_which_there_is_nothing(nodes, tree, tmp_path):
    nodes.slot("08-00")
    data, said = to_file(tree, tmp_path, "--collection", "nope", returncode=1)
    assert data is None and "nope" in said


@pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a sanitizer needs memory of its own")
def resident(pid):
    """The most that it had, in KiB; 0 when it is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def test_the_memory_of_a_splice_is_constant_and_no_file_is_written(nodes, tree, tmp_path):
    """Ten times the bytes in a member need no more memory."""
    used = []
    for when, size in (("08-00", 20 << 20), ("08-15", 200 << 20)):
        for node, shard in HELD["rf1"].items():
            info = tarfile.TarInfo(f"{shard}/segments/large.bin")
            info.size = size
            nodes.publish(node, f"2026-11-24-{when}-03", data=info.tobuf(tarfile.GNU_FORMAT) + bytes(size) + snapshot_of("rf1", node))
        # Nothing may be written, not even to a file that was deleted.
        run = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--set", "--stdout"], env=tree.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
        got, most = 0, 0
        while chunk := run.stdout.read(1 << 20):
            got += len(chunk)
            most = max(most, resident(run.pid))  # what wait4 tells is at least what this process has
        assert run.wait() == 0 and got > 3 * size
        used.append(most)
    assert used[1] < used[0] * 1.2 and used[1] < 64 << 10, used


def test_a_qdrant_that_keeps_only_some_of_the_shards_is_no_success(nodes, tree, tmp_path):
    """The stand-in has one shard a collection, takes the first, and answers 200."""
    nodes.slot("08-00")
    with Server("standin", tmp_path / "server") as server:
        attach(tree, server)
        run = tree.efs_tool("restore", "--set", "--json")
        one, = json.loads(run.stdout)
        assert run.returncode == 1 and (one["result"], one["verdict"]) == ("failed", "points_differ")
        assert "1 of 3 shards are there" in one["error"] and 0 < count(server, "rf1") < 900


def test_an_uploading_restore_sends_nothing_of_a_set_with_a_defect(nodes, tree, tmp_path):
    flip(data_of(tree, nodes.slot("08-00")["node-2"]))
    with Server("standin", tmp_path / "server") as server:
        attach(tree, server)
        run = tree.efs_tool("restore", "--set")
        assert run.returncode == 1 and "there is no complete set of it" in run.stderr
        assert server.result("GET", "/collections")["collections"] == []


def test_one_nodes_part_is_restored_by_its_name_alone(nodes, tree, tmp_path):
    """Each node of a cluster has a NODE_NAME, which does not say that its part is what is wanted."""
    nodes.slot("08-00")
    to = tmp_path / "part"
    for args, env in (([], {"NODE_NAME": "node-1"}), (["--points", "1"], {"NODE_NAME": "node-1"})):
        run = tree.efs_tool("restore", "--collection", "rf1", *(args or ["--to", str(to)]), **env)
        assert run.returncode == 1 and not to.exists(), run
        said = run.stdout + run.stderr
        if args:  # no Qdrant is there to be asked
            continue
        assert "the backup of node-1 has shard 0 of rf1, and not 1, 2, which other nodes have" in said
        assert "--set restores all of them; --node NAME restores that node's part" in said
    run = tree.efs_tool("restore", "--collection", "rf1", "--to", str(to))
    assert run.returncode == 1 and "--set restores all of them, --node NAME one node's" in run.stdout + run.stderr
    run = tree.efs_tool("restore", "--collection", "rf1", "--node", "node-1", "--to", str(to), NODE_NAME="node-2")
    assert run.returncode == 0 and to.read_bytes() == snapshot_of("rf1", "node-1")
