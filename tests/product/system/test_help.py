"""What qdrant-efs says of itself: each command's help, its examples, the manual page, and what it says to a slip of the keyboard."""
import contextlib
import re
import shlex
import shutil
import subprocess

import pytest
from harness import BUILD, ROOT, Tree, checksum_of, wait_for
from heal_model import HealCluster
from restoring import KEY, attach, fill, snapshot
from server import Server

PAGE = ROOT / "efs/cli/qdrant-efs.8"


def help_of(*words):
    done = subprocess.run([BUILD / "qdrant-efs", *words, "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout


def section(text, name):
    return re.search(rf"^{name}:?[^\n]*\n((?:  .*\n)+)", text, re.M)[1]


def flags_of(command):
    return re.findall(r"^  (--[a-z0-9-]+)", section(help_of(command), "Options"), re.M)


COMMANDS = re.findall(r"^  ([a-z]+)(?: [A-Z]+)*(?: {2,}|$)", help_of(), re.M)


def test_there_are_commands():
    assert len(COMMANDS) >= 10 and {"status", "ls", "restore"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_its_usage_options_two_examples_and_exit_codes(command):
    text = help_of(command)
    assert text.startswith(f"Usage: qdrant-efs {command} ") and max(map(len, text.splitlines())) <= 80
    told = re.findall(r"^  (--[a-z0-9-]+(?: [A-Z0-9]+)?)(?: +|\n +)(\S.*)", section(text, "Options"), re.M)
    assert len(told) == len(flags_of(command)) and len(set(flags_of(command))) == len(told) and {"--root", "--json"} <= set(flags_of(command))
    assert len(section(text, "Examples").splitlines()) == 2
    assert re.findall(r"^  (\S+) ", section(text, "Exit codes"), re.M)[:3] == ["0", "1", "64"]
    assert text == help_of(command, "--json") == subprocess.run([BUILD / "qdrant-efs", "help", command], capture_output=True, text=True).stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_flag_that_the_help_tells_is_taken_and_no_other(command, tree):
    own, all_flags = set(flags_of(command)), {f for c in COMMANDS for f in flags_of(c)}
    for flag in sorted(all_flags - {"--retention"}):  # a setting of all programs
        run = tree.efs_tool(command, flag + "=")
        refused = "is not for" in run.stderr or "no such option" in run.stderr
        assert refused == (flag not in own), (flag, run.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_manual_page_has_the_command_and_each_of_its_flags(command):
    page = PAGE.read_text()
    assert re.search(rf"^\.Cm {command}\b", page, re.M) and re.search(rf"^\.It Cm {command}\b", page, re.M)
    missing = [f for f in flags_of(command) if not re.search(rf"\bFl Fl {re.escape(f[2:])}\b(?!-)", page)]
    assert missing == []


def test_the_manual_page_names_no_flag_that_nobody_takes():
    known = {f[2:] for c in COMMANDS for f in flags_of(c)} | {"help", "version"}
    assert set(re.findall(r"\bFl Fl ([a-z0-9-]+)", PAGE.read_text())) - known == {"config-path"}  # Qdrant's own


class Site:
    """A node's EFS with good backups of `docs`, a heartbeat and a replica, and a Qdrant that has lost it, as the examples have them."""

    def __init__(self, root):
        self.tree = Tree(root / "t")
        self.server = Server("standin", root / "server", api_key=KEY)
        self.server.__enter__()
        attach(self.tree, self.server)
        self.tree.env |= {"QDRANT_BIN": self.server.program, "DRILL_DIR": str(root / "drill"), "PATH": self.server.env["PATH"],
                          "NODE_NAME": "qdrant-0"}
        fill(self.server, "docs")
        stem = snapshot(self.server, "docs")
        data = (self.tree.snapshots / "docs" / f"{stem}.snapshot").read_bytes()
        for hour in ("08", "09"):
            (self.tree.snapshots / f"docs/docs-123-2026-11-24-{hour}-00-00.snapshot").write_bytes(data)
            (self.tree.snapshots / f"docs/docs-123-2026-11-24-{hour}-00-00.snapshot.checksum").write_text(checksum_of(data))
        self.tree.start()
        wait_for(lambda: any("docs-123-2026-11-24-08" in p.read_text() for p in self.tree.base.glob("heartbeat/*/*.json")), 60)
        self.tree.stop()
        self.server.result("DELETE", "/collections/docs")
        self.primary = root / "primary"
        shutil.copytree(self.tree.efs, self.primary)

    def run(self, line):
        words = shlex.split(line.replace("/mnt/primary", str(self.primary)))
        assert words[0] == "qdrant-efs"
        if words[-2] == ">":
            words = words[:-2]
        if words[1] == "heal":
            with contextlib.closing(HealCluster(3, {"docs": {0: [0, 1], 1: [1, 2]}}, {"docs": 2}, {0: 1, 1: 1}, [1, 2, 5203915410238477])) as c:
                if "--peer" in words:
                    c.lose(2)
                return self.tree.efs_tool(*words[1:], f"--url={c.nodes[0].url}")
        return self.tree.efs_tool(*words[1:])

    def close(self):
        self.server.__exit__(None, None, None)
        self.tree.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    s = Site(tmp_path_factory.mktemp("site"))
    yield s
    s.close()


# Last what deletes.
EXAMPLES = [line.strip() for c in sorted(COMMANDS, key=lambda c: c == "forget") for line in section(help_of(c), "Examples").splitlines()]


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_runs_as_it_stands(line, site):
    run = site.run(line)
    assert run.returncode == 0 and run.stdout, run.stdout + run.stderr


SLIPS = [
    (["statsu"], "no such command: statsu; did you mean status? See qdrant-efs --help"),
    (["stat"], "did you mean status?"), (["help", "restroe"], "did you mean restore?"), (["restroe", "--help"], "did you mean restore?"),
    (["frobnicate"], "no such command: frobnicate; use status, check, ls, browse, du, show, verify, restore, drill, heal, replica, diff, pin, unpin, note, forget, prune or compact; "),
    (["ls", "--colection", "docs"], "no such option: --colection; did you mean --collection? See qdrant-efs ls --help"),
    (["ls", "--jsno"], "did you mean --json?"), (["ls", "--bogus=s3cret"], "no such option: --bogus; see qdrant-efs ls --help"),
    (["ls", "--dry-run"], "--dry-run is not for ls, but for restore, heal, forget, prune or compact; see qdrant-efs ls --help"),
    (["status", "--newer", "2h"], "--newer is not for status, but for "),
    (["ls", "--json=yes"], "--json takes no value"), (["status", "--rpo", "soon"], "--rpo soon is not allowed; use seconds, or an age"),
    (["status", "--rpo"], "a value is missing after --rpo"), (["status", "docs"], "docs"), ([], "no command given"),
    (["ls", "--json\033[31m"], "no such option: --json?[31m"), (["l\033[31m"], "no such command: l?[31m")]


@pytest.mark.parametrize("args,words", SLIPS, ids=[" ".join(a).replace("\033", "ESC") for a, _ in SLIPS])
def test_a_slip_is_one_line_that_names_what_was_written_and_what_may_be_meant(args, words, tree):
    run = tree.efs_tool(*args)
    line, = run.stderr.splitlines()
    assert run.returncode == 64 and run.stdout == "" and words in line and "s3cret" not in line and "\033" not in line
