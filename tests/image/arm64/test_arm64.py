"""The programs for arm64 (Graviton), cross-compiled by docker/Dockerfile and run by qemu-user: they do what those of this
machine do, and each reads what the other has written."""
import json
import os
import platform

import image as images
import pytest
from harness import BUILD, takes_minutes, wait_for
from image import LABEL, ROOT, docker, needs_docker, run
from server import Server

SUITE = "trixie"
BIN = "/out/usr/local/bin"
# But for the one that hashes hundreds of megabytes, which takes minutes when it is emulated.
UNIT = [] if not os.environ.get("LONG") else sorted(str(p.relative_to(ROOT / "tests/unit").with_suffix("")) for p in (ROOT / "tests/unit").rglob("test_*.c") if p.stem != "test_copy")
# What unit tests need more than the programs, and what runs both.
TESTS = """
FROM {programs}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user libcmocka-dev:arm64 >/dev/null
COPY tests/unit tests/unit/
RUN test -z "{unit}" || make -s -j"$(nproc)" BUILD=/build CROSS=aarch64-linux-gnu- {unit}
"""

pytestmark = [needs_docker, pytest.mark.skipif(platform.machine() != "x86_64", reason="cross-compiles on x86_64")]


@pytest.fixture(scope="session")
def arm64(tmp_path_factory):
    debian, folder = images.debian(SUITE), tmp_path_factory.mktemp("arm64")
    programs = f"qdrant-efs-test/arm64:{SUITE}"
    with images.alone("arm64"):
        images.docker_build(programs, images.tar_of(ROOT, *images.SOURCE), "docker/Dockerfile", "--target=build",
                            TARGETARCH="arm64", BUILD_IMAGE=debian)
        (folder / "Dockerfile").write_text(TESTS.format(programs=programs, unit=" ".join(f"/build/unit/{u}" for u in UNIT)))
        (folder / "tests").symlink_to(ROOT / "tests")
        images.docker_build(f"{programs}-tests", images.tar_of(folder, "Dockerfile", "tests/unit"), "Dockerfile")
    yield f"{programs}-tests"
    images.remove_containers()


@pytest.fixture
def emulated(arm64):
    """Runs a program of arm64 as its command line is on this machine."""
    def call(program, *arguments, check=True, options=(), env=()):
        given = [f"--env={k}={v}" for k, v in dict(env).items()]
        return docker("run", "--rm", "--label", LABEL, "--network=host", *options, *given, arm64,
                       "qemu-aarch64", f"{BIN}/{program}", *arguments, check=check)
    return call


def test_they_are_programs_of_arm64_and_start(emulated):
    for program in ("qdrant-replicator", "qdrant-efs"):
        assert emulated(program, "--version").stdout == run(BUILD / program, "--version").stdout
        assert emulated(program, "--help").stdout == run(BUILD / program, "--help").stdout


@takes_minutes
def test_the_unit_tests_pass(arm64):
    each = "for t in $0; do qemu-aarch64 /build/unit/$t 2>&1 && echo passed: $t || echo failed: $t; done"
    done = docker("run", "--rm", "--label", LABEL, "-w", "/src", "-v", f"{ROOT}/tests/data:/src/tests/data:ro", arm64,
                  "sh", "-c", each, " ".join(UNIT))
    assert done.stdout.count("\npassed: ") == len(UNIT) > 10, done.stdout[-4000:]


@pytest.fixture
def settings(real_tree):
    return {k: v for k, v in real_tree.env.items() if k in (
        "EFS_ROOT", "SNAPSHOTS_DIR", "TIER", "LOCAL_KEEP", "QDRANT_URL", "LOG_FORMAT", "SNAPSHOT_INTERVAL", "STATUS_LISTEN",
        "DRILL_SCHEDULE", "EFS_ALLOW_LOCAL")}


def contents(folder):
    """{manifest's path: what it says of the snapshot's own bytes}"""
    manifests = {p.relative_to(folder): json.loads(p.read_text()) for p in folder.rglob("*.json")}
    return {path: {k: m[k] for k in ("collection", "snapshot", "kind", "slot", "created", "size", "sha256")}
            for path, m in manifests.items()}


@pytest.mark.parametrize("compression", ["none", "zstd:1"])
def test_a_replicator_publishes_the_same_backups_and_each_verifies_the_others(emulated, real_tree, settings, compression):
    here = [f"-v={real_tree.root}:{real_tree.root}"]
    settings["COMPRESSION"] = compression
    emulated("qdrant-replicator", "--once", options=here, env=settings)  # its CPU_ARCH is the machine's
    real_tree.env.pop("CPU_ARCH")
    assert real_tree.once(COMPRESSION=compression).returncode == 0
    trees = [real_tree.efs / f"test-{arch}" for arch in ("aarch64", platform.machine())]
    assert contents(trees[0]) == contents(trees[1]) and len(contents(trees[0])) > 3
    if compression == "none":
        for stored in trees[0].rglob("*.snapshot"):
            assert stored.read_bytes() == (trees[1] / stored.relative_to(trees[0])).read_bytes()
    for arch in ("aarch64", platform.machine()):
        emulated("qdrant-efs", "verify", options=here, env=settings | {"CPU_ARCH": arch})
        assert real_tree.efs_tool("verify", CPU_ARCH=arch).returncode == 0
    assert json.loads(emulated("qdrant-efs", "ls", "--json", options=here, env=settings).stdout)


def test_the_health_check_ends_with_0_1_or_64(emulated, tmp_path):
    with Server("standin", tmp_path) as server:
        port = {"QDRANT__SERVICE__HTTP_PORT": server.port}
        done = emulated("qdrant-entrypoint", "health", env=port)
        assert done.stdout.startswith("qdrant: ready")
    assert emulated("qdrant-entrypoint", "health", env=port, check=False).returncode == 1
    assert emulated("qdrant-entrypoint", "health", "now", env=port, check=False).returncode == 64


def test_the_entrypoint_ends_with_qdrants_code_also_after_a_term(emulated, arm64):
    qdrant = {"QDRANT_BIN": "/bin/sh"}  # which needs no emulation
    assert emulated("qdrant-entrypoint", "-c", "exit 7", env=qdrant, check=False).returncode == 7
    script = "trap 'exit 5' TERM; echo running; while :; do sleep 0.1; done"
    started = docker("run", "-d", "--label", LABEL, "--env=QDRANT_BIN=/bin/sh", arm64, "qemu-aarch64",
                     f"{BIN}/qdrant-entrypoint", "-c", script).stdout.strip()
    wait_for(lambda: "running\n" in docker("logs", started).stdout, 60)
    docker("stop", "-t", "60", started)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", started).stdout.strip() == "5"
