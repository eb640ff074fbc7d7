"""The compose file and the image for Fargate, really run."""
import contextlib
import http.client
import json
import os
import socket
import time
import uuid

import image as images
import pytest
import yaml
from harness import wait_for
from image import REAL, docker, needs_docker, run
from rules import MARGIN
from templates import DOCKER, render

KEY = "a-key-for-tests"
FILE = DOCKER / "docker-compose.yml"
needs_compose = pytest.mark.skipif(not images.compose(), reason="docker compose is not installed")


@pytest.fixture(scope="session")
def image():
    """Its user is root, as the official image's."""
    return images.build("trixie").tag


class Node:
    """Its REST API."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, key=KEY):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as c:
            c.request(method, path, json.dumps(body) if body else None,
                      {"content-type": "application/json"} | ({"api-key": key} if key else {}))
            answer = c.getresponse()
            return answer.status, answer.read()

    def result(self, *request):
        status, text = self.ask(*request)
        assert status == 200, (request, status, text)
        return json.loads(text)["result"]

    def ready(self):
        return self.ask("GET", "/readyz")[0] == 200

    def snapshot(self):
        berlin = {"id": 1, "vector": [0.05, 0.61, 0.76, 0.74], "payload": {"city": "Berlin"}}
        self.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        self.result("PUT", "/collections/c/points?wait=true", {"points": [berlin]})
        return self.result("POST", "/collections/c/snapshots?wait=true")["name"]

    def points(self, collection):
        return self.result("POST", f"/collections/{collection}/points/scroll",
                           {"limit": 1000, "with_payload": True, "with_vector": True})


def complete(listing):
    return {b["snapshot"] + ".snapshot" for b in json.loads(listing) if b["state"] == "complete"}


# --- compose

class Project:
    def __init__(self, folder):
        self.key, self.name = folder / "key", f"test-{uuid.uuid4().hex[:8]}"
        self.key.write_text(KEY + "\n")
        self.ports, self.up = [free_port() for _ in range(3)], False
        names = ("HTTP_PORT", "GRPC_PORT", "STATUS_PORT")
        self.env = os.environ | {"API_KEY_FILE": str(self.key)} | dict(zip(names, map(str, self.ports)))

    def __call__(self, *command, **more):
        self.up |= "up" in command
        return run(*images.compose(), "-p", self.name, "-f", FILE, *command, env=self.env, **more)

    def services(self, profile):
        whole = yaml.safe_load(self("--profile", profile, "config").stdout)["services"]
        return {n: s for n, s in whole.items() if s["profiles"] == [profile]}


def source_of(volume):
    """Its name; None for one without. The older Compose writes them short."""
    source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source") or "/"
    return None if source.startswith("/") else source


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def project(tmp_path):
    p = Project(tmp_path)
    yield p
    if p.up:
        p("--profile", "single", "--profile", "cluster", "down", "-v", "-t", "1", check=False)


@needs_compose
@pytest.mark.parametrize("profile, names", [("single", ["qdrant"]), ("cluster", ["qdrant-0", "qdrant-1", "qdrant-2"])])
def test_compose_takes_the_profile(project, profile, names):
    services = project.services(profile)
    assert sorted(services) == names
    for name, s in services.items():
        assert s["environment"]["NODE_NAME"] == name
        assert s["healthcheck"]["test"] == ["CMD", "qdrant-entrypoint", "health"]
        grace = s["stop_grace_period"]
        assert grace in ("60s", "1m0s") and int(s["environment"]["STOP_GRACE_SECONDS"]) + MARGIN <= 60
        assert KEY not in json.dumps(s)


@needs_compose
def test_the_nodes_of_the_cluster_know_each_other_and_share_one_efs(project):
    services = project.services("cluster")
    mounts = {name: {source_of(v) for v in s["volumes"]} - {None} for name, s in services.items()}
    assert set.intersection(*mounts.values()) == {"efs"} and len(set.union(*mounts.values())) == 7
    assert len({s["environment"]["SNAPSHOT_OFFSET"] for s in services.values()}) == 3
    for s in services.values():  # none of them is the first one, whatever becomes of its disk
        assert s["environment"]["QDRANT_CLUSTER_DNS"] == ",".join(services) and not s.get("command") and not s.get("depends_on")
        assert s["environment"]["QDRANT_CLUSTER_FOUND"] == ""


@needs_compose
def test_without_a_key_compose_says_what_is_missing(project):
    project.env.pop("API_KEY_FILE")
    done = project("--profile", "single", "config", check=False)
    assert done.returncode != 0 and "API_KEY_FILE" in done.stderr + done.stdout


@needs_compose
@needs_docker
def test_the_single_node_of_compose_backs_up_and_has_all_back_after_it_lost_its_disk(project, image):
    project.env["IMAGE"] = image
    project("--profile", "single", "up", "-d", "--no-build")
    node = Node(project.ports[0])
    wait_for(node.ready, 60)
    assert node.ask("GET", "/collections", key=None)[0] in (401, 403)
    name = node.snapshot()
    wait_for(lambda: name in complete(project("exec", "-T", "qdrant", "qdrant-efs", "ls", "--json").stdout), 60)
    assert "qdrant: ready" in project("exec", "-T", "qdrant", "qdrant-entrypoint", "health").stdout
    assert Node(project.ports[2]).ask("GET", "/health", key=None)[0] == 200
    points = node.points("c")
    container = project("ps", "-q", "qdrant").stdout.strip()
    assert KEY not in docker("inspect", container).stdout + project("logs").stdout
    begin = time.monotonic()
    project("--profile", "single", "stop")
    assert time.monotonic() - begin < 50
    assert json.loads(docker("inspect", container).stdout)[0]["State"]["ExitCode"] == 0
    project("--profile", "single", "rm", "-f", "-v")
    docker("volume", "rm", *(f"{project.name}_{v}" for v in ("storage", "snapshots")))
    project("--profile", "single", "up", "-d", "--no-build")
    wait_for(lambda: project("exec", "-T", "qdrant", "qdrant-entrypoint", "health", check=False).returncode == 0, 120)
    wait_for(node.ready, 60)  # a restore that works is healthy, too, and lets nobody in yet
    assert node.points("c") == points and "Berlin" in str(points)


@needs_compose
@needs_docker
@pytest.mark.real
@pytest.mark.skipif(not REAL, reason="a cluster needs the real Qdrant server: set QDRANT_BIN to its binary")
def test_each_node_of_the_cluster_backs_up_its_own_shards_and_all_three_restored_are_the_collection(project, image):
    names, node = [f"qdrant-{n}" for n in range(3)], Node(project.ports[0])
    project.env["IMAGE"] = image

    def up(word):
        project.env["CLUSTER_FOUND"] = word
        project("--profile", "cluster", "up", "-d", "--no-build")
        wait_for(node.ready, 60)
        wait_for(lambda: len(node.result("GET", "/cluster")["peers"]) == 3, 60)

    up("")
    shape = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 3, "replication_factor": 1}
    node.result("PUT", "/collections/c", shape)
    points = [{"id": n, "vector": [0.1, 0.2, 0.3, n / 1000]} for n in range(300)]
    node.result("PUT", "/collections/c/points?wait=true", {"points": points})
    shards = {}
    for name in names:
        project("exec", "-T", name, "qdrant-replicator", "snapshot", "c")
        listing = project("exec", "-T", "qdrant-0", "sh", "-c", "qdrant-efs restore --collection c --node $0 --stdout | tar -t",
                          name).stdout
        shards[name] = {line.removeprefix("./").split("/")[0] for line in listing.splitlines() if "segments/" in line}
    assert sorted(s for of_one in shards.values() for s in of_one) == ["0", "1", "2"], shards
    assert all(shards.values())
    had = sorted(node.points("c")["points"], key=lambda p: p["id"])
    project("--profile", "cluster", "rm", "-s", "-f", "-v")
    docker("volume", "rm", *(f"{project.name}_{v}-{n}" for v in ("storage", "snapshots") for n in range(3)))
    project("--profile", "cluster", "up", "-d", "--no-build")  # they have no disk, and found nothing by themselves
    wait_for(lambda: "cluster_waits" in project("logs", "qdrant-0").stdout, 60)
    up("again")
    project("exec", "-T", "qdrant-0", "qdrant-efs", "restore", "--set")
    assert sorted(node.points("c")["points"], key=lambda p: p["id"]) == had and len(had) == 300


# --- Fargate

@pytest.fixture
def fargate_image(image):
    """docker/fargate/Dockerfile on top; its layer is shared by all that were built of the same image."""
    tag = f"qdrant-efs-test/fargate:{uuid.uuid4().hex[:8]}"
    docker("build", "--force-rm", "--build-arg", f"IMAGE={image}", "-t", tag, "-",
        input=(DOCKER / "fargate/Dockerfile").read_text())
    yield tag
    docker("rmi", tag, check=False)


def start_as_on_fargate(image, tmp_path):
    """(container, its EFS, how the task definition describes it)"""
    c = render(TIER="test", NODE_NAME="n0")["containerDefinitions"][0]
    efs = tmp_path / "efs"
    efs.mkdir()
    os.chown(efs, 1000, 1000)  # the access point's work
    # A volume of the task takes owner and mode from the image's VOLUME; so does one without a name here.
    mounts = {m["containerPath"]: [f"-v={efs}:/efs"] if m["sourceVolume"] == "efs" else [f"-v={m['containerPath']}"]
              for m in c["mountPoints"]}
    env = {v["name"]: v["value"] for v in c["environment"] if v["name"] != "AK_ARN"} | {
        "QDRANT__SERVICE__API_KEY": KEY, "EFS_ALLOW_LOCAL": "1"}
    started = docker("run", "-d", f"--user={c['user']}", *(["--read-only"] if c["readonlyRootFilesystem"] else []),
                  *(f"--cap-drop={cap}" for cap in c["linuxParameters"]["capabilities"]["drop"]),
                  "--security-opt=no-new-privileges", "-p", "127.0.0.1::6333", *(m for v in mounts.values() for m in v),
                  *(f"--env={k}={v}" for k, v in env.items()), image)
    return started.stdout.strip(), efs, c


def address_of(container):
    return Node(int(docker("port", container, "6333/tcp").stdout.splitlines()[0].rsplit(":", 1)[1]))


@needs_docker
def test_a_shell_as_ecs_exec_opens_it_is_root_without_capabilities_and_that_is_enough_for_the_runbook(fargate_image, tmp_path):
    container, efs, _ = start_as_on_fargate(fargate_image, tmp_path)

    def shell(*command, check=True, **env):
        return docker("exec", "-u", "0", *(f"--env={k}={v}" for k, v in env.items()), container, *command, check=check)

    try:
        node = address_of(container)
        wait_for(node.ready, 60)
        name = node.snapshot()
        wait_for(lambda: name in complete(shell("qdrant-efs", "ls", "--json").stdout), 60)
        assert shell("touch", "/qdrant/storage/x", check=False).returncode != 0, "it is not without capabilities"
        for f in efs.rglob("*"):
            f.chmod(f.stat().st_mode | 0o044)  # EFS asks as whom the access point has it, here the file's rights decide
        docker("exec", container, "qdrant-efs", "drill")  # as the node itself makes them
        assert shell("qdrant-efs", "drill", check=False).returncode != 0, "the runbook need not name a folder"
        by_hand = shell("qdrant-efs", "drill", DRILL_DIR="/tmp/drill-by-hand").stdout
        assert "1 of 1" in by_hand or "proven" in by_hand, by_hand
        docker("exec", container, "qdrant-efs", "drill")  # and it is not in the node's way
        for command in (["qdrant-entrypoint", "health"], ["qdrant-efs", "verify", "--deep"], ["qdrant-efs", "restore", "--dry-run", "--force"],
                        ["qdrant-efs", "status"], ["qdrant-replicator", "snapshot", "c"]):
            shell(*command)
        assert len(list(efs.glob("*/15min/c/*.json"))) >= 1
    finally:
        docker("rm", "-f", "-v", container, check=False)


@needs_docker
def test_what_the_task_definition_says_runs_as_user_1000_on_a_read_only_root(fargate_image, tmp_path):
    container, efs, c = start_as_on_fargate(fargate_image, tmp_path)
    try:
        node = address_of(container)
        wait_for(node.ready, 60)
        name = node.snapshot()
        wait_for(lambda: name in complete(docker("exec", container, "qdrant-efs", "ls", "--json").stdout), 60)
        assert docker("exec", container, *c["healthCheck"]["command"][1:]).stdout.startswith("qdrant: ready")
        assert {f.stat().st_uid for f in efs.rglob("*")} == {1000}
        assert docker("exec", container, "touch", "/qdrant/x", check=False).returncode != 0
        docker("stop", "-t", c["stopTimeout"], container)
        assert json.loads(docker("inspect", container).stdout)[0]["State"]["ExitCode"] == 0
    finally:
        docker("rm", "-f", "-v", container, check=False)
