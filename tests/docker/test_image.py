"""docker/Dockerfile, really built on Debian 12 and 13, and its image really run.

The official image cannot be had without a registry. What stands for it is built here in the same steps: on
trixie as it is published, on bookworm as its unprivileged variant. Qdrant in it is the real server where
QDRANT_BIN names one, else the stand-in over the real engine.
"""
import concurrent.futures
import functools
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import uuid
import zipfile

import pytest
from harness import wait_for

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
REAL = os.environ.get("QDRANT_BIN")
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
USER = {"bookworm": 1000, "trixie": 0}
OURS = {"/usr/local/bin/qdrant-entrypoint", "/usr/local/bin/qdrant-replicator", "/usr/local/bin/qdrant-efs",
        "/usr/local/share/doc/qdrant-efs/LICENSE"}
LABEL = f"qdrant-efs-test={uuid.uuid4()}"
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
ENV TZ=Etc/UTC RUN_MODE=production PYTHONPATH=/qdrant/python
EXPOSE 6333
EXPOSE 6334
LABEL org.opencontainers.image.title="Qdrant"
CMD ["./entrypoint.sh"]
"""


def why_not():
    if not shutil.which("docker"):
        return "docker is not installed"
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        return "no Docker daemon answers"
    if not shutil.which("debootstrap"):
        return "debootstrap is not installed"
    return "debootstrap needs root" if os.geteuid() != 0 else None


WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"builds and runs images: {WHY_NOT}")


def run(*command, check=True, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    assert not check or done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def docker(*command, **more):
    return run("docker", *command, **more)


def build(tag, context, dockerfile, **arguments):
    """From a tar on standard input: the builder sees what is in it and no more, with BuildKit or without."""
    given = [f"--build-arg={k}={v}" for k, v in arguments.items()]
    before = docker("image", "inspect", "-f", "{{.Id}}", tag, check=False).stdout.strip()
    done = subprocess.run(["docker", "build", "--force-rm", "-t", tag, "-f", dockerfile, *given, "-"],
                          input=context, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()[-4000:]
    if before and before != docker("image", "inspect", "-f", "{{.Id}}", tag).stdout.strip():
        docker("rmi", before, check=False)  # one that somebody else still needs stays


def tar_of(folder, *names):
    out = io.BytesIO()
    # The client knows a tar by its first block, which a pax header would fill.
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            tar.add(folder / name, name, filter=lambda t: None if "__pycache__" in t.name else t)
    return out.getvalue()


def put_standin(suite, files):
    """The stand-in, and its engine for that suite's Python."""
    shutil.copytree(ROOT / "tests/standin", files / "standin", ignore=shutil.ignore_patterns("__pycache__"))
    (files / "qdrant").symlink_to("standin/qdrant")
    wheels = files.parent / "wheels"
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", wheels,
        f"--python-version={PYTHON[suite]}", "qdrant-edge-py")
    for wheel in wheels.iterdir():
        zipfile.ZipFile(wheel).extractall(files / "python")


def qdrant_image(suite, folder):
    base, kind = f"qdrant-efs-test/debian:{suite}", "real" if REAL else "standin"
    run(HERE / "base-image.sh", suite, base)
    files = folder / "files"
    files.mkdir()
    (files / "config").mkdir()
    (files / "entrypoint.sh").write_text("#!/usr/bin/env bash\nexec ./qdrant $@\n")
    (files / "entrypoint.sh").chmod(0o755)
    if REAL:
        shutil.copy(REAL, files / "qdrant")
    else:
        put_standin(suite, files)
    (folder / "Dockerfile").write_text(
        QDRANT_IMAGE.format(base=base, user=USER[suite], packages="" if REAL else "python3"))
    build(f"qdrant-efs-test/qdrant-{kind}:{suite}", tar_of(folder, "Dockerfile", "files"), "Dockerfile")
    return base, f"qdrant-efs-test/qdrant-{kind}:{suite}"


class Image:
    def __init__(self, suite, folder):
        self.suite, self.tag = suite, f"qdrant-efs-test/qdrant-efs:{suite}"
        debian, self.base = qdrant_image(suite, folder)
        source = tar_of(ROOT, "Makefile", "LICENSE", "common", "aws", "qdrant", "efs", "replicator", "entrypoint", "docker")
        build(self.tag, source, "docker/Dockerfile", BUILD_IMAGE=debian, QDRANT_IMAGE=self.base)

    @functools.cached_property
    def both(self):
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


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Both suites at once: much of a build is waiting for a mirror."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield {suite: pool.submit(Image, suite, tmp_path_factory.mktemp(suite)) for suite in PYTHON}
    left = docker("ps", "-aq", "--filter", f"label={LABEL}").stdout.split()
    if left:
        docker("rm", "-f", "-v", *left)


@pytest.fixture(scope="module", params=sorted(PYTHON))
def image(request, builds):
    return builds[request.param].result()


class Container:
    """One that runs in the background, with its EFS and Qdrant's folders in `folder`, owned by `user`."""

    def __init__(self, image, folder, user=0, options=(), env=(), efs=None):
        self.folder, self.efs = folder, efs or folder / "efs"
        mounts = []
        for where in ("/efs", "/qdrant/storage", "/qdrant/snapshots"):
            here = folder / pathlib.PurePath(where).name
            if where == "/efs" and efs:
                here = efs
            else:
                here.mkdir(parents=True)
                os.chown(here, user, user)
            mounts += ["-v", f"{here}:{where}"]
        settings = {"TIER": "test", "CPU_ARCH": "cpu", "EFS_ROOT": "/efs", "LOG_FORMAT": "json"} | dict(env)
        variables = [f"--env={k}={v}" for k, v in settings.items() if v is not None]
        self.id = docker("run", "-d", "--label", LABEL, f"--user={user}:{user}", "-p", "127.0.0.1::6333",
                         *mounts, *variables, *options, image.tag).stdout.strip()
        self.port = int(docker("port", self.id, "6333/tcp").stdout.splitlines()[0].rsplit(":", 1)[1])
        wait_for(self.ready, 60)

    def state(self):
        return json.loads(docker("inspect", self.id).stdout)[0]["State"]

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

    def has_replicator(self):
        return any("qdrant-replicator" in command for command in self.processes().values())

    def qdrant_pid(self):
        return next(pid for pid, command in self.processes().items()
                    if "/qdrant/qdrant" in command and "qdrant-entrypoint" not in command)

    def exec(self, *command, **more):
        return docker("exec", self.id, *command, **more)

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

    def stop(self):
        docker("stop", "-t", str(STOP_SECONDS), self.id)
        return self.state()["ExitCode"]


def check_on_the_host(efs, snapshot):
    """With nothing but coreutils and zstd, as somebody who mounts the EFS elsewhere."""
    sums = next(efs.rglob(f"{snapshot['name']}*.sha256"))
    run("sha256sum", "-c", sums.name, cwd=sums.parent)
    data = sums.with_suffix("")
    plain = subprocess.run(["zstd", "-dc", data], stdout=subprocess.PIPE, check=True).stdout
    assert hashlib.sha256(plain).hexdigest() == snapshot["checksum"]


# A read-only root file system needs Qdrant told to put its "I have started" file elsewhere.
READ_ONLY = ("--read-only", "--tmpfs", "/tmp", "--env=QDRANT_INIT_FILE_PATH=/tmp/.qdrant-initialized",
             "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["as PID 1", "under --init"])
@pytest.mark.parametrize("user, options", [(0, ()), (1000, READ_ONLY)], ids=["root", "user 1000 read-only"])
def test_a_snapshot_arrives_on_efs_and_a_stop_ends_with_qdrants_code(image, tmp_path, user, options, init):
    c = Container(image, tmp_path, user, options + init)
    snapshot = c.snapshot()
    wait_for(lambda: snapshot["name"] in c.backups(), 60)
    assert c.exec("qdrant-efs", "verify").returncode == 0
    check_on_the_host(c.efs, snapshot)
    assert {f.stat().st_uid for f in c.efs.rglob("*")} == {user}
    assert c.stop() == 0, c.logs()
    assert c.events("stopped"), c.logs()  # the replicator's last word


def test_a_task_that_lost_its_disk_has_all_points_back_when_it_is_healthy(image, tmp_path):
    user = USER[image.suite]
    first = Container(image, tmp_path / "first", user)
    snapshot = first.snapshot()
    wait_for(lambda: snapshot["name"] in first.backups(), 60)
    name = first.result("GET", "/collections")["collections"][0]["name"]
    scroll = ("POST", f"/collections/{name}/points/scroll", {"limit": 1000, "with_payload": True, "with_vector": True})
    had = first.result(*scroll)
    first.stop()
    shutil.rmtree(tmp_path / "first" / "storage")
    shutil.rmtree(tmp_path / "first" / "snapshots")
    second = Container(image, tmp_path / "second", user, env={"RESTORE_ON_EMPTY": "latest"}, efs=first.efs)
    wait_for(lambda: second.exec("qdrant-entrypoint", "health", check=False).returncode == 0, 60)
    assert second.result(*scroll) == had and had["points"]
    assert second.events("boot_restored")[0]["snapshot"] + ".snapshot" == snapshot["name"]
    assert second.stop() == 0


def test_a_qdrant_that_is_killed_gives_the_container_its_exit_code(image, tmp_path):
    c = Container(image, tmp_path)
    os.kill(c.qdrant_pid(), signal.SIGKILL)
    wait_for(lambda: not c.state()["Running"], STOP_SECONDS)
    assert c.state()["ExitCode"] == 137


def test_without_efs_root_it_warns_and_qdrant_runs_alone(image, tmp_path):
    c = Container(image, tmp_path, env={"EFS_ROOT": None})
    c.snapshot()
    assert [e["level"] for e in c.events("no_backups")] == ["warn"] and "EFS_ROOT" in c.logs()
    assert not c.has_replicator()
    assert c.stop() == 0


def test_with_a_wrong_retention_qdrant_runs_and_the_log_shouts(image, tmp_path):
    c = Container(image, tmp_path, env={"RETENTION": "daily=soon"})
    wait_for(lambda: c.events("no_backups"))
    assert [e["level"] for e in c.events("no_backups")] == ["error"]
    assert "RETENTION" in c.events("wrong_setting")[0]["message"]
    c.snapshot()
    assert not c.has_replicator() and list(c.efs.iterdir()) == []
    assert c.stop() == 0


def test_arguments_are_qdrants(image):
    done = docker("run", "--rm", "--label", LABEL, image.tag, "--version")
    assert done.stdout.startswith("qdrant ")


def test_it_is_configured_as_the_official_image_but_for_its_entrypoint(image):
    base, ours = (both["Config"] for both in image.both)
    assert ours["Entrypoint"] == ["qdrant-entrypoint"] and not ours["Cmd"]
    assert ours["Labels"]["org.opencontainers.image.title"] == "Qdrant with backups on EFS"
    for key in ("User", "Env", "WorkingDir", "ExposedPorts", "Volumes", "StopSignal"):
        assert ours.get(key) == base.get(key), key
    assert ours["Healthcheck"]["Test"] == ["CMD", "qdrant-entrypoint", "health"]


def test_it_is_the_official_image_and_one_layer_of_less_than_50_mb(image):
    base, ours = (both["RootFS"]["Layers"] for both in image.both)
    assert ours[:-1] == base
    assert image.both[1]["Size"] - image.both[0]["Size"] < 50e6


def test_only_our_programs_and_their_libraries_were_added(image):
    before, after = image.files
    assert set(before) <= set(after)
    new = {path for path, what in after.items() if path not in before and not what[0].startswith("d")}
    query = "dpkg-query -W -f '${binary:Package}\\n'"
    packages = set(image.sh(image.tag, query).split()) - set(image.sh(image.base, query).split())
    assert packages and all(p.startswith("lib") and "-dev" not in p for p in packages), packages
    # A folder that a package names with /lib in front is found below /usr.
    owned = image.sh(image.tag, f"dpkg-query -L {' '.join(packages)} | sed 's,^/lib/,/usr/lib/,'").split("\n")
    strange = {p for p in new - OURS - set(owned) if not p.startswith("/var/lib/dpkg/info/lib")}
    assert OURS <= new and strange == set()


def test_nothing_that_was_there_changed_but_the_lists_of_what_is_installed(image):
    before, after = image.files
    # A folder's size and time change with what is put into it.
    changed = {p for p in before if before[p][0] != after[p][0] or
               (before[p] != after[p] and not before[p][0].startswith("d"))}
    assert changed == {"/etc/ld.so.cache", "/var/lib/dpkg/status"}


def test_there_is_no_compiler_and_no_package_list_in_it(image):
    paths = {pathlib.PurePath(p) for p in image.files[1]}
    programs = {p.name for p in paths if p.parent.name in ("bin", "sbin")}
    assert "qdrant-efs" in programs
    assert not programs & {"gcc", "cc", "clang", "ld", "as", "make", "pkg-config", "dpkg-shlibdeps"}
    assert not any(p.suffix in (".c", ".h", ".o", ".a") for p in paths)
    lists = {p.name for p in paths if p.parent == pathlib.PurePath("/var/lib/apt/lists")}
    assert lists <= {"partial", "auxfiles"}


@pytest.mark.parametrize("program", sorted(p for p in OURS if "/bin/" in p))
def test_the_programs_are_stripped_position_independent_and_bound_at_start(image, program, tmp_path):
    made = docker("create", "--label", LABEL, image.tag).stdout.strip()
    docker("cp", f"{made}:{program}", tmp_path / "program")
    docker("rm", made)
    elf = run("readelf", "-hSldW", tmp_path / "program").stdout
    assert "(Position-Independent Executable file)" in elf
    assert ".symtab" not in elf and ".debug_" not in elf
    assert "GNU_RELRO" in elf and "NOW" in elf
    assert (tmp_path / "program").stat().st_mode & 0o7777 == 0o755


def test_every_library_is_found(image):
    for program in ("qdrant-entrypoint", "qdrant-replicator", "qdrant-efs"):
        loaded = image.sh(image.tag, f"LD_TRACE_LOADED_OBJECTS=1 {program}")
        assert "libc.so.6 => /" in loaded and "not found" not in loaded
