"""The server as a process: settings, files that it makes at its start, signals, restarts."""
import hashlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess

import pytest
from contract_steps import add_point, make_collection, points_of, take_snapshot
from harness import Certificate, wait_for
from server import free_port
from test_snapshots import FIVE, SIX


def run(server, *arguments):
    """A server that is to end by itself."""
    return subprocess.run([server.program, *arguments], cwd=server.work, env=server.env, capture_output=True,
                          text=True, timeout=60)


def test_it_tells_its_version(fresh):
    told = run(fresh(), "--version")
    assert (told.returncode, told.stdout) == (0, "qdrant 1.18.2\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_end_it_with_code_0_even_with_a_connection_open(fresh, number):
    server = fresh().start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"healthz check passed"
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    connection.close()


def test_it_says_by_a_file_that_it_is_initialized_and_takes_the_old_one_away_first(fresh):
    server = fresh()
    mark = server.work / ".qdrant-initialized"
    server.start()
    wait_for(mark.exists)
    server.stop()
    assert mark.exists()
    server.storage.rename(server.work / "away")
    server.storage.write_text("not a folder")  # so that the next start fails
    assert run(server).returncode != 0
    assert not mark.exists()


def test_the_name_of_that_file_can_be_chosen(fresh, tmp_path):
    server = fresh(env={"QDRANT_INIT_FILE_PATH": str(tmp_path / "mark")}).start()
    wait_for((tmp_path / "mark").exists)
    assert not (server.work / ".qdrant-initialized").exists()


def test_collections_snapshots_and_the_peer_id_outlive_a_restart(fresh):
    server = fresh().start()
    make_collection(server, "kept")
    name = take_snapshot(server, "kept")["name"]
    assert server.stop() == 0
    server.start()
    assert points_of(server, "kept") == FIVE
    listed = server.result("GET", "/collections/kept/snapshots")
    assert [d["name"] for d in listed] == [name] and len(listed[0]["checksum"]) == 64
    assert take_snapshot(server, "kept")["name"].split("-")[1] == name.split("-")[1]


def test_what_was_acknowledged_outlives_kill_9(fresh):
    server = fresh().start()
    make_collection(server, "killed")
    add_point(server, "killed", 6)
    server.kill()
    server.start()
    assert points_of(server, "killed") == SIX


def test_leftovers_in_the_temporary_folders_are_gone_after_a_start(fresh):
    server = fresh()
    for folder in (server.snapshots / "tmp", server.storage / "tmp"):
        (folder / "x.snapshot-temp-AbCdEf").mkdir(parents=True)
        (folder / "x.snapshot-arc-AbCdEf").write_text("x")
    server.start()
    assert [p.name for p in (server.snapshots / "tmp").iterdir()] == ["upload"]
    assert not (server.storage / "tmp").exists()


def test_in_recovery_mode_it_answers_but_touches_no_collection(fresh):
    server = fresh().start()
    make_collection(server, "closed")
    server.stop()
    server.env["QDRANT__STORAGE__RECOVERY_MODE"] = "look at it"
    server.start()
    assert server.result("GET", "/collections") == {"collections": [{"name": "closed"}]}
    assert server.request("GET", "/readyz") == (200, "all shards are ready")
    assert server.result("GET", "/collections/closed/snapshots") == []
    metrics = server.request("GET", "/metrics")[1].split("\n")
    assert {"app_status_recovery_mode 1", 'snapshot_creation_running{id="closed"} 0'} < set(metrics)
    read = "Service internal error: 1 of 1 read operations failed:\n  "
    failed = "Service internal error: Failed to {},  look at it"
    for method, path, body, text in (
            ("GET", "", None, read + failed.format("Get Info")),
            ("POST", "/points/count", {}, read + failed.format("count")),
            ("POST", "/points/scroll", {}, read + failed.format("Scroll")),
            ("PUT", "/points", {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]},
             failed.format("Update Points")),
            ("POST", "/snapshots", None, failed.format("get_snapshot_creator"))):
        status, reply = server.request(method, f"/collections/closed{path}", body)
        assert (status, reply["status"]) == (500, {"error": text})
    status, reply = server.request("POST", "/snapshots")
    assert (status, reply["status"]) == (500, {"error": failed.format("get_snapshot_creator")})
    server.stop()
    del server.env["QDRANT__STORAGE__RECOVERY_MODE"]
    server.start()
    assert points_of(server, "closed") == FIVE


def test_with_tls_it_shows_its_certificate_and_speaks_nothing_else(fresh, tmp_path):
    good, other = Certificate(tmp_path / "good"), Certificate(tmp_path / "other")
    server = fresh(certificate=good, api_key="k").start()
    make_collection(server, "c")
    assert points_of(server, "c") == FIVE and len(take_snapshot(server, "c")["checksum"]) == 64
    assert server.request("GET", "/collections", key=None)[0] == 401
    server.certificate = other
    with pytest.raises(ssl.SSLCertVerificationError):
        server.request("GET", "/readyz")
    server.certificate = None
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.request("GET", "/readyz")
    server.certificate = good
    assert server.request("GET", "/readyz")[0] == 200
    assert server.stop() == 0


def test_without_the_certificate_that_it_is_to_show_it_does_not_start(fresh, tmp_path):
    certificate = Certificate(tmp_path / "gone")
    certificate.file.unlink()
    assert run(fresh(certificate=certificate)).returncode != 0


def test_a_key_is_changed_by_a_restart(fresh):
    server = fresh(api_key="first").start()
    make_collection(server, "c")
    server.stop()
    server.env["QDRANT__SERVICE__API_KEY"] = server.api_key = "second"
    server.start()
    assert server.request("GET", "/collections", key="first") == (401, "Invalid API key or JWT")
    assert points_of(server, "c") == FIVE


def test_in_a_cluster_the_peer_id_is_the_one_in_the_names_of_snapshots(fresh):
    port = free_port()
    server = fresh(env={"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(port)})
    server.start("--uri", f"http://127.0.0.1:{port}")
    cluster = server.result("GET", "/cluster")
    peer = cluster["peer_id"]
    assert cluster["status"] == "enabled"
    assert cluster["peers"] == {str(peer): {"uri": f"http://127.0.0.1:{port}/"}}
    assert set(cluster["raft_info"]) == {"term", "commit", "pending_operations", "leader", "role", "is_voter"}
    assert cluster["consensus_thread_status"]["consensus_thread_status"] == "working"
    make_collection(server, "c")
    assert take_snapshot(server, "c")["name"].split("-")[1] == str(peer)


def test_a_port_that_is_taken_ends_it_with_code_1(fresh):
    server = fresh()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        assert run(server).returncode == 1


def test_a_snapshot_is_restored_at_the_start(fresh):
    one, two = fresh().start(), fresh()
    make_collection(one, "c")
    path = one.snapshots / "c" / take_snapshot(one, "c")["name"]
    two.start("--snapshot", f"{path}:copy")
    assert points_of(two, "copy") == FIVE
    add_point(two, "copy", 6)
    two.stop()
    refused = run(two, "--snapshot", f"{path}:copy")
    assert refused.returncode != 0
    assert "already exists. Use --force-snapshot to overwrite it." in refused.stdout + refused.stderr
    two.start("--snapshot", f"{path}:copy", "--force-snapshot")
    assert points_of(two, "copy") == FIVE


def test_kill_9_leaves_what_term_leaves_of_a_restored_snapshot_that_is_green_and_that_nobody_wrote_to(fresh):
    """A restore onto an empty disk kills its staging Qdrant for that reason."""
    def left(server, number):
        server.start("--snapshot", f"{path}:c")
        wait_for(lambda: server.result("GET", "/collections/c")["status"] == "green", 60)
        server.result("POST", "/collections/aliases",
                      {"actions": [{"create_alias": {"collection_name": "c", "alias_name": "other"}}]})
        server.process.send_signal(number)
        server.process.wait(60)
        return sorted((uuid.sub("*", str(p.relative_to(server.storage))), content(p))
                      for p in server.storage.rglob("*") if p.is_file() and p.name not in ("raft_state.json", "replica_state.json") and not is_ahead(p))

    def is_ahead(path):
        """A write-ahead log's next segment, which a thread makes in its own time, with a seed of its own."""
        return path.parent.name == "wal" and path.name.startswith("open-") and path != min(path.parent.glob("open-*"))

    def content(path):  # the order of JSON members is Qdrant's mood
        data = path.read_bytes()
        try:
            return json.dumps(json.loads(data), sort_keys=True)
        except ValueError:
            return hashlib.sha256(data).hexdigest()

    uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    one = fresh().start()
    make_collection(one, "c")
    add_point(one, "c", 6)
    path = one.snapshots / "c" / take_snapshot(one, "c")["name"]
    one.stop()
    two, three = fresh(), fresh()
    assert left(two, signal.SIGTERM) == left(three, signal.SIGKILL)
    for server in (two, three):
        server.start()
        assert points_of(server, "other") == SIX


def test_a_full_storage_snapshot_is_restored_at_the_start(fresh):
    one, two = fresh().start(), fresh()
    make_collection(one, "c")
    make_collection(one, "d")
    add_point(one, "d", 6)
    one.result("POST", "/collections/aliases",
               {"actions": [{"create_alias": {"collection_name": "d", "alias_name": "other"}}]})
    path = one.snapshots / one.result("POST", "/snapshots")["name"]
    two.start("--storage-snapshot", str(path))
    assert points_of(two, "c") == FIVE and points_of(two, "d") == SIX and points_of(two, "other") == SIX
