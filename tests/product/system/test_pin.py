"""qdrant-efs pin, unpin and note: what is pinned stays, and ls tells why."""
import json
import os
import shutil
import time

import pytest
from harness import tar_of, wait_for
from replicating import Replicating

FEW = {"RETENTION": "15min=2,hourly=2,daily=2,monthly=1"}
OLD = [f"c-1-2026-11-24-09-{m}-00" for m in ("15", "30", "45")]
NEW = [f"c-1-2026-11-24-1{h}-{m}-00" for h in range(4) for m in ("15", "30")]


@pytest.fixture
def few(tree):
    """Three backups, the last two of which are in 15min."""
    for stem in OLD:
        tree.snapshot("c", stem, tar_of(stem))
    assert tree.once(**FEW).returncode == 0
    return tree


def newer(tree, **env):
    """Newer ones push the old ones out."""
    for stem in NEW:
        tree.snapshot("c", stem, tar_of(stem))
    run = tree.once(**FEW | env)
    assert run.returncode == 0, run.stderr


def there(tree):
    return {b["snapshot"]: b for b in tree.ls()}


def beside(tree, stem):
    return sorted(p.name for p in tree.base.glob(f"*/c/{stem}.*"))


def test_what_is_pinned_outlives_its_retention_and_what_is_not_goes(few):
    run = few.efs_tool("pin", OLD[1], "--note", "before the migration", SUDO_USER="ada")
    assert (run.returncode, run.stdout) == (0, f"{OLD[1]}: pinned; RETENTION does not let it go\n"), run.stderr
    newer(few)
    assert OLD[1] in there(few) and OLD[2] not in there(few)
    b = there(few)[OLD[1]]
    assert b["state"] == "complete" and b["pinned"] and b["note"] == "before the migration" and b["pinned_by"].startswith("ada@")
    assert abs(time.time() - time.mktime(time.strptime(b["pinned_at"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    other = there(few)[NEW[-1]]
    assert other["pinned"] is False and other["note"] == "" and "pinned_by" not in other
    assert few.efs_tool("verify").returncode == 0


def test_ls_and_show_tell_of_it_and_ls_lists_what_is_pinned_alone(few):
    few.efs_tool("pin", OLD[0], "--note", "größe 🎉")
    few.efs_tool("note", OLD[1], "the last with the old model")
    rows = few.efs_tool("ls").stdout.splitlines()
    assert rows[1].endswith(f"{OLD[0]} (pinned: größe 🎉)") and rows[2].endswith(f"{OLD[1]} (note: the last with the old model)")
    assert rows[3].endswith(OLD[2]) and rows[4].endswith(": all complete; 1 pinned")
    only = few.efs_tool("ls", "--pinned").stdout.splitlines()
    assert len(only) == 3 and OLD[0] in only[1] and only[2].endswith(": complete; 1 pinned")
    shown = few.efs_tool("show", OLD[0]).stdout.splitlines()
    assert "pinned          true" in shown and "note            größe 🎉" in shown
    few.efs_tool("unpin", OLD[0])
    none = few.efs_tool("ls", "--pinned")
    assert none.returncode == 0 and none.stdout == "" and none.stderr == "qdrant-efs: none of 3 backups is pinned\n"


def test_prune_says_what_stays_for_its_pin(few):
    few.efs_tool("pin", OLD[1], "--note", "why not")
    for stem in NEW:
        few.snapshot("c", stem, tar_of(stem))
    few.once(RETENTION="15min=100,hourly=100,daily=100,monthly=100")
    for how, words in (("--dry-run", "would be pruned"), ("--json", None), ("--tier=test", "pruned")):
        if words is None:
            assert OLD[1] not in {b["snapshot"] for b in json.loads(few.efs_tool("prune", "--dry-run", "--json", **FEW).stdout)}
            continue
        run = few.efs_tool("prune", how, **FEW)
        lines = run.stdout.splitlines()
        assert run.returncode == 0 and f"stays: {OLD[1]} (pinned: why not)" in lines and f"{words}, 1 stays, for it is pinned" in lines[-1]
    assert OLD[1] in there(few) and OLD[2] not in there(few)


def test_unpinned_it_goes_with_all_that_was_said_of_it(few):
    few.efs_tool("pin", OLD[1], "--note", "for a while")
    newer(few)
    assert beside(few, OLD[1]) == [OLD[1] + end for end in (".json", ".note", ".pin", ".snapshot.zst", ".snapshot.zst.sha256")]
    run = few.efs_tool("unpin", OLD[1])
    assert run.returncode == 0 and run.stdout == f"{OLD[1]}: not pinned any more; RETENTION decides again\n"
    assert there(few)[OLD[1]]["note"] == "for a while"
    assert few.efs_tool("unpin", OLD[1]).stdout == f"{OLD[1]}: was not pinned\n"
    assert few.once(**FEW).returncode == 0 and beside(few, OLD[1]) == []


def test_a_note_is_replaced_and_taken_away(few):
    for text, say in (("one", "noted"), ("two", "noted"), ("", "without a note")):
        run = few.efs_tool("note", OLD[0], text)
        assert (run.returncode, run.stdout) == (0, f"{OLD[0]}: {say}\n") and there(few)[OLD[0]]["note"] == text
    assert beside(few, OLD[0])[1:] == [OLD[0] + ".snapshot.zst", OLD[0] + ".snapshot.zst.sha256"]


@pytest.mark.parametrize("args,code,words", [
    (["pin"], 64, "give all that it needs: pin SNAPSHOT"), (["note", OLD[0]], 64, "give all that it needs: note SNAPSHOT TEXT"),
    (["pin", OLD[0], OLD[1]], 64, f"unexpected argument {OLD[1]}"), (["pin", OLD[0], "--note", "two\nlines"], 64, "one line of UTF-8"),
    (["note", OLD[0], "x" * 401], 64, "at most 400 bytes"), (["pin", "c-1-2026-01-01-00-00-00"], 1, "c-1-2026-01-01-00-00-00"),
    (["pin", OLD[0], "--node", "other"], 1, "other")], ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else None)
def test_what_cannot_be_pinned_is_refused_and_named(few, args, code, words):
    run = few.efs_tool(*args)
    assert run.returncode == code and words in run.stderr and run.stdout == ""
    assert not list(few.base.rglob("*.pin")) and not list(few.base.rglob("*.note"))


def test_one_that_is_not_complete_is_not_pinned(few):
    data, = few.base.glob(f"*/c/{OLD[0]}.snapshot.zst")
    data.write_bytes(data.read_bytes()[:-1])
    run = few.efs_tool("pin", OLD[0])
    assert run.returncode == 1 and "incomplete: data is shorter" in run.stderr and beside(few, OLD[0])[-1].endswith(".sha256")


def test_of_several_of_one_name_one_is_chosen(few):
    shutil.copytree(few.base, few.efs / "prod-cpu")
    env = {"TIER": "", "CPU_ARCH": ""}
    run = few.efs_tool("pin", OLD[0], **env)
    assert run.returncode == 1 and "2 backups are called" in run.stderr and "--tier" in run.stderr
    assert few.efs_tool("pin", OLD[0], "--tier", "prod", "--cpu-arch", "cpu", **env).returncode == 0
    assert not list(few.base.rglob("*.pin")) and list((few.efs / "prod-cpu").rglob("*.pin"))


@pytest.mark.parametrize("text", [b"", b"{", b'{"format": 99}', b"\xff" * 5000], ids=["empty", "cut", "newer", "large"])
def test_a_pin_that_nobody_can_make_out_keeps_all_the_same(few, text):
    few.efs_tool("pin", OLD[1])
    pin, = few.base.glob(f"*/c/{OLD[1]}.pin")
    pin.write_bytes(text)
    newer(few)
    b = there(few)[OLD[1]]
    assert b["pinned"] and b["pinned_by"] == "" and b["pinned_at"] is None and few.efs_tool("ls").returncode == 0


def test_forget_leaves_all_as_it_is_where_one_is_pinned_unless_it_is_told(few):
    few.efs_tool("pin", OLD[1], "--note", "do not")
    before = few.files()
    for how in ([], ["--dry-run"], ["--json"]):
        run = few.efs_tool("forget", "c", *how)
        assert run.returncode == 1 and "1 of the backups of c is pinned" in run.stderr and run.stdout == "" and few.files() == before
    run = few.efs_tool("forget", "c", "--pinned")
    assert run.returncode == 0, run.stderr
    assert [f for f in few.files() if "/deleted/" not in f] == []


def test_it_comes_to_the_second_region_and_one_without_a_backup_is_no_backup(few, tmp_path):
    few.efs_tool("pin", OLD[1], "--note", "for you, too")
    copy = Replicating(few.efs, tmp_path / "replica")
    pin = next(few.base.rglob("*.pin")).relative_to(few.efs)
    copy.arrive(pin)  # before all else
    assert json.loads(few.efs_tool("ls", "--json", "--root", str(tmp_path / "replica")).stdout) == []
    copy.run()
    b, = json.loads(few.efs_tool("ls", "--json", "--pinned", "--root", str(tmp_path / "replica")).stdout)
    assert b["snapshot"] == OLD[1] and b["note"] == "for you, too" and b["state"] == "complete"


def test_what_an_older_program_left_of_a_pin_is_swept_after_a_day(few):
    few.efs_tool("pin", OLD[1], "--note", "in vain")
    for p in list(few.base.glob(f"*/c/{OLD[1]}.*")):
        if p.suffix not in (".pin", ".note"):
            p.unlink()
    (few.snapshots / f"c/{OLD[1]}.snapshot").unlink()  # else it is published again
    assert few.once(**FEW).returncode == 0 and len(beside(few, OLD[1])) == 2
    for name in beside(few, OLD[1]):
        p, = few.base.glob(f"*/c/{name}")
        os.utime(p, (time.time() - 90000,) * 2)
    assert few.once(**FEW).returncode == 0 and beside(few, OLD[1]) == []


def test_a_running_replicator_leaves_it(few):
    few.efs_tool("pin", OLD[1])
    few.start(**FEW)
    for stem in NEW:
        few.snapshot("c", stem, tar_of(stem))
    wait_for(lambda: OLD[2] not in there(few) and NEW[-1] in there(few), 60)
    assert OLD[1] in there(few)
