"""How much of EFS is read to choose a backup: no more where there are many."""
import calendar
import json
import os
import re
import shutil
import subprocess
import time

import pytest
from harness import BUILD, tar_of

pytestmark = [pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, to see the calls"),
              pytest.mark.skipif(bool(os.environ.get("SANITIZED")), reason="a sanitizer looks for leaks by tracing, too")]


def written(path, when):
    """Manifests are written soon after what they tell of."""
    then = calendar.timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")) + 60
    os.utime(path, (then, then))


def publish(tree, *collections):
    for collection in collections:
        tree.snapshot(collection, f"{collection}-1-2026-11-24-08-00-00", tar_of(collection))
    assert tree.once().returncode == 0
    for manifest in tree.base.glob("*/*/*.json"):
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"aliases": []}))


def copies(tree, collection, many):
    """Of the one that is published older copies, each with a name of its own."""
    manifest, = tree.base.glob(f"*/{collection}/*.json")
    stem, folder = manifest.stem, tree.base / "15min" / collection
    data, = (p for p in manifest.parent.glob(f"{stem}.snapshot*") if p.suffix in (".zst", ".snapshot"))
    folder.mkdir(parents=True)
    for i in range(1, many):
        when = f"2026-11-{23 - i // 96:02}", f"{i // 4 % 24:02}", f"{i % 4 * 15:02}"
        name = f"{collection}-1-{when[0]}-{when[1]}-{when[2]}-00"
        for old in (data, data.with_name(data.name + ".sha256")):
            text = old.read_bytes()
            (folder / old.name.replace(stem, name)).write_bytes(text.replace(stem.encode(), name.encode()) if old is not data else text)
        moment = f"{when[0]}T{when[1]}:{when[2]}:00Z"
        m = json.loads(manifest.read_text().replace(stem, name)) | {"slot": moment, "created": moment, "frequency": "15min"}
        (folder / f"{name}.json").write_text(json.dumps(m))
        written(folder / f"{name}.json", moment)
    written(manifest, "2026-11-24T08:00:00Z")
    written(folder, "2026-11-24T08:00:00Z")
    written(manifest.parent, "2026-11-24T08:00:00Z")


def opened(tree, trace, *args):
    """Manifests, and folders of collections."""
    run = subprocess.run(["strace", "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2", "-o", trace, BUILD / "qdrant-efs", *args],
                         env=tree.env, capture_output=True, text=True, timeout=120)
    paths = re.findall(r'"([^"]+)"', trace.read_text())
    below = [p for p in paths if p.startswith(str(tree.base) + "/")]
    return run, [p for p in below if p.endswith(".json")], {p.split("/")[-1] for p in below if "." not in p.split("/")[-1]}


@pytest.mark.parametrize("wish", [(), ("--at", "2026-11-22T12:00Z"), ("--node", "1")])
def test_a_choice_among_many_backups_reads_as_many_manifests_as_one_among_few(tree, tmp_path, wish):
    publish(tree, "few", "many", "other")
    copies(tree, "few", 4)
    copies(tree, "many", 280)
    copies(tree, "other", 4)
    assert len(tree.complete()) == 288
    found = {}
    for name in ("few", "many"):
        run, manifests, folders = opened(tree, tmp_path / "trace", "restore", "--collection", name, "--to", tmp_path / name, *wish)
        assert "other" not in folders
        found[name] = run, manifests
    run, manifests = found["many"]
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "many").read_bytes() == tar_of("many")
    assert 1 <= len(manifests) <= 2, manifests
    if "--at" not in wish:
        assert found["few"][0].returncode == 0 and len(found["few"][1]) == len(manifests)


def test_of_everything_each_collection_reads_its_newest_and_its_oldest(tree, tmp_path):
    publish(tree, "a", "b", "c")
    for name in ("a", "b", "c"):
        copies(tree, name, 60)
    (tmp_path / "out").mkdir()
    run, manifests, _ = opened(tree, tmp_path / "trace", "restore", "--to", tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert len(manifests) == 6, manifests


def test_one_that_is_broken_is_passed_over_aloud_and_one_more_is_read(tree, tmp_path):
    publish(tree, "c")
    copies(tree, "c", 100)
    manifest, = tree.base.glob("monthly/c/*.json")
    manifest.write_text("{}")
    written(manifest.parent, "2026-11-24T08:00:00Z")
    run, manifests, _ = opened(tree, tmp_path / "trace", "restore", "--collection", "c", "--to", tmp_path / "out")
    assert run.returncode == 0 and "c-1-2026-11-24-08-00-00" in run.stderr and "corrupt" in run.stderr
    assert len(manifests) == 3, manifests


def test_one_that_says_the_year_2099_in_all_its_times_is_passed_over_aloud_unless_it_is_named(tree, tmp_path):
    publish(tree, "c")
    copies(tree, "c", 4)
    manifest, = tree.base.glob("monthly/c/*.json")
    name = "c-1-2099-01-01-00-00-00"
    for old in manifest.parent.glob(f"{manifest.stem}.snapshot*"):
        new = old.with_name(old.name.replace(manifest.stem, name))
        new.write_bytes(old.read_bytes() if old.suffix == ".zst" else old.read_bytes().replace(manifest.stem.encode(), name.encode()))
    never = "2099-01-01T00:00:00Z"
    later = manifest.with_name(name + ".json")
    later.write_text(json.dumps(json.loads(manifest.read_text().replace(manifest.stem, name)) | {"slot": never, "created": never}))
    for at in (None, 4070908800):
        if at:
            os.utime(later, (at, at))
        run = tree.efs_tool("restore", "--collection", "c", "--to", tmp_path / f"out{at}", "--json")
        assert run.returncode == 0, run.stderr
        job, = json.loads(run.stdout)
        assert job["snapshot"] == manifest.stem
        assert name in json.dumps(job["skipped"]) and "2099-01-01T00:00:00Z" in json.dumps(job["skipped"])
    run = tree.efs_tool("restore", "--collection", "c", "--snapshot", name, "--to", tmp_path / "named", "--json")
    assert run.returncode == 0 and json.loads(run.stdout)[0]["snapshot"] == name, run.stderr
