"""qdrant-efs, as an operator and as a script use it."""
import json
import os
import pty
import shutil
import subprocess

import pytest
from harness import BUILD, tar_of

NAMES = [f"c-1-2026-11-24-07-{m}-00" for m in ("00", "15", "30")]


@pytest.fixture
def full(tree):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name, 50_000))
    tree.snapshot("d", "d-1-2026-11-24-07-00-00", tar_of("d"))
    tree.snapshot("c/shards/0", "c-shard-0-2026-11-24-07-00-00", tar_of("s"))
    tree.snapshot(".", "full-snapshot-2026-11-24-07-00-00", tar_of("f"))
    assert tree.once().returncode == 0
    return tree


def on_a_terminal(*args, env):
    """Standard output and error of a command that believes a person is looking."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BUILD / "qdrant-efs", ["qdrant-efs", *args], env)
    out = b""
    try:
        while chunk := os.read(fd, 65536):
            out += chunk
    except OSError:
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()


def test_ls_as_json_has_what_scripts_need(full):
    backups = full.ls()
    assert len(backups) == 6
    for b in backups:
        assert {"collection", "frequency", "snapshot", "slot", "created", "size", "stored_size", "sha256", "state"} <= b.keys()
        assert b["state"] == "complete" and os.path.getsize(b["path"]) == b["stored_size"]
    assert [b["snapshot"] for b in backups if b["collection"] == "c" and b["kind"] == "collection"] == NAMES


def test_ls_for_people_is_an_aligned_table_without_colour_in_a_pipe(full):
    full.snapshot("emoji 🎉 東京", "e-1-2026-11-24-07-00-00", tar_of("e"))
    assert full.once().returncode == 0
    out = full.efs_tool("ls").stdout
    assert "\033" not in out
    header, *rows, last = out.splitlines()
    assert last.startswith("7 backups, ") and last.endswith(": all complete")
    assert header.split() == ["COLLECTION", "FREQUENCY", "SLOT", "SIZE", "STORED", "STATE", "SNAPSHOT"]
    assert len(rows) == 7 and all("complete" in r for r in rows)
    column = header.index("FREQUENCY")
    assert all(r[column:].startswith(("15min", "hourly", "monthly")) for r in rows if r.isascii())


def test_colour_only_on_a_terminal_and_not_with_no_color(full):
    env = full.env | {"TERM": "xterm"}
    assert "\033[32m" in on_a_terminal("ls", env=env)[1]
    assert "\033" not in on_a_terminal("ls", env=env | {"NO_COLOR": "1"})[1]


def test_verify_shows_a_bar_on_a_terminal_only(full):
    code, out = on_a_terminal("verify", env=full.env | {"TERM": "xterm"})
    assert code == 0 and "[####" in out and "100 %" in out
    assert full.efs_tool("verify").stderr == ""


@pytest.mark.parametrize("args,count", [
    (["--collection", "c"], 4), (["--collection=d"], 1), (["--collection", "nope"], 0), (["--frequency", "monthly"], 4),
    (["--frequency", "daily"], 0), (["--older", "1m"], 6), (["--newer", "1m"], 0), (["--newer", "5000w"], 6)])
def test_filters(full, args, count):
    out = full.efs_tool("ls", "--json", *args)
    assert out.returncode == ("nope" in args) and len(json.loads(out.stdout)) == count


@pytest.mark.parametrize("args,names", [
    (["--latest", "1"], [NAMES[2]]), (["--latest=2"], NAMES[1:]), (["--latest", "99"], NAMES), (["--state", "corrupt"], NAMES[1:2]),
    (["--state", "complete"], NAMES[::2]), (["--state", "complete", "--latest", "1"], NAMES[2:]), (["--state", "incomplete"], [])])
def test_ls_of_the_latest_and_of_one_state(full, args, names):
    next(full.base.rglob(NAMES[1] + ".json")).write_text("[]")
    told = json.loads(full.efs_tool("ls", "--json", *args).stdout)
    assert [b["snapshot"] for b in told if b["collection"] == "c" and b["kind"] == "collection"] == names
    assert ("incomplete" in args) == (told == [])
    if "--latest" in args and "1" in args:
        assert len(told) == 4, "one of each collection, shard, and of the storage"


def test_ls_of_the_latest_of_each_node(tree):
    for i, node in enumerate(("n1", "n2")):
        for name in NAMES[:2]:
            tree.snapshot("c", name.replace("c-1", f"c-{i + 1}"), tar_of(name + node))
        assert tree.once(NODE_NAME=node).returncode == 0
    assert [b["node"] for b in json.loads(tree.efs_tool("ls", "--json", "--latest", "1").stdout)] == ["n1", "n2"]


def test_ls_sums_up_what_is_not_complete_and_says_when_none_has_that_state(full):
    run = full.efs_tool("ls", "--state", "corrupt")
    assert run.returncode == 0 and run.stdout == "" and run.stderr == "qdrant-efs: none of 6 backups is corrupt\n"
    next(full.base.rglob(NAMES[1] + ".json")).write_text("[]")
    assert full.efs_tool("ls").stdout.splitlines()[-1].endswith(": 5 complete, 1 corrupt")


def test_show_tells_all_about_one(full):
    for name in (NAMES[0], NAMES[0] + ".snapshot", NAMES[0] + ".snapshot.zst"):
        shown = json.loads(full.efs_tool("show", name, "--json").stdout)
        assert shown["snapshot"] == NAMES[0] and shown["codec"] == "zstd:1"
    text = full.efs_tool("show", NAMES[0]).stdout
    assert shown["sha256"] in text and "complete" in text
    run = full.efs_tool("show", "nope")
    assert run.returncode == 1 and "qdrant-efs ls" in run.stderr


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[-1]
    elif how == "grow":
        data += b"x"
    elif how == "zero":
        data[:] = bytes(len(data))
    path.write_bytes(data)


@pytest.mark.parametrize("how,state", [("flip", "corrupt"), ("cut", "incomplete"), ("grow", "corrupt"), ("zero", "corrupt")])
def test_verify_names_each_defect_of_the_data(full, how, state):
    bad = next(full.base.rglob(NAMES[1] + ".snapshot.zst"))
    damage(bad, how)
    run = full.efs_tool("verify")
    assert run.returncode == 1 and run.stdout == "5 verified, 1 defective\n"
    line, = run.stderr.splitlines()
    assert line.startswith(f"qdrant-efs: {state}: {bad}")
    states = {b["snapshot"]: b["state"] for b in json.loads(full.efs_tool("verify", "--json").stdout)}
    assert states.pop(NAMES[1]) == state and set(states.values()) == {"complete"}


@pytest.mark.parametrize("suffix,content,state", [
    (".json", "{", "incomplete"), (".json", "", "incomplete"), (".json", "[]", "corrupt"), (".json", "{}", "corrupt"), (".json", None, "incomplete"),
    (".json", '{"format":2}', "corrupt"), (".json", "huge", "corrupt"),
    (".snapshot.zst", None, "incomplete"), (".snapshot.zst.sha256", None, "incomplete"),
    (".snapshot.zst.sha256", "0" * 64 + "  x\n", "corrupt")])
def test_verify_names_each_defect_beside_the_data(full, suffix, content, state):
    bad = next(full.base.rglob(NAMES[1] + suffix))
    if content is None:
        bad.unlink()
    else:
        bad.write_text("x" * 2_000_000 if content == "huge" else content)
    run = full.efs_tool("verify")
    assert run.returncode == 1 and f"{state}: " in run.stderr and NAMES[1] in run.stderr


def test_a_manifest_cannot_point_out_of_its_folder(full):
    path = next(full.base.rglob(NAMES[1] + ".json"))
    manifest = json.loads(path.read_text())
    for data in ("../../../../etc/passwd", "/etc/passwd", "..", ".", ""):
        path.write_text(json.dumps(manifest | {"data": data}))
        assert {b["state"] for b in full.ls() if b["snapshot"] == NAMES[1]} == {"corrupt"}


def test_another_backups_manifest_is_not_believed(full):
    one, other = (next(full.base.rglob(n + ".json")) for n in NAMES[1:3])
    shutil.copy(one, other)
    assert {b["snapshot"]: b["state"] for b in full.ls()}[NAMES[2]] == "corrupt"


def test_a_manifest_that_names_another_backups_data_deletes_nothing(full):
    path, other = (next(full.base.rglob(n + ".json")) for n in NAMES[1:3])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": NAMES[2] + ".snapshot.zst"}))
    before = full.files()
    run = full.efs_tool("prune", "--retention", "15min=1")
    assert run.returncode == 1 and str(path)[:-5] in run.stderr and full.files() == before


def test_verify_of_nothing_is_no_success(full):
    assert full.efs_tool("verify", "--collection", "typo").returncode == 1
    assert full.efs_tool("verify").returncode == 0


def test_prune_refuses_when_nothing_tells_the_policy(full):
    """Thirteen monthly ones of a tree that keeps 33 would go by the default."""
    before = full.files()
    for args in (["prune"], ["prune", "--dry-run"], ["prune", "--json"]):
        run = full.efs_tool(*args)
        assert run.returncode == 64 and "test-cpu: nothing is pruned" in run.stderr and "RETENTION" in run.stderr
        assert len(run.stderr.splitlines()) == 1 and full.files() == before
    for args, env in (([], {"RETENTION": "daily=1"}), (["--retention", "daily=1"], {}), (["--dry-run"], {"RETENTION": "daily=1"})):
        run = full.efs_tool("prune", *args, **env)
        assert run.returncode == 0 and run.stderr == ""


def test_every_tree_below_the_root_unless_one_is_named(full):
    env = {k: v for k, v in full.env.items() if k not in ("TIER", "CPU_ARCH")}
    shutil.copytree(full.base, full.efs / "other-arm64")
    count = lambda *args: len(json.loads(subprocess.run([BUILD / "qdrant-efs", "ls", "--json", *args], env=env, check=True,
                                                        capture_output=True).stdout))
    assert count() == 12
    assert count("--tier", "other", "--cpu-arch", "arm64") == 6
    assert count("--root", str(full.efs) + "/") == 12


def test_an_empty_root_is_no_error_and_a_missing_one_is(tree):
    assert json.loads(tree.efs_tool("ls", "--json").stdout) == []
    run = tree.efs_tool("ls", "--root", str(tree.root / "nope"))
    assert run.returncode == 1 and "--root" in run.stderr


@pytest.mark.parametrize("args,words", [
    (["--newer", "5"], ["--newer 5 ", "use ", "24h"]), (["--older=x"], ["--older x ", "24h"]),
    (["--frequency", "week"], ["--frequency week ", "15min, hourly, daily or monthly"]),
    (["--frequency"], ["missing after --frequency", "monthly"]),
    (["--state", "good"], ["--state good ", "complete, incomplete, corrupt, unreadable or unsigned"]),
    (["--latest", "0"], ["--latest 0 ", "1 to 1000000"]), (["--latest", "1x"], ["--latest 1x "]), (["--latest"], ["missing after --latest"])])
def test_a_wrong_value_of_a_flag_is_named_with_what_is_allowed(tree, args, words):
    run = tree.efs_tool("ls", *args)
    line, = run.stderr.splitlines()
    assert run.returncode == 64 and all(w in line for w in words), line


@pytest.mark.parametrize("args,flag,taken", [
    (["restore", "--points", "--collection", "docs"], "--points", "--collection"),
    (["ls", "--collection", "--json"], "--collection", "--json"), (["ls", "--newer", "--older", "5d"], "--newer", "--older"),
    (["note", "x", "--efs-root", "--tier=prod"], "--efs-root", "--tier")])
def test_an_option_is_not_taken_for_the_value_of_the_one_before_it(tree, args, flag, taken):
    run = tree.efs_tool(*args)
    assert run.returncode == 64
    assert run.stderr == f"qdrant-efs: a value is missing after {flag}: {taken} is an option; see qdrant-efs {args[0]} --help\n"


def test_a_value_that_begins_like_an_option_is_given_behind_an_equals_sign(tree):
    tree.snapshot("--odd", "x-1-2026-11-24-07-00-00", tar_of("o"))
    assert tree.once().returncode == 0
    assert "x-1-2026-11-24-07-00-00" in tree.efs_tool("ls", "--collection=--odd").stdout


def test_ls_of_a_collection_that_is_not_there_fails(full):
    for more in ([], ["--json"]):
        assert full.efs_tool("ls", "--collection", "nope", *more).returncode == 1
        assert full.efs_tool("ls", "--newer", "1m", *more).returncode == 0


def test_control_characters_in_names_do_not_reach_the_terminal(tree):
    tree.snapshot("evil\033[31m\n", "evil\033]0;x\a-1-2026-11-24-07-00-00", tar_of("e"))
    assert tree.once().returncode == 0
    for command in (["ls"], ["verify"], ["prune", "--dry-run"]):
        run = tree.efs_tool(*command)
        assert "\033" not in run.stdout + run.stderr and "\a" not in run.stdout + run.stderr
    assert tree.ls()[0]["collection"] == "evil\033[31m\n"


@pytest.mark.parametrize("args,word", [
    ([], "command"), (["frobnicate"], "frobnicate"), (["ls", "extra"], "extra"), (["show"], "SNAPSHOT"),
    (["ls", "--frequency", "weekly"], "--frequency"), (["ls", "--newer", "yesterday"], "--newer"), (["ls", "--newer"], "--newer"),
    (["ls", "--newer", "13"], "--newer"), (["ls", "--bogus"], "--bogus"), (["ls", "--dry-run"], "--dry-run"),
    (["prune", "--retention", "daily=x"], "RETENTION"), (["ls", "--root", ""], "--root"), (["ls", "--tier", "../x"], "TIER")])
def test_wrong_use_is_one_line_and_64(tree, args, word):
    run = tree.efs_tool(*args)
    assert run.returncode == 64 and run.stdout == ""
    line, = run.stderr.splitlines()
    assert word in line and line.startswith("qdrant-efs: ")


def test_without_efs_root_it_says_what_to_set(tree):
    run = tree.efs_tool("ls", EFS_ROOT="")
    assert run.returncode == 64 and "EFS_ROOT" in run.stderr and "--root" in run.stderr


def test_help_and_version(tree):
    for args in (["--help"], ["-h"], ["help"]):
        run = tree.efs_tool(*args)
        assert run.returncode == 0 and "verify" in run.stdout and run.stderr == ""
    assert tree.efs_tool("--version").stdout.startswith("qdrant-efs ")


def test_a_full_standard_output_is_an_error(full):
    with open("/dev/full", "w") as out:
        for command in (["ls"], ["ls", "--json"], ["verify"]):
            assert subprocess.run([BUILD / "qdrant-efs", *command], env=full.env, stdout=out,
                                  stderr=subprocess.PIPE).returncode == 1


TYPOS = [
    (["ls", "--tier", "pord"], "no tree pord-cpu (TIER, CPU_ARCH) below EFS; there is test-cpu"),
    (["ls", "--cpu-arch", "x"], "no tree test-x (TIER, CPU_ARCH) below EFS; there is test-cpu"),
    (["du", "--tier", "pord"], "no tree pord-cpu"), (["verify", "--tier", "pord"], "no tree pord-cpu"),
    (["prune", "--tier", "pord"], "no tree pord-cpu"), (["show", NAMES[0], "--tier", "pord"], "no tree pord-cpu"),
    (["forget", "c", "--tier", "pord"], "no tree pord-cpu"), (["replica", "--tier", "pord"], "no tree pord-cpu"),
    (["ls", "--collection", "dosc"], "no backup of dosc below EFS; collections that have some: c, d"),
    (["du", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["prune", "--collection", "dosc"], "no backup of dosc below EFS; collections that have some: c, d"),
    (["prune", "--collection", "c", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["verify", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["verify", "--collection", "c", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["ls", "--collection", "c", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["drill", "--collection", "dosc"], "no backup of dosc below EFS; collections that have some: c, d"),
    (["replica", "--collection", "dosc"], "no backup of dosc below EFS"),
    (["forget", "dosc"], "no backup of dosc below EFS"),
    (["ls", "--node", "x"], "no backup by node x below EFS; nodes that have some: n1"),
    (["du", "--node", "x"], "no backup by node x below EFS"), (["verify", "--node", "x"], "no backup by node x below EFS"),
    (["forget", "c", "--node", "x"], "no backup of c by node x below EFS"),
    (["show", "d"], "no backup named d below EFS; that is a collection: `qdrant-efs ls --collection d` lists its backups"),
    (["show", "nix"], "no backup named nix below EFS; the newest is")]


@pytest.mark.parametrize("args,words", TYPOS, ids=[" ".join(a) for a, _ in TYPOS])
def test_a_filter_that_names_what_is_nowhere_is_said_and_is_no_success(tree, args, words):
    for name in NAMES:
        tree.snapshot("c", name, tar_of(name, 50_000))
    tree.snapshot("d", "d-1-2026-11-24-07-00-00", tar_of("d"))
    assert tree.once(NODE_NAME="n1").returncode == 0
    run = tree.efs_tool(*args, RETENTION="15min=24h", QDRANT_BIN="/bin/true", DRILL_DIR=str(tree.root / "drill"))
    assert run.returncode == 1, run.stdout + run.stderr
    assert words.replace("EFS", str(tree.efs)) in run.stderr
    assert len(tree.ls()) == 4, "nothing was deleted"


def test_json_of_what_is_nowhere_is_json_all_the_same(full):
    run = full.efs_tool("ls", "--json", "--tier", "pord")
    assert run.returncode == 1 and json.loads(run.stdout) == [] and len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize("args", [["ls"], ["ls", "--newer", "1m"], ["du"], ["prune"]], ids=" ".join)
def test_an_efs_that_is_new_is_no_typo(tree, args):
    tree.efs.mkdir(exist_ok=True)
    run = tree.efs_tool(*args, TIER="prod", RETENTION="15min=24h")
    assert run.returncode == 0 and "no tree" not in run.stderr, run.stderr
