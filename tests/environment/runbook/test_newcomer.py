"""A newcomer's first hour without AWS, by the commands of docker/README.md as they stand there, in a fresh copy of the tree."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import image as images
import pytest
from runbook_page import PAGE
from server import free_port

README = PAGE.with_name("README.md")
ROOT = PAGE.parents[1]
PROJECT, MADE = "docker", "qdrant-efs"  # what compose calls it, of the folder; what `make image` makes
OFFICIAL = {"qdrant/qdrant:v1.18.2": "base", "debian:13-slim": "debian"}  # no registry may be at hand
WRAPPER = """#!/bin/sh
[ "$1" = compose ] || exec {docker} "$@"
shift
exec {compose} "$@"
"""
pytestmark = [images.needs_docker, pytest.mark.skipif(not images.compose(), reason="docker compose is not installed")]


def commands():
    text = README.read_text()
    section = text[text.index("## Without AWS\n"):]
    section = section[:section.find("\n## ", 3)] if "\n## " in section[3:] else section
    return re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)


def copy_of_the_tree(to):
    """What a checkout has."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:  # a tree without git
        shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns("build*", ".git", "__pycache__"))
        return
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def leftovers():
    mine = f"label=com.docker.compose.project={PROJECT}"
    return images.docker("ps", "-aq", "--filter", mine).stdout.split() + \
        images.docker("volume", "ls", "-q", "--filter", mine).stdout.split()


@pytest.fixture
def docker_as_a_newcomer_has_it(tmp_path):
    """The official images under their names, `docker compose`, and nothing of it afterwards. Gives the PATH."""
    if leftovers():
        pytest.skip("there is a compose project called docker already")
    built, before = images.build("trixie"), {}
    for tag in (*OFFICIAL, MADE):
        before[tag] = images.id_of(tag)
    for tag, what in OFFICIAL.items():
        if not before[tag]:
            images.docker("tag", getattr(built, what), tag)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "docker").write_text(WRAPPER.format(docker=shutil.which("docker"), compose=" ".join(
        [shutil.which(images.compose()[0]), *images.compose()[1:]])))
    (bin_ / "docker").chmod(0o755)
    yield f"{bin_}:{os.environ['PATH']}"
    for tag, was in before.items():
        if was:
            images.docker("tag", was, tag)
        elif images.id_of(tag):
            images.docker("rmi", tag, check=False)


def test_the_first_hour_as_it_is_written_down(docker_as_a_newcomer_has_it, tmp_path):
    home, tree = tmp_path / "home", tmp_path / "checkout"
    home.mkdir()
    copy_of_the_tree(tree)
    ports = {name: str(free_port()) for name in ("HTTP_PORT", "GRPC_PORT", "STATUS_PORT")}
    env = {"HOME": str(home), "PATH": docker_as_a_newcomer_has_it, "LANG": "C.UTF-8"} | ports
    env |= {k: v for k, v in os.environ.items() if k.startswith("DOCKER_")}
    start, hour, lost = commands()
    try:
        # One terminal: what is set stays set.
        whole = "".join(f"{block}echo '=====' >&2; echo '====='\n" for block in (start, hour, lost))
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", whole], cwd=tree, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        _, said, after, _ = done.stdout.split("=====\n")
        assert "complete" in said and re.search(r"docs +.*proven|proven.*docs|1 of 1", said), said
        back = json.loads(next(line for line in after.splitlines() if '"result"' in line))["result"]["points"]
        assert [(p["id"], p["payload"]) for p in back] == [(1, {"city": "Berlin"})]
        key = pathlib.Path(home / "qdrant-api-key")
        assert key.stat().st_mode & 0o77 == 0
    finally:
        env["API_KEY_FILE"] = str(home / "qdrant-api-key")
        subprocess.run(["docker", "compose", "-f", "docker/docker-compose.yml", "--profile", "single", "down", "-v", "-t", "5"], cwd=tree,
                       env=env, capture_output=True)
        assert leftovers() == []
