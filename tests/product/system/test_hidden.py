"""What is not to be seen by others, and what is not to look like something else."""
import json
import os
import shutil
import subprocess
import tempfile

import pytest
from harness import BUILD, wait_for

TURNED = "invoice‮gpj.exe"  # shown as "invoiceexe.jpg"
NAME = "-1-2026-11-24-08-00-00"


@pytest.fixture
def turned(tree):
    tree.snapshot(TURNED, TURNED + NAME, b"one")
    tree.env |= {"LOG_LEVEL": "debug"}
    return tree


def test_a_name_that_turns_around_is_shown_by_its_number(turned):
    run = turned.once(LOG_FORMAT="text")
    assert run.returncode == 0 and "‮" not in run.stderr and "invoice‹U+202E›gpj.exe" in run.stderr
    assert run.stderr.endswith("\n") and "\n\n" not in run.stderr
    shown = turned.efs_tool("ls").stdout + turned.efs_tool("show", TURNED + NAME).stdout
    assert "‮" not in shown and "‹U+202E›" in shown


def test_in_json_it_is_the_same_name_and_not_seen(turned):
    run = turned.once()
    assert run.returncode == 0 and "‮" not in run.stderr
    published, = [e for e in map(json.loads, run.stderr.splitlines()) if e["event"] == "published"]
    assert published["collection"] == TURNED
    out = turned.efs_tool("ls", "--json").stdout
    assert "‮" not in out and "\\u202e" in out and json.loads(out)[0]["collection"] == TURNED


@pytest.mark.parametrize("env", [{"TIER": ""}, {"CPU_ARCH": ""}, {"TIER": "", "CPU_ARCH": ""}])
def test_an_empty_tier_names_no_tree(tree, env):
    tree.snapshot("c", "c" + NAME, b"one")
    assert tree.once().returncode == 0
    for name in ("TIER", "CPU_ARCH"):
        del tree.env[name]
    out = tree.efs_tool("ls", "--json", **env)
    assert [b["snapshot"] for b in json.loads(out.stdout)] == ["c" + NAME], out.stderr
    out = tree.efs_tool("restore", "--to", str(tree.root / "out"), "--collection", "c", **env)
    assert out.returncode == 0, out.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a program as another user")
@pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="the leak checker must be able to look")
def test_the_commands_environment_is_not_for_others(tree):
    """What belongs to root in /proc no other process of the same user may read."""
    tree.snapshot("c", "c" + NAME, os.urandom(1 << 20))
    assert tree.once().returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(BUILD / "qdrant-efs", folder)
        shutil.copytree(tree.efs, f"{folder}/efs")
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        p = subprocess.Popen([f"{folder}/qdrant-efs", "restore", "--collection", "c", "--stdout"], user=65534,
                             env=tree.env | {"EFS_ROOT": f"{folder}/efs"}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: p.stdout.peek(1))  # it hangs on the pipe that nobody reads
            assert os.stat(f"/proc/{p.pid}/environ").st_uid == 0
        finally:
            p.kill()
            p.communicate()
