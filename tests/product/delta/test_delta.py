"""COMPRESSION=delta: a slot for the price of its changes, and each one as good as a whole."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from days import Collection, Version, name_of
from faulty_mount import faulty
from harness import BUILD, checksum_of, manifests_of


def test_a_day_hangs_on_its_whole_like_the_marks_of_a_ruler(day):
    day.publish(*range(12))
    assert day.manifest(0)["codec"] == "zstd:1" and day.manifest(0)["format"] == 1
    for number, chain in {1: [0], 2: [0], 3: [0, 2], 4: [0], 5: [0, 4], 7: [0, 4, 6], 11: [0, 8, 10]}.items():
        m = day.manifest(number)
        assert (m["codec"], m["format"], m["data"][-15:]) == ("delta", 2, ".snapshot.delta")
        assert day.bases(number) == [name_of(n) for n in chain]
        assert m["stored_size"] < day.manifest(0)["stored_size"] / 50
    assert day.tree.efs_tool("verify").returncode == 0


def test_each_slot_of_a_day_comes_back_as_qdrant_made_it(day):
    day.publish(*range(20))
    for number in day.bytes:
        assert day.restored(number) == day.bytes[number], day.said
    assert len([b for b in day.tree.ls() if b["codec"] == "delta" and b["state"] == "complete"]) == 19


def test_a_whole_of_the_day_is_read_by_zstd_alone(day):
    day.publish(0)
    assert subprocess.run(["zstd", "-dcq", day.path(0)], capture_output=True, check=True).stdout == day.bytes[0]


def test_a_slot_without_a_backup_is_left_out_of_the_chain(day):
    day.publish(0, 5, 7, 15)  # no 4, no 6, no 14 and no 12
    assert day.bases(5) == [name_of(0)] and day.bases(7) == [name_of(0)] and day.bases(15) == [name_of(0)]
    for number in day.bytes:
        assert day.restored(number) == day.bytes[number]


def test_a_day_that_begins_late_hangs_on_its_first_backup(day):
    day.publish(10, 11, 12, 13)
    assert day.manifest(10)["codec"] == "zstd:1"
    assert [day.bases(n) for n in (11, 12, 13)] == [[name_of(10)], [name_of(10)], [name_of(10), name_of(12)]]


def test_what_changed_by_more_than_half_becomes_a_whole_and_the_next_ones_hang_on_that(day):
    day.publish(0, 1)
    day.collection.replace()
    day.publish(2, 3)
    assert (day.manifest(2)["codec"], day.manifest(2)["frequency"]) == ("zstd:1", "15min")
    assert day.bases(3) == [name_of(2)]
    assert [day.restored(n) == day.bytes[n] for n in (1, 2, 3)] == [True] * 3


def test_a_daily_backup_is_whole_whatever_there_is_before_it(day):
    day.publish(94, 95, 96, 97)
    assert day.manifest(96)["frequency"] == "daily" and day.manifest(96)["codec"] == "zstd:1"
    assert day.bases(97) == [name_of(96)]


def test_nothing_hangs_on_a_backup_of_another_version_of_qdrant_or_another_node_or_without_a_recipe(day):
    day.publish(0, COMPRESSION="zstd:1")
    day.publish(1)
    assert day.manifest(1)["codec"] == "zstd:1" and "recipe" not in day.manifest(0)
    day.version.version = "1.19.0"
    day.publish(2)
    assert day.manifest(2)["codec"] == "zstd:1"
    day.publish(3, NODE_NAME="n2")
    assert day.manifest(3)["codec"] == "zstd:1"
    day.publish(5)
    assert day.bases(5) == [name_of(2)]
    day.publish(6, QDRANT_URL="http://127.0.0.1:1")  # nobody says which version it is of
    assert day.manifest(6)["codec"] == "zstd:1"


def test_nothing_hangs_on_a_backup_whose_bytes_are_not_what_they_were(day):
    day.publish(0, 2, LOCAL_KEEP="0")
    damage(day.path(2))
    day.publish(3)
    assert day.manifest(3)["codec"] == "zstd:1" and day.restored(3) == day.bytes[3]


def test_the_bytes_of_a_base_are_taken_from_its_local_copy(day):
    """What lies on EFS is not read for them: it could not be told from damaged bytes else."""
    day.publish(0, 2)
    good = day.path(2).read_bytes()
    damage(day.path(2))
    day.publish(3)
    assert day.bases(3) == [name_of(0), name_of(2)]
    day.path(2).write_bytes(good)
    assert day.restored(3) == day.bytes[3]


def damage(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("how", [damage, cut, lambda path: path.unlink()], ids=["flipped", "cut", "lost"])
@pytest.mark.parametrize("broken", [0, 4, 6, 7])
def test_each_file_of_a_chain_broken_is_named_by_verify_and_restore_takes_another_way(day, how, broken):
    day.publish(0, 4, 5, 6, 7)
    needs = {number: {number, *(n for n in day.bytes if name_of(n) in day.bases(number))} for number in day.bytes}
    path = day.path(broken)
    how(path)
    verify = day.tree.efs_tool("verify")
    assert verify.returncode == 1 and path.name in verify.stderr
    for number in day.bytes:
        good = day.restored(number)
        assert good == (None if broken in needs[number] else day.bytes[number]), (number, day.said)
    if broken != 0:
        assert day.newest() == max(n for n in day.bytes if broken not in needs[n])


def test_on_a_replica_a_delta_waits_for_what_it_is_made_of(day):
    day.publish(0, 1, 2, 3)
    on_its_way = day.path(2).read_bytes()
    day.path(2).unlink()
    state, why = day.states()[name_of(3)]
    assert state == "incomplete" and f"15min/docs/{day.manifest(2)['data']}, which it is made of, is not there" in why
    assert day.newest() == 1
    day.path(2).write_bytes(on_its_way)
    assert day.states()[name_of(3)] == ("complete", "") and day.newest() == 3


def test_plain_tools_give_back_a_delta_by_the_words_of_the_readme_and_of_show(day, tmp_path):
    """In a folder with nothing but the tools that the page names."""
    day.publish(0, 4, 6, 7)
    page = (day.tree.base / "README.txt").read_text()
    script = page.partition("  #!/bin/sh\n")[2].partition("\n\n")[0]
    (tmp_path / "undelta.sh").write_text("".join(line[2:] + "\n" for line in script.splitlines()))
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "tail", "head", "zstd", "rm", "sha256sum"):
        (tools / tool).symlink_to(shutil.which(tool))
    m = day.manifest(7)
    shown = day.tree.efs_tool("show", name_of(7)).stdout
    where, commands = re.search(r"^In a folder with room, not on EFS, with undelta.sh of (.*)/README.txt:\n((?:  .*\n)+)", shown, re.M).groups()
    assert where == str(day.tree.base) and [line.split()[-1] for line in shown.splitlines() if line.startswith("made of")] == [
        f"{b['frequency']}/docs/{b['data']}" for b in m["bases"]]
    done = subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "s3: OK\n", done.stderr
    assert (tmp_path / "s3").read_bytes() == day.bytes[7]
    wrong = commands.splitlines()[1].split()  # sh undelta.sh s0 DELTA OFFSET SIZE >s1
    for args in ([*wrong[1:3], "/nowhere", *wrong[4:6]], [*wrong[1:4], "17", wrong[5]], [*wrong[1:5], "0"]):
        run = subprocess.run(["sh", *(a.strip("'") for a in args)], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True)
        assert run.returncode == 1 and b"undelta.sh: not a delta" in run.stderr, args
    assert not list(tmp_path.glob("prefix.*"))
    whole = day.tree.efs_tool("show", name_of(0)).stdout
    commands = re.search(r"^In a folder with room, not on EFS:\n((?:  .*\n)+)", whole, re.M)[1]
    done = subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True)
    assert done.stdout == f"{name_of(0)}.snapshot: OK\n" and (tmp_path / f"{name_of(0)}.snapshot").read_bytes() == day.bytes[0]
    day.path(4).unlink()
    assert "undelta.sh" not in day.tree.efs_tool("show", name_of(7)).stdout  # it would give nothing


def test_retention_keeps_what_a_kept_backup_is_made_of_and_no_longer(day):
    day.publish(*range(0, 9), RETENTION="15min=2,hourly=24h")
    left = {b["snapshot"] for b in day.tree.ls()}
    assert left == {name_of(n) for n in (0, 4, 7, 8, 6)}  # 6 stays for 7
    for number in (0, 4, 6, 7, 8):
        assert day.restored(number) == day.bytes[number]
    dry = day.tree.efs_tool("prune", "--dry-run", "--retention", "15min=1,hourly=24h")
    assert dry.returncode == 0
    assert dry.stdout == f"stays: {name_of(6)} (newer ones that stay are made of it)\n0 would be pruned, 1 stays: newer ones are made of it\n"
    day.publish(9, 10, RETENTION="15min=2,hourly=24h")
    assert {b["snapshot"] for b in day.tree.ls()} == {name_of(n) for n in (0, 4, 8, 9, 10)}


def test_what_a_pinned_backup_is_made_of_stays_with_it_and_goes_with_it(day):
    day.publish(*range(0, 4))
    run = day.tree.efs_tool("pin", name_of(3))
    assert run.stdout == f"{name_of(3)}: pinned; RETENTION does not let it go, nor the 2 that it is made of\n"
    policy = {"RETENTION": "15min=1,hourly=1"}
    day.publish(*range(4, 9), **policy)
    left = {b["snapshot"] for b in day.tree.ls()}
    assert {name_of(n) for n in (0, 2, 3, 8)} <= left and name_of(1) not in left
    assert day.restored(3) == day.bytes[3]
    day.tree.efs_tool("unpin", name_of(3))
    day.publish(9, **policy)
    assert not {name_of(2), name_of(3)} & {b["snapshot"] for b in day.tree.ls()}


def test_ls_and_du_tell_what_newer_backups_are_made_of(day):
    day.publish(0, 4, 5, 6, 7)
    listed = {b["snapshot"]: b for b in json.loads(day.tree.efs_tool("ls", "--json").stdout)}
    assert [listed[name_of(n)]["needed_by"] for n in (0, 4, 5, 6, 7)] == [4, 3, 0, 1, 0]
    lines = day.tree.efs_tool("ls").stdout.splitlines()
    assert [line.partition("(")[2] for line in lines if name_of(0)[:7] in line] == ["needed by 4 newer)", "needed by 3 newer)", "", "needed by 1 newer)", ""]
    use = json.loads(day.tree.efs_tool("du", "--json").stdout)["total"]
    assert (use["backups"], use["deltas"]) == (5, 4)
    assert use["needed_size"] == sum(listed[name_of(n)]["stored_size"] for n in (0, 4, 6)) < use["stored_size"]


def test_forgetting_one_task_of_a_node_leaves_what_the_backups_of_its_next_one_are_made_of_and_says_so(day):
    day.publish(0, 1)
    day.publish(2, 3, peer=2)
    run = day.tree.efs_tool("forget", "--node", "1", "docs")
    assert run.returncode == 1 and day.path(0).name in run.stderr and "newer backups that stay are made of" in run.stderr
    assert {b["snapshot"] for b in day.tree.ls()} == {name_of(0), name_of(2, peer=2), name_of(3, peer=2)}
    assert day.tree.efs_tool("verify").returncode == 0


def test_forgetting_one_task_leaves_what_backups_that_cannot_be_read_now_may_be_made_of(day):
    day.publish(0)
    day.publish(2, 3, peer=2)
    run = day.tree.efs_tool("forget", "--node", "1", "docs", **faulty(EIO="/docs-2-"))
    assert run.returncode == 1 and day.path(0).name in run.stderr
    assert day.restored(0) == day.bytes[0]


def test_forgetting_all_leaves_nothing(day):
    day.publish(0, 1, 2, 3)
    assert day.tree.efs_tool("forget", "docs").returncode == 0
    assert [f for f in day.tree.files() if "docs" in f and "deleted" not in f] == []


def test_a_delta_says_in_its_manifest_what_it_is_made_of(day):
    day.publish(0, 2, 3)
    m, whole = day.manifest(3), day.manifest(0)
    assert m["bases"][0] == {"frequency": whole["frequency"], "data": whole["data"], "stored_size": whole["stored_size"],
                             "sha256": whole["sha256"], "recipe": whole["recipe"]}
    data = day.path(3).read_bytes()
    recipe = data[m["recipe"]["offset"]:][:m["recipe"]["size"]]
    assert checksum_of(recipe) == m["recipe"]["sha256"] and recipe.startswith((b"=", b"~", b"+"))
    assert checksum_of(data) == m["stored_sha256"] and m["sha256"] == checksum_of(day.bytes[3])
    sums = subprocess.run(["sha256sum", "-c", f"{m['data']}.sha256"], cwd=day.path(3).parent, capture_output=True)
    assert sums.returncode == 0


def test_an_upload_is_stored_whole(day):
    day.publish(0)
    day.tree.snapshot("docs", "docs-by-hand", day.collection.snapshot(), checksum=False)
    day.tree.once(**day.env)
    assert all(m["codec"] != "delta" for m in (json.loads(p.read_text()) for p in manifests_of(day.tree.base)))


@pytest.mark.parametrize("tail", [".snapshot.zst", ".snapshot"])
def test_what_a_crashed_writer_left_beside_a_delta_does_not_hide_that_it_is_one(day, tail):
    """Another task began to publish the same snapshot as a whole, and named its data alone."""
    day.publish(0, 4, 6, 7, 8, 9)
    delta, left = day.path(7), day.path(7).with_name(name_of(7) + tail)
    for first, then in ((delta, left), (left, delta)):  # in whichever order a folder is listed
        data = delta.read_bytes()
        for path in (first, then):
            path.unlink(missing_ok=True)
            path.write_bytes(data if path == delta else b"x")
        run = day.tree.efs_tool("prune", "--retention", "15min=2,hourly=24h")
        assert run.returncode == 0 and day.restored(7) == day.bytes[7], run.stdout


def test_an_empty_snapshot_is_no_delta(day):
    day.publish(0)
    day.tree.snapshot("docs", name_of(1), b"")
    assert day.tree.once(**day.env).returncode == 0
    assert day.states()[name_of(1)] == ("complete", "") and day.manifest(1)["codec"] == "zstd:1"
    day.publish(2)
    assert day.tree.efs_tool("verify").returncode == 0


def test_each_of_many_nodes_finds_its_own_whole(day):
    for peer in (*range(10, 24), *range(10, 24)):
        number = sum(name_of(0, peer=peer) in f for f in day.tree.files()) > 0
        day.publish(number, peer=peer, NODE_NAME="")
    assert {b["codec"] for b in day.tree.ls() if name_of(1)[-19:] in b["snapshot"]} == {"delta"}


def test_a_delta_is_called_by_the_name_of_its_file_too(day):
    day.publish(0, 1)
    out = day.tree.root / "out"
    assert day.tree.efs_tool("restore", "--snapshot", name_of(1) + ".snapshot.delta", "--to", str(out)).returncode == 0
    assert out.read_bytes() == day.bytes[1]
    assert day.tree.efs_tool("show", name_of(1) + ".snapshot.delta").returncode == 0


def stopped_with(process, path):
    """True when it is stopped while it has that file open; False when it ended before."""
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if any(os.readlink(fd.path) == str(path) for fd in os.scandir(f"/proc/{process.pid}/fd")):
                process.send_signal(signal.SIGSTOP)
                return True
    return False


def test_a_base_that_another_task_prunes_while_a_delta_is_made_of_it_costs_one_more_try(day):
    day.collection = Collection(mib=96)
    day.publish(0, 2)
    shutil.rmtree(day.tree.snapshots / "docs")
    day.collection.change()
    day.bytes[3] = day.collection.snapshot()
    day.tree.snapshot("docs", name_of(3), day.bytes[3])
    run = subprocess.Popen([BUILD / "qdrant-replicator", "--once"], env=day.tree.env | day.env, stdout=subprocess.PIPE, text=True,
                           stderr=subprocess.STDOUT)
    base = day.path(2)
    assert stopped_with(run, base)
    assert name_of(3) not in {p.stem for p in manifests_of(day.tree.base)}
    base.with_name(f"{name_of(2)}.json").unlink()
    base.unlink()
    run.send_signal(signal.SIGCONT)
    said = run.communicate()[0]
    assert run.returncode != 0 and "what it is made of was let go meanwhile" in said
    again = day.tree.once(**day.env)
    assert again.returncode == 0, again.stderr
    assert day.bases(3) == [name_of(0)] and day.restored(3) == day.bytes[3]
