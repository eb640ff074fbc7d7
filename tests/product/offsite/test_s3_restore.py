"""Restores from the copies in S3, with EFS gone."""
import hashlib
import os
import shutil
import signal
import subprocess

import pytest
from moto.backends import get_backend
from harness import BUILD, tar_of, wait_for
from restoring import SIXTH, count, fill, path_of, restore, restored, scroll, snapshot, upsert, uploads

ACCOUNT = "123456789012"  # moto's
BUCKET = {"SNAPSHOT_S3_BUCKET_NAME": "backups"}
GONE = {"EFS_ROOT": "/nowhere/efs"}
ODD = ["emoji 🎉 東京", ".hidden", "per%cent", "-dash", "a b+c&d=e", "%storage", "%2Ehidden"]


def receipts(tree):
    return len(list(tree.efs.rglob("*.s3")))


def upload(tree, aws, n, **env):
    """Have the replicator publish and copy until there are `n` receipts."""
    tree.start(**aws.env, **BUCKET, **env)
    wait_for(lambda: receipts(tree) == n, 90)
    tree.stop()


def from_s3(tree, aws, *args, **env):
    return restored(tree, "--from-s3", *args, **aws.env, **BUCKET, **GONE, **env)


def failing(tree, aws, *args, **env):
    """What is said by one that must fail."""
    run = restore(tree, *args, **aws.env, **BUCKET, **(GONE | env))
    assert run.returncode == 1, (run.stdout, run.stderr)
    return run.stderr


def put(s3, data, stem, frequency="daily", collection="docs", tree="test-cpu", sha256=None, **labels):
    key = f"{tree}/{frequency}/{collection}/{stem}.snapshot"
    labels = {"sha256": sha256 or hashlib.sha256(data).hexdigest(), **labels}
    s3.put_object(Bucket="backups", Key=key, Body=data, Metadata=labels)
    return key


def stem(time, peer=7, collection="docs"):
    return f"{collection}-{peer}-2026-11-24-{time}-00"


@pytest.fixture
def two(tree, aws, qdrant):
    """Two backups of a collection with an alias, in S3; then EFS is lost."""
    aws.bucket()
    fill(qdrant)
    qdrant.result("POST", "/collections/aliases",
                  {"actions": [{"create_alias": {"collection_name": "test_collection", "alias_name": "live ü,1"}}]})
    qdrant.baseline = scroll(qdrant)
    tree.start(**aws.env, **BUCKET, NODE_NAME="node-0", SNAPSHOT_INTERVAL="1d")
    wait_for(lambda: receipts(tree) == 1, 90)
    qdrant.first = tree.ls()[0]["snapshot"]
    upsert(qdrant, "test_collection", [SIXTH])
    qdrant.changed = scroll(qdrant)
    qdrant.second = snapshot(qdrant)
    wait_for(lambda: receipts(tree) == 2, 90)
    tree.stop()
    shutil.rmtree(tree.efs)
    return qdrant


def key_of(aws, snapshot):
    return next(k for k in aws.keys() if snapshot in k)


def aliases(server):
    return [(a["alias_name"], a["collection_name"]) for a in server.result("GET", "/aliases")["aliases"]]


# ---- into Qdrant


def test_with_efs_gone_a_collection_comes_back_with_points_and_aliases(tree, aws, two):
    said = failing(tree, aws, "--from-s3")
    assert "6 points" in said and "--force" in said
    run = restore(tree, "--from-s3", "--dry-run", "--force", **aws.env, **BUCKET, **GONE)
    assert run.returncode == 0 and f"would restore {two.second}" in run.stdout and "would be lost" in run.stdout
    assert scroll(two) == two.changed
    two.result("DELETE", "/collections/test_collection")
    result, = from_s3(tree, aws)
    assert scroll(two) == two.changed and aliases(two) == [("live ü,1", "test_collection")] and uploads(two) == []
    assert result["snapshot"] == two.second and result["path"] == f"s3://backups/{key_of(aws, two.second)}"
    assert (result["points_in_manifest"], result["points"], result["node"], result["note"]) == (6, 6, "node-0", "")
    from_s3(tree, aws, "--snapshot", two.first, "--rename", "beside")
    assert scroll(two, "beside") == two.baseline and aliases(two) == [("live ü,1", "test_collection")]
    from_s3(tree, aws, "--snapshot", two.first, "--force")
    assert scroll(two) == two.baseline and aliases(two) == [("live ü,1", "test_collection")] and uploads(two) == []


def test_a_flipped_byte_reaches_no_collection_and_the_next_older_is_taken(tree, aws, two):
    s3, key = aws.client("s3"), key_of(aws, two.second)
    o = s3.get_object(Bucket="backups", Key=key)
    data = bytearray(o["Body"].read())
    data[len(data) // 2] ^= 1
    s3.put_object(Bucket="backups", Key=key, Body=bytes(data), Metadata=o["Metadata"])
    result, = from_s3(tree, aws, "--force")
    assert result["snapshot"] == two.first and scroll(two) == two.baseline
    assert [(x["snapshot"], "SHA-256" in x["reason"]) for x in result["skipped"]] == [(two.second, True)]
    assert two.second in failing(tree, aws, "--from-s3", "--force", "--strict")
    assert scroll(two) == two.baseline and uploads(two) == []


def test_one_object_by_its_key_restores_also_under_another_name(tree, aws, two):
    key, location = key_of(aws, two.first), f"s3://backups/{key_of(aws, two.first)}"
    restored(tree, "--location", location, "--force", **aws.env, **GONE)
    assert scroll(two) == two.baseline
    restored(tree, "--location", location, "--collection", "other", **aws.env, **GONE)
    assert scroll(two, "other") == two.baseline and aliases(two) == [("live ü,1", "test_collection")]
    s3 = aws.client("s3")
    for odd in ("any/../where/file", "plain.snapshot"):
        s3.copy_object(Bucket="backups", Key=odd, CopySource={"Bucket": "backups", "Key": key})
        run = restore(tree, "--location", f"s3://backups/{odd}", **aws.env, **GONE)
        assert run.returncode == 64 and "--collection" in run.stderr
        result, = restored(tree, "--location", f"s3://backups/{odd}", "--collection", "odd", "--force", **aws.env, **GONE)
        assert scroll(two, "odd") == two.baseline and result["path"].endswith(odd) and result["frequency"] == ""


def test_an_object_that_does_not_say_its_hash_is_restored_with_a_note(tree, aws, two):
    """As the Lambda of the seed article put them there."""
    s3, key = aws.client("s3"), key_of(aws, two.first)
    data = s3.get_object(Bucket="backups", Key=key)["Body"].read()
    s3.put_object(Bucket="backups", Key=key, Body=data)
    result, = from_s3(tree, aws, "--force", "--snapshot", two.first)
    assert "does not say its SHA-256" in result["note"] and scroll(two) == two.baseline
    location = ["--location", f"s3://backups/{key}", "--force", "--checksum"]
    result, = restored(tree, *location, hashlib.sha256(data).hexdigest().upper(), **aws.env, **GONE)
    assert result["note"] == ""
    assert "SHA-256" in failing(tree, aws, *location, "0" * 64)
    assert count(two) == 5 and uploads(two) == []


def test_all_names_that_qdrant_takes_come_back(tree, aws, qdrant):
    aws.bucket()
    for name in ODD:
        fill(qdrant, name)
        qdrant.result("POST", path_of(name) + "/snapshots?wait=true")
    before = {name: scroll(qdrant, name) for name in ODD}
    upload(tree, aws, len(ODD))
    for name in ODD:
        qdrant.result("DELETE", path_of(name))
    result, = from_s3(tree, aws, f"--collection={ODD[1]}")
    assert result["collection"] == ODD[1] and count(qdrant, ODD[1]) == 5
    assert {r["collection"] for r in from_s3(tree, aws, "--force")} == set(ODD)
    assert {name: scroll(qdrant, name) for name in ODD} == before and uploads(qdrant) == []


# ---- which


def test_time_frequency_name_and_tree_choose_as_they_do_on_efs(tree, aws, tmp_path):
    s3 = aws.bucket()
    put(s3, b"monthly", stem("08-00"), "monthly")
    put(s3, b"hourly", stem("09-00"), "hourly")
    put(s3, b"late", stem("09-15"), "15min")
    put(s3, b"late", stem("09-30", collection="more"), "15min", "more")
    put(s3, b"elsewhere", stem("10-00"), tree="prod-cpu")
    put(s3, b"no snapshot", "readme.txt/x", tree="no-tier")

    def chosen(*args, **env):
        result, = from_s3(tree, aws, "--collection", "docs", "--to", tmp_path / "to", "--dry-run", *args, **env)
        return result["frequency"], result["size"]
    assert chosen() == ("15min", 4)
    assert chosen("--at", "2026-11-24T09:14:59Z") == ("hourly", 6)
    assert chosen("--frequency", "monthly") == ("monthly", 7)
    assert chosen("--snapshot", stem("09-00") + ".snapshot") == ("hourly", 6)
    assert chosen("--older", "1m", "--tier", "prod") == ("daily", 9)
    put(s3, b"of a shard", "docs-shard-3-2026-11-24-12-00-00", collection="docs/%shard-3")
    put(s3, b"the whole storage", "full-snapshot-2026-11-24-12-00-00", collection="%storage")
    assert chosen() == ("15min", 4) and chosen("--shard", "3") == ("daily", 10)
    assert from_s3(tree, aws, "--storage-snapshot", "--to", tmp_path / "to", "--dry-run")[0]["size"] == 17
    said = failing(tree, aws, "--from-s3", "--collection", "docs", "--to", tmp_path / "to", "--at", "2026-11-24T07:00Z")
    assert "no backup of docs of 2026-11-24T07:00:00Z or before (--at) below s3://backups; the newest is" in said
    assert "the oldest docs-7-2026-11-24-08-00-00 of" in said and "qdrant-efs ls" not in said
    for args, words in ((["--collection", "dosc"], "no backup of dosc below s3://backups; collections that have some: docs, more"),
                        (["--collection", "docs", "--snapshot", "nix"], "no backup of docs named nix below s3://backups; the newest is"),
                        (["--collection", "docs", "--snapshot", stem("09-00"), "--frequency", "daily"], f"no backup of docs of frequency daily named {stem('09-00')} below"),
                        (["--collection", "more", "--frequency", "daily"], "of frequency daily below s3://backups; frequencies that have some: 15min")):
        assert words in failing(tree, aws, "--from-s3", *args, "--to", tmp_path / "to"), args
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--from-s3", "--collection", "docs", "--to", tmp_path / "to"],
                         env={"PATH": os.environ["PATH"], **aws.env, **BUCKET}, capture_output=True, text=True)
    assert run.returncode == 1 and "several trees" in run.stderr and not (tmp_path / "to").exists()
    assert [r["collection"] for r in from_s3(tree, aws, "--to", tmp_path)] == ["docs", "more"]
    assert (tmp_path / (stem("09-15") + ".snapshot")).read_bytes() == b"late"


def test_nodes_that_live_side_by_side_are_told_apart_by_label_or_peer(tree, aws, tmp_path):
    s3 = aws.bucket()
    for hour in range(1, 10):
        put(s3, b"first", stem(f"0{hour}-00", 1), node="a")
        put(s3, b"second", stem(f"0{hour}-15", 2), node="b")
    to = ["--from-s3", "--to", tmp_path / "to", "--force"]
    assert "--node" in failing(tree, aws, *to)
    for args, env, node in ((["--node", "a"], {}, "a"), (["--node", "2"], {}, "b"), ([], {"NODE_NAME": "a"}, "a")):
        assert restored(tree, *to, *args, **aws.env, **BUCKET, **env)[0]["node"] == node
    assert "by node c below s3://backups; nodes that have some: " in failing(tree, aws, *to, "--node", "c")


def test_our_own_name_hides_no_objects_from_before_they_had_labels(tree, aws, tmp_path):
    s3 = aws.bucket()
    put(s3, b"old", stem("08-00", 1))
    assert from_s3(tree, aws, "--to", tmp_path / "to", NODE_NAME="node-0")[0]["size"] == 3


def test_of_over_a_thousand_objects_the_newest_and_those_of_a_time_are_found(tree, aws, proxy, tmp_path):
    s3 = aws.bucket()
    stems = [f"docs-7-2026-{month:02}-{day:02}-{hour:02}-00-00" for month in (9, 10) for day in range(1, 23) for hour in range(24)]
    account = get_backend("s3")[ACCOUNT]["aws"]  # without HTTP that many take a second
    for s in stems:
        account.put_object("backups", f"test-cpu/15min/docs/{s}.snapshot", s.encode()).set_metadata(
            {"x-amz-meta-sha256": hashlib.sha256(s.encode()).hexdigest()})
    env = {"SNAPSHOT_S3_ENDPOINT": proxy.url}
    assert len(stems) > 1000 and from_s3(tree, aws, "--to", tmp_path / "to", **env)[0]["snapshot"] == stems[-1]
    assert len([path for _, path, _ in proxy.seen if "list-type=2" in path and "continuation-token" in path]) == 1
    for wanted in (stems[0], stems[1], stems[700]):
        at = wanted[7:].replace("-", ":").replace(":", "-", 2).replace(":", "T", 1)
        assert from_s3(tree, aws, "--to", tmp_path / "to", "--force", "--at", at)[0]["snapshot"] == wanted
    for s in stems[-3:]:  # what is passed over is said
        put(s3, s.encode(), s, "15min", sha256="0" * 64)
    result, = from_s3(tree, aws, "--to", tmp_path / "to", "--force")
    assert result["snapshot"] == stems[-4] and [x["snapshot"] for x in result["skipped"]] == stems[:-4:-1]


# ---- to a file, over connections that break


@pytest.fixture
def large(tree, aws, tmp_path):
    """40 MiB in three parts."""
    s3 = aws.bucket()
    data = tar_of("x", 1000)[:512] + os.urandom(40 << 20)
    tree.snapshot("docs", stem("08-00"), data)
    upload(tree, aws, 1)
    assert "-" in s3.head_object(Bucket="backups", Key=aws.keys()[0])["ETag"], "it has parts"
    shutil.rmtree(tree.efs)
    return data


@pytest.fixture
def plain(aws):
    """16 MiB in one."""
    data = os.urandom(16 << 20)
    put(aws.bucket(), data, stem("08-00"))
    return data


def test_an_object_in_parts_comes_back_over_connections_that_break(tree, aws, proxy, large, tmp_path):
    proxy.cuts = [5 << 20, 1 << 20, 100, 7 << 20]
    from_s3(tree, aws, "--to", tmp_path / "to", SNAPSHOT_S3_ENDPOINT=proxy.url)
    assert (tmp_path / "to").read_bytes() == large and not proxy.cuts
    gets = [{k.lower(): v for k, v in h.items()} for m, path, h in proxy.seen if m == "GET" and "list-type" not in path]
    assert len(gets) == 5 and all(g["if-match"] for g in gets) and gets[2]["range"] == f"bytes={6 << 20}-"
    out = subprocess.run([BUILD / "qdrant-efs", "restore", "--from-s3", "--stdout"], capture_output=True,
                         env=tree.env | aws.env | BUCKET | GONE)
    assert out.returncode == 0 and out.stdout == large


def test_an_object_that_is_another_one_in_the_middle_is_not_mixed(tree, aws, proxy, plain, tmp_path):
    proxy.cuts = [5 << 20]
    key = aws.keys()[0]

    def replace(method, path):
        if method == "GET" and key.split("/")[-1] in path and not proxy.cuts:
            aws.client("s3").put_object(Bucket="backups", Key=key, Body=plain[::-1])
    proxy.answer = replace
    said = failing(tree, aws, "--from-s3", "--to", tmp_path / "to", SNAPSHOT_S3_ENDPOINT=proxy.url)
    assert "it changed while it was read" in said and not list(tmp_path.glob("*to*"))


def test_an_interrupt_leaves_no_file_and_ends_at_once(tree, aws, proxy, plain, tmp_path):
    to = tmp_path / "folder"
    to.mkdir()
    proxy.cuts = [5 << 20] + [0] * 99  # and then it stands still
    p = subprocess.Popen([BUILD / "qdrant-efs", "restore", "--from-s3", "--to", to], stderr=subprocess.PIPE, text=True,
                         env=tree.env | aws.env | BUCKET | GONE | {"SNAPSHOT_S3_ENDPOINT": proxy.url})
    wait_for(lambda: [f for f in to.iterdir() if f.stat().st_size >= 4 << 20] and len(proxy.cuts) < 100)
    p.send_signal(signal.SIGINT)
    assert p.wait(10) == 1 and "S3" not in p.stderr.read() and list(to.iterdir()) == []


def test_a_disk_that_is_full_ends_it_with_its_own_error(tree, aws, plain):
    run = subprocess.run([BUILD / "qdrant-efs", "restore", "--from-s3", "--stdout"], stdout=open("/dev/full", "w"), text=True,
                         stderr=subprocess.PIPE, env=tree.env | aws.env | BUCKET | GONE)
    assert run.returncode == 1 and "No space left" in run.stderr


# ---- what goes wrong


def refusal(code, message="no", status=403, headers=None):
    return status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode(), headers or {}


@pytest.mark.parametrize("what,answer,says", [
    ("list", refusal("AccessDenied"), "s3:ListBucket"),
    ("get", refusal("AccessDenied"), "s3:GetObject"),
    ("get", refusal("AccessDenied", "User is not authorized to perform: kms:Decrypt"), "needs kms:Decrypt on the key"),
    ("get", refusal("InvalidObjectState"), "restore it from Glacier first"),
    ("get", refusal("ExpiredToken", status=400), "ExpiredToken"),
    ("list", refusal("ExpiredToken", status=400), "ExpiredToken"),
    ("list", refusal("PermanentRedirect", status=301, headers={"x-amz-bucket-region": "us-west-2"}), "Region us-west-2, not eu-west-1"),
    ("list", refusal("NoSuchBucket", status=404), "NoSuchBucket"),
    ("head", (403, b""), "HeadObject s3://backups/test-cpu/daily/docs/"),
])
def test_a_refusal_says_what_is_missing(tree, aws, proxy, tmp_path, what, answer, says):
    put(aws.bucket(), b"x", stem("08-00"))
    kinds = {"list": lambda m, p: "list-type" in p, "get": lambda m, p: "list-type" not in p, "head": lambda m, p: m == "HEAD"}
    proxy.answer = lambda method, path: answer if kinds[what](method, path) else None
    said = failing(tree, aws, "--from-s3", "--to", tmp_path / "to", SNAPSHOT_S3_ENDPOINT=proxy.url)
    assert says in said and list(tmp_path.glob("to*")) == []


def test_what_expired_since_it_was_listed_is_passed_over_and_a_key_that_never_was_is_named(tree, aws, proxy, tmp_path):
    s3 = aws.bucket()
    put(s3, b"older", stem("08-00"))
    key = put(s3, b"newer", stem("09-00"))
    proxy.answer = lambda method, path: s3.delete_object(Bucket="backups", Key=key) and None if method == "HEAD" else None
    result, = from_s3(tree, aws, "--to", tmp_path / "to", SNAPSHOT_S3_ENDPOINT=proxy.url)
    assert result["snapshot"] == stem("08-00") and "NoSuchKey" in result["skipped"][0]["reason"]
    said = failing(tree, aws, "--location", f"s3://backups/{key}", "--to", tmp_path / "again")
    assert "NoSuchKey" in said and key in said
    assert "NoSuchBucket" in failing(tree, aws, "--location", f"s3://no-such-bucket/{key}", "--to", tmp_path / "again")
    put(s3, b"", stem("10-00"))
    assert from_s3(tree, aws, "--to", tmp_path / "again")[0]["skipped"][0]["snapshot"] == stem("10-00")


@pytest.mark.parametrize("args,env,says", [
    (["--from-s3"], {"SNAPSHOT_S3_BUCKET_NAME": ""}, "SNAPSHOT_S3_BUCKET_NAME"),
    (["--from-s3"], {"SNAPSHOT_S3_BUCKET_NAME": "UPPER"}, "UPPER"),
    (["--from-s3"], {"SNAPSHOT_S3_BUCKET_NAME": "b" * 200}, "SNAPSHOT_S3_BUCKET_NAME"),
    (["--from-s3"], {"AWS_REGION": ""}, "AWS_REGION"),
    (["--from-s3"], {"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID"),
    (["--from-s3", "--snapshot-s3-endpoint", "ftp://x"], {}, "ftp://x"),
    (["--from-s3", "--location", "s3://backups/x"], {}, "not both"),
    (["--location", "s3://backups"], {}, "s3://BUCKET/KEY"), (["--location", "s3:///x"], {}, "bucket"),
    (["--location", "s3://backups/x", "--at", "2h"], {}, "--location"),
    (["--from-s3", "--checksum", "0" * 64], {}, "--location"), (["--from-s3", "--storage-snapshot"], {}, "--to"),
])
def test_wrong_use_is_said_before_anything_is_asked(tree, aws, args, env, says):
    aws.bucket()
    run = restore(tree, *args, **(aws.env | BUCKET | env))
    assert run.returncode == 64 and says in run.stderr, run.stderr


def test_a_key_that_would_climb_out_of_the_folder_does_not(tree, aws, tmp_path):
    s3 = aws.bucket()
    to = tmp_path / "a" / "b"
    to.mkdir(parents=True)
    for key in ("test-cpu/daily/docs/../../../up.snapshot", "test-cpu/daily/../..snapshot", "test-cpu/daily/docs/...snapshot"):
        s3.put_object(Bucket="backups", Key=key, Body=b"x")
        restored(tree, "--location", f"s3://backups/{key}", "--collection", "docs", "--to", to, **aws.env)
    assert "no backup" in failing(tree, aws, "--from-s3", "--to", to)
    assert [p for p in tmp_path.rglob("*.snapshot") if p.parent != to] == [] and len(list(to.iterdir())) == 3
