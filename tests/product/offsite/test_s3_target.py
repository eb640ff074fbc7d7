"""S3 as a second target: the seed article's keys, the bytes that Qdrant made, and never in EFS's way."""
import datetime
import hashlib
import json
import os
import signal
import time

import pytest

from days import Collection, Version, name_of
from harness import tar_of, wait_for

from wall_clock import COMPILER, UTC, WallClock

A, B = "docs-7-2026-11-24-07-59-23", "docs-7-2026-11-24-08-14-23"
BUCKET = {"SNAPSHOT_S3_BUCKET_NAME": "backups"}


def start(tree, aws, **env):
    return tree.start(**aws.env, **BUCKET, **env)


def receipts(tree):
    return sorted(tree.efs.rglob("*.s3"))


def test_each_published_snapshot_goes_to_the_seeds_key_as_qdrant_made_it(tree, aws):
    s3 = aws.bucket()
    tree.snapshot("docs", A, tar_of("a", 50_000))
    tree.snapshot("my docs/ü".replace("/", "+"), B, tar_of("b"))
    start(tree, aws)
    wait_for(lambda: len(receipts(tree)) == 2)
    assert aws.keys() == [f"test-cpu/monthly/docs/{A}.snapshot", f"test-cpu/monthly/my docs+ü/{B}.snapshot"]
    head = s3.get_object(Bucket="backups", Key=f"test-cpu/monthly/docs/{A}.snapshot")
    body = head["Body"].read()
    assert body == tar_of("a", 50_000)
    assert head["Metadata"]["sha256"] == hashlib.sha256(body).hexdigest()


def test_the_receipt_says_where_it_is(tree, aws):
    aws.bucket()
    tree.snapshot("docs", A, tar_of("a"))
    start(tree, aws)
    wait_for(lambda: receipts(tree))
    receipt = json.loads(receipts(tree)[0].read_text())
    assert receipt["bucket"] == "backups" and receipt["key"] == f"test-cpu/monthly/docs/{A}.snapshot"
    assert receipt["sha256"] == hashlib.sha256(tar_of("a")).hexdigest()
    assert receipts(tree)[0].name == f"{A}.snapshot.zst.s3"
    assert [b["state"] for b in tree.ls()] == ["complete"], "a receipt is no backup"


@pytest.mark.parametrize("compression", ["zstd:1", "none"])
def test_what_an_earlier_process_did_not_send_is_sent_from_efs(tree, aws, compression):
    tree.snapshot("docs", A, tar_of("a", 300_000))
    assert tree.once(COMPRESSION=compression, LOCAL_KEEP="0").returncode == 0
    s3 = aws.bucket()
    start(tree, aws)
    wait_for(lambda: receipts(tree))
    assert s3.get_object(Bucket="backups", Key=aws.keys()[0])["Body"].read() == tar_of("a", 300_000)


@pytest.fixture
def version():
    v = Version()
    yield v
    v.stop()


def deltas(tree, version, **env):
    """A whole and two deltas of it, published as Qdrant goes on; {name: bytes}."""
    collection, made = Collection(), {}
    for number in range(3):
        collection.change()
        made[name_of(number)] = tree.snapshot("docs", name_of(number), collection.snapshot()).read_bytes()
        tree.once(QDRANT_URL=version.url, NODE_NAME="n1", **env)
    assert sorted(b["codec"] for b in tree.ls()) == ["delta", "delta", "zstd:1"]
    return made


def test_what_is_stored_as_a_delta_is_not_copied(tree, aws, version):
    """Each copy would be as large as a whole. `--once` says that all is safe."""
    aws.bucket()
    deltas(tree, version, **aws.env, **BUCKET)
    said = tree.once(QDRANT_URL=version.url, NODE_NAME="n1", **aws.env, **BUCKET)
    assert said.returncode == 0, said.stderr
    assert aws.keys() == [f"test-cpu/monthly/docs/{name_of(0)}.snapshot"]


def test_what_was_stored_as_a_delta_first_is_not_copied_either(tree, aws, version):
    """`compact --all` would send a week of them."""
    aws.bucket()
    deltas(tree, version, **aws.env, **BUCKET)
    assert tree.efs_tool("compact", "--all").returncode == 0
    for old in tree.base.rglob("*.snapshot.delta*"):
        old.unlink()
    said = tree.once(QDRANT_URL=version.url, NODE_NAME="n1", **aws.env, **BUCKET)
    assert said.returncode == 0, said.stderr
    assert aws.keys() == [f"test-cpu/monthly/docs/{name_of(0)}.snapshot"]


@pytest.mark.parametrize("begun_later", [False, True], ids=["from the local disk", "from EFS"])
def test_when_asked_for_each_delta_is_copied_as_the_whole_that_it_stands_for(tree, aws, version, begun_later):
    s3 = aws.bucket()
    asked = {**aws.env, **BUCKET, "SNAPSHOT_S3_DELTAS": "1"}
    made = deltas(tree, version, LOCAL_KEEP="0", **({} if begun_later else asked))
    start(tree, aws, SNAPSHOT_S3_DELTAS="1")
    wait_for(lambda: len(receipts(tree)) == 3)
    for key in aws.keys():
        assert s3.get_object(Bucket="backups", Key=key)["Body"].read() == made.pop(key.rsplit("/", 1)[1].removesuffix(".snapshot"))
    assert made == {}


def test_a_restart_sends_nothing_twice(tree, aws, proxy):
    aws.bucket()
    tree.snapshot("docs", A, tar_of("a"))
    p = start(tree, aws)
    wait_for(lambda: receipts(tree))
    p.send_signal(signal.SIGKILL)
    p.wait()
    start(tree, aws, SNAPSHOT_S3_ENDPOINT=proxy.url)
    tree.snapshot("docs", B, tar_of("b"))
    wait_for(lambda: len(receipts(tree)) == 2)
    assert not [path for _, path, _ in proxy.seen if A in path]


def test_a_failing_s3_delays_efs_by_nothing_and_is_made_up_for(tree, aws, proxy):
    aws.bucket()
    proxy.answer = lambda method, path: (503, b"<Error><Code>SlowDown</Code><Message>no</Message></Error>")
    start(tree, aws, SNAPSHOT_S3_ENDPOINT=proxy.url)
    begin = time.monotonic()
    for i in range(5):
        tree.snapshot("docs", f"docs-7-2026-11-24-0{i}-59-23", tar_of(str(i)))
    wait_for(lambda: len(tree.complete()) == 5)
    assert time.monotonic() - begin < 12 and not receipts(tree)
    wait_for(lambda: tree.logged("s3_failed"))
    assert "SlowDown" in tree.logged("s3_failed")[0]["message"]
    proxy.answer = lambda method, path: None
    wait_for(lambda: len(receipts(tree)) == 5, 90)
    assert len(aws.keys()) == 5


def test_a_bucket_that_is_not_there_is_one_clear_error(tree, aws):
    tree.snapshot("docs", A, tar_of("a"))
    start(tree, aws)
    wait_for(lambda: tree.logged("s3_failed"))
    message = tree.logged("s3_failed")[0]["message"]
    assert "NoSuchBucket" in message and "backups" in message
    assert len(tree.complete()) == 1


def test_an_object_of_another_content_is_never_overwritten(tree, aws):
    s3 = aws.bucket()
    key = f"test-cpu/monthly/docs/{A}.snapshot"
    s3.put_object(Bucket="backups", Key=key, Body=b"somebody else's")
    tree.snapshot("docs", A, tar_of("a"))
    start(tree, aws)
    wait_for(lambda: tree.logged("s3_failed"))
    assert key in tree.logged("s3_failed")[0]["message"]
    assert s3.get_object(Bucket="backups", Key=key)["Body"].read() == b"somebody else's"


def test_class_encryption_and_lock_go_along(tree, aws, proxy):
    aws.bucket()
    tree.snapshot("docs", A, tar_of("a"))
    start(tree, aws, SNAPSHOT_S3_ENDPOINT=proxy.url, SNAPSHOT_S3_STORAGE_CLASS="STANDARD_IA",
          SNAPSHOT_S3_KMS_KEY="1234abcd-12ab-34cd-56ef-1234567890ab", SNAPSHOT_S3_OBJECT_LOCK="GOVERNANCE:30d")
    wait_for(lambda: [m for m, _, _ in proxy.seen if m == "PUT"])
    headers = {k.lower(): v for k, v in next(h for m, _, h in proxy.seen if m == "PUT").items()}
    assert headers["x-amz-storage-class"] == "STANDARD_IA"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"].startswith("1234abcd")
    assert headers["x-amz-object-lock-mode"] == "GOVERNANCE" and headers["x-amz-object-lock-retain-until-date"]
    assert headers["if-none-match"] == "*" and headers["x-amz-checksum-sha256"]


def test_a_large_one_goes_in_parts_also_after_a_crash(tree, aws, proxy):
    s3 = aws.bucket()
    data = tar_of("x", 1000)[:512] + os.urandom(40 << 20)
    tree.snapshot("docs", A, data)
    parts = []

    def third_part_hangs(method, path):
        if "partNumber=" in path:
            parts.append(path)
            if "partNumber=3" in path:
                time.sleep(30)
        return None
    proxy.answer = third_part_hangs
    p = start(tree, aws, SNAPSHOT_S3_ENDPOINT=proxy.url)
    wait_for(lambda: [x for x in parts if "partNumber=3" in x])
    p.send_signal(signal.SIGKILL)
    p.wait()
    parts.clear()
    proxy.answer = lambda method, path: parts.append(path) if "partNumber=" in path else None
    start(tree, aws, SNAPSHOT_S3_ENDPOINT=proxy.url)
    wait_for(lambda: receipts(tree), 60)
    assert [x for x in parts if "partNumber=3" in x]  # moto lists no checksums of parts: what is kept is tests/product/aws's
    assert s3.get_object(Bucket="backups", Key=aws.keys()[0])["Body"].read() == data


def test_a_backup_that_was_pruned_takes_its_receipt_along(tree, aws):
    aws.bucket()
    for i in range(4):
        tree.snapshot("docs", f"docs-7-2026-11-24-0{i}-14-23", tar_of(str(i)))
    start(tree, aws)
    wait_for(lambda: len(receipts(tree)) == 4)
    tree.stop()
    assert tree.once(RETENTION="hourly=1,15min=1").returncode == 0
    assert len(receipts(tree)) == len(tree.ls()) == 2


def test_without_credentials_nothing_goes_there_and_the_log_says_why(tree, aws):
    env = {k: v for k, v in aws.env.items() if "KEY" not in k}
    tree.snapshot("docs", A, tar_of("a"))
    tree.start(**env, **BUCKET)
    wait_for(lambda: tree.logged("no_s3") or tree.logged("s3_failed"))
    wait_for(lambda: len(tree.complete()) == 1)


@pytest.mark.parametrize("name,value", [("SNAPSHOT_S3_BUCKET_NAME", "UPPER"), ("SNAPSHOT_S3_OBJECT_LOCK", "FOREVER"),
                                        ("SNAPSHOT_S3_STORAGE_CLASS", "ice cold"), ("SNAPSHOT_S3_ENDPOINT", "ftp://x")])
def test_a_wrong_setting_is_said_at_the_start(tree, name, value):
    run = tree.replicator(**{**BUCKET, name: value})
    assert run.returncode == 64 and name in run.stderr


def once(tree, aws, **env):
    run = tree.once(**aws.env, **BUCKET, **env)
    return run.returncode, run.stderr


def test_once_makes_the_copies_too_and_those_that_were_left_before(tree, aws):
    tree.snapshot("docs", A, tar_of("a"))
    code, log = once(tree, aws)  # no such bucket
    assert code == 1 and '"s3_failed"' in log and '"s3_left"' in log and "1 backups are on EFS" in log
    assert [b["state"] for b in tree.ls()] == ["complete"]
    aws.bucket()
    tree.snapshot("docs", B, tar_of("b"))
    code, log = once(tree, aws)
    assert code == 0, log
    assert len(receipts(tree)) == 2 and {k.rsplit("/", 1)[1] for k in aws.keys()} == {f"{A}.snapshot", f"{B}.snapshot"}
    assert once(tree, aws)[0] == 0


@pytest.mark.skipif(not COMPILER or bool(os.environ.get("SANITIZED")), reason="needs a compiler, and no sanitizer's own preload")
def test_a_clock_that_ran_ahead_keeps_none_from_being_made_up_for(tree, aws, tmp_path):
    aws.bucket()
    now, ahead = time.time(), 9 * 86400
    clock = WallClock(tmp_path / "clock", datetime.datetime.fromtimestamp(now + ahead, UTC))
    for when in [now - 900 * i for i in range(1, 6)] + [now + ahead - 20]:
        tree.snapshot("docs", time.strftime("docs-1-%Y-%m-%d-%H-%M-%S", time.gmtime(when)), tar_of(str(when)))
    assert tree.once(**clock.environment).returncode == 0 and len(tree.complete()) == 6
    start(tree, aws, **clock.environment)
    wait_for(lambda: len(receipts(tree)) == 6)
