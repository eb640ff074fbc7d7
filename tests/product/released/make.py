"""Has a build write the tree that test_released.py reads:

    BUILD_DIR=/path/to/released/build python tests/product/released/make.py

Once for each release: the tree of an old one is never made anew, since that is the point of it. It holds collections with odd
names, every kind and tier, an upload, receipts of S3, tombstones of both kinds, and a record of each kind."""
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

import boto3

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "lib"))
from booting import ODD, Efs, Task, path_of  # noqa: E402
from harness import BUILD, Tree, checksum_of, wait_for  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from scheduling import from_now  # noqa: E402

OUT = TESTS / "data/released.tar.gz"
SETTINGS = {"NODE_NAME": "node-a", "SNAPSHOT_ON_STOP": "on", "RESTORE_ON_EMPTY": "latest", "SNAPSHOT_S3_BUCKET_NAME": "backups"}


def write(task):
    """What a node leaves in its life."""
    task.start()
    server = task.server
    task.fill("docs", "dropped", "forgotten", *ODD)
    server.result("POST", "/collections/aliases", {"actions": [
        {"create_alias": {"collection_name": "docs", "alias_name": name}} for name in ("current", "größe 🎉")]})
    wait_for(lambda: {c for _, c, _ in task.complete()} >= {"docs", "dropped", "forgotten", *ODD}, 60)  # the schedule's own
    server.result("POST", path_of("docs") + "/shards/0/snapshots?wait=true")
    upload = server.snapshots / "docs" / "by hand.snapshot"
    upload.with_suffix(".new").write_bytes(next((server.snapshots / "docs").glob("docs-*.snapshot")).read_bytes())
    upload.with_suffix(".new").rename(upload)
    wait_for(lambda: task.has("collection", "docs", "by hand.snapshot"), 120)
    server.result("DELETE", path_of("dropped"))
    wait_for(lambda: list(task.tree.glob("deleted/*/dropped.json")), 120)
    server.result("DELETE", path_of("forgotten"))
    run = task.tool("forget", "forgotten")
    assert run.returncode == 0, run.stderr
    server.result("POST", "/snapshots?wait=true")
    wait_for(lambda: {kind for kind, _, _ in task.complete()} == {"collection", "shard", "storage"}, 60)
    drill = subprocess.run([BUILD / "qdrant-efs", "drill", "--collection", "docs", "--keep-report", "--json"],
                           env=task.env | {"DRILL_DIR": str(task.log.parent / "scratch")}, capture_output=True, text=True)
    assert json.loads(drill.stdout)["verdict"] in ("proven", "partly_proven"), drill.stdout + drill.stderr
    wait_for(lambda: len(list(task.tree.rglob("*.s3"))) >= 10, 60)


HISTORY = ["11-01-08-00-05", "11-01-09-00-05", "11-01-09-15-05", "11-02-08-00-05", "11-02-08-15-05", "11-02-09-00-05"]


def write_history(work, efs, snapshot):
    """Every tier, of a node without a name."""
    tree = Tree(work / "history")
    for when in HISTORY:
        tree.snapshot("history", f"history-7-2026-{when}", snapshot, checksum=checksum_of(snapshot))
    run = tree.once(EFS_ROOT=str(efs.root), COMPRESSION="none")
    assert run.returncode == 0, run.stderr


def main():
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        efs, region = Efs(work / "efs"), "eu-west-1"
        aws = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "no-secret", "AWS_REGION": region,
               "AWS_ENDPOINT_URL": f"http://127.0.0.1:{moto.get_host_and_port()[1]}"}
        boto3.client("s3", endpoint_url=aws["AWS_ENDPOINT_URL"], region_name=region, aws_access_key_id="AKIDTEST",
                     aws_secret_access_key="no-secret").create_bucket(
                         Bucket="backups", CreateBucketConfiguration={"LocationConstraint": region})
        task = Task("standin", work / "task", efs, **SETTINGS, **aws, **from_now(10))
        try:
            write(task)
            write_history(work, efs, next((task.server.snapshots / "docs").glob("docs-*.snapshot")).read_bytes())
            task.server.result("PUT", path_of("docs") + "/points?wait=true", {"points": [
                {"id": 6, "vector": [0.3, 0.05, 0.1, 0.4], "payload": {"city": "Bengaluru"}}]})
            time.sleep(1.1)  # Qdrant names snapshots by the second
            expected = task.points()
            task.lose_disk()
            task.start()
            task.wait_restored()
            wait_for(lambda: list(efs.tree.glob("restores/*/*.json")))
            now = task.points()
            assert {name: now[name] for name in expected} == expected, "what the old build restores is what there was"
            expected = now
            wait_for(lambda: list(efs.tree.glob("heartbeat/*/*.json")), 120)
        finally:
            task.stop()
            task.end()
            moto.stop()
        (efs.root / "expected.json").write_text(json.dumps(expected))
        with tarfile.open(OUT, "w:gz") as tar:
            for path in sorted(efs.root.iterdir()):
                tar.add(path, arcname=path.name, filter=plain)
    print(os.path.getsize(OUT), "bytes")


def plain(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if ".partial" in member.name else member


main()
