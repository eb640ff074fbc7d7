"""What a shell offers for the next word, and that the programs' own tables are what it offers from."""
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from frozen import Frozen, usable
from harness import BUILD, ROOT, tar_of, wait_for

SHELLS = ROOT / "efs/cli/completion"
DOCS = [f"docs-1-2026-11-24-{h}-00-00" for h in ("08", "09")]


@pytest.fixture
def full(tree):
    for collection, stem in (*(("docs", s) for s in DOCS), ("pics of 2026", "pics-1-2026-11-24-08-00-00"),
                             ("docs/shards/0", "docs-shard-0-2026-11-24-08-00-00"), ("pi:cs", "pi:cs-1-2026-11-24-08-00-00")):
        tree.snapshot(collection, stem, tar_of(stem))
    assert tree.once().returncode == 0
    return tree


def offered(tree, *words, **env):
    run = tree.efs_tool("complete", *words, **env)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def commands():
    text = subprocess.run([BUILD / "qdrant-efs", "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z]+)(?: [A-Z]+)*(?: {2,}|$)", text, re.M)


def test_the_first_word_is_a_command(tree):
    assert offered(tree, "") == offered(tree, "help", "") == commands() and len(commands()) > 10
    assert offered(tree, "re") == ["restore", "replica"] and offered(tree, "x") == [] and offered(tree) == []


@pytest.mark.parametrize("command", commands())
def test_a_dash_is_a_flag_of_that_command(command, tree):
    text = subprocess.run([BUILD / "qdrant-efs", command, "--help"], capture_output=True, text=True, check=True).stdout
    options = re.search(r"^Options:\n((?:  .*\n)+)", text, re.M)[1]
    assert offered(tree, command, "--") == [*re.findall(r"^  (--[a-z0-9-]+)", options, re.M), "--help"]


@pytest.mark.parametrize("words,wanted", [
    (["ls", "--collection", ""], ["docs", "pi:cs", "pics of 2026"]), (["ls", "--json", "--collection", "pics"], ["pics of 2026"]),
    (["ls", "--collection", "docs", "--collection", "pi"], ["pi:cs", "pics of 2026"]), (["forget", "d"], ["docs"]),
    (["show", "docs-1"], DOCS), (["restore", "--snapshot", "docs-1"], DOCS), (["diff", "docs-1"], DOCS), (["diff", DOCS[0], "docs-1"], DOCS),
    (["diff", *DOCS, "docs-1"], []), (["show", "--collection", "pi:cs", ""], ["pi:cs-1-2026-11-24-08-00-00"]), (["ls", ""], []),
    (["ls", "--frequency", ""], ["15min", "hourly", "daily", "monthly"]), (["ls", "--state", "un"], ["unreadable", "unsigned"]),
    (["show", "--tier", "other", ""], []), (["frobnicate", ""], []), (["ls", "--frequency=d"], ["daily"])], ids=" ".join)
def test_values_are_what_is_on_efs(full, words, wanted):
    found = offered(full, *words)
    assert sorted(found) == sorted(wanted)


def test_root_is_obeyed_and_nothing_is_offered_where_there_is_none(full, tmp_path):
    shutil.copytree(full.efs, tmp_path / "other")
    assert offered(full, "forget", "--root", str(tmp_path / "other"), "d", EFS_ROOT="/nowhere") == ["docs"]
    assert offered(full, "forget", "d", EFS_ROOT="/nowhere") == [] == offered(full, "forget", "d", EFS_ROOT="")


@pytest.mark.skipif(not usable(), reason="needs root and /dev/fuse for a mount that hangs")
def test_an_efs_that_hangs_holds_up_no_shell(full, tmp_path):
    """Nothing ends who hangs in this mount, as SIGALRM does on EFS: it is thawed when that has come."""
    frozen = Frozen(tmp_path / "hangs")
    run = subprocess.Popen([BUILD / "qdrant-efs", "complete", "show", ""], env=full.env | {"EFS_ROOT": str(tmp_path / "hangs")},
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: [pid for _, pid in frozen.asked if pid == run.pid], 60)
        wait_for(lambda: dying(run.pid), 60)
    finally:
        frozen.thaw()
    assert run.communicate(timeout=60) == (b"", None) and run.returncode == -signal.SIGALRM


def dying(pid):
    """A signal that ends it has come."""
    return any(int(line.split()[1], 16) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if re.match("(SigPnd|ShdPnd):", line))


def in_bash(tree, *words):
    """What readline would offer of a line with these words, as they were typed, the last one being written."""
    script = f"""
        source {SHELLS}/qdrant-efs.bash
        COMP_LINE=$1 COMP_POINT=${{#1}}
        _qdrant_efs
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    run = subprocess.run(["bash", "-c", script, "bash", " ".join([str(BUILD / "qdrant-efs"), *words])], env=tree.env, capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    return run.stdout.splitlines()


def test_bash_offers_the_same_quoted_where_it_must_be(full):
    assert in_bash(full, "stat") == ["status"] and in_bash(full, "ls", "--lat") == ["--latest"]
    assert in_bash(full, "show", "docs-1") == DOCS
    assert in_bash(full, "ls", "--collection", "pics") == ["pics\\ of\\ 2026"] == in_bash(full, "ls", "--collection", "pics\\ o")
    assert in_bash(full, "ls", "--collection", "pi:") == ["cs"]  # bash parts words at colons
    assert in_bash(full, "ls", "--state=un") == ["unreadable", "unsigned"] and in_bash(full, "ls", "--collection=pi:") == ["cs"]
    assert in_bash(full, "show", "") != [] and "status" in in_bash(full, "")
    registered = subprocess.run(["bash", "-c", f"source {SHELLS}/qdrant-efs.bash; complete -p qdrant-efs"], capture_output=True, text=True)
    assert "-F _qdrant_efs" in registered.stdout


@pytest.mark.parametrize("shell,file", [("bash", "qdrant-efs.bash"), ("zsh", "_qdrant-efs"), ("fish", "qdrant-efs.fish")])
def test_each_shell_can_read_its_file(shell, file):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n", SHELLS / file], capture_output=True).returncode == 0


def test_they_are_installed(tmp_path):
    make = (ROOT / "Makefile").read_text()
    install = re.search(r"^install:.*\n((?:\t.*\n)+)", make, re.M)[1]
    for file, to in (("qdrant-efs.bash", "share/bash-completion/completions/qdrant-efs"), ("_qdrant-efs", "share/zsh/site-functions"),
                     ("qdrant-efs.fish", "share/fish/vendor_completions.d")):
        assert re.search(rf"install -m 644 efs/cli/completion/{re.escape(file)} \$\(DESTDIR\)\$\(PREFIX\)/{to}", install), file
