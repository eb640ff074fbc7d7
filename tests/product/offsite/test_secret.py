"""The API key from Secrets Manager: rotated without a restart, and never anywhere but in the request."""
import json
import pathlib

import pytest

from harness import tar_of, wait_for
from server import Server

NAME = "qdrant-api-key"


@pytest.fixture
def secret(aws):
    sm = aws.client("secretsmanager")

    def put(value, binary=False):
        what = {"SecretBinary": value} if binary else {"SecretString": value}
        try:
            return sm.create_secret(Name=NAME, **what)["ARN"]
        except sm.exceptions.ResourceExistsException:
            return sm.put_secret_value(SecretId=NAME, **what)["ARN"]
    return put


def schedule(tree, server, aws, arn, **env):
    return tree.start(**aws.env, SNAPSHOT_INTERVAL="2s", QDRANT_URL=server.url, AK_ARN=arn, SNAPSHOTS_DIR=str(server.snapshots),
                      **env)


def made(tree):
    return tree.logged("snapshot_made")


@pytest.mark.parametrize("value,member", [("k3y-1", None), ("  k3y-1\n", None),
                                          (json.dumps({"user": "x", "api_key": "k3y-1"}), "api_key")])
def test_the_key_comes_from_the_secret(tree, tmp_path, aws, secret, value, member):
    with Server("standin", tmp_path / "q", api_key="k3y-1") as server:
        server.result("PUT", "/collections/docs", {"vectors": {"size": 4, "distance": "Dot"}})
        schedule(tree, server, aws, secret(value), **({"AK_JSON_KEY": member} if member else {}))
        wait_for(lambda: made(tree))
        tree.stop()
    assert "k3y-1" not in (tree.root / "log").read_text()


def test_a_rotated_key_works_without_a_restart(tree, tmp_path, aws, secret):
    arn = secret("old-key")
    with Server("standin", tmp_path / "q", api_key="old-key") as server:
        server.result("PUT", "/collections/docs", {"vectors": {"size": 4, "distance": "Dot"}})
        schedule(tree, server, aws, arn)
        wait_for(lambda: made(tree))
        port = server.port
    secret("new-key")
    with Server("standin", tmp_path / "q", api_key="new-key", port=port):
        before = len(made(tree))
        wait_for(lambda: len(made(tree)) > before + 1, 60)
        tree.stop()
    log = (tree.root / "log").read_text()
    assert "old-key" not in log and "new-key" not in log


@pytest.mark.parametrize("what", ["gone", "empty member", "no such member", "not json", "control"])
def test_a_secret_that_cannot_be_used_is_one_clear_error_and_backups_go_on(tree, tmp_path, aws, secret, what):
    env = {}
    if what == "gone":
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:nobody-AbCdEf"
    elif what == "control":
        arn = secret("a\x01b")
    else:
        arn = secret({"empty member": '{"k":""}', "no such member": '{"x":"y"}', "not json": "plain"}[what])
        env = {"AK_JSON_KEY": "k"}
    with Server("standin", tmp_path / "q", api_key="whatever") as server:
        schedule(tree, server, aws, arn, **env)
        (server.snapshots / "docs").mkdir()
        tree.snapshots = pathlib.Path(server.snapshots)
        tree.snapshot("docs", "docs-7-2026-11-24-07-59-23", tar_of("a"))
        wait_for(lambda: tree.logged("qdrant_unauthorized"))
        wait_for(lambda: len(tree.complete()) == 1)
        tree.stop()
    assert tree.logged("qdrant_unauthorized")[0]["level"] == "error"
    assert "a\x01b" not in (tree.root / "log").read_text()


def test_an_arn_that_is_none_is_said_at_the_start(tree):
    run = tree.replicator(AK_ARN="my-secret")
    assert run.returncode == 64 and "AK_ARN" in run.stderr
