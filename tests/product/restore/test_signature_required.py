"""With REQUIRE_SIGNATURE nothing unsigned is restored, whatever way it is asked for."""
import json
import re
import subprocess
import time

import pytest
from harness import BUILD
from restoring import fill, publish, restore, scroll, snapshot, uploads, upsert, SIXTH
from signing import make_key

SHARD = "--collection", "test_collection", "--shard", "0"
ONE = "--collection", "test_collection"
WAYS = [(), ONE, ONE + ("--rename", "beside"), ONE + ("--force",), ONE + ("--recreate",), ONE + ("--swap",), ONE + ("--dry-run", "--force"),
        ONE + ("--strict", "--force"), ONE + ("--at", "{now}", "--force"), ONE + ("--snapshot", "{newest}", "--force"),
        ONE + ("--snapshot", "{newest}", "--rename", "beside"), ONE + ("--frequency", "monthly", "--force"), ONE + ("--node", "{peer}", "--force"),
        ONE + ("--to", "{out}"), ONE + ("--to", "{out}", "--as-storage"), ONE + ("--to", "{out}", "--snapshot", "{newest}"), ONE + ("--stdout",),
        ONE + ("--set", "--to", "{out}"), ONE + ("--set", "--force"),
        ONE + ("--set", "--force", "--peer-url", "http://127.0.0.1:1"), ONE + ("--points", "1", "--force"), ONE + ("--filter", '{{"must": []}}', "--force"), SHARD + ("--force",), SHARD + ("--to", "{out}"), ("--storage-snapshot", "--to", "{out}"), ("--storage-snapshot", "--stdout"),
        ONE + ("--location", "file://{data}"), ONE + ("--location", "http://127.0.0.1:1/x", "--checksum", "0" * 64)]
# These choose no backup, or are of S3: tests/product/offsite/test_s3_signature.py
OTHERS = {"--from-s3", "--url", "--wait", "--json", "--root", "--newer", "--older", "--tier", "--cpu-arch", "--storage-snapshot"}


@pytest.fixture
def unsigned(tree, qdrant, tmp_path):
    """Backups of each kind that nobody signed, and one of each that somebody else did."""
    other, ours = make_key(tmp_path / "keys", "other"), make_key(tmp_path / "keys", "ours")
    fill(qdrant)
    snapshot(qdrant)
    for path in ("/collections/test_collection/shards/0/snapshots", "/snapshots"):
        qdrant.result("POST", path + "?wait=true")
    publish(tree)
    upsert(qdrant, "test_collection", [SIXTH])
    qdrant.newest = snapshot(qdrant)
    publish(tree, SIGNING_KEY_FILE=other[0])
    kinds = {b["kind"] for b in tree.ls()}
    assert kinds >= {"collection", "storage"}, kinds
    tree.keys = other, ours
    tree.required = {"VERIFY_KEYS": ours[1], "REQUIRE_SIGNATURE": "1"}
    tree.out = tmp_path / "out"
    return qdrant


def filled(way, tree, server):
    data = next(tree.base.rglob(f"{server.newest}.snapshot*"))
    return [a.format(out=tree.out, newest=server.newest, data=data, peer=server.newest.split("-")[1],
                     now=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())) for a in way]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(way) or "all")
def test_nothing_unsigned_is_restored(tree, unsigned, way):
    had = scroll(unsigned), unsigned.result("GET", "/collections")
    before = tree.files()
    run = restore(tree, *filled(way, tree, unsigned), **tree.required)
    assert run.returncode != 0, run.stdout
    assert (scroll(unsigned), unsigned.result("GET", "/collections")) == had and uploads(unsigned) == []
    assert not tree.out.exists() and tree.files() == before
    assert "--stdout" not in way or run.stdout == ""
    assert re.search("not signed|unsigned|signature|REQUIRE_SIGNATURE", run.stderr), run.stderr


def test_without_the_setting_the_same_comes_back(tree, unsigned):
    """So that the test above is of the signature, and of nothing else."""
    assert restore(tree, *ONE, "--force").returncode == 0
    assert restore(tree, *ONE, "--to", str(tree.out), VERIFY_KEYS=tree.keys[0][1]).returncode == 0 and tree.out.exists()
    assert restore(tree, "--storage-snapshot", "--to", str(tree.out), "--force").returncode == 0


def test_a_drill_restores_nothing_unsigned_and_says_it(tree, unsigned, tmp_path):
    env = tree.required | {"DRILL_DIR": str(tmp_path / "scratch"), "QDRANT_BIN": "/bin/false"}
    run = tree.efs_tool("drill", "--json", **env)
    drills = json.loads(run.stdout)["drills"]
    assert run.returncode == 1 and {d["verdict"] for d in drills} == {"failed"}
    assert all(re.search("not signed|signature", d["why"]) for d in drills), drills
    run = tree.efs_tool("drill", "--set", "--json", **env)
    assert run.returncode == 1 and {d["verdict"] for d in json.loads(run.stdout)["drills"]} == {"failed"}
    run = tree.efs_tool("drill", "--json", "--snapshot", unsigned.newest, **env)
    assert run.returncode == 1 and "signature" in json.loads(run.stdout)["drills"][0]["why"]


def test_each_way_to_choose_a_backup_is_tried_above():
    """A new option of `restore` needs a line here."""
    page = subprocess.run([BUILD / "qdrant-efs", "restore", "--help"], capture_output=True, text=True).stdout
    flags = set(re.findall(r"^  (--[a-z][a-z0-9-]+)", page, re.M))
    tried = {a for way in WAYS for a in way if a.startswith("--")}
    assert len(flags) > 20 and flags - tried <= OTHERS
