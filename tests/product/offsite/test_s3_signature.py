"""Signatures of the copies in S3: whoever may write to the bucket is not who may say what is restored."""
import hashlib
import json
import pathlib
import re
import subprocess

import pytest
from harness import tar_of, wait_for
from signing import make_key

PAGE = (pathlib.Path(__file__).parents[3] / "docs/format.md").read_text()
OLD, NEW = "docs-7-2026-11-23-08-00-00", "docs-7-2026-11-24-08-00-00"
BUCKET = {"SNAPSHOT_S3_BUCKET_NAME": "backups"}


@pytest.fixture
def keys(tmp_path):
    return make_key(tmp_path / "keys", "one")


def receipts(tree):
    return len(list(tree.efs.rglob("*.s3")))


def key_of(aws, name):
    key, = (k for k in aws.keys() if name in k)
    return key


def upload(tree, aws, n, **env):
    tree.start(**aws.env, **BUCKET, **env)
    wait_for(lambda: receipts(tree) == n, 90)
    tree.stop()


@pytest.fixture
def signed(tree, aws, keys):
    """An old and a new backup, signed, in S3."""
    tree.s3 = aws.bucket()
    for i, name in enumerate((OLD, NEW)):
        tree.snapshot("docs", name, tar_of(name, 50_000))
        upload(tree, aws, i + 1, SIGNING_KEY_FILE=keys[0], NODE_NAME="node-0")
    tree.keys = keys
    return tree


def change(tree, aws, name, body=None, **labels):
    """What somebody can do who may write to the bucket."""
    key = key_of(aws, name)
    had = tree.s3.get_object(Bucket="backups", Key=key)
    data = body or had["Body"].read()
    meta = had["Metadata"] | ({"sha256": hashlib.sha256(body).hexdigest()} if body else {}) | labels
    tree.s3.put_object(Bucket="backups", Key=key, Body=data, Metadata={k: v for k, v in meta.items() if v is not None})


def restore(tree, aws, *args, require="1", **env):
    out = tree.root / "out"
    out.unlink(missing_ok=True)
    run = tree.efs_tool("restore", "--to", str(out), "--json", *args, **aws.env, **BUCKET, EFS_ROOT="/nowhere/efs",
                        VERIFY_KEYS=tree.keys[1], REQUIRE_SIGNATURE=require, **env)
    if run.returncode != 0:
        assert not out.exists()
        return None, run.stdout + run.stderr
    result, = json.loads(run.stdout)
    assert out.read_bytes() == tar_of(result["snapshot"], 50_000)
    return result["snapshot"], run.stdout + run.stderr


FROM_S3 = "--from-s3", "--collection", "docs"


def test_what_the_replicator_sends_is_signed_and_comes_back(signed, aws):
    assert restore(signed, aws, *FROM_S3)[0] == NEW
    assert restore(signed, aws, *FROM_S3, "--node", "node-0")[0] == NEW
    assert restore(signed, aws, "--location", f"s3://backups/{key_of(aws, OLD)}")[0] == OLD


@pytest.mark.parametrize("how", [{"body": b"forged" * 9000}, {"node": "node-1"}, {"node": None}, {"points": "7"},
                                 {"aliases": "live"}, {"qdrant-version": "9"}, {"signature": "A" * 86 + "=="}, {"signature": "x"}])
@pytest.mark.parametrize("require", ["0", "1"])
def test_a_changed_object_is_passed_over_and_the_older_one_restored(signed, aws, how, require):
    change(signed, aws, NEW, **how)
    name, said = restore(signed, aws, *FROM_S3, require=require)
    assert name == OLD and NEW in said and "signature" in said
    for args in (FROM_S3 + ("--strict",), FROM_S3 + ("--snapshot", NEW), ("--location", f"s3://backups/{key_of(aws, NEW)}")):
        name, said = restore(signed, aws, *args, require=require)
        assert name is None and "signature" in said


def test_one_without_a_signature_is_passed_over_only_where_it_is_required(signed, aws):
    change(signed, aws, NEW, signature=None)
    assert restore(signed, aws, *FROM_S3, require="0")[0] == NEW
    name, said = restore(signed, aws, *FROM_S3)
    assert name == OLD and "unsigned" in said and "REQUIRE_SIGNATURE=1" in said
    name, said = restore(signed, aws, "--location", f"s3://backups/{key_of(aws, NEW)}")
    assert name is None and "not signed" in said


def test_a_signed_object_under_another_name_is_none(signed, aws):
    had = signed.s3.get_object(Bucket="backups", Key=key_of(aws, OLD))
    signed.s3.put_object(Bucket="backups", Key=key_of(aws, OLD).replace(OLD, NEW.replace("08-00", "09-00")), Body=had["Body"].read(),
                         Metadata=had["Metadata"])
    name, said = restore(signed, aws, *FROM_S3)
    assert name == NEW and "signature" in said


def test_an_unsigned_object_does_not_say_whose_the_others_are(signed, aws):
    """The newest object of a peer names the node of all of them."""
    change(signed, aws, NEW, signature=None, node="node-1")
    assert restore(signed, aws, *FROM_S3, "--node", "node-0")[0] == OLD
    assert restore(signed, aws, *FROM_S3, "--node", "node-1")[0] is None


def test_a_backup_that_is_not_ours_is_copied_without_our_signature(tree, aws, keys):
    """Else whoever may write on EFS had it signed by way of S3."""
    s3 = aws.bucket()
    for name, key in ((OLD, {"SIGNING_KEY_FILE": keys[0]}), (NEW, {})):
        tree.snapshot("docs", name, tar_of(name, 50_000))
        assert tree.once(**key).returncode == 0
    upload(tree, aws, 2, SIGNING_KEY_FILE=keys[0])
    labels = {n: s3.head_object(Bucket="backups", Key=key_of(aws, n))["Metadata"] for n in (OLD, NEW)}
    assert "signature" in labels[OLD] and "signature" not in labels[NEW]
    tree.keys = keys
    assert restore(tree, aws, *FROM_S3)[0] == OLD


def test_the_documented_words_check_a_copy(signed, aws, tmp_path):
    first, *rest = re.findall(r"^- `(.*)`$", PAGE.split("## The copy in S3")[1].split("\n## ")[0], re.M)
    key = key_of(aws, NEW)
    head = signed.s3.head_object(Bucket="backups", Key=key)
    object_ = tmp_path / "head.json"
    object_.write_text(json.dumps({"ContentLength": head["ContentLength"], "Metadata": head["Metadata"]}))
    assert first.startswith("aws s3api head-object ") and first.endswith("> head.json") and len(rest) == 3
    env = {"PATH": "/usr/bin:/bin", "BUCKET": "backups", "OBJECT": key, "KEY": signed.keys[1]}
    check = lambda: subprocess.run(["sh", "-ec", "\n".join(rest)], cwd=tmp_path, env=env, capture_output=True, text=True)
    run = check()
    assert run.returncode == 0 and "Verified Successfully" in run.stdout, run.stderr
    object_.write_text(object_.read_text().replace("node-0", "node-1"))
    assert check().returncode != 0


def test_without_a_key_a_copy_has_no_signature(tree, aws, keys):
    s3 = aws.bucket()
    tree.snapshot("docs", NEW, tar_of(NEW, 50_000))
    upload(tree, aws, 1)
    assert "signature" not in s3.head_object(Bucket="backups", Key=key_of(aws, NEW))["Metadata"]
    tree.keys = keys
    assert restore(tree, aws, *FROM_S3, require="0")[0] == NEW
    assert restore(tree, aws, *FROM_S3)[0] is None
