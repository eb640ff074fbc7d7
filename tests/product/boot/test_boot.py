"""A task comes up with an empty disk: Qdrant is held back until everything is there again."""
import glob
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from frozen import Frozen, usable
from booting import ODD, path_of, scroll, upsert
from harness import freeze, patience, wait_for
from restoring import SIXTH
from signing import make_key, sign

LATEST = {"RESTORE_ON_EMPTY": "latest"}


def lose(t, *collections):
    """A task that had these with backups, and its disk is gone; what it had, in `had`."""
    t.start()
    assert t.wait_restored()["state"] == "not_needed"
    t.fill(*collections)
    t.backup(*collections)
    t.had = t.points()
    t.lose_disk()
    return t


@pytest.fixture
def lost(task):
    return lose(task(**LATEST), "docs", "other", "größe 🎉")


def until_in(t, seconds=90):
    """Wait until Qdrant's port answers; before that no health check may say that it is served."""
    end = time.monotonic() + seconds
    while True:
        try:
            return t.server.request("GET", "/collections")
        except OSError:
            assert time.monotonic() < end, (t.health(), t.log.read_text()[-3000:])
            time.sleep(0.01)


def test_after_the_loss_of_the_disk_the_first_answer_of_qdrant_has_all_points(task):
    lost = lose(task(**LATEST), "docs", "other", *ODD)
    lost.begin()
    status, reply = until_in(lost)
    assert status == 200 and {c["name"] for c in reply["result"]["collections"]} == set(lost.had)
    assert lost.points() == lost.had
    lost.wait_restored()
    assert lost.restored() == (200, {"state": "done", "done": 9, "total": 9, "reason": "", "progressing": False})
    log = {e["collection"]: e for e in lost.events("boot_restored")}
    assert set(log) == set(lost.had) and all(e["points"] == 5 and e["snapshot"] for e in log.values())
    wait_for(lambda: lost.events("boot_restore_finished"))
    assert lost.events("qdrant_held") and not lost.events("boot_restore_failed")
    assert lost.marker()["state"] == "done"
    left = [p for p in (*lost.server.snapshots.rglob("*"), *lost.server.storage.rglob("*"))
            if ".restore/" in str(p) or p.name == ".restore" or ".partial" in p.name or ".before-" in p.name]
    assert left == [] and lost.health()[0] == 0
    # And it outlasts a restart, on Qdrant's own terms.
    lost.stop()
    lost.start()
    assert lost.points() == lost.had


def test_a_restore_leaves_its_record_and_no_backup_and_the_lineage_of_tiers_goes_on(lost, efs):
    efs.age("docs", 900)  # in one slot with those of its successor a task counts as one beside it
    before = efs.files()
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    new = {p for p in efs.files() if p not in before}
    assert all("/restores/" in str(p) for p in new) and len(new) == 1, new
    new = lost.backup("docs")
    assert [m["snapshot"] for m in efs.manifests("docs")][-1] == new
    assert [m["frequency"] for m in efs.manifests("docs")][-1] != "monthly"


def test_a_node_with_data_is_not_touched(lost, task):
    other = task(**LATEST)
    other.env["RESTORE_ON_EMPTY"] = "never"
    other.start()
    other.fill("mine")
    upsert(other.server, "mine", [SIXTH])
    had = other.points()
    other.stop()
    other.env["RESTORE_ON_EMPTY"] = "latest"
    other.start()
    assert other.wait_restored()["state"] == "not_needed"
    assert other.points() == had and other.health()[0] == 0
    assert [e["message"] for e in other.events("boot_restore_not_needed")] == \
        ["Qdrant's storage has collections: nothing is restored"]


@pytest.mark.parametrize("restart", ["replicator", "all"])
def test_collections_that_are_deleted_later_stay_deleted(lost, restart):
    lost.start().wait_restored()
    for name in lost.collections():
        lost.server.result("DELETE", path_of(name))
    if restart == "all":
        lost.stop()
        lost.start()
    else:
        lost.kill_replicator()
    wait_for(lambda: len(lost.events("boot_restore_not_needed")) > 1)
    assert lost.wait_restored()["state"] == "done" and lost.collections() == [] and lost.health()[0] == 0


def test_never_is_the_default_and_does_nothing(lost):
    lost.env.pop("RESTORE_ON_EMPTY")
    lost.start()
    wait_for(lambda: lost.ask("/health"))
    assert lost.restored() == (200, {"state": "never", "done": 0, "total": 0, "reason": "", "progressing": False})
    assert lost.health()[0] == 0 and "restore" not in lost.health()[1]
    time.sleep(2)
    assert lost.collections() == [] and not (lost.server.storage / ".restore.json").exists()
    assert lost.ask("/status")[1]["restore"] is None


def test_the_first_start_ever_is_healthy_and_says_that_there_is_nothing_yet(task):
    t = task(**LATEST).start()
    assert t.wait_restored()["state"] == "not_needed"
    line, = t.events("boot_restore_not_needed")
    assert line["level"] == "info" and "no backups yet" in line["message"]
    wait_for(lambda: t.health()[0] == 0)


@pytest.mark.parametrize("slip", ["TIER", "too deep", "too high"])
def test_a_tier_or_root_that_is_mistyped_is_told_with_the_trees_that_are_there(lost, efs, slip):
    tree, above = efs.tree, efs.root.with_name("above")
    lost.env |= {"TIER": {"TIER": "mistyped"}, "too deep": {"EFS_ROOT": str(tree)}, "too high": {"EFS_ROOT": str(above)}}[slip]
    if slip == "too high":
        above.mkdir()
        efs.root.rename(above / "efs")
    lost.begin()
    assert lost.wait_restored()["state"] == "not_needed"
    warning, = [e for e in lost.events("boot_restore_not_needed") if e["level"] == "warn"]
    assert "starts empty" in warning["message"] and ("EFS_ROOT" if slip == "too deep" else tree.name) in warning["message"]
    assert "so is EFS" not in lost.events("boot_restore_not_needed")[-1]["message"]


def test_a_time_brings_back_what_was_there_then(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    t.backup("docs")
    then, had = time.time(), t.points()
    time.sleep(1.01)
    upsert(t.server, "docs", [SIXTH])
    t.fill("later")
    t.backup("docs", "later")
    t.lose_disk()
    t.env["RESTORE_ON_EMPTY"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    t.start().wait_restored()
    assert t.points() == had  # and "later" was not there at that time


def test_a_time_before_all_backups_is_a_failure_and_another_time_is_tried_at_the_next_start(lost):
    lost.env["RESTORE_ON_EMPTY"] = "2020-01-01"
    lost.begin()
    wait_for(lambda: lost.restored()[1]["state"] == "failed")
    assert "of that time or before" in lost.restored()[1]["reason"] and not lost.let_in()
    lost.stop()
    lost.env["RESTORE_ON_EMPTY"] = "latest"
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_a_wrong_setting_is_named_and_ends_the_container_before_qdrant_serves_nothing(lost):
    lost.env["RESTORE_ON_EMPTY"] = "yesterday"
    assert lost.begin().process.wait(30) == 64
    assert "RESTORE_ON_EMPTY=yesterday" in lost.events("wrong_setting")[0]["message"]
    assert "Qdrant is not started" in lost.events("restore_refused")[0]["message"]


def test_a_restore_without_an_efs_is_refused(lost):
    lost.env["EFS_ROOT"] = ""
    assert lost.begin().process.wait(30) == 64
    assert "EFS_ROOT" in lost.events("restore_refused")[0]["message"]


@pytest.mark.parametrize("how", ["QDRANT__CLUSTER__ENABLED", "QDRANT_URI"])
def test_an_empty_node_of_a_cluster_is_refused_and_one_with_data_is_warned(lost, how):
    lost.env |= {how: "true" if "ENABLED" in how else "http://127.0.0.1:6335"}
    assert lost.begin().process.wait(30) == 64
    assert "node of a cluster" in lost.events("restore_refused")[0]["message"]
    del lost.env[how]
    lost.start().wait_restored()
    lost.stop()
    lost.env |= {how: "true" if "ENABLED" in how else "http://127.0.0.1:6335"}
    lost.begin()
    wait_for(lambda: len(lost.events("restore_refused")) > 1)
    assert "no effect" in lost.events("restore_refused")[-1]["message"]


def test_a_replicator_without_the_entrypoint_restores_nothing_and_says_so(lost):
    env = lost.env | {"QDRANT_URL": "http://127.0.0.1:1"}
    log = lost.log.with_name("alone.log")
    with open(log, "wb") as out:
        alone = subprocess.Popen([lost.program("qdrant-replicator")], env=env, stdout=out, stderr=out)
    try:
        wait_for(lambda: "works below qdrant-entrypoint alone" in log.read_text())
        assert lost.restored()[1]["state"] == "failed" and "restore_failed" in lost.failing()
    finally:
        alone.terminate()
        alone.wait(20)


# What is wrong with the backups

def test_a_corrupt_newest_one_is_passed_over_with_a_warning_and_the_next_older_taken(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    first = t.backup("docs")
    had = t.points()
    upsert(t.server, "docs", [SIXTH])
    second = t.backup("docs")
    efs.spoil(second)
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had
    assert [e["snapshot"] for e in t.events("boot_restore_passed_over")] == [second]
    assert [e["snapshot"] for e in t.events("boot_restored")] == [first]
    # It serves, and nobody may believe that nothing was lost.
    assert second in t.restored()[1]["reason"] and "restore_incomplete" in t.failing() and t.health()[0] == 0


def test_a_backup_that_the_key_did_not_sign_is_passed_over_for_an_older_one_that_it_did(task, efs, tmp_path):
    private, public = make_key(tmp_path / "keys", "one")
    t = task(**LATEST, SIGNING_KEY_FILE=private, VERIFY_KEYS=public, REQUIRE_SIGNATURE="1").start()
    t.wait_restored()
    t.fill("docs")
    first = t.backup("docs")
    had = t.points()
    upsert(t.server, "docs", [SIXTH])
    second = t.backup("docs")
    upsert(t.server, "docs", [SIXTH | {"id": 7}])
    third = t.backup("docs")
    forged, = efs.root.rglob(f"{second}.json")
    forged.write_text(forged.read_text().replace("qdrant-replicator@", "qdrant-replicator@evil"))
    unsigned, = efs.root.rglob(f"{third}.json.sig")
    unsigned.unlink()
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had
    passed = {e["snapshot"]: e["message"] for e in t.events("boot_restore_passed_over")}
    assert passed.keys() == {second, third} and "signature" in passed[second] and "not signed" in passed[third]
    assert [e["snapshot"] for e in t.events("boot_restored")] == [first]


def test_an_empty_disk_gets_nothing_that_is_not_signed_where_signatures_are_required(lost, tmp_path):
    _, public = make_key(tmp_path / "keys", "one")
    lost.env |= {"VERIFY_KEYS": public, "REQUIRE_SIGNATURE": "1"}
    lost.begin()
    wait_for(lambda: lost.restored()[1]["state"] == "failed", 60)
    assert lost.restored()[1]["done"] == 0 and not lost.let_in() and not lost.events("boot_restored")
    assert all("not signed" in e["message"] for e in lost.events("boot_restore_passed_over"))
    lost.stop()
    lost.env["REQUIRE_SIGNATURE"] = "0"
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_one_collection_without_a_good_backup_keeps_the_node_closed_until_it_is_mended(lost, efs):
    bad, = {m["snapshot"] for m in efs.manifests("other")}
    good = efs.data_of(bad).read_bytes()
    efs.spoil(bad)
    before = efs.files()
    lost.env |= {"SNAPSHOT_INTERVAL": "5s", "RETENTION": "15min=1,hourly=1,daily=1,monthly=1"}
    lost.begin()
    wait_for(lambda: lost.restored()[1]["state"] == "failed", 60)
    assert lost.restored()[1]["done"] == 2 and "restore_failed" in lost.failing() and not lost.let_in()
    assert [e["message"] for e in lost.events("boot_restore_failed") if e["message"].startswith("other is not restored")]
    code, said = lost.health(HEALTH_START_SECONDS="3600")
    assert code == 1 and '"state":"failed"' in said
    time.sleep(6)  # more than a slot
    assert efs.files() == before and not lost.events("snapshot_made", "pruned")
    # Mended, and tried again at the replicator's next start.
    efs.data_of(bad).write_bytes(good)
    lost.kill_replicator()
    lost.wait_restored()
    assert lost.points() == lost.had and len(lost.events("boot_restored")) == 3  # what was staged stayed
    wait_for(lambda: lost.events("snapshot_made"), 30)


def test_with_restore_incomplete_the_rest_is_served_and_the_loss_is_said(lost, efs):
    bad, = {m["snapshot"] for m in efs.manifests("other")}
    efs.spoil(bad)
    lost.env["RESTORE_INCOMPLETE"] = "serve"
    lost.start().wait_restored()
    assert lost.points() == {k: v for k, v in lost.had.items() if k != "other"}
    assert lost.restored()[1]["reason"].startswith("other: no good backup") and "restore_incomplete" in lost.failing()
    lost.kill_replicator()
    wait_for(lambda: "restore_incomplete" in lost.failing(), 30)
    assert lost.health()[0] == 0


def test_a_snapshot_that_qdrant_refuses_is_passed_over_for_the_next_older_one(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs", "other")
    t.backup("docs", "other")
    had = t.points()
    upsert(t.server, "docs", [SIXTH])
    refused = t.backup("docs")
    efs.replace(refused, b"\xff\xd8 a photo, and no tar" * 1000)
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had
    assert [e["snapshot"] for e in t.events("boot_restore_passed_over")] == [refused]
    assert refused in t.restored()[1]["reason"]


def test_what_a_broken_off_snapshot_left_is_not_in_the_next_older_one(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    t.backup("docs")
    had = t.points()
    upsert(t.server, "docs", [SIXTH, SIXTH | {"id": 7}])
    broken = t.backup("docs")
    whole = subprocess.run(["zstd", "-q", "-d", "-c", efs.data_of(broken)], stdout=subprocess.PIPE, check=True).stdout
    efs.replace(broken, whole[:len(whole) * 9 // 10])
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had and [e["snapshot"] for e in t.events("boot_restore_passed_over")] == [broken]


def test_fewer_points_than_the_fingerprint_says_are_no_success(task, efs):
    t = task(SNAPSHOT_INTERVAL="2s", **LATEST).start()
    t.wait_restored()
    t.fill("docs")
    wait_for(lambda: any(m["points"] == 5 for m in efs.manifests("docs")))
    t.lose_disk()
    t.env["SNAPSHOT_INTERVAL"] = "0"
    for path in list(efs.tree.glob("*/docs/*.json")):
        if json.loads(path.read_text())["points"] != 5:
            for part in path.parent.glob(f"{path.stem}.*"):  # of a slot before it was filled
                part.unlink()
            continue
        path.write_text(path.read_text().replace('"points":\t5', '"points":\t6').replace('"points": 5', '"points": 6'))
    t.begin()
    wait_for(lambda: t.restored()[1]["state"] == "failed", 60)
    assert not t.let_in() and all("points" in e["message"] for e in t.events("boot_restore_passed_over"))


def test_what_kills_qdrant_goes_last_and_is_passed_over_after_two_tries(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs", "zebra")
    t.backup("docs", "zebra")
    had = t.points()
    upsert(t.server, "docs", [SIXTH])
    killer = t.backup("docs")
    t.lose_disk()
    size = os.path.getsize(efs.data_of(killer))
    # As the kernel does when memory runs out: the third and later points need too much.
    t.wrap(f'for a; do case $a in *:docs) f=${{a%:docs}}; '
           f'[ "$(sha256sum <"$f" | cut -c1-64)" = {efs.sha256_of(killer)} ] && kill -9 $$;; esac; done')
    t.start().wait_restored()
    assert t.points() == had and size
    assert len(t.events("boot_restore_killed")) == 1 and [e["snapshot"] for e in t.events("boot_restore_passed_over")] == [killer]


def test_a_time_is_obeyed_once_and_what_it_threw_away_does_not_come_back(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    t.backup("docs")
    then, wanted = time.time(), t.points()
    time.sleep(1.01)
    upsert(t.server, "docs", [SIXTH])
    t.backup("docs")  # of what was wrong
    time.sleep(1.01)
    t.lose_disk()
    t.env["RESTORE_ON_EMPTY"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    t.start().wait_restored()
    wait_for(lambda: t.events("boot_restore_finished"))
    assert t.points() == wanted
    # The next task comes before the first backup of the new past: the wrong one must not win by being the newest.
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == wanted and t.events("boot_restore_time_obeyed")
    wait_for(lambda: len(t.events("boot_restore_finished")) > 1)
    upsert(t.server, "docs", [SIXTH | {"id": 77}])
    t.backup("docs")
    had = t.points()
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had


def tombstone(efs, file, when, collection=None):
    folder = efs.tree / "deleted" / "-"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{file}.json").write_text(json.dumps({
        "format": 1, "collection": collection or file, "node": "", "deleted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
        "last_seen": None, "forgotten": False, "written_by": "test"}))


def test_only_signed_notes_of_deletions_and_restores_are_obeyed_where_signatures_are_required(task, efs, tmp_path):
    """Who may write on EFS but has no key keeps no collection away, and no newer backup."""
    private, public = make_key(tmp_path / "keys", "one")
    t = task(**LATEST, SIGNING_KEY_FILE=private, VERIFY_KEYS=public, REQUIRE_SIGNATURE="1").start()
    t.wait_restored()
    t.fill("docs", "other")
    t.backup("docs", "other")
    had = t.points()
    t.lose_disk()
    t.start().wait_restored()
    wait_for(lambda: list(efs.tree.glob("restores/*/*.json")))
    record, = efs.tree.glob("restores/*/*.json")
    assert record.with_name(record.name + ".sig").stat().st_size == 64
    tombstone(efs, "other", time.time())
    forged = json.loads(record.read_text()) | {"crossed": True, "restored": "2026-01-01T00:00:00Z"}
    record.with_name("2026-01-01T00-00-00Z.json").write_text(json.dumps(forged | {"at": 1}))
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had
    said = [e["message"] for e in t.events("boot_restore_folder")]
    assert said and "not signed" in said[-1] and "their collections come back" in said[-1]
    assert any("2026-01-01T00-00-00Z.json" in e["message"] and "not signed" in e["message"] for e in t.events("boot_record_unreadable"))
    path = efs.tree / "deleted" / "-" / "other.json"  # the same, by whoever has the key
    sign(private, path)
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == {"docs": had["docs"]}
    path.write_text(path.read_text() + " ")
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had


def test_what_was_deleted_on_purpose_stays_deleted_unless_it_is_asked_for_or_was_made_anew(lost, efs):
    tombstone(efs, "docs", time.time() - 86400)  # made anew since
    tombstone(efs, "other", time.time())
    lost.start().wait_restored()
    assert lost.points() == {k: v for k, v in lost.had.items() if k != "other"} and lost.health()[0] == 0
    line, = lost.events("boot_restore_skipped")
    assert line["collection"] == "other" and "deleted on purpose" in line["message"]
    lost.lose_disk()
    lost.env["RESTORE_DELETED"] = "1"
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_a_node_all_of_whose_collections_were_deleted_starts_empty(lost, efs):
    for name in lost.had:
        tombstone(efs, next(efs.tree.glob("*/" + (name if name.isascii() else "gr*"))).name, time.time(), name)
    lost.start().wait_restored()
    assert lost.restored()[1]["state"] == "not_needed" and lost.collections() == []


def test_a_storage_that_was_lost_is_restored_though_the_snapshots_beside_it_were_kept(lost):
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    lost.stop()
    shutil.rmtree(lost.server.storage)
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_a_storage_that_was_emptied_but_for_its_hidden_files_is_restored(lost):
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    lost.stop()
    subprocess.run(f'rm -rf "{lost.server.storage}"/*', shell=True, check=True)
    assert (lost.server.storage / ".restore.json").exists()
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_the_whole_copy_of_a_backup_is_taken_from_the_other_root(lost, efs, tmp_path):
    shutil.copytree(efs.root, tmp_path / "replica")
    for name in lost.had:
        efs.spoil(efs.manifests(name)[0]["snapshot"])
    lost.env["RESTORE_FROM"] = str(tmp_path / "replica")
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_what_was_deleted_here_does_not_come_back_from_the_replica(lost, efs, tmp_path):
    shutil.copytree(efs.root, tmp_path / "replica")
    shutil.rmtree(efs.tree / "monthly")
    for name in lost.had:
        tombstone(efs, name if name.isascii() else next((tmp_path / "replica" / "test-cpu" / "monthly").glob("gr*")).name, time.time(), name)
    lost.env["RESTORE_FROM"] = str(tmp_path / "replica")
    lost.start().wait_restored()
    assert lost.collections() == [] and lost.restored()[1]["state"] == "not_needed"


def test_a_collection_that_was_made_while_the_restore_was_off_is_left_alone(lost, efs):
    aside = efs.root.with_name("aside")
    lost.held().begin()
    wait_for(lambda: lost.is_held())
    lost.kill_all()
    lost.go_on()
    lost.env["RESTORE_ON_EMPTY"] = "never"
    lost.start()
    lost.fill("mine")
    had = lost.points()
    lost.stop()
    lost.env["RESTORE_ON_EMPTY"] = "latest"
    efs.root.rename(aside)  # and nothing of EFS is needed to see it
    lost.start().wait_restored()
    assert lost.points() == had
    aside.rename(efs.root)
    assert not (lost.server.storage / ".restore").exists()


def test_backups_of_another_processor_alone_are_said_and_the_node_stays_closed(lost, efs):
    efs.tree.rename(efs.tree.with_name("test-other"))
    lost.begin()
    wait_for(lambda: "test-other" in lost.restored()[1]["reason"])
    assert lost.restored()[1]["state"] == "waiting" and lost.health()[0] == 1 and not lost.let_in()
    lost.stop()
    lost.env["RESTORE_FROM"] = str(efs.tree.with_name("test-other"))
    lost.start().wait_restored()
    assert lost.points() == lost.had


def test_a_node_name_that_no_backup_has_keeps_the_node_closed_and_names_those_that_have(lost, efs):
    lost.env["NODE_NAME"] = "a"
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    lost.backup(*lost.collections())
    lost.lose_disk()
    for path in efs.tree.glob("*/*/*.json"):  # those of the time before it had a name go
        manifest = json.loads(path.read_text())
        if "snapshot" in manifest and manifest["node"]["name"] != "a":
            for file in path.parent.glob(f"{glob.escape(manifest['snapshot'])}.*"):
                file.unlink()
    lost.env["NODE_NAME"] = "b"
    lost.begin()
    wait_for(lambda: lost.restored()[1]["state"] == "failed")
    assert "NODE_NAME" in lost.restored()[1]["reason"] and not lost.let_in()
    assert all("only of a" in e["message"] for e in lost.events("boot_restore_skipped"))


@pytest.mark.parametrize("how", ["a file", "no rights"])
def test_one_broken_folder_holds_up_no_other_collection(lost, efs, how):
    folder = next(efs.tree.glob("*/other"))
    if how == "no rights" and os.geteuid() == 0:
        lost.prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
        if subprocess.run([*lost.prefix, "true"]).returncode != 0:
            pytest.skip("needs setpriv")
    if how == "a file":
        shutil.rmtree(folder)
        folder.write_text("")
    else:
        folder.chmod(0)
    lost.env["RESTORE_INCOMPLETE"] = "serve"
    lost.begin()
    try:
        lost.wait_restored(120)
    finally:
        if how != "a file":
            folder.chmod(0o755)
    assert lost.points() == {k: v for k, v in lost.had.items() if k != "other"}


def test_backups_of_the_whole_storage_alone_cannot_be_restored_and_that_is_said(task, efs):
    t = task(**LATEST).start()
    t.wait_restored()
    t.fill("docs")
    name = t.server.result("POST", "/snapshots")["name"]
    wait_for(lambda: t.has("storage", "", name))
    shutil.rmtree(efs.tree / "monthly" / "docs", ignore_errors=True)
    for folder in efs.tree.glob("*/docs"):
        shutil.rmtree(folder)
    t.lose_disk()
    t.begin()
    wait_for(lambda: t.restored()[1]["state"] == "failed")
    assert "--storage-snapshot" in t.restored()[1]["reason"] and t.health()[0] == 1


# Where the backups are

@pytest.mark.parametrize("how", ["no folder", "an empty folder"])
def test_an_efs_that_is_mounted_later_is_waited_for(lost, efs, how):
    aside = efs.root.with_name("unmounted")
    efs.root.rename(aside)
    if how == "an empty folder":
        efs.root.mkdir()
    lost.begin()
    wait_for(lambda: [e for e in lost.events("boot_restore_waiting") if "EFS" in e["message"]])
    status, body = lost.restored()
    assert status == 503 and body["state"] == "waiting" and str(efs.root) in body["reason"]
    assert "restoring" in lost.failing() and lost.health()[0] == 1 and not lost.let_in()
    if how == "an empty folder":
        efs.root.rmdir()
    aside.rename(efs.root)
    lost.wait_restored()
    assert lost.points() == lost.had


@pytest.mark.parametrize("what", ["the root", "the tree"])
def test_a_read_only_replica_is_restored_from_and_new_backups_go_to_efs_root(lost, efs, tmp_path, what):
    replica, mounted = tmp_path / "replica", tmp_path / "mounted"
    efs.root.rename(replica)
    (efs.root / "test-cpu").mkdir(parents=True)
    mounted.mkdir()
    if what == "the tree":
        (replica / "test-cpu").rename(replica / "test-other")  # of another processor
    before = {p: p.stat().st_mtime_ns for p in replica.rglob("*")}
    script = 'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" && ! touch "$2/x" 2>/dev/null && shift 2 && exec "$@"'
    lost.prefix = ["unshare", "-m", "sh", "-c", script, "sh", str(replica), str(mounted)]
    if subprocess.run([*lost.prefix, "true"]).returncode != 0:
        pytest.skip("needs mount namespaces")
    lost.env["RESTORE_FROM"] = str(mounted if what == "the root" else mounted / "test-other")
    lost.start().wait_restored()
    assert lost.points() == lost.had
    assert {p: p.stat().st_mtime_ns for p in replica.rglob("*")} == before
    lost.backup("docs")
    assert {p.name for p in efs.tree.iterdir() if p.is_dir()} == {"index", "monthly", "restores"}


def test_a_restore_from_where_nothing_is_waits_and_says_so(lost, tmp_path):
    (tmp_path / "nothing").mkdir()
    lost.env["RESTORE_FROM"] = str(tmp_path / "nothing")
    lost.begin()
    wait_for(lambda: "RESTORE_FROM" in lost.restored()[1]["reason"])
    assert lost.health()[0] == 1 and not lost.let_in()


def test_a_new_node_name_takes_what_was_there_before_it_and_leaves_the_backups_of_others(lost, efs):
    lost.env["NODE_NAME"] = "a"
    lost.start().wait_restored()
    assert lost.points() == lost.had
    upsert(lost.server, "docs", [SIXTH])
    had = lost.points()
    lost.backup(*lost.collections())
    lost.lose_disk()
    lost.env["NODE_NAME"] = "b"
    lost.start().wait_restored()
    assert lost.points() == lost.had
    lost.lose_disk()
    lost.env["NODE_NAME"] = "a"
    lost.start().wait_restored()
    assert lost.points() == had


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse for a mount that hangs")
def test_an_efs_that_hangs_is_waited_for_and_nothing_else_waits(lost, efs):
    aside = efs.root.with_name("unmounted")
    efs.root.rename(aside)
    frozen = Frozen(efs.root)
    try:
        lost.begin()
        wait_for(lambda: frozen.asked)
        time.sleep(2)
        begin = time.monotonic()
        assert lost.restored()[0] == 503 and "restoring" in lost.failing()
        assert not lost.let_in() and lost.health()[0] == 1 and time.monotonic() - begin < 3 * patience()
    finally:
        frozen.thaw()
    efs.root.rmdir()
    aside.rename(efs.root)
    lost.wait_restored()
    assert lost.points() == lost.had


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse for a mount that hangs")
def test_an_efs_that_hangs_holds_up_no_node_that_has_data(lost, efs):
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    lost.stop()
    aside = efs.root.with_name("unmounted")
    efs.root.rename(aside)
    frozen = Frozen(efs.root)
    try:
        lost.start()
        assert lost.points() == lost.had
        wait_for(lambda: lost.restored()[0] == 200)
    finally:
        frozen.thaw()


# Deaths, while the staging Qdrant restores

@pytest.mark.parametrize("who", ["replicator", "all"])
def test_killed_in_the_middle_twice_it_goes_on_and_all_is_back(lost, who):
    lost.held().begin()
    for _ in range(2):
        wait_for(lost.is_held)
        assert lost.marker()["state"] == "restoring" and lost.restored()[0] == 503 and not lost.let_in()
        assert '"progressing":true' in lost.health()[1] and lost.health()[0] == 0
        lost.held()
        if who == "replicator":
            lost.kill_replicator()
        else:
            lost.kill_all()
            lost.begin()
    wait_for(lost.is_held)
    lost.go_on()
    lost.wait_restored(120)
    assert lost.points() == lost.had and lost.health()[0] == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_all_is_moved_to_its_place_the_next_start_ends_it(lost, when):
    """The marker says that it is being moved, and some of it is not yet, or all of it is."""
    lost.start().wait_restored()
    wait_for(lambda: lost.events("boot_restore_finished"))
    lost.stop()
    storage, staged = lost.server.storage, lost.server.storage / ".restore" / "storage"
    marker = lost.marker() | {"state": "committing", "recorded": False}
    staged.mkdir(parents=True)
    if when == "before":
        (storage / "collections").rename(staged / "collections")
    (storage / ".restore.json").write_text(json.dumps(marker, separators=(",", ":")))
    lost.start().wait_restored()
    assert lost.points() == lost.had and lost.marker()["state"] == "done"
    wait_for(lambda: not (storage / ".restore").exists())


def test_while_it_restores_nothing_is_snapshotted_and_nothing_pruned_and_afterwards_it_is(lost, efs):
    before = efs.files()
    lost.env |= {"SNAPSHOT_INTERVAL": "5s", "RETENTION": "15min=1,hourly=1,daily=1,monthly=1"}
    lost.held().begin()
    wait_for(lost.is_held)
    time.sleep(6)
    assert efs.files() == before and not lost.events("snapshot_made", "pruned")
    lost.go_on()
    lost.wait_restored(120)
    wait_for(lambda: len(lost.events("published")) > 4, 90)
    assert efs.files() != before


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_ends_in_time_and_the_next_start_goes_on(lost, sig):
    lost.held().begin()
    wait_for(lost.is_held)
    begin = time.monotonic()
    lost.process.send_signal(sig)
    assert lost.process.wait(30) == 143 and time.monotonic() - begin < 10
    wait_for(lambda: not lost.strays())
    lost.go_on()
    lost.start().wait_restored(120)
    assert lost.points() == lost.had


# The health check

def test_a_replicator_that_hangs_long_after_the_restore_kills_no_good_node(lost):
    lost.start().wait_restored()
    freeze(lost.replicator())
    try:
        code, said = lost.health()
        assert code == 0 and "restore: over, Qdrant was let in" in said
    finally:
        os.kill(lost.replicator(), signal.SIGCONT)


def test_a_restore_that_waits_is_unhealthy_unless_health_start_seconds_covers_it(lost, efs):
    efs.root.rename(efs.root.with_name("unmounted"))
    lost.begin()
    wait_for(lambda: lost.restored()[1]["state"] == "waiting" and lost.restored()[1]["reason"])
    assert lost.health()[0] == 1
    code, said = lost.health(HEALTH_START_SECONDS="86400")
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(open("/proc/1/stat").read().rsplit(")", 1)[1].split()[19]) / 100
    assert (code == 0 and "under way" in said) or age > 86400


def test_an_upload_is_taken_only_where_nothing_else_is_left_and_that_is_said(task, efs):
    lost = lose(task(**LATEST), "docs", "other")
    for path in efs.tree.glob("*/other/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"origin": "upload"}))
    lost.start().wait_restored()
    log = {e["collection"]: e for e in lost.events("boot_restored")}
    assert lost.points() == lost.had and "upload" in log["other"]["message"] and "upload" not in log["docs"]["message"]
    assert "upload" in lost.restored()[1]["reason"]
