"""The container image for tests: docker/Dockerfile, built once for all suites that run it, and containers of it.

    pytestmark = image.needs_docker

    @pytest.fixture(scope="session")
    def built():
        return image.build("trixie")       # minutes the first time, then it is there

A tag has a hash of all that is in it: suites that run side by side wait for one build, and a run without a change
builds nothing. The official image cannot be had without a registry. What stands for it is built in the same steps: on
trixie as it is published, on bookworm as its unprivileged variant. Qdrant in it is the real server where QDRANT_BIN
names one, else the stand-in over the real engine.
"""
import contextlib
import fcntl
import functools
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile

import pytest
from harness import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
REAL = os.environ.get("QDRANT_BIN")
KIND = "real" if REAL else "standin"
USER = {"trixie": 0, "bookworm": 1000}  # of the image for that suite
PYTHON = {"trixie": "3.13", "bookworm": "3.11"}
SOURCE = ("Makefile", "LICENSE", "common", "aws", "qdrant", "efs", "replicator", "entrypoint", "docker/Dockerfile",
          "docker/sbom.sh")
LABEL = f"qdrant-efs-test={uuid.uuid4()}"  # on every container of this process
MADE_HERE = "qdrant-efs-test.image"        # on every image
STOP_SECONDS = 30

QDRANT_IMAGE = """
FROM {base}
RUN apt-get update && \\
    apt-get install -y --no-install-recommends ca-certificates tzdata libunwind8 {packages} && \\
    apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/lib/dpkg/status-old
RUN mkdir -p /qdrant/storage /qdrant/snapshots && chown -R {user}:{user} /qdrant
COPY --chown={user}:{user} files /qdrant/
WORKDIR /qdrant
USER {user}:{user}
ENV TZ=Etc/UTC RUN_MODE=production PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/qdrant/standin
EXPOSE 6333
EXPOSE 6334
LABEL org.opencontainers.image.title="Qdrant" \\
      org.opencontainers.image.source="https://qdrant.test/source" \\
      org.opencontainers.image.vendor="Qdrant"
CMD ["./entrypoint.sh"]
"""


def run(*command, check=True, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def docker(*command, **more):
    return run("docker", *command, **more)


def no_docker():
    """Why nothing can be run in a container, or None."""
    if not shutil.which("docker"):
        return "docker is not installed"
    return "no Docker daemon answers" if docker("info", check=False).returncode != 0 else None


def why_not():
    """Why no image can be built, or None."""
    if reason := no_docker():
        return reason
    if not shutil.which("debootstrap"):
        return "debootstrap is not installed"
    return "debootstrap needs root" if os.geteuid() != 0 else None


WHY_NOT = why_not()
needs_docker = pytest.mark.skipif(bool(WHY_NOT), reason=f"builds and runs images: {WHY_NOT}")


@functools.cache
def compose():
    """The command that is Docker Compose here: the plugin, or the older program; None without either."""
    return next((c for c in (["docker", "compose"], ["docker-compose"]) if shutil.which(c[0]) and
                 run(*c, "version", check=False).returncode == 0), None)


# --- building

def tar_of(folder, *names):
    """The same bytes for the same contents: their hash names what is built of it."""
    def plain(t):
        t.mtime = t.uid = t.gid = 0
        t.uname = t.gname = ""
        return None if "__pycache__" in t.name else t

    out = io.BytesIO()
    # The client knows a tar by its first block, which a pax header would fill.
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            tar.add(folder / name, name, filter=plain)
    return out.getvalue()


def id_of(tag):
    return docker("image", "inspect", "-f", "{{.Id}}", tag, check=False).stdout.strip()


def hash_of(*parts):
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part if isinstance(part, bytes) else str(part).encode()).digest())
    return whole.hexdigest()[:12]


@contextlib.contextmanager
def alone(name):
    """One process at a time."""
    with open(pathlib.Path(tempfile.gettempdir()) / f"qdrant-efs-test.{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def docker_build(tag, context, dockerfile, *options, **arguments):
    """From a tar on standard input: the builder sees what is in it and no more, with BuildKit or without."""
    given = [f"--build-arg={k}={v}" for k, v in arguments.items()]
    done = subprocess.run(["docker", "build", "--force-rm", "--label", MADE_HERE, "-t", tag, "-f", dockerfile, *given,
                           *options, "-"], input=context, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    docker("image", "prune", "-a", "-f", f"--filter=label={MADE_HERE}", "--filter=until=24h", check=False)


def debian(suite):
    """The tag of a minimal Debian; what stands for debian:13-slim."""
    with alone(f"debian-{suite}"):
        run(ROOT / "tests/image/docker/base-image.sh", suite, f"qdrant-efs-test/debian:{suite}")
    return f"qdrant-efs-test/debian:{suite}"


def put_standin(suite, files):
    """The stand-in, and its engine for that suite's Python."""
    shutil.copytree(ROOT / "tests/standin", files / "standin", ignore=shutil.ignore_patterns("__pycache__"))
    (files / "qdrant").symlink_to("standin/qdrant")
    requirements = (ROOT / "tests/requirements.txt").read_text().split()
    engine = next(line for line in requirements if line.startswith("qdrant-edge-py"))
    with tempfile.TemporaryDirectory() as wheels:
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", wheels,
            f"--python-version={PYTHON[suite]}", engine)
        for wheel in pathlib.Path(wheels).iterdir():
            zipfile.ZipFile(wheel).extractall(files / "standin")  # beside it, where one that is confined may read


def official(suite, base):
    """The tag of what stands for the official image."""
    text = QDRANT_IMAGE.format(base=base, user=USER[suite], packages="" if REAL else "python3")
    server = pathlib.Path(REAL).read_bytes() if REAL else tar_of(ROOT / "tests", "standin", "requirements.txt")
    tag = f"qdrant-efs-test/qdrant-{KIND}:{suite}-{hash_of(id_of(base), text, server)}"
    if not id_of(tag):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            files = folder / "files"
            (files / "config").mkdir(parents=True)
            (files / "entrypoint.sh").write_text("#!/usr/bin/env bash\nexec ./qdrant $@\n")
            (files / "entrypoint.sh").chmod(0o755)
            if REAL:
                shutil.copy(REAL, files / "qdrant")
            else:
                put_standin(suite, files)
            (folder / "Dockerfile").write_text(text)
            docker_build(tag, tar_of(folder, "Dockerfile", "files"), "Dockerfile")
    return tag


class Image:
    """`tag` was built of `debian` (BUILD_IMAGE) on top of `base` (QDRANT_IMAGE)."""

    def __init__(self, suite):
        self.suite, self.user, self.debian = suite, USER[suite], debian(suite)
        with alone(suite):
            self.base = official(suite, self.debian)
            source = tar_of(ROOT, *SOURCE)
            self.tag = f"qdrant-efs-test/qdrant-efs:{suite}-{KIND}-{hash_of(id_of(self.base), source)}"
            if not id_of(self.tag):
                docker_build(self.tag, source, "docker/Dockerfile", BUILD_IMAGE=self.debian, QDRANT_IMAGE=self.base)

    @functools.cached_property
    def both(self):
        """What Docker tells of the base, and of the image."""
        return [json.loads(docker("image", "inspect", t).stdout)[0] for t in (self.base, self.tag)]

    def sh(self, tag, script):
        return docker("run", "--rm", "-u0", "--label", LABEL, "--entrypoint=sh", tag, "-c", script).stdout

    @functools.cached_property
    def files(self):
        """Every path of both images, but for Docker's own: type, mode and owner; size, time and link."""
        mine = "/proc /sys /dev /.dockerenv /etc/mtab /etc/hosts /etc/hostname /etc/resolv.conf".split()
        listing = (f"find / -xdev \\( -path {' -o -path '.join(mine)} \\) -prune -o -printf "
                   "'%p\\t%y %m %U:%G\\t%s %T@ %l\\n'")
        lists = [self.sh(tag, listing).splitlines() for tag in (self.base, self.tag)]
        return [{path: tuple(what) for path, *what in (line.split("\t") for line in lines)}
                for lines in lists]


@functools.cache
def build(suite="trixie"):
    """The Image for a suite of Debian, once for each process."""
    return Image(suite)


def remove_containers():
    """All that this process has started: at the end of a session."""
    left = docker("ps", "-aq", "--filter", f"label={LABEL}", check=False).stdout.split()
    if left:
        docker("rm", "-f", "-v", *left, check=False)


# --- running

class Container:
    """One that runs in the background, with its EFS and Qdrant's folders in `folder`, owned by `user` (None: by the
    image's own). `ready`: wait until Qdrant answers."""

    def __init__(self, image, folder, user=0, options=(), env=(), efs=None, ready=True):
        given = () if user is None else (f"--user={user}:{user}",)
        user = image.user if user is None else user
        self.folder, self.efs = folder, efs or folder / "efs"
        mounts = []
        for where in ("/efs", "/qdrant/storage", "/qdrant/snapshots"):
            here = self.efs if where == "/efs" else folder / pathlib.PurePath(where).name
            if not here.exists():
                here.mkdir(parents=True)
                os.chown(here, user, user)
            mounts += ["-v", f"{here}:{where}"]
        # No schedule: its first run may come in the second of a test's own snapshot, and both get one name.
        settings = {"TIER": "test", "CPU_ARCH": "cpu", "EFS_ROOT": "/efs", "EFS_ALLOW_LOCAL": "1", "LOG_FORMAT": "json",
                    "SNAPSHOT_INTERVAL": "0"} | dict(env)
        variables = [f"--env={k}={v}" for k, v in settings.items() if v is not None]
        self.id = docker("run", "-d", "--label", LABEL, *given, "-p", "127.0.0.1::6333",
                         *mounts, *variables, *options, image.tag).stdout.strip()
        if ready:
            self.wait_until_ready()

    def wait_until_ready(self):
        self.port = int(docker("port", self.id, "6333/tcp").stdout.splitlines()[0].rsplit(":", 1)[1])
        wait_for(self.ready, 60)

    def inspect(self):
        return json.loads(docker("inspect", self.id).stdout)[0]

    def state(self):
        return self.inspect()["State"]

    def logs(self):
        done = docker("logs", self.id)
        return done.stdout + done.stderr

    def events(self, name):
        lines = (line for line in self.logs().splitlines() if line.startswith("{"))
        return [e for e in map(json.loads, lines) if e["event"] == name]

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (method, path, answer.status, text)
            return text
        finally:
            connection.close()

    def result(self, *request):
        return json.loads(self.request(*request))["result"]

    def ready(self):
        assert self.state()["Running"], self.logs()
        try:
            return bool(self.request("GET", "/readyz"))
        except (OSError, http.client.HTTPException, AssertionError):
            return False

    def processes(self):
        """{host's process id: command line}"""
        lines = docker("top", self.id, "-eo", "pid,args").stdout.splitlines()[1:]
        return {int(line.split(None, 1)[0]): line.split(None, 1)[1] for line in lines}

    def pids(self, program):
        """The host's ids of qdrant, qdrant-entrypoint or qdrant-replicator."""
        path = "/qdrant/qdrant" if program == "qdrant" else program
        return [pid for pid, line in self.processes().items()
                if path in line and (program != "qdrant" or "qdrant-entrypoint" not in line)]

    def exec(self, *command, **more):
        return docker("exec", self.id, *command, **more)

    def health(self, *options):
        """(exit code, what it says)"""
        done = docker("exec", *options, self.id, "qdrant-entrypoint", "health", check=False)
        return done.returncode, done.stdout

    def health_status(self):
        """What Docker makes of it: starting, healthy, unhealthy."""
        return self.state()["Health"]["Status"]

    def snapshot(self):
        """A collection with a point, and a snapshot of it through the REST API."""
        self.result("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
        berlin = {"id": 1, "vector": [0.05, 0.61, 0.76, 0.74], "payload": {"city": "Berlin"}}
        self.result("PUT", "/collections/c/points?wait=true", {"points": [berlin]})
        return self.result("POST", "/collections/c/snapshots?wait=true")

    def backups(self):
        done = self.exec("qdrant-efs", "ls", "--json", check=False)
        assert done.returncode == 0, done.stderr
        return {b["snapshot"] + ".snapshot" for b in json.loads(done.stdout) if b["state"] == "complete"}

    def stop(self, seconds=STOP_SECONDS):
        """TERM, and its exit code."""
        docker("stop", "-t", str(seconds), self.id)
        return self.state()["ExitCode"]


# Docker's own verdict within seconds. A start period of 0 would be the image's.
OFTEN = ("--health-interval=1s", "--health-retries=2", "--health-start-period=1ms")
# A read-only root file system needs Qdrant told to put its "I have started" file elsewhere.
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--env=QDRANT_INIT_FILE_PATH=/tmp/.qdrant-initialized",
             "--cap-drop=ALL", "--security-opt=no-new-privileges")
