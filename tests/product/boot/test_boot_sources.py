"""Two roots, the replica (RESTORE_FROM) and this node's own: of each collection the newest good backup of either comes back."""
import json
import shutil
import time

import pytest
from booting import upsert
from harness import wait_for
from restoring import SIXTH


class Roots:
    """A replica that stayed as it was, own backups that went on from there, and a task that has nothing yet."""

    def __init__(self, t, efs, replica, made):
        self.t, self.efs, self.root, self.tree = t, efs, replica, replica / "test-cpu"
        vars(self).update(made.known)
        shutil.copytree(made.replica, replica)
        shutil.copytree(made.own, efs.root, dirs_exist_ok=True)
        t.env["RESTORE_FROM"] = str(replica)

    def from_of(self):
        """{collection: tree}, as the log tells; the marker says the same."""
        told = {e["collection"]: e["from"] for e in self.t.events("boot_restored")}
        assert {p["collection"]: p["from"] for p in self.t.marker()["collections"]} == told
        return told


class Made:
    """The backups, made once for all tests."""

    def __init__(self, t, efs, folder):
        self.own, self.replica = folder / "own", folder / "replica"
        t.start().wait_restored()
        t.fill("docs", "deleted")
        t.backup("docs", "deleted")
        old, then = t.points(), time.time()
        shutil.copytree(efs.root, self.replica)
        upsert(t.server, "docs", [SIXTH])
        t.fill("mine")
        t.server.result("DELETE", "/collections/deleted")
        shutil.rmtree(efs.tree / "monthly" / "deleted")
        t.backup("docs", "mine")
        new = max(m["snapshot"] for m in efs.manifests("docs"))
        shutil.copytree(efs.root, self.own)
        self.known = {"old_points": old, "then": then, "new": new, "points": t.points() | {"deleted": old["deleted"]}}
        t.stop()


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture
def roots(task, kind, efs, tmp_path, made, tmp_path_factory):
    if kind not in made:
        folder = tmp_path_factory.mktemp("made")
        made[kind] = Made(task(RESTORE_ON_EMPTY="latest"), efs, folder)
        shutil.rmtree(efs.root)
        efs.tree.mkdir(parents=True)
    return Roots(task(RESTORE_ON_EMPTY="latest"), efs, tmp_path / "replica", made[kind])


def test_after_a_failover_the_newest_of_either_root_comes_back_and_it_is_said_which(roots):
    t, own, replica = roots.t, str(roots.efs.tree), str(roots.tree)
    t.start().wait_restored()
    assert t.points() == roots.points
    assert roots.from_of() == {"docs": own, "mine": own, "deleted": replica}
    started, = t.events("boot_restore_started")
    assert own in started["message"] and replica in started["message"]
    line, = t.events("boot_restore_source")  # of the one that both have
    assert (line["level"], line["collection"]) == ("warn", "docs") and line["message"].startswith(f"docs comes back from {own}")


def test_a_corrupt_own_one_is_passed_over_for_the_replicas(roots):
    roots.efs.spoil(roots.new)
    shutil.rmtree(roots.efs.tree / "monthly" / "docs")  # where the older one is
    roots.t.start().wait_restored()
    assert roots.t.points() == roots.points | {"docs": roots.old_points["docs"]}
    assert roots.from_of()["docs"] == str(roots.tree)
    assert [e["snapshot"] for e in roots.t.events("boot_restore_passed_over")] == [roots.new]


def test_a_time_counts_in_both(roots):
    roots.t.env["RESTORE_ON_EMPTY"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(roots.then))
    shutil.rmtree(roots.efs.tree / "monthly" / "docs")
    roots.t.start().wait_restored()
    assert roots.t.points() == roots.old_points
    assert {p.get("from") for p in roots.t.marker()["collections"]} == {str(roots.tree), None}  # "mine" was not there


def test_a_tree_of_another_processor_and_one_of_our_own_count_both(roots):
    other = roots.root / "test-other"
    roots.tree.rename(other)
    roots.t.env["RESTORE_FROM"] = str(other)
    roots.t.start().wait_restored()
    assert roots.t.points() == roots.points and roots.from_of()["deleted"] == str(other)


@pytest.mark.parametrize("which", ["replica", "own"])
def test_both_must_be_there_or_it_waits(roots, which):
    root = {"replica": roots.root, "own": roots.efs.root}[which]
    aside = root.with_name("aside")
    root.rename(aside)
    root.mkdir()  # a mount point without its mount
    roots.t.begin()
    wait_for(lambda: str(root) in roots.t.restored()[1]["reason"])
    assert roots.t.restored()[1]["state"] == "waiting" and not roots.t.let_in()
    root.rmdir()
    aside.rename(root)
    roots.t.wait_restored()
    assert roots.t.points() == roots.points


def test_a_replica_that_is_gone_keeps_no_node_from_its_own_backups(roots):
    shutil.rmtree(roots.root)
    roots.t.start().wait_restored()
    assert roots.t.collections() == ["docs", "mine"]
    line, = roots.t.events("boot_restore_source")
    assert line["level"] == "warn" and f"RESTORE_FROM {roots.root} is not there" in line["message"]


def test_a_replica_that_is_gone_with_no_backups_of_our_own_is_waited_for(roots):
    shutil.rmtree(roots.root)
    shutil.rmtree(roots.efs.tree)
    roots.efs.tree.mkdir()
    roots.t.begin()
    wait_for(lambda: f"RESTORE_FROM {roots.root}" in roots.t.restored()[1]["reason"])
    assert roots.t.health()[0] == 1 and not roots.t.let_in()


def test_after_a_failover_the_other_regions_node_does_not_win_by_coming_back(roots, efs):
    """This Region's node has taken over from the replica, and goes on. The other Region's comes back by itself, with its
    old state, and what it backs up arrives in the replica: newer, and of a past that was left."""
    t = roots.t
    shutil.rmtree(efs.tree)  # it has nothing of its own yet
    efs.tree.mkdir()
    t.start().wait_restored()
    wait_for(lambda: t.events("boot_restore_finished"))
    upsert(t.server, "docs", [SIXTH | {"id": 99}])
    t.backup("docs")
    had = t.points()
    time.sleep(1.01)
    late = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
    for path in list(roots.tree.glob("*/docs/*.json")):
        manifest = json.loads(path.read_text())
        old = manifest["snapshot"]
        new = old[:-19] + late
        for file in path.parent.glob(f"{old}.*"):
            if file.suffix == ".sha256":
                file.write_text(file.read_text().replace(old, new))
            file.rename(file.with_name(file.name.replace(old, new)))
        path.with_name(f"{new}.json").write_text(json.dumps(manifest).replace(old, new))
    t.lose_disk()
    t.start().wait_restored()
    assert t.points() == had


def test_a_backup_of_a_newer_qdrant_comes_back_with_a_warning(roots):
    for path in roots.efs.tree.glob("*/mine/*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"qdrant_version": "99.1.0"}))
    roots.t.start().wait_restored()
    assert roots.t.points() == roots.points
    line, = (e for e in roots.t.events("boot_restored") if e["collection"] == "mine")
    assert line["level"] == "warn" and "99.1.0" in line["message"]
