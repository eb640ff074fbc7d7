"""Qdrant's configuration files, as Qdrant merges them: one reading for the replicator, the entrypoint and the health check."""
import os
import subprocess

import pytest
from harness import BUILD, events
from server import Server

KEY = "k3y-of-a-file"


def write(folder, **files):
    (folder / "config").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "config" / f"{name}.yaml").write_text(text)


def run(folder, program, *args, **env):
    base = {"PATH": os.environ["PATH"]} | {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return subprocess.run([BUILD / program, *args], cwd=folder, env=base | env, capture_output=True, text=True, timeout=60)


def settings(folder, **env):
    out = run(folder, "qdrant-replicator", "qdrant-settings", **env)
    assert out.returncode == 0, out.stderr
    return dict(line.split("=", 1) for line in out.stdout.splitlines())


def test_later_files_win_and_variables_over_all(tmp_path):
    write(tmp_path, config=f"service: {{http_port: 1, host: a, api_key: {KEY}}}\nstorage: {{storage_path: ./data}}",
          development="service: {http_port: 2}", production="service: {http_port: 3}", local="service: {host: b}")
    assert settings(tmp_path) == {"QDRANT__SERVICE__HTTP_PORT": "2", "QDRANT__SERVICE__HOST": "b",
                                  "QDRANT__STORAGE__STORAGE_PATH": f"{tmp_path}/data"}
    assert settings(tmp_path, RUN_MODE="production")["QDRANT__SERVICE__HTTP_PORT"] == "3"
    (tmp_path / "mine.yml").write_text("service: {host: c, http_port: 4}")
    mine = settings(tmp_path, QDRANT_CONFIG_PATH=str(tmp_path / "mine"), QDRANT__SERVICE__HTTP_PORT="5")
    assert mine["QDRANT__SERVICE__HOST"] == "c" and "QDRANT__SERVICE__HTTP_PORT" not in mine


def test_a_file_that_is_no_yaml_is_named_with_its_line(tmp_path):
    write(tmp_path, local="service:\n  http_port: [1\n")
    out = run(tmp_path, "qdrant-replicator", EFS_ROOT=str(tmp_path))
    line, = events(out.stderr)
    assert out.returncode == 64 and "config/local.yaml" in line["message"] and "line " in line["message"]


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_qdrant_that_keeps_its_snapshots_in_s3_is_refused_since_nothing_would_be_backed_up(tmp_path, where):
    name, env = "QDRANT__STORAGE__SNAPSHOTS_CONFIG__SNAPSHOTS_STORAGE", {}
    if where == "file":
        write(tmp_path, config="storage: {snapshots_config: {snapshots_storage: s3}}")
    else:
        env[name] = "s3"
    out = run(tmp_path, "qdrant-replicator", EFS_ROOT=str(tmp_path), **env)
    line, = events(out.stderr)
    assert out.returncode == 64 and f"{name}=s3" in line["message"] and "nothing would be backed up" in line["message"]


def test_a_read_only_key_is_refused(tmp_path):
    write(tmp_path, config=f"service: {{read_only_api_key: {KEY}}}")
    out = run(tmp_path, "qdrant-replicator", EFS_ROOT=str(tmp_path), QDRANT_API_KEY=KEY)
    assert out.returncode == 64 and "read_only_api_key" in out.stderr and KEY not in out.stderr


def test_address_key_and_folders_come_from_the_files_alone(tree, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    with Server("standin", tmp_path / "server", api_key=KEY) as server:
        server.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        (folder / "snapshots").symlink_to(server.snapshots)
        write(folder, config=f"service: {{host: 127.0.0.1, http_port: {server.port}, api_key: {KEY}}}\n"
                             "storage: {snapshots_path: ./snapshots}")
        env = {"EFS_ROOT": str(tree.efs), "TIER": "test", "CPU_ARCH": "cpu", "STATUS_LISTEN": "off", "MIN_FREE": "0",
               "EFS_ALLOW_LOCAL": "1"}
        made = run(folder, "qdrant-replicator", "snapshot", "--no-wait", **env)
        assert made.returncode == 0, made.stderr
        assert run(folder, "qdrant-replicator", "--once", **env).returncode == 0
        assert len(tree.complete()) == 1
        health = run(folder, "qdrant-entrypoint", "health")
        assert health.returncode == 0 and "qdrant: ready" in health.stdout, health


def test_the_entrypoint_knows_a_cluster_and_a_storage_of_the_files(tmp_path):
    (tmp_path / "given.yaml").write_text("cluster: {enabled: true}\nstorage: {storage_path: ./elsewhere}")
    env = {"EFS_ROOT": str(tmp_path), "RESTORE_ON_EMPTY": "latest", "QDRANT_BIN": "/bin/true"}
    refused = run(tmp_path, "qdrant-entrypoint", "--config-path", str(tmp_path / "given.yaml"), **env)
    assert refused.returncode == 64 and "restore_refused" in refused.stderr
    collection = tmp_path / "elsewhere" / "collections" / "c"
    collection.mkdir(parents=True)
    (collection / "config.json").write_text("{}")
    assert run(tmp_path, "qdrant-entrypoint", "--config-path", str(tmp_path / "given.yaml"), **env).returncode == 0


def entrypoint(folder, *args, **env):
    """What Qdrant's stub saw of its environment, what the replicator's stub did, and what was said."""
    for name, text in {"qdrant": "env >qdrant.env; sleep 1", "replicator": f"""
case $1 in qdrant-settings) exec {BUILD}/qdrant-replicator "$@";; esac; env >replicator.env; exec sleep 60"""}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    for seen in folder.glob("*.env"):
        seen.unlink()
    given = {"QDRANT_BIN": str(folder / "qdrant"), "REPLICATOR_BIN": str(folder / "replicator"), "EFS_ROOT": str(folder)} | env
    out = run(folder, "qdrant-entrypoint", *args, **given)
    assert out.returncode == 0, out.stderr
    seen = [dict(line.split("=", 1) for line in (folder / f"{name}.env").read_text().splitlines()) for name in ("qdrant", "replicator")]
    for of in seen:
        for ours in ("PWD", "OLDPWD", "_", "SHLVL"):  # the shell's
            of.pop(ours, None)
    base = {k: v for k, v in os.environ.items() if k == "PATH" or k.endswith("SAN_OPTIONS")}
    return seen[0], seen[1], base | given, out.stderr


def test_qdrants_environment_is_the_containers_whatever_its_files_say(tmp_path):
    write(tmp_path, config="service: {http_port: 0x43b5}\nstorage: {storage_path: ./data}")
    (tmp_path / "other.yaml").write_text("service: {host: b}")
    for variable in ({}, {"QDRANT_CONFIG_PATH": ""}, {"QDRANT_CONFIG_PATH": "elsewhere.yaml", "QDRANT__SERVICE__HOST": ""}):
        qdrant, replicator, container, said = entrypoint(tmp_path, "--config-path", "other.yaml", **variable)
        assert qdrant == container
        assert replicator["QDRANT_CONFIG_PATH"] == "other.yaml" and "CONFIG_PATH" not in said
        assert {k for k in replicator if k.startswith("QDRANT__")} == {k for k in container if k.startswith("QDRANT__")}


def test_a_config_path_that_qdrant_does_not_read_is_not_read_here_either_and_is_said_once(tmp_path):
    (tmp_path / "other.yaml").write_text("cluster: {enabled: true}")
    env = {"QDRANT_CONFIG_PATH": "other.yaml", "RESTORE_ON_EMPTY": "latest"}
    (tmp_path / "storage" / "collections" / "c").mkdir(parents=True)
    (tmp_path / "storage" / "collections" / "c" / "config.json").write_text("{}")
    qdrant, replicator, container, said = entrypoint(tmp_path, **env)
    assert qdrant == container and "QDRANT_CONFIG_PATH" not in replicator
    assert said.count("QDRANT_CONFIG_PATH=other.yaml does not count") == 1 and "--config-path" in said
    qdrant, replicator, container, said = entrypoint(tmp_path, "--", str(tmp_path / "qdrant"), **env)
    assert qdrant == container and replicator["QDRANT_CONFIG_PATH"] == "other.yaml" and "does not count" not in said


def test_a_key_of_a_path_counts_as_qdrant_reads_it(tmp_path):
    write(tmp_path, config="service.http_port: 17333\nstorage.storage_path: /d")
    assert settings(tmp_path) == {"QDRANT__SERVICE__HTTP_PORT": "17333", "QDRANT__STORAGE__STORAGE_PATH": "/d"}


@pytest.mark.parametrize("piece", ["[", "{a: "])
def test_a_file_that_is_nested_without_end_is_refused_at_once(tmp_path, piece):
    write(tmp_path, config="x: " + piece * (800_000 // len(piece)))
    out = run(tmp_path, "qdrant-replicator", "qdrant-settings")
    assert out.returncode == 64 and "config/config.yaml" in out.stderr and "nested too deep" in out.stderr
