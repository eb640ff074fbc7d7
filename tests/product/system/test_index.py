"""index.tsv: what is on EFS of a collection, for who has plain tools alone. Ours never read it."""
import csv
import os
import re
import shutil
import subprocess
import time

import pytest
from harness import BUILD, events, files_of, manifests_of, tar_of
from days import Collection, Version, name_of

KEEP = {"RETENTION": "15min=300,hourly=300,daily=300,monthly=300"}
HEAD = "slot frequency node size kind base sha256 points note file".split()


def stem(number):
    return name_of(number, "docs")


def index_of(tree, folder="docs"):
    return tree.base / "index" / folder / "index.tsv"


def rows(tree, folder="docs"):
    lines = [line for line in index_of(tree, folder).read_text().split("\n") if not line.startswith("#")]
    table = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert not table or list(table[0]) == HEAD
    return table


def publish(tree, *numbers, collection="docs", **env):
    for n in numbers:
        name = name_of(n, collection)
        tree.snapshot(collection, name, tar_of(name))
    run = tree.once(**KEEP | env)
    assert run.returncode == 0, run.stderr
    shutil.rmtree(tree.snapshots)
    tree.snapshots.mkdir()
    return run


def an_hour_passes(tree, folder="docs"):
    old = time.time() - 3601
    os.utime(index_of(tree, folder), (old, old))


@pytest.fixture
def much(tree):
    """So much that the index is no longer small."""
    publish(tree, *range(40), NODE_NAME="node-a")
    an_hour_passes(tree)
    publish(tree)
    assert len(rows(tree)) == 40 and index_of(tree).stat().st_size > 4096
    return tree


def test_each_backup_has_a_row_that_says_what_its_manifest_says(tree):
    publish(tree, 0, 1, 4, NODE_NAME="node-a")
    said = {b["snapshot"]: b for b in tree.ls()}
    assert [r["slot"] for r in rows(tree)] == [said[stem(n)]["slot"] for n in (0, 1, 4)]  # the oldest first
    for r in rows(tree):
        data = tree.base / r["file"]
        b = said[data.name.partition(".snapshot")[0]]
        assert (r["frequency"], r["size"], r["sha256"], r["node"], r["kind"]) == \
            (b["frequency"], str(b["size"]), b["sha256"], "node-a", "collection")
        assert data.is_file() and (r["base"], r["points"], r["note"]) == ("-", "-", "-")


def test_a_delta_names_the_file_that_it_is_made_of(tree):
    collection, qdrant = Collection(), Version()
    for n in range(3):
        collection.change()
        tree.snapshot("docs", stem(n), collection.snapshot())
        assert tree.once(COMPRESSION="delta", NODE_NAME="n1", QDRANT_URL=qdrant.url).returncode == 0
    qdrant.stop()
    whole, *deltas = rows(tree)
    assert whole["base"] == "-" and deltas and all(r["file"].endswith(".delta") for r in deltas)
    assert all((tree.base / r["base"]).is_file() for r in deltas) and deltas[0]["base"] == whole["file"]


def test_plain_tools_read_it_and_see_whether_it_is_all_there(tree):
    publish(tree, 0, 1)
    index = index_of(tree)
    def shell(script):
        return subprocess.run(["sh", "-c", script, "sh", index], capture_output=True, text=True, check=True).stdout
    table = shell("grep -v '^#' \"$1\" | cut -f 1,2,10")
    assert table.splitlines()[1].startswith("2026-11-24T08:00:00Z\tmonthly\tmonthly/docs/docs-1-")
    last = index.read_text().splitlines()[-1]
    total = shell("head -n -1 \"$1\" | sha256sum")
    assert last.startswith("# 2 backups at 20") and "two hours late" in last and last.endswith(total.split()[0])


def test_a_small_one_is_up_to_date_and_a_large_one_is_written_once_an_hour(much):
    before = index_of(much).read_text()
    publish(much, 50)
    assert index_of(much).read_text() == before
    an_hour_passes(much)
    publish(much)
    assert len(rows(much)) == 41


def test_it_is_not_written_when_nothing_has_changed(much):
    an_hour_passes(much)
    before = index_of(much).stat()
    publish(much)
    assert (index_of(much).stat().st_mtime, index_of(much).stat().st_ino) == (before.st_mtime, before.st_ino)


def test_a_pruned_backup_leaves_it_and_a_note_comes_into_it(much):
    assert much.efs_tool("note", stem(3), "the last before größe").returncode == 0
    an_hour_passes(much)
    publish(much, RETENTION="15min=5,hourly=300,daily=300,monthly=300")
    an_hour_passes(much)
    publish(much, RETENTION="15min=5,hourly=300,daily=300,monthly=300")
    there = {b["snapshot"] for b in much.ls()}
    assert len(there) < 40 and {r["file"].split("/")[-1].partition(".snapshot")[0] for r in rows(much)} == there
    assert much.efs_tool("note", stem(39), "größe").returncode == 0
    an_hour_passes(much)
    publish(much)
    assert [r["note"] for r in rows(much) if stem(39) in r["file"]] == ["größe"]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see what is read")
@pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a sanitizer looks for leaks by tracing, too")
def test_no_manifest_is_read_for_it_that_has_a_row(much, tmp_path):
    def manifests_read(number):
        much.snapshot("docs", stem(number), tar_of(str(number)))
        strace = ["strace", "-f", "-s", "300", "-e", "trace=openat", "-o", tmp_path / "trace"]
        subprocess.run([*strace, BUILD / "qdrant-replicator", "--once"],
                       env=much.env | KEEP | {"NODE_NAME": "node-a"}, check=True, capture_output=True, timeout=120)
        return len(re.findall(r"/docs/[^/]*\.json\"", (tmp_path / "trace").read_text()))
    without = manifests_read(60)
    assert len(rows(much)) == 40
    an_hour_passes(much)
    assert manifests_read(61) <= without + 4 and len(rows(much)) in (41, 42)  # housekeeping may have come before the last one


@pytest.mark.parametrize("damage", [lambda text: text[:-100], lambda text: text.replace("node-a", "node-b"),
                                    lambda text: "", lambda text: text * 2])
def test_one_that_was_cut_short_or_edited_is_made_anew_from_the_manifests(much, damage):
    good = rows(much)
    index_of(much).write_text(damage(index_of(much).read_text()))
    an_hour_passes(much)
    publish(much)
    assert rows(much) == good


def test_one_that_was_deleted_comes_back(much):
    good = rows(much)
    shutil.rmtree(much.base / "index")
    publish(much)
    assert rows(much) == good


def test_a_name_that_holds_a_tab_or_a_newline_stays_on_its_row(tree):
    name = "docs\t1\n-1-2026-11-24-08-00-00"
    tree.snapshot("with\ttab", name, tar_of("x"))
    assert tree.once().returncode == 0
    (row,) = rows(tree, "with%09tab")
    assert row["file"] == "monthly/with%09tab/docs%091%0A-1-2026-11-24-08-00-00.snapshot.zst"


def test_our_programs_neither_read_it_nor_take_it_for_anything(much):
    index_of(much).write_text("\0not what was written")
    os.utime(index_of(much))
    (much.base / "index" / "docs" / "docs-1-2026-11-24-08-00-00.json").write_text("{}")
    for args in (["ls"], ["verify"], ["du"], ["prune", "--dry-run"], ["status"]):
        run = much.efs_tool(*args, **KEEP)
        assert "index" not in run.stdout + run.stderr, (args, run.stdout, run.stderr)
        assert run.returncode == 0 or args == ["status"], (args, run.stderr)
    assert len(much.complete()) == 40


def test_what_is_forgotten_leaves_no_row_behind(tree):
    publish(tree, 0, 1)
    publish(tree, 0, collection="other")
    assert tree.efs_tool("forget", "docs").returncode == 0
    assert not index_of(tree).exists() and [p.name for p in (tree.base / "index").iterdir()] == ["other"]


def test_that_of_a_folder_that_somebody_deleted_goes(tree):
    publish(tree, 0)
    publish(tree, 0, collection="other")
    for folder in tree.base.glob("*/docs"):
        if folder.parent.name != "index":
            shutil.rmtree(folder)
    publish(tree)
    assert [p.name for p in (tree.base / "index").iterdir()] == ["other"]


def test_where_it_cannot_be_written_backups_are_made_all_the_same(tree):
    publish(tree, 0)
    shutil.rmtree(tree.base / "index")
    (tree.base / "index").write_text("somebody's own")
    run = publish(tree, 1, 2)
    said = [line for line in events(run.stderr) if line["event"] == "index_failed"]
    assert len(said) == 1 and said[0]["level"] == "warn" and "index" in said[0]["message"]
    assert len(tree.complete()) == 3 and (tree.base / "index").read_text() == "somebody's own"


def test_two_nodes_of_a_tree_have_one_index_with_the_rows_of_both(tree):
    publish(tree, 0, NODE_NAME="node-a")
    tree.snapshot("docs", name_of(1, peer=2), tar_of("2"))
    publish(tree, NODE_NAME="node-b")
    assert [r["node"] for r in rows(tree)] == ["node-a", "node-b"]
    assert files_of(tree.base / "index") == [] and len(list(manifests_of(tree.base))) == 2
