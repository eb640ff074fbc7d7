"""What the programs know: their settings, from their own help and, where they print none, from their source."""
import functools
import os
import pathlib
import re
import subprocess

import pytest
from harness import BUILD

ROOT = pathlib.Path(__file__).parents[2]
# Read, but not set by whoever deploys us: AWS's, Qdrant's own, and the system's.
FOREIGN = re.compile(r"AWS_|ECS_|QDRANT__|QDRANT_(URI|BOOTSTRAP)$|TMPDIR$|TERM$|NO_COLOR$")


def source(pattern):
    return "\n".join(p.read_text() for p in sorted(ROOT.glob(pattern)))


@functools.cache
def help_of(program, *arguments):
    if not (BUILD / program).exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([BUILD / program, *arguments], capture_output=True, text=True, timeout=30,
                          env=os.environ | {"QDRANT_BIN": "/nowhere/qdrant"})  # whose own help is not ours
    assert done.returncode == 0, done.stderr
    return done.stdout


PROGRAMS = {"qdrant-entrypoint": [["--help"], ["health", "--help"]], "qdrant-replicator": [["--help"]], "qdrant-efs": [["--help"]]}


@functools.cache
def table(program="qdrant-replicator"):
    """{setting: its line in the program's --help}"""
    text = "".join(help_of(program, *arguments) for arguments in PROGRAMS[program])
    return dict(re.findall(r"^  ([A-Z][A-Z0-9_]+) +(.*)$", text, re.M))


def default_of(setting, program="qdrant-replicator"):
    """As --help has it, or "": a value, or words."""
    found = re.search(r"\(([^()]*)\)(; no flag: arguments are public)?$", table(program)[setting])
    return found[1] if found else ""


@functools.cache
def settings():
    """Every variable of ours."""
    assert all(len(table(p)) > 10 for p in PROGRAMS)
    return {n for p in PROGRAMS for n in table(p) if not FOREIGN.match(n)}


def emf_metrics():
    """(names, dimensions) of what replicator/status/emf.c reports of the whole tree."""
    text = source("replicator/status/emf.c")
    names = set(re.findall(r'\b(?:metric|define)\(&?l, "(\w+)", "', text))
    keys = re.search(r"keys\[\] = \{([^}]*)\}", text)[1]
    assert len(names) > 8
    return names, re.findall(r'"(\w+)"', keys)[:2]
