"""What the programs know: their settings, from their own help and, where they print none, from their source."""
import functools
import pathlib
import re
import subprocess

import pytest
from harness import BUILD

ROOT = pathlib.Path(__file__).parents[2]
# Read, but not set by whoever deploys us: AWS's, Qdrant's own, and the system's.
FOREIGN = re.compile(r"AWS_|ECS_|QDRANT__|TMPDIR$|TERM$|NO_COLOR$")


def source(pattern):
    return "\n".join(p.read_text() for p in sorted(ROOT.glob(pattern)))


@functools.cache
def help_of(program, *arguments):
    if not (BUILD / program).exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([BUILD / program, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def table():
    """{setting: its line in qdrant-replicator --help}"""
    rows = re.findall(r"^  ([A-Z][A-Z0-9_]+) +(.*)$", help_of("qdrant-replicator", "--help"), re.M)
    assert len(rows) > 20
    return dict(rows)


def default_of(setting):
    return re.search(r"\(([^()]*)\)$", table()[setting])[1]


@functools.cache
def settings():
    """Every variable of ours."""
    health = re.findall(r"\bHEALTH_[A-Z_]+", help_of("qdrant-entrypoint", "health", "--help"))
    # The entrypoint hands its arguments to Qdrant and so has no --help; the drill's are in the source of its command.
    entrypoint = re.findall(r'\b(?:env|value)\((?:get, )?"([A-Z][A-Z0-9_]+)"', source("entrypoint/*.c"))
    commands = re.findall(r'\bconfig_\w+\(\s*"([A-Z][A-Z0-9_]+)"', source("efs/cmd_*.c"))
    assert health and "STOP_GRACE_SECONDS" in entrypoint
    return {n for n in {*table(), *health, *entrypoint, *commands} if not FOREIGN.match(n)}


def emf_metrics():
    """(names, dimensions) of what replicator/emf.c reports of the whole tree."""
    text = source("replicator/emf.c")
    names = set(re.findall(r'\b(?:metric|define)\(&?l, "(\w+)", "', text))
    keys = re.search(r"keys\[\] = \{([^}]*)\}", text)[1]
    assert len(names) > 8
    return names, re.findall(r'"(\w+)"', keys)[:2]
