"""The compose file and the image for Fargate, really run, on an image that tests/docker built (or IMAGE)."""
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import uuid

import pytest
import yaml
from harness import wait_for
from rules import MARGIN
from templates import DOCKER, render

IMAGE = os.environ.get("IMAGE", "qdrant-efs-test/qdrant-efs:trixie")  # its user is root, as the official image's
KEY = "a-key-for-tests"
FILE = DOCKER / "docker-compose.yml"
COMPOSE = next((c for c in (["docker", "compose"], ["docker-compose"]) if shutil.which(c[0]) and
                subprocess.run([*c, "version"], capture_output=True).returncode == 0), None)
needs_compose = pytest.mark.skipif(not COMPOSE, reason="docker compose is not installed")


def run(*command, check=True, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **more)
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture
def image():
    if not shutil.which("docker") or run("docker", "info", check=False).returncode != 0:
        pytest.skip("no Docker daemon answers")
    if run("docker", "image", "inspect", IMAGE, check=False).returncode != 0:
        pytest.skip(f"there is no image {IMAGE}: tests/docker makes it, when it runs before")
    return IMAGE


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

    def ready(self):
        return self.ask("GET", "/readyz")[0] == 200

    def snapshot(self):
        vectors, point = {"size": 4, "distance": "Dot"}, {"id": 1, "vector": [0.05, 0.61, 0.76, 0.74]}
        for request in (("PUT", "/collections/c", {"vectors": vectors}),
                        ("PUT", "/collections/c/points?wait=true", {"points": [point]})):
            assert self.ask(*request)[0] == 200
        status, text = self.ask("POST", "/collections/c/snapshots?wait=true")
        assert status == 200, text
        return json.loads(text)["result"]["name"]


def complete(listing):
    return {b["snapshot"] + ".snapshot" for b in json.loads(listing) if b["state"] == "complete"}


# --- compose

class Project:
    def __init__(self, folder):
        self.key, self.name = folder / "key", f"test-{uuid.uuid4().hex[:8]}"
        self.key.write_text(KEY + "\n")
        self.ports = [free_port() for _ in range(3)]
        names = ("HTTP_PORT", "GRPC_PORT", "STATUS_PORT")
        self.env = os.environ | {"API_KEY_FILE": str(self.key), "IMAGE": IMAGE} | dict(zip(names, map(str, self.ports)))

    def __call__(self, *command, **more):
        return run(*COMPOSE, "-p", self.name, "-f", FILE, *command, env=self.env, **more)

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
    for profile in ("single", "cluster"):
        p("--profile", profile, "down", "-v", "-t", "1", check=False)


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
    for name, s in services.items():
        assert s["command"][:2] == ["--uri", f"http://{name}:6335"]
        assert s["command"][2:] == ([] if name == "qdrant-0" else ["--bootstrap", "http://qdrant-0:6335"])


@needs_compose
def test_without_a_key_compose_says_what_is_missing(project):
    project.env.pop("API_KEY_FILE")
    done = project("--profile", "single", "config", check=False)
    assert done.returncode != 0 and "API_KEY_FILE" in done.stderr + done.stdout


@needs_compose
def test_the_single_node_of_compose_runs_with_the_key_and_backs_up(project, image):
    project("--profile", "single", "up", "-d", "--no-build")
    node = Node(project.ports[0])
    wait_for(node.ready, 60)
    assert node.ask("GET", "/collections", key=None)[0] in (401, 403)
    name = node.snapshot()
    wait_for(lambda: name in complete(project("exec", "-T", "qdrant", "qdrant-efs", "ls", "--json").stdout), 60)
    assert "qdrant: ready" in project("exec", "-T", "qdrant", "qdrant-entrypoint", "health").stdout
    assert Node(project.ports[2]).ask("GET", "/health", key=None)[0] == 200
    container = project("ps", "-q", "qdrant").stdout.strip()
    shown = run("docker", "inspect", container).stdout + project("logs").stdout
    assert KEY not in shown
    begin = time.monotonic()
    project("--profile", "single", "stop")
    assert time.monotonic() - begin < 50
    assert json.loads(run("docker", "inspect", container).stdout)[0]["State"]["ExitCode"] == 0


# --- Fargate

@pytest.fixture
def fargate_image(image):
    """docker/fargate/Dockerfile on top; its layer is shared by all that were built of the same image."""
    tag = f"qdrant-efs-test/fargate:{uuid.uuid4().hex[:8]}"
    run("docker", "build", "--force-rm", "--build-arg", f"IMAGE={image}", "-t", tag, "-",
        input=(DOCKER / "fargate/Dockerfile").read_text())
    yield tag
    run("docker", "rmi", tag, check=False)


def test_what_the_task_definition_says_runs_as_user_1000_on_a_read_only_root(fargate_image, tmp_path):
    c = render(TIER="test", NODE_NAME="n0")["containerDefinitions"][0]
    efs = tmp_path / "efs"
    efs.mkdir()
    os.chown(efs, 1000, 1000)  # the access point's work
    # A volume of the task takes owner and mode from the image's VOLUME; so does one without a name here.
    mounts = {m["containerPath"]: [f"-v={efs}:/efs"] if m["sourceVolume"] == "efs" else [f"-v={m['containerPath']}"]
              for m in c["mountPoints"]}
    env = {v["name"]: v["value"] for v in c["environment"] if v["name"] != "AK_ARN"} | {"QDRANT__SERVICE__API_KEY": KEY}
    started = run("docker", "run", "-d", f"--user={c['user']}", *(["--read-only"] if c["readonlyRootFilesystem"] else []),
                  *(f"--cap-drop={cap}" for cap in c["linuxParameters"]["capabilities"]["drop"]),
                  "--security-opt=no-new-privileges", "-p", "127.0.0.1::6333", *(m for v in mounts.values() for m in v),
                  *(f"--env={k}={v}" for k, v in env.items()), fargate_image)
    container = started.stdout.strip()
    try:
        node = Node(int(run("docker", "port", container, "6333/tcp").stdout.splitlines()[0].rsplit(":", 1)[1]))
        wait_for(node.ready, 60)
        name = node.snapshot()
        wait_for(lambda: name in complete(run("docker", "exec", container, "qdrant-efs", "ls", "--json").stdout), 60)
        assert run("docker", "exec", container, *c["healthCheck"]["command"][1:]).stdout.startswith("qdrant: ready")
        assert {f.stat().st_uid for f in efs.rglob("*")} == {1000}
        assert run("docker", "exec", container, "touch", "/qdrant/x", check=False).returncode != 0
        run("docker", "stop", "-t", c["stopTimeout"], container)
        assert json.loads(run("docker", "inspect", container).stdout)[0]["State"]["ExitCode"] == 0
    finally:
        run("docker", "rm", "-f", "-v", container, check=False)
