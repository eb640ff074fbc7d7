"""qdrant-efs status: what there is of each collection, how old, how well proven, and what is not as promised."""
import json
import os
import shutil
import time

import pytest
from harness import tar_of

HOUR, DAY = 3600, 86400


class Backups:
    """Backups of a tree, by how long ago they were taken."""

    def __init__(self, tree):
        self.tree, self.now = tree, int(time.time())

    def stem(self, collection, ago, peer="1"):
        return f"{collection}-{peer}-" + time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(self.now - ago))

    def make(self, collection, ago, size=2000, peer="1"):
        """A snapshot that waits on the local disk. Its stem."""
        stem = self.stem(collection, ago, peer)
        self.tree.snapshot(collection, stem, tar_of(stem, size))
        return stem

    def publish(self, **env):
        run = self.tree.once(**env)
        assert run.returncode == 0, run.stderr
        shutil.rmtree(self.tree.snapshots)
        self.tree.snapshots.mkdir()

    def file(self, stem, suffix=".json"):
        return next(self.tree.base.rglob(stem + suffix))

    def manifest(self, stem, **members):
        path = self.file(stem)
        path.write_text(json.dumps(json.loads(path.read_text()) | members))

    def record(self, folder, node, ago, value):
        path = self.tree.base / folder / node
        path.mkdir(parents=True, exist_ok=True)
        (path / time.strftime("%Y-%m-%dT%H-%M-%SZ.json", time.gmtime(self.now - ago))).write_text(json.dumps(value))

    def drill(self, ago, *drills, node="n1"):
        """(collection, verdict, seconds) each."""
        self.record("drills", node, ago, {"verdict": "of all", "drills": [
            {"collection": c, "kind": "collection", "shard": "", "snapshot": "s", "node": node, "verdict": verdict,
             "why": "" if "proven" in verdict else "points differ", "restore_seconds": seconds} for c, verdict, seconds in drills]})

    def heartbeat(self, node, *collections, ago=60, rpo=1800, wanted=True):
        """(collection, or (collection, wanted))"""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now - ago))
        pairs = [c if isinstance(c, tuple) else (c, wanted) for c in collections]
        self.record("heartbeat", node, ago, {"format": 1, "node": node, "written_at": when, "started": when, "rpo_seconds": rpo, "left_out": 0,
                                             "folders": [{"kind": "collection", "collection": c, "shard": "", "wanted": w, "backups": []}
                                                         for c, w in pairs]})

    def text(self, *args, code=0, **env):
        """(rows by their first word, all lines)"""
        run = self.tree.efs_tool("status", *args, **env)
        assert run.returncode == code, run.stdout + run.stderr
        lines = run.stdout.splitlines()
        return {line.split()[0]: line for line in lines[1:] if line}, lines

    def json(self, *args, code=0, **env):
        run = self.tree.efs_tool("status", "--json", *args, **env)
        assert run.returncode == code, run.stdout + run.stderr
        return json.loads(run.stdout)

    def rows(self, *args, code=0, **env):
        return {(r["collection"], r["node"]): r for r in self.json(*args, code=code, **env)["collections"]}

    def row(self, *args, code=0, **env):
        row, = self.rows(*args, code=code, **env).values()
        return row


@pytest.fixture
def efs(tree):
    return Backups(tree)


@pytest.fixture
def two(efs):
    """Two collections with backups of two days, the newest 10 minutes old."""
    for collection in ("docs", "films"):
        for ago, size in ((DAY + 600, 40_000), (2 * HOUR, 60_000), (600, 60_000)):
            efs.make(collection, ago, size)
    efs.publish(NODE_NAME="n1")
    return efs


def test_each_collection_has_a_line_and_the_last_ones_sum_up(two):
    two.drill(3 * HOUR, ("docs", "proven", 12.4), ("films", "partly_proven", 200))
    two.manifest(two.stem("docs", 600), points=1234)
    rows, lines = two.text()
    assert lines[0].split() == ["COLLECTION", "AGE/RPO", "POINTS", "SIZE", "GROWTH", "PROVEN", "RTO", "STATE"]
    assert rows["docs"].split() == ["docs", "10/30", "min", "1234", "70.0", "KiB", "+40", "%", "3", "h", "ago", "12", "s", "ok"]
    assert rows["films"].split() == ["films", "10/30", "min", "-", "70.0", "KiB", "+40", "%", "partly", "3", "h", "3", "min", "ok"]
    assert lines[-2:] == ["2 collections, 1234 points, 140.0 KiB: all as promised",
                          "a loss now costs the last 10 min of writes; the way back takes 3 min"]
    assert max(map(len, lines)) <= 80


def test_the_same_as_json(two):
    two.drill(3 * HOUR, ("docs", "proven", 12.4))
    for ago, points in ((600, 1234), (DAY + 600, 1000)):
        two.manifest(two.stem("docs", ago), points=points)
    told = two.json()
    docs, films = told["collections"]
    assert told["good"] is True and docs["good"] is True and docs["problems"] == []
    assert docs["snapshot"] == two.stem("docs", 600) and docs["path"] == str(two.file(docs["snapshot"], ".snapshot.zst"))
    assert 600 <= docs["age_seconds"] < 700 and docs["rpo_seconds"] == 1800 and docs["held"] is True
    assert docs["compared_with"] == two.stem("docs", DAY + 600) and docs["growth"] == 20480 and docs["points_growth"] == 234
    assert docs["last_drill"]["verdict"] == "proven" and docs["last_proof"]["age_seconds"] >= 3 * HOUR and docs["rto_seconds"] == 12.4
    assert films["last_drill"] is None and films["rto_seconds"] is None and films["points"] is None
    total = told["total"]
    assert total["collections"] == 2 and total["rto_measured"] == 1 and total["size"] == docs["size"] + films["size"]
    assert total["loss_seconds"] == docs["age_seconds"] and total["not_as_promised"] == 0


@pytest.mark.parametrize("before,growth", [(DAY + 11 * HOUR, 20480), (DAY + 14 * HOUR, None), (11 * HOUR, None), (13 * HOUR, 20480)])
def test_growth_is_against_a_backup_of_about_a_day_before(efs, before, growth):
    efs.make("docs", 600 + before, 40_000)
    efs.make("docs", 600, 60_000)
    efs.publish()
    assert efs.row()["growth"] == growth


def test_what_is_older_than_the_objective_is_said_and_is_no_success(two):
    rows, lines = two.text("--rpo", "5m", code=1)
    assert rows["docs"].endswith("too old") and "10/5 min" in rows["docs"]
    assert "2 of 2 not as promised" in lines[-2]
    assert two.rows("--rpo", "300", code=1)[("docs", "n1")]["problems"] == ["too_old"]
    two.text("--rpo", "1h")


def test_the_objective_is_that_of_the_heartbeat_else_of_rpo_seconds(two):
    shutil.rmtree(two.tree.base / "heartbeat", ignore_errors=True)
    assert two.rows(code=1, RPO_SECONDS="60")[("docs", "n1")]["problems"] == ["too_old"]
    two.heartbeat("n1", "docs", "films", rpo=7200)
    assert two.rows(RPO_SECONDS="60")[("docs", "n1")]["rpo_seconds"] == 7200


def test_a_heartbeat_that_cannot_be_read_is_told_and_the_default_counts(two):
    shutil.rmtree(two.tree.base / "heartbeat", ignore_errors=True)
    two.heartbeat("n1", "docs", rpo=60)
    path, = (two.tree.base / "heartbeat/n1").iterdir()
    assert two.rows(code=1)[("docs", "n1")]["problems"] == ["too_old"]
    path.write_text(path.read_text()[:40])
    run = two.tree.efs_tool("status")
    assert run.returncode == 0 and str(path) in run.stderr and "RPO_SECONDS counts" in run.stderr and "10/30 min" in run.stdout


@pytest.mark.parametrize("how,problem,word", [("cut", "newest_incomplete", "newest incomplete"), ("grow", "newest_corrupt", "newest corrupt"),
                                              ("no manifest", "newest_incomplete", "newest incomplete")])
def test_a_newest_that_is_not_whole_is_said_and_the_age_is_that_of_the_one_that_a_restore_takes(two, how, problem, word):
    newest = two.stem("docs", 600)
    data = two.file(newest, ".snapshot.zst")
    if how == "no manifest":
        two.file(newest).unlink()
    else:
        data.write_bytes(data.read_bytes()[:-1] if how == "cut" else data.read_bytes() + b"x")
    row = two.rows("--rpo", "9m", code=1)[("docs", "n1")]
    assert set(row["problems"]) == {"too_old", problem} and row["snapshot"] == two.stem("docs", 2 * HOUR)
    assert row["passed_over"] == 1 and row["newest_passed_over"]["snapshot"] == newest and row["age_seconds"] >= 2 * HOUR
    rows, lines = two.text("--rpo", "9m", code=1)
    assert rows["docs"].endswith(f"too old, {word}") and any(line.startswith(f"docs: {newest} is ") for line in lines)
    restored = two.tree.efs_tool("restore", "--collection", "docs", "--to", str(two.tree.root / "out"), "--json")
    assert json.loads(restored.stdout)[0]["snapshot"] == row["snapshot"]


def test_an_incomplete_one_may_be_on_its_way_for_as_long_as_the_objective_gives_it(two):
    two.file(two.stem("docs", 600)).unlink()
    rows, _ = two.text("--rpo", "3h")
    assert rows["docs"].endswith("ok, next arrives")
    two.file(two.stem("docs", 600), ".snapshot.zst").rename(two.tree.root / "x")
    two.file(two.stem("docs", 2 * HOUR)).unlink()
    assert two.rows("--rpo", "1h", code=1)[("docs", "n1")]["problems"] == ["too_old", "newest_incomplete"]


def test_where_nothing_else_is_good_one_on_its_way_is_no_backup(two):
    """As where the whole is lost that all others are made of."""
    for path in two.tree.base.rglob("docs-*.snapshot.zst"):
        path.unlink()
    rows, lines = two.text("--rpo", "3h", code=1)
    assert "no good backup" in rows["docs"] and lines[-1].startswith("a loss now costs all of docs")


def test_a_collection_without_any_good_backup_loses_all(two):
    for path in two.tree.base.rglob("docs-*.json"):
        path.write_text("[]")
    rows, lines = two.text(code=1)
    assert rows["docs"].endswith("no good backup, newest corrupt") and lines[-1].startswith("a loss now costs all of docs")
    total = two.json(code=1)["total"]
    assert total["loss_seconds"] is None


def test_what_a_heartbeat_wants_and_nothing_is_left_of_is_missed(two):
    two.heartbeat("n1", "docs", "films", "gone", ("unwanted", False))
    assert two.rows(code=1)[("gone", "n1")]["problems"] == ["no_good_backup"]
    assert ("unwanted", "n1") not in two.rows(code=1)
    assert two.rows("--collection", "docs") .keys() == {("docs", "n1")}


def test_what_was_forgotten_since_the_heartbeat_is_not_missed(two):
    two.heartbeat("n1", "docs", "films")
    assert two.tree.efs_tool("forget", "docs").returncode == 0
    assert two.rows().keys() == {("films", "n1")}
    two.heartbeat("n1", "docs", "films", ago=-30)  # it is in Qdrant again, and has no backup yet
    assert two.rows(code=1)[("docs", "n1")]["problems"] == ["no_good_backup"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_last_drill_decides_and_the_last_proof_measures(two, order):
    two.drill(2 * DAY, ("docs", "proven", 7), ("films", "proven", 9))
    two.drill(DAY + HOUR, ("docs", "failed", 0), ("docs", "proven", 6))
    two.drill(DAY, *((("docs", "failed", 0), ("docs", "proven", 5))[::order]))
    two.drill(HOUR, ("docs", "refused", 0), ("films", "refused", 0))
    rows, lines = two.text(code=1)
    assert rows["docs"].split()[-7:] == ["FAILED", "24", "h", "5", "s", "drill", "failed"]
    assert any(line.startswith("docs: the drill of 20") and "points differ" in line for line in lines)
    assert rows["films"].split()[-6:] == ["2", "days", "ago", "9", "s", "ok"]
    two.drill(60, ("docs", "proven", 6))
    assert two.rows()[("docs", "n1")]["rto_seconds"] == 6


def test_a_drill_that_came_to_no_report_is_a_failure_until_the_next(two):
    two.record("drills", "n1", HOUR, {"verdict": "failed", "why": "it was killed", "drills": []})
    _, lines = two.text(code=1)
    assert any("it was killed" in line for line in lines)
    assert two.json(code=1)["failed_drills"][0]["why"] == "it was killed"
    two.drill(60, ("docs", "proven", 6), ("films", "proven", 6))
    two.text()


def test_a_record_that_is_cut_short_is_told_and_the_one_before_it_counts(two):
    two.drill(DAY, ("docs", "proven", 7))
    two.record("drills", "n1", 60, {})
    next((two.tree.base / "drills/n1").glob("*")).exists()
    newest = sorted((two.tree.base / "drills/n1").glob("*"))[-1]
    newest.write_text('{"drills": [')
    run = two.tree.efs_tool("status", "--json")
    assert run.returncode == 0 and str(newest) in run.stderr
    assert json.loads(run.stdout)["collections"][0]["rto_seconds"] == 7


def test_nodes_that_live_side_by_side_have_a_line_each(efs):
    for node, peer, ago in (("n1", "1", 600), ("n2", "2", 4 * HOUR)):
        for more in (0, DAY):
            efs.make("docs", ago + more, peer=peer)
        efs.publish(NODE_NAME=node)
    efs.drill(HOUR, ("docs", "proven", 3), node="n2")
    rows = efs.rows(code=1)
    assert rows[("docs", "n1")]["good"] and rows[("docs", "n2")]["problems"] == ["too_old"]
    assert rows[("docs", "n1")]["last_drill"] is None and rows[("docs", "n2")]["rto_seconds"] == 3
    _, lines = efs.text(code=1)
    assert lines[0].split()[:2] == ["COLLECTION", "NODE"] and [line.split()[1] for line in lines[1:3]] == ["n1", "n2"]
    assert efs.rows("--node", "n1").keys() == {("docs", "n1")}


def test_a_task_that_was_replaced_without_a_name_is_one_node(efs):
    efs.make("docs", 6 * HOUR, peer="1")
    efs.make("docs", 600, peer="2")
    efs.publish()
    assert efs.row()["backups"] == 2


def test_of_a_node_that_is_no_more_nothing_is_promised(efs):
    for node, peer, ago in (("n1", "1", 600), ("n2", "2", 5 * DAY)):
        efs.make("docs", ago, peer=peer)
        efs.publish(NODE_NAME=node)
    shutil.rmtree(efs.tree.base / "heartbeat", ignore_errors=True)
    efs.heartbeat("n1", "docs")
    efs.heartbeat("n2", "docs", ago=5 * DAY)
    rows = efs.rows()
    assert rows[("docs", "n2")]["node_gone"] is True and rows[("docs", "n1")]["held"] is True


def test_what_was_deleted_or_is_not_wanted_any_more_may_be_old(two):
    two.heartbeat("n1", "docs", ("films", False))
    rows, _ = two.text()
    assert rows["films"].endswith("kept")
    stone = two.tree.base / "deleted/n1/films.json"
    stone.parent.mkdir(parents=True)
    stone.write_text(json.dumps({"format": 1, "collection": "films", "node": "n1", "deleted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                                 "last_seen": None, "forgotten": False, "written_by": "test"}))
    rows, lines = two.text()
    assert rows["films"].endswith("deleted") and lines[-2].startswith("1 collection, ")


def test_one_broken_folder_is_told_and_the_rest_goes_on(two):
    folder = two.file(two.stem("docs", 600)).parent
    shutil.rmtree(folder)
    folder.symlink_to(folder)  # cannot be listed, also by root
    run = two.tree.efs_tool("status")
    assert run.returncode == 1 and str(folder) in run.stderr and "films" in run.stdout
    assert "all as promised" not in run.stdout


def test_nothing_at_all_is_no_success(tree):
    run = tree.efs_tool("status")
    assert run.returncode == 1 and run.stdout == "" and f"nothing is backed up below {tree.efs}" in run.stderr
    told = tree.efs_tool("status", "--json")
    assert told.returncode == 1 and json.loads(told.stdout)["good"] is False


def test_names_do_not_reach_the_terminal_as_they_are(efs):
    efs.make("evil\033[31m\n\u202e", 600)
    efs.publish()
    run = efs.tree.efs_tool("status")
    assert run.returncode == 0 and "\033" not in run.stdout and "\u202e" not in run.stdout and len(run.stdout.splitlines()) == 4


def test_several_trees_have_a_column_and_drills_of_their_own(two):
    two.drill(HOUR, ("docs", "proven", 4))
    shutil.copytree(two.tree.base, two.tree.efs / "other-arm64")
    shutil.rmtree(two.tree.efs / "other-arm64/drills")
    told = {(r["tree"], r["collection"]): r["rto_seconds"] for r in two.json(TIER="", CPU_ARCH="")["collections"]}
    assert told == {("test-cpu", "docs"): 4, ("test-cpu", "films"): None, ("other-arm64", "docs"): None, ("other-arm64", "films"): None}
    assert two.text(TIER="", CPU_ARCH="")[1][0].split()[:2] == ["COLLECTION", "TREE"]


def test_shards_and_the_whole_storage_are_told_and_held_to_nothing(efs):
    ago = 3 * HOUR
    when = efs.stem("", ago).rpartition("--1-")[2].lstrip("-").removeprefix("1-")
    efs.tree.snapshot("docs/shards/0", f"docs-shard-0-{when}", tar_of("s"))
    efs.tree.snapshot(".", f"full-snapshot-{when}", tar_of("f"))
    efs.make("docs", 600)
    efs.publish()
    rows, _ = efs.text()
    assert rows["docs,"].endswith("kept") and rows["(whole"].endswith("kept") and rows["docs"].endswith("ok")


def test_thousands_of_backups_take_no_longer_than_a_list_of_them(two):
    manifest, data = two.file(two.stem("docs", 600)), two.file(two.stem("docs", 600), ".snapshot.zst")
    told = json.loads(manifest.read_text())
    for i in range(3000):
        stem = two.stem("docs", 3 * HOUR + i * 900)
        folder = two.tree.base / "15min/docs"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(data, folder / f"{stem}.snapshot.zst")
        slot = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((two.now - 3 * HOUR - i * 900) // 900 * 900))
        (folder / f"{stem}.json").write_text(json.dumps(told | {"snapshot": stem, "frequency": "15min", "data": f"{stem}.snapshot.zst", "slot": slot,
                                                                "created": slot}))

    def seconds(*args):
        best = 99.0
        for _ in range(3):
            begin = time.monotonic()
            assert two.tree.efs_tool(*args).returncode == 0
            best = min(best, time.monotonic() - begin)
        return best

    assert two.rows()[("docs", "n1")]["backups"] >= 3000
    assert seconds("status") < 2 * seconds("ls", "--json") + 0.5
