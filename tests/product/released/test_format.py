"""docs/format.md is right: its members are those that the code writes, and its example runs as it stands there."""
import json
import os
import pathlib
import re
import subprocess

import pytest
from restoring import KEY, attach, count
from runbook_page import blocks, fences, names
from server import Server

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / "docs/format.md"
# Each section's writers: a file, and the functions in it; none: all of them.
WRITERS = {
    "The manifest": [("efs/repo/manifest.c", ["add_print", "add_places", "add_plan", "add_fingerprint", "add_aliases", "manifest_add_origin",
                                              "manifest_add_points_of", "manifest_print", "add_recipe", "add_bases", "manifest_add_pieces"]),
                     ("efs/repo/shards.c", ["add_one", "to_json", "shards_add"]), ("efs/repo/compact.c", ["manifest_of_whole"])],
    "The receipt": [("replicator/publish/s3_upload.c", ["put_receipt"])],
    "The copy in S3": [("efs/restore/s3_metadata.c", ["restore_s3_labels", "restore_s3_sign"]), ("aws/s3/put.c", [])],
    "A tombstone": [("efs/repo/tombstone.c", ["print"])],
    "Heartbeat": [("efs/repo/heartbeat.c", ["add_backup", "folder_json", "head", "heartbeat_print"])],
    "Drill": [("efs/cli/cmd_drill.c", []), ("replicator/drill/drill_runner.c", ["crash"])],
    "Restore of an empty disk": [("replicator/restore/record.c", ["add_collection", "fill", "restore_record_add"])],
    "Stop": [("replicator/snapshot/stop_snapshots.c", ["on_left", "fill", "print"])],
}
FILES = {"The manifest": "*/*/*.json", "The receipt": "*/*/*.s3", "A tombstone": "deleted/*/*.json", "Heartbeat": "heartbeat/*/*.json",
         "Drill": "drills/*/*.json", "Restore of an empty disk": "restores/*/*.json", "Stop": "stops/*/*.json"}
RECORDS = ("deleted", "heartbeat", "drills", "restores", "stops")
TYPES = {
    "text": lambda v: isinstance(v, str),
    "time": lambda v: isinstance(v, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", v),
    "hash": lambda v: isinstance(v, str) and re.fullmatch(r"[0-9a-f]{64}", v),
    "whole": lambda v: type(v) is int and 0 <= v < 2**53,
    "number": lambda v: type(v) in (int, float),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "object": lambda v: isinstance(v, dict),
    "list of text": lambda v: isinstance(v, list) and all(isinstance(x, str) for x in v),
    "list of objects": lambda v: isinstance(v, list) and all(isinstance(x, dict) for x in v),
}


def members(section):
    """{path: (type, when it is missing)} of a section's table."""
    text = re.search(rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.M | re.S)[1]
    found = {}
    for name, kind, missing in re.findall(r"^\| `([^`]+)` \| ([^|]+) \|[^\n]*\|\s*([^|\n]*?)\s*\|$", text, re.M):
        choice = re.search(r"\{([^}]+)\}", name)
        for word in choice[1].split(",") if choice else [""]:
            found[name.replace(choice[0], word) if choice else name] = (kind.strip(), missing.strip())
    return found


def written(path, functions):
    """The members' names that a file's functions give to whatever adds them."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.S)
    bodies = [re.search(rf"^(?:static )?[\w \*]*\b{f}\([^;{{]*\)\n\{{\n(.*?)^\}}", text, re.M | re.S) for f in functions]
    assert all(bodies), (path, [f for f, b in zip(functions, bodies) if not b])
    text = "\n".join(b[1] for b in bodies) if functions else text
    named = re.findall(r"(?:(?:cJSON_Add\w+To|json_add_|cmd_json_)\w+|add_print|add_list|task)\(\w+(?:->\w+)*, \"(\w+)\"", text)
    return set(named) | set(re.findall(r"add\(out, [^\"]*\"([\w-]+)\"", text)) | \
        set(re.findall(r"sizeof l->\w+, \"([\w-]+): %s\"", text)) | set(re.findall(r"x-amz-meta-([\w-]+):", text))


@pytest.mark.parametrize("section", WRITERS)
def test_the_members_that_the_code_writes_are_those_of_the_page(section):
    leaves = {name.rpartition(".")[2].removesuffix("[]") for name in members(section)}
    code = set().union(*(written(*writer) for writer in WRITERS[section]))
    assert code, section
    assert code == leaves, f"only in the code: {code - leaves}; only on the page: {leaves - code}"


def paths(value, at=""):
    """Every member in a JSON value with its path as the page writes it."""
    for name, inner in value.items():
        yield at + name, inner
        if isinstance(inner, dict):
            yield from paths(inner, f"{at}{name}.")
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            for one in inner:
                yield from paths(one, f"{at}{name}[].")


@pytest.mark.parametrize("section", FILES)
def test_every_file_of_the_released_tree_is_as_the_page_says(section, old):
    table = members(section)
    found = [p for p in old.base.rglob(FILES[section]) if section not in ("The manifest", "The receipt") or p.relative_to(old.base).parts[0] not in RECORDS]
    assert found
    for path in found:
        told = json.loads(path.read_text())
        for name, value in paths(told):
            assert name in table, (path, name)
            assert any(TYPES[kind](value) for kind in table[name][0].split(" or ")), (path, name, value)
        always = {name for name, (_, missing) in table.items() if missing == "never" and "[]" not in name and "." not in name}
        assert always <= set(told), (path, always - set(told))


def test_the_formats_and_how_many_records_stay_are_those_of_the_page():
    for section, define in {"The manifest": "manifest.h: MANIFEST_FORMAT", "Heartbeat": "heartbeat.h: HEARTBEAT_FORMAT",
                            "A tombstone": "tombstone.h: TOMBSTONE_FORMAT"}.items():
        header, _, name = define.partition(": ")
        said = re.search(rf"^#+ {section}\n.*?^\| `format` \| whole \| (\d+) \|", PAGE.read_text(), re.M | re.S)[1]
        assert f"{name} = {said}" in (ROOT / "efs/repo" / header).read_text()
    keep = re.findall(r"history_\w+ = \{\.name = \"(\w+)\", \.keep = (\d+)", (ROOT / "efs/repo/history.c").read_text())
    said = re.search(r"are deleted: (\d+), (\d+), (\d+) and (\d+) stay", PAGE.read_text()).groups()
    assert dict(keep) == dict(zip(("heartbeat", "drills", "restores", "stops"), said))


def test_the_example_restores_a_collection_with_plain_tools(old, expected, tmp_path):
    found = blocks(PAGE)
    assert [b.line for b in found if b.what not in ("run", "values")] == []
    # The one block without a language is the tree's picture.
    assert len(found) + 1 == fences(PAGE)
    work = tmp_path / "work"
    work.mkdir()
    with Server("standin", tmp_path / "server", api_key=KEY) as server:
        attach(old, server)
        given = {"TREE": str(old.base), "COLLECTION": "docs", "WORK": str(work), "QDRANT_URL": server.url, "QDRANT_API_KEY": KEY}
        assert set(given) == names(PAGE)
        run = [b for b in found if b.what == "run"]
        script = "".join(f"{b.text}\nprintf '\\036'\n" for b in run)
        # The reader's shell goes on from block to block; here it stops at the first thing that goes wrong.
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=os.environ | given, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        for block, said in zip(run, done.stdout.split("\x1e"), strict=False):
            for pattern in block.prints:
                assert re.search(pattern, said), f"format.md, line {block.line}: no {pattern!r} in\n{said}"
        assert count(server, "docs") == len(expected["docs"]["points"])
        assert {a["alias_name"] for a in server.result("GET", "/aliases")["aliases"]} == {"current", "größe 🎉"}
