"""Aliases, which no snapshot of Qdrant's has, come back from the manifests."""
import json
import os
import signal
import subprocess
import time

import pytest
from booting import Task, fill, path_of, runs
from harness import BUILD, freeze, wait_for
from restoring import SIXTH, scroll, upsert

LATEST = {"RESTORE_ON_EMPTY": "latest"}


def aliases(t):
    return {a["alias_name"]: a["collection_name"] for a in t.server.result("GET", "/aliases")["aliases"]}


def point(t, collection, *names):
    t.server.result("POST", "/collections/aliases",
                    {"actions": [{"create_alias": {"collection_name": collection, "alias_name": n}} for n in names]})


def has_aliases(efs, collection, *names):
    found = efs.manifests(collection)
    return bool(found) and set(found[-1].get("aliases", [])) == set(names)


@pytest.fixture
def lost(task, efs):
    """"docs" was replaced by "docs_v2", to which an alias "docs" points by now: both have backups."""
    t = task(SNAPSHOT_INTERVAL="2s", **LATEST).start()
    t.wait_restored()
    t.fill("docs")
    wait_for(lambda: efs.manifests("docs"))
    t.server.result("DELETE", "/collections/docs")
    t.fill("docs_v2")
    upsert(t.server, "docs_v2", [SIXTH])
    wait_for(lambda: efs.manifests("docs_v2"))
    point(t, "docs_v2", "docs", "größe 🎉")
    wait_for(lambda: has_aliases(efs, "docs_v2", "docs", "größe 🎉"))
    t.had = scroll(t.server, "docs_v2")
    t.lose_disk()
    t.env["SNAPSHOT_INTERVAL"] = "0"
    return t


def test_aliases_are_back_and_an_old_collection_does_not_come_back_under_an_aliases_name(lost):
    lost.start().wait_restored()
    assert aliases(lost) == {"docs": "docs_v2", "größe 🎉": "docs_v2"}
    assert lost.collections() == ["docs_v2"] and scroll(lost.server, "docs") == lost.had
    assert [e for e in lost.events("boot_restore_skipped") if "docs is not restored: an alias" in e["message"]]


def test_a_snapshot_that_is_published_after_qdrant_has_gone_tells_the_aliases_all_the_same(task, efs):
    t = task(SNAPSHOT_INTERVAL="2s", SNAPSHOT_ON_STOP="off", **LATEST).start()
    t.wait_restored()
    t.fill("docs")
    point(t, "docs", "live")
    wait_for(lambda: has_aliases(efs, "docs", "live"))
    replicator, qdrant = t.replicator(), t.qdrant()
    freeze(replicator)
    made = t.server.result("POST", "/collections/docs/snapshots")["name"].removesuffix(".snapshot")
    os.kill(qdrant, signal.SIGKILL)
    wait_for(lambda: not runs(qdrant))
    os.kill(replicator, signal.SIGCONT)
    wait_for(lambda: efs.manifests("docs")[-1]["snapshot"] == made, 60)
    assert efs.manifests("docs")[-1]["aliases"] == ["live"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_backup_that_does_not_tell_its_aliases_has_those_of_the_one_before(lost, efs, by_hand):
    def change(path, **to):
        manifest = {k: v for k, v in json.loads(path.read_text()).items() if k != "aliases"}
        path.write_text(json.dumps(manifest | to))
    *_, before, last = sorted(efs.tree.glob("*/docs_v2/*.json"), key=lambda path: path.name)
    change(before, aliases=["docs", "größe 🎉"])
    change(last)
    if by_hand:
        lost.env["RESTORE_ON_EMPTY"] = "never"
        lost.start()
        run = subprocess.run([BUILD / "qdrant-efs", "restore", "--json", "--collection", "docs_v2"], timeout=60,
                             env=lost.env | {"QDRANT_URL": lost.server.url, "QDRANT_API_KEY": lost.server.api_key},
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        said = json.loads(run.stdout)[0]["note"]
    else:
        lost.start().wait_restored()
        said = lost.events("boot_restored")[-1]["message"]
    assert aliases(lost) == {"docs": "docs_v2", "größe 🎉": "docs_v2"}
    assert "since its manifest does not tell them" in said


@pytest.mark.parametrize("name", ["now", "2099"])
def test_an_alias_in_an_old_backup_takes_no_collections_name_whatever_lies_beside_it(task, efs, name):
    """What somebody has uploaded comes after all others, and so makes no collection the newest."""
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("old", "docs")
    t.backup("old", "docs")
    had = t.points()
    efs.age("old", 3 * 86400)
    manifest, = efs.tree.glob("*/old/*.json")
    old = json.loads(manifest.read_text()) | {"aliases": ["docs"]}
    manifest.write_text(json.dumps(old))
    later = old["snapshot"][:-19] + (time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime()) if name == "now" else "2099-01-01-00-00-00")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    upload = old | {"origin": "upload", "qdrant_checksum": False, "created": stamp, "slot": stamp[:14] + "00:00Z"}
    for path in manifest.parent.glob(f"{old['snapshot']}.snapshot*"):
        path.with_name(path.name.replace(old["snapshot"], later)).write_bytes(path.read_bytes().replace(old["snapshot"].encode(), later.encode()) if path.suffix == ".sha256" else path.read_bytes())
    manifest.with_name(f"{later}.json").write_text(json.dumps(upload).replace(old["snapshot"], later))
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had and aliases(t) == {}


def test_qdrant_efs_restore_puts_them_back_too_but_not_with_another_name(lost):
    lost.env["RESTORE_ON_EMPTY"] = "never"
    lost.start()
    env = {"QDRANT_URL": lost.server.url, "QDRANT_API_KEY": lost.server.api_key}

    def restore(*more):
        run = subprocess.run([BUILD / "qdrant-efs", "restore", "--json", "--collection", "docs_v2", *more],
                             env=lost.env | env, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)[0]
    restore("--rename", "beside")
    assert aliases(lost) == {}
    restore()
    assert aliases(lost) == {"docs": "docs_v2", "größe 🎉": "docs_v2"}
    restore("--force")
    assert aliases(lost) == {"docs": "docs_v2", "größe 🎉": "docs_v2"}
    # One that is of another collection by now is left alone, and that is said.
    lost.server.result("POST", "/collections/aliases", {"actions": [{"delete_alias": {"alias_name": "docs"}}]})
    point(lost, "beside", "docs")
    assert "beside" in restore("--force")["note"]
    assert aliases(lost) == {"docs": "beside", "größe 🎉": "docs_v2"}


def test_an_alias_with_the_name_of_a_collection_is_left_alone(lost):
    lost.env["RESTORE_ON_EMPTY"] = "never"
    lost.start()
    lost.fill("docs")
    env = {"QDRANT_URL": lost.server.url, "QDRANT_API_KEY": lost.server.api_key}
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--collection", "docs_v2"], env=lost.env | env,
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "has the name of a collection" in run.stdout, run.stderr
    assert aliases(lost) == {"größe 🎉": "docs_v2"}
