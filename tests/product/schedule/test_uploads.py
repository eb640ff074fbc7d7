"""What comes without Qdrant's checksum may be anything: what of that becomes a backup, and as what it counts."""
import calendar
import io
import hashlib
import json
import os
import re
import time

import pytest
import real_tars as tars
from bad_server import said
from harness import checksum_of, events, manifests_of, tar_of, wait_for
from scheduling import from_now
from server import free_port

HOUR = 3600
NIGHT = calendar.timegm((2026, 11, 24, 3, 7, 0))  # of a file's time


def upload(tree, data, name="up", folder="orders", when=NIGHT):
    path = tree.snapshot(folder, name, data, checksum=False)
    os.utime(path, (when, when))
    return path


def refused(tree, **env):
    """The reason, of what must be neither published nor deleted."""
    before = {p: p.read_bytes() for p in tree.snapshots.rglob("*.snapshot")}
    run = tree.once(LOCAL_KEEP="0", **env)
    said_ = [e for e in events(run.stderr) if e["event"] == "upload_refused"]
    assert run.returncode == 1 and len(said_) == 1 and said_[0]["level"] == "error", run.stderr
    assert tree.files() == [] and before == {p: p.read_bytes() for p in tree.snapshots.rglob("*.snapshot")}
    return said_[0]["message"]


@pytest.fixture
def orders(bad):
    """A Qdrant with the collection orders, whose shape is that of the recorded snapshots."""
    bad.names = ["orders"]
    bad.answers["info", "orders"] = said(tars.config(tars.PARAMS))
    return bad


def test_a_snapshot_of_a_collection_of_another_shape_is_neither_published_nor_deleted(tree, orders):
    orders.answers["info", "orders"] = said(tars.config(tars.LARGER))
    upload(tree, tars.tar(tars.collection()))
    assert "of 4 Dot" in (why := refused(tree)) and "of 8 Dot" in why


def test_a_tar_with_a_photo_is_refused_and_says_what_is_missing(tree, orders):
    upload(tree, tars.tar([("photo.jpg", b"\xff\xd8" * 3000)]))
    assert "no version.info" in refused(tree)


@pytest.mark.parametrize("part", ["version.info", "config.json", "0/shard_config.json", "0/segments/", "0/"])
def test_a_snapshot_that_lacks_a_part_is_refused(tree, orders, part):
    members = [m for m in tars.collection() if not m[0].startswith("0/")] if part == "0/" else tars.without(tars.collection(), part)
    upload(tree, tars.tar(members))
    assert re.search(r"no backup, .*(no |cannot)", refused(tree))


def test_a_snapshot_with_another_number_of_shards_or_sharding_is_refused(tree, orders):
    orders.answers["info", "orders"] = said(tars.config(tars.PARAMS | {"sharding_method": "custom"}))
    upload(tree, tars.tar(tars.collection()))
    assert "sharding is auto" in refused(tree)
    orders.answers["info", "orders"] = said(tars.config(tars.PARAMS | {"shard_number": 3}))
    assert "it has 1 shards" in refused(tree)


@pytest.mark.parametrize("name", ["up", "orders-1-2026-12-01-08-00-00", "orders-1-2031-01-01-08-00-00", ".x", "%2Ex",
                                  "orders-1-2020-02-02-08-00-00"])
def test_what_fits_is_published_in_15min_by_the_files_own_time_whatever_its_name(tree, orders, name):
    upload(tree, data := tars.tar(tars.collection()), name=name)
    run = tree.once()
    if name == ".x":
        assert tree.files() == []  # somebody's hidden file, no snapshot
        return
    assert run.returncode == 0, run.stderr
    b, = tree.ls()
    assert b["frequency"] == "15min" and b["created"] == "2026-11-24T03:07:00Z" and b["slot"] == "2026-11-24T03:00:00Z"
    assert b["origin"] == "upload" and b["sha256"] == checksum_of(data) and b["points"] is None and b["node"] == ""
    assert b["snapshot"] == (name + ".upload" if name.startswith("orders-") else name)
    m = json.loads(next(manifests_of(tree.base)).read_text())
    assert m["qdrant_checksum"] is False and m["origin"] == "upload" and m["node"]["peer_id"] == ""
    assert "uploaded" in tree.efs_tool("ls").stdout and re.search("origin +upload", tree.efs_tool("show", b["snapshot"]).stdout)
    before = tree.files()
    assert tree.once().returncode == 0 and tree.files() == before  # known again, without its hash
    assert tree.efs_tool("verify", "--deep").returncode == 0


def test_an_upload_takes_no_tier_from_the_snapshots_that_qdrant_makes(tree, orders):
    upload(tree, tars.tar(tars.collection()), name="orders-1-2026-11-24-08-00-00")
    tree.snapshot("orders", "orders-1-2026-11-24-08-15-00", tars.tar(tars.collection()))
    assert tree.once().returncode == 0
    assert {b["snapshot"]: b["frequency"] for b in tree.ls()} == {
        "orders-1-2026-11-24-08-00-00.upload": "15min", "orders-1-2026-11-24-08-15-00": "monthly"}


def test_a_name_far_ahead_lets_go_of_no_other_backup_and_is_not_the_newest(tree, orders):
    upload(tree, tars.tar(tars.collection()), name="orders-1-2031-01-01-08-00-00")
    for hour in range(4, 8):
        tree.snapshot("orders", f"orders-1-2026-11-24-0{hour}-15-00", tar_of(str(hour)))
        assert tree.once(RETENTION="15min=1h,hourly=1h,daily=1h,monthly=1").returncode == 0
    left = [b["snapshot"] for b in tree.ls()]
    assert left[-1] == "orders-1-2026-11-24-07-15-00" and "orders-1-2026-11-24-04-15-00" in left


def test_an_upload_waits_while_qdrant_cannot_be_asked_and_is_published_then(tree, orders):
    upload(tree, tars.tar(tars.collection()))
    run = tree.once(QDRANT_URL=f"http://127.0.0.1:{free_port()}")
    assert run.returncode == 1 and '"upload_waits"' in run.stderr and tree.files() == []
    orders.names = []  # not there yet: Qdrant may be restoring this very file
    run = tree.once()
    assert run.returncode == 1 and "has no collection" in run.stderr and '"upload_waits"' in run.stderr and tree.files() == []
    orders.names = ["orders"]
    assert tree.once().returncode == 0 and len(tree.complete()) == 1


def test_a_refused_upload_is_said_once_and_told_by_health_until_it_is_gone(tree, orders):
    port = free_port()
    path = upload(tree, tars.tar([("photo.jpg", b"x")]))
    tree.start(STATUS_LISTEN=f"127.0.0.1:{port}", SNAPSHOT_INTERVAL="1d")

    def health():
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        c.request("GET", "/health")
        answer = c.getresponse()
        return answer.status, json.loads(answer.read())

    def codes():
        return [r["code"] for r in health()[1]["reasons"]]
    wait_for(lambda: "upload_refused" in codes())
    code, told = health()
    reason = next(r for r in told["reasons"] if r["code"] == "upload_refused")
    assert code == 200 and told["status"] == "degraded" and reason["collection"] == "orders" and "up.snapshot" in reason["message"]
    os.utime(path)  # looked at again: the same file, but for its time
    time.sleep(1)
    assert len(tree.logged("upload_refused")) == 1
    path.unlink()
    wait_for(lambda: "upload_refused" not in codes())


def test_a_shards_snapshot_must_have_the_collections_vectors(tree, orders):
    upload(tree, tars.tar(tars.shard()), folder="orders/shards/0")
    orders.answers["info", "orders"] = said(tars.config(tars.LARGER))
    assert "of 8 Dot" in refused(tree)
    orders.answers["info", "orders"] = said(tars.config(tars.PARAMS))
    assert tree.once().returncode == 0
    b, = tree.ls()
    assert (b["kind"], b["shard"], b["frequency"], b["origin"]) == ("shard", "0", "15min", "upload")


def test_a_snapshot_of_the_whole_storage_is_refused_without_a_checksum_though_it_would_fit(tree, orders):
    """Qdrant takes no upload of it: whoever has its key can put a file there all the same."""
    whole = tars.tar([("a.snapshot", tars.tar(tars.collection())), ("config.json", json.dumps(
        {"collections_mapping": {"orders": "a.snapshot"}, "collections_aliases": {}}).encode())])
    tree.snapshots.joinpath("full.snapshot").write_bytes(whole)
    os.utime(tree.snapshots / "full.snapshot", (NIGHT, NIGHT))
    orders.answers["info", "orders"] = said(tars.config(tars.PARAMS))
    assert "takes no upload of the whole storage" in refused(tree)
    (tree.snapshots / "full.snapshot.checksum").write_text(hashlib.sha256(whole).hexdigest())
    assert tree.once().returncode == 0 and [b["kind"] for b in tree.ls()] == ["storage"]


def test_an_upload_that_is_cut_is_a_mismatch_as_ever(tree, orders):
    data = tars.tar(tars.collection())
    upload(tree, data[:100_352 // 512 * 512 // 2])
    run = tree.once()
    assert run.returncode == 1 and '"mismatch"' in run.stderr and tree.files() == []


@pytest.mark.parametrize("ahead", [20 * 60, 9 * HOUR, 5 * 365 * 86400])
def test_a_snapshot_from_a_clock_that_ran_ahead_takes_no_tier_and_is_no_newer_than_its_publication(tree, ahead):
    now = time.time()
    name = time.strftime("c-1-%Y-%m-%d-%H-%M-%S", time.gmtime(now + ahead))
    tree.snapshot("c", name, tar_of("ahead"))
    assert tree.once().returncode == 0
    b, = tree.ls()
    created = calendar.timegm(time.strptime(b["created"], "%Y-%m-%dT%H:%M:%SZ"))
    assert b["frequency"] == "15min" and now - 2 <= created <= time.time() + 1 and b["snapshot"] == name
    tree.snapshot("c", time.strftime("c-1-%Y-%m-%d-%H-%M-%S", time.gmtime(now)), tar_of("now"))
    assert tree.once().returncode == 0
    assert sorted(b["frequency"] for b in tree.ls()) == ["15min", "monthly"]
    assert tree.once().returncode == 0 and len(tree.ls()) == 2
    assert tree.efs_tool("verify").returncode == 0


def test_a_snapshot_from_the_future_lets_no_other_go(tree):
    now = time.time()
    names = [time.strftime("c-1-%Y-%m-%d-%H-%M-%S", time.gmtime(now - 900 * i)) for i in range(4)]
    for name in names:
        tree.snapshot("c", name, tar_of(name))
    tree.snapshot("c", ahead := "c-1-2035-01-01-08-00-00", tar_of("ahead"))
    env = {"RETENTION": "15min=2h,hourly=2h,daily=2h,monthly=1"}
    assert tree.once(**env).returncode == 0
    assert {n for _, _, n in tree.complete()} == {*names, ahead}
    assert tree.efs_tool("prune", **env).returncode == 0 and {n for _, _, n in tree.complete()} == {*names, ahead}


def form(name, data):
    head = f'--b\r\nContent-Disposition: form-data; name="snapshot"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}


def test_what_qdrant_refuses_never_becomes_a_backup_and_what_it_takes_does(qdrant, tree):
    for name, size in (("test", 4), ("orders", 8)):
        qdrant.result("PUT", f"/collections/{name}", {"vectors": {"size": size, "distance": "Dot"}})
        points = [{"id": i, "vector": [0.5] * size} for i in range(3)]
        qdrant.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})
    made = qdrant.result("POST", "/collections/test/snapshots?wait=true")["name"]
    data = (qdrant.snapshots / "test" / made).read_bytes()

    def send(to, name, what):
        body, headers = form(name, what)
        return qdrant.request("POST", f"/collections/{to}/snapshots/upload?priority=snapshot", body, headers)[0]
    assert send("orders", made, data) >= 400
    assert send("orders", "photo.snapshot", tars.tar([("photo.jpg", b"\xff" * 3000)])) >= 400
    assert send("test", "again.snapshot", data) == 200
    there = {p.relative_to(qdrant.snapshots) for p in qdrant.snapshots.rglob("*.snapshot")}
    assert {str(p) for p in there} == {f"test/{made}", f"orders/{made}", "orders/photo.snapshot", "test/again.snapshot"}
    tree.start(SNAPSHOT_INTERVAL="0", LOCAL_KEEP="0")
    wait_for(lambda: len(tree.logged("upload_refused")) == 2, 60)
    wait_for(lambda: ("collection", "test", "again") in tree.complete(), 60)
    assert {(c, s) for _, c, s in tree.complete()} == {("test", made.removesuffix(".snapshot")), ("test", "again")}
    assert {b["snapshot"]: b["frequency"] for b in tree.ls()} == {made.removesuffix(".snapshot"): "monthly", "again": "15min"}
    wait_for(lambda: not (qdrant.snapshots / "test/again.snapshot").exists(), 60)
    assert (qdrant.snapshots / "orders" / made).exists() and (qdrant.snapshots / "orders/photo.snapshot").exists()


def test_an_upload_serves_no_slot_whatever_time_is_in_its_name(tree, orders):
    """After a restart the replicator asks Qdrant which slots are served already."""
    upload(tree, tars.tar(tars.collection()), name=time.strftime("orders-1-%Y-%m-%d-%H-%M-%S", time.gmtime(time.time() + 5)))
    tree.start(**from_now(300))
    wait_for(lambda: tree.logged("snapshot_made"))


def test_a_second_upload_of_the_same_name_is_published_beside_the_first(tree, orders):
    """As in the README: people call each of them docs.snapshot."""
    for seed, when in ((1, NIGHT), (2, NIGHT + HOUR)):
        upload(tree, tars.tar(tars.collection()) + bytes(512 * seed), name="orders", when=when)
        for _ in range(2):  # and it is found again
            run = tree.once()
            assert run.returncode == 0 and '"conflict"' not in run.stderr, run.stderr
    assert {(b["frequency"], b["snapshot"], b["slot"][11:16]) for b in tree.ls()} == {
        ("15min", "orders", "03:00"), ("15min", "orders.20261124T040700Z.upload", "04:00")}
    assert tree.efs_tool("verify").returncode == 0
