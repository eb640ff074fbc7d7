"""A wrong setting is one line that names the variable, its value and what is allowed, and exit code 64."""
import subprocess

import pytest
from harness import BUILD, events, tar_of

WRONG = [("COMPRESSION", "gzip"), ("COMPRESSION", "zstd:20"), ("COMPRESSION", "zstd:0"), ("COMPRESSION", "zstd:"),
         ("COMPRESSION_THREADS", "1e9"), ("COMPRESSION_THREADS", "-1"), ("COMPRESSION_THREADS", "65"),
         ("RETENTION", "daily=x"), ("RETENTION", "weekly=3"), ("RETENTION", "daily"), ("RETENTION", "daily=0"),
         ("LOCAL_KEEP", "-1"), ("EFS_MODE", "0777"), ("EFS_MODE", "640"), ("LOCAL_KEEP", "1.5"), ("TIER", "../x"), ("TIER", "a/b"), ("TIER", "-rf"), ("CPU_ARCH", ".."),
         ("NODE_NAME", "a b"), ("QDRANT_URL", "ftp://x"), ("QDRANT_URL", "127.0.0.1:6333"), ("QDRANT_URL", "http://a b/"),
         ("QDRANT_URL", "http://user:pass@x/"), ("EFS_ROOT", "relative"), ("SNAPSHOTS_DIR", "relative"), ("LOG_LEVEL", "loud"),
         ("LOG_FORMAT", "xml"), ("QDRANT_API_KEY_FILE", "/nope"), ("QDRANT_API_KEY", "two\nlines"), ("QDRANT_FQDN", "x" * 300),
         ("RESTORE_ON_EMPTY", "2099-11-24T08:00Z"), ("RESTORE_ON_EMPTY", "2026-11-24T08:00+02:00"),
         ("STATUS_LISTEN", "foo"), ("STATUS_LISTEN", "localhost:http")]


@pytest.mark.parametrize("name,value", WRONG)
def test_a_wrong_value_is_named(tree, name, value):
    run = tree.once(**({"QDRANT_URL": ""} if name == "QDRANT_FQDN" else {}) | {name: value})
    assert run.returncode == 64 and run.stdout == ""
    line, = run.stderr.splitlines()
    assert f"{name}=" in line and "use " in line
    if name not in ("QDRANT_API_KEY", "RETENTION") and "@" not in value:
        assert value[:100] in line
    else:
        assert "pass" not in line and "two" not in line


def test_efs_root_is_required(tree):
    line, = events(tree.once(EFS_ROOT="").stderr)
    assert line["event"] == "wrong_setting" and "EFS_ROOT" in line["message"]


@pytest.mark.parametrize("args", [["--bogus"], ["extra"], ["--efs-root"], ["--qdrant-api-key", "x"]])
def test_wrong_arguments(tree, args):
    run = tree.replicator(*args)
    assert run.returncode == 64 and len(run.stderr.splitlines()) == 1 and args[0] in run.stderr
    line, = events(run.stderr)
    assert (line["program"], line["event"]) == ("qdrant-replicator", "wrong_setting")


@pytest.mark.parametrize("args,env", [(["--bogus"], {"LOG_FORMAT": "text"}), (["--log-format", "text", "--bogus"], {})])
def test_a_wrong_argument_is_told_in_the_format_that_is_set(tree, args, env):
    run = tree.replicator(*args, **env)
    assert run.returncode == 64 and " error wrong_setting: no such argument: --bogus" in run.stderr and "{" not in run.stderr


def test_every_setting_is_a_flag_of_the_same_name(tree):
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    bare = {k: v for k, v in tree.env.items() if k not in ("EFS_ROOT", "SNAPSHOTS_DIR", "TIER", "CPU_ARCH", "QDRANT_URL")}
    run = subprocess.run([BUILD / "qdrant-replicator", "--once", "--efs-root", tree.efs, f"--snapshots-dir={tree.snapshots}",
                          "--tier", "dev", "--cpu-arch=riscv", "--compression", "none", "--qdrant-url", "http://127.0.0.1:1"],
                         env=bare, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert next(tree.efs.rglob("*.snapshot")).parts[-4:-1] == ("dev-riscv", "monthly", "c")


def test_help_lists_every_setting_and_secrets_have_no_flag(tree):
    text = tree.replicator("--help").stdout
    for name in {n for n, _ in WRONG}:
        assert f"  {name} " in text or f"  {name}\n" in text
    assert tree.replicator("--version").stdout.startswith("qdrant-replicator ")


def test_qdrants_own_variables_are_the_defaults(tree):
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    assert tree.once(SNAPSHOTS_DIR="", QDRANT__STORAGE__SNAPSHOTS_PATH=str(tree.snapshots)).returncode == 0
    assert len(tree.complete()) == 1


def test_the_machine_names_the_tree(tree):
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True).stdout.strip()
    assert tree.once(TIER="", CPU_ARCH="").returncode == 0
    assert [p.name for p in tree.efs.iterdir()] == [f"default-{machine}"]


def test_text_logs_are_for_people_and_keep_to_one_line(tree):
    tree.snapshot("new\nline\033[31m", "c-1-2026-11-24-07-59-23", tar_of("x"))
    run = tree.once(LOG_FORMAT="text")
    assert run.returncode == 0 and "\033" not in run.stderr
    assert all(line.split()[1] in ("info", "warn", "error") for line in run.stderr.splitlines())


def test_log_level_is_obeyed(tree):
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    assert tree.once(LOG_LEVEL="error").stderr == ""
    assert '"already_there"' in tree.once(LOG_LEVEL="debug").stderr


def test_a_wrong_setting_of_the_log_itself_is_still_said(tree):
    assert "LOG_LEVEL" in tree.once(LOG_LEVEL="loud").stderr


def test_the_key_can_come_from_a_file(tree):
    key = tree.root / "key"
    key.write_text("s3cret\n")
    assert tree.once(QDRANT_API_KEY_FILE=str(key)).returncode == 0
    key.write_text("x" * 2000)
    assert tree.once(QDRANT_API_KEY_FILE=str(key)).returncode == 64


@pytest.mark.parametrize("url,key,said", [("http://192.0.2.1:6333", "k3y", 1), ("http://192.0.2.1:6333", "", 0), ("http://127.0.0.1:1", "k3y", 0)])
def test_a_key_that_goes_to_another_machine_as_it_is_is_warned_of(tree, url, key, said):
    tree.start(QDRANT_URL=url, QDRANT_API_KEY=key)
    lines = tree.logged("key_in_clear")
    assert len(lines) == said and all(line["level"] == "warn" and url in line["message"] and key not in line["message"] for line in lines)
    run = tree.efs_tool("restore", "--collection", "none", QDRANT_URL=url, QDRANT_API_KEY=key)
    assert run.stderr.count("sent Qdrant's key as it is") == said and (not key or key not in run.stderr)


@pytest.mark.parametrize("text", [None, "", "short", "x" * 513, "two\nlines of a token that is long", "with a space and long enough"])
def test_a_token_that_is_none_is_a_wrong_setting(tree, text):
    path = tree.root / "token"
    if text is not None:
        path.write_text(text)
    run = tree.once(STATUS_TOKEN_FILE=str(path))
    assert run.returncode == 64 and "STATUS_TOKEN_FILE" in run.stderr and (not text or text not in run.stderr)
    path.write_text("x" * 16 + "\n")
    assert tree.once(STATUS_TOKEN_FILE=str(path)).returncode == 0


@pytest.mark.parametrize("mode,text,data,folder", [(None, 0o644, 0o600, 0o755), ("0644", 0o644, 0o600, 0o755), ("0640", 0o640, 0o640, 0o750), ("0600", 0o600, 0o600, 0o700)])
def test_rights_on_efs_are_as_set(tree, mode, text, data, folder):
    tree.snapshot("c", "c-1-2026-11-24-07-59-23", tar_of("x"))
    run = tree.once(**({"EFS_MODE": mode} if mode else {}))
    assert run.returncode == 0, run.stderr
    found = {p: p.stat().st_mode & 0o7777 for p in tree.base.rglob("*")}
    assert {found[p] for p in found if p.is_dir()} == {folder} == {tree.base.stat().st_mode & 0o7777}
    assert {found[p] for p in found if p.name.endswith(".zst")} == {data}
    assert {found[p] for p in found if p.is_file() and not p.name.endswith(".zst")} == {text}
