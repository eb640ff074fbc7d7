"""docker-compose.yml: which node founds a cluster, and when. An empty Qdrant with no other address to bootstrap from founds one, and an
address that is its own is none (Qdrant 1.18.2, resolve_bootstrap_uri in src/main.rs)."""
import os
import subprocess

import pytest
import yaml
from templates import DOCKER

SERVICES = yaml.safe_load((DOCKER / "docker-compose.yml").read_text())["services"]
NODES = sorted(n for n, s in SERVICES.items() if s["profiles"] == ["cluster"])


def started(node, tmp_path, word="", disk=False, backups=False):
    """(exit code, Qdrant's arguments, what was said) of the node's start, with the container's paths in a folder."""
    service = SERVICES[node]
    shell, c, script, *name = service["entrypoint"]
    assert (shell, c) == ("sh", "-c")
    script = script.replace("${CLUSTER_FOUND:-}", word).replace("$$", "$")
    for path in ("/run/secrets", "/qdrant/storage", "/efs"):
        (tmp_path / path[1:]).mkdir(parents=True)
        script = script.replace(f"{path}/", f"{tmp_path}{path}/")
    (tmp_path / "run/secrets/api-key").write_text("key")
    if disk:
        (tmp_path / "qdrant/storage/raft_state.json").write_text("{}")
    if backups:
        (tmp_path / "efs/dev-x86_64/heartbeat/qdrant-0").mkdir(parents=True)
    program = tmp_path / "qdrant-entrypoint"
    program.write_text('#!/bin/sh\n[ "$QDRANT__SERVICE__API_KEY" = key ] && printf "%s\\n" "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(["sh", "-c", script, *name, *service["command"]], capture_output=True, text=True,
                          env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    return done.returncode, done.stdout.split(), done.stderr


def founds(arguments):
    given = dict(zip(arguments[::2], arguments[1::2]))
    return given.get("--bootstrap") in (None, given["--uri"])


@pytest.mark.parametrize("backups", [False, True], ids=["no backups", "backups"])
@pytest.mark.parametrize("disk", [False, True], ids=["an empty disk", "its disk"])
@pytest.mark.parametrize("node", NODES)
def test_no_node_founds_a_cluster_without_the_word(node, disk, backups, tmp_path):
    code, arguments, _ = started(node, tmp_path, disk=disk, backups=backups)
    assert code == 0 and not founds(arguments), arguments


def test_the_word_has_the_first_node_found_one_and_the_others_join_it(tmp_path):
    for node in NODES:
        code, arguments, _ = started(node, tmp_path / node, word="1")
        assert code == 0 and founds(arguments) == (node == "qdrant-0"), arguments


def test_a_word_that_was_left_behind_founds_no_second_cluster_beside_backups(tmp_path):
    code, arguments, said = started("qdrant-0", tmp_path, word="1", backups=True)
    assert code == 64 and arguments == [] and "CLUSTER_FOUND=again" in said


def test_a_first_node_that_has_its_disk_takes_no_notice_of_the_word(tmp_path):
    code, arguments, _ = started("qdrant-0", tmp_path, word="1", disk=True, backups=True)
    assert code == 0 and not founds(arguments)


def test_another_word_founds_anew_when_all_disks_are_lost(tmp_path):
    code, arguments, _ = started("qdrant-0", tmp_path, word="again", backups=True)
    assert code == 0 and founds(arguments)
