"""`qdrant-efs browse`: one page with all backups, which asks nobody, and whose commands are right as they stand."""
import html
import json
import os
import re
import shutil
import subprocess

import pytest
from harness import BUILD, manifests_of, tar_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser = pytest.mark.skipif(not CHROMIUM, reason="needs a browser (Debian's package chromium)")
ODD = "a \u202e<script>x='1'; \\ $(touch pwned) & \"b\" </"[:-1]


def data_in(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


@pytest.fixture
def full(tree):
    for name in ("docs", ODD):
        for when in ("2026-11-22-08-00-01", "2026-11-23-08-00-01", "2026-11-24-08-00-01", "2026-11-24-09-00-01"):
            tree.snapshot(name, f"{name}-123-{when}", tar_of(name + when, 70000))
    assert tree.once(NODE_NAME="node-0").returncode == 0
    return tree


def seconds_of(tree, stem):
    """From the first read to the last sync."""
    return next(json.loads(p.read_text())["seconds"] for p in manifests_of(tree.base) if p.stem == stem)


def drilled(tree, when, *drills, node="node-0"):
    """A record as a drill leaves it."""
    place = tree.base / "drills" / node
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{when}.json").write_text(json.dumps({"verdict": "proven", "drills": [
        {"kind": "collection", "shard": "", "node": node, "restore_seconds": 1.5, "points": 9, "why": "", "note": ""} | d
        for d in drills]}))


def page_of(tree, *args, returncode=0):
    run = tree.efs_tool("browse", *args)
    assert run.returncode == returncode, run.stderr
    return run.stdout


def test_the_page_has_all_that_ls_tells(full):
    full.efs_tool("pin", "docs-123-2026-11-22-08-00-01", "--note", "before </script> the migration")
    page = page_of(full)
    data = data_in(page)
    told = {(p["collection"], b[0]): b for p in data["places"] for b in p["backups"]}
    listed = {(b["collection"], b["snapshot"]): b for b in full.ls()}
    assert told.keys() == listed.keys() and len(told) == 8
    for at, b in listed.items():
        assert told[at][1:] == [b["node"], ["15min", "hourly", "daily", "monthly"].index(b["frequency"]), b["created"], b["size"], b["stored_size"],
                                b["points"], b["state"], b["codec"], len(b.get("bases", [])), b["note"], b["reason"], b["pinned"],
                                seconds_of(full, b["snapshot"])]
    assert page.count("<script") == 2 and page.count("</script>") == 2 and "\u202e" not in page


def test_it_asks_nobody(full):
    page = page_of(full)
    assert "default-src 'none'" in page and not re.search(r"(src|href)=\"(?!data:)", page) and "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_what_is_asked_for_alone_is_in_it(full):
    assert [p["collection"] for p in data_in(page_of(full, "--collection", "docs"))["places"]] == ["docs"]
    assert all(b[2] == 3 for p in data_in(page_of(full, "--frequency", "monthly"))["places"] for b in p["backups"])


def test_what_drills_found_is_in_it_the_newest_of_each_node(full):
    for n in range(1, 21):
        drilled(full, f"2026-11-{n:02}T08-00-00Z", {"collection": "docs", "snapshot": f"s{n}", "verdict": "proven"})
    drilled(full, "2026-11-24T10-00-00Z", {"collection": ODD, "snapshot": "x", "verdict": "failed", "why": "19 </script> points",
                                            "points": None}, node="node-1")
    page = page_of(full)
    drills = data_in(page)["drills"]
    assert [d[5] for d in drills if d[6] == "node-0"] == [f"s{n}" for n in range(20, 6, -1)]
    (other,) = (d for d in drills if d[6] == "node-1")
    assert other == ["test-cpu", ODD, "collection", "", "2026-11-24T10:00:00Z", "x", "node-1", "failed", 1.5, None,
                     "19 </script> points"]
    assert page.count("</script>") == 2
    assert {d[1] for d in data_in(page_of(full, "--collection", ODD))["drills"]} == {ODD}


def test_a_record_of_a_drill_that_is_cut_short_is_told_and_left_out(full):
    drilled(full, "2026-11-20T08-00-00Z", {"collection": "docs", "snapshot": "s", "verdict": "proven"})
    (full.base / "drills" / "node-0" / "2026-11-21T08-00-00Z.json").write_text('{"drills": [{')
    run = full.efs_tool("browse")
    assert run.returncode == 0 and "cut short" in run.stderr and [d[5] for d in data_in(run.stdout)["drills"]] == ["s"]


def test_the_page_itself_is_small(tree):
    assert len(page_of(tree)) < 100_000


@browser
def test_a_collection_shows_its_drills_and_how_long_things_took(full, tmp_path):
    drilled(full, "2026-11-24T10-00-00Z", {"collection": "docs", "snapshot": "docs-123-2026-11-24-09-00-01", "verdict": "proven",
                                            "restore_seconds": 41})
    drilled(full, "2026-11-23T10-00-00Z", {"collection": "docs", "snapshot": "docs-123-2026-11-23-08-00-01", "verdict": "failed",
                                            "why": "19 points"})
    page = tmp_path / "backups.html"
    page.write_text(page_of(full, "--collection", "docs"))
    dom = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
                         capture_output=True, text=True, timeout=120).stdout
    said = re.sub(r"<[^>]+>", "", re.search(r'<p id="drills-said">(.*?)</p>', dom, re.S)[1])
    assert said == ("Last proven 2026-11-24 10:00; the restore took 41 s. The next drill: DRILL_SCHEDULE of the task says when, "
                    "or now with qdrant-efs drill --collection docs")
    found = re.search(r'<tbody id="drills">(.*?)</tbody>', dom, re.S)[1]
    assert found.count("<tr>") == 2 and found.index("41 s") < found.index("19 points")


def test_without_backups_there_is_a_page_and_without_a_root_there_is_none(tree):
    assert data_in(page_of(tree))["places"] == []
    assert page_of(tree, "--root", str(tree.root / "nowhere"), returncode=1) == ""


def test_a_backup_that_is_not_complete_says_why(full):
    next(p for p in full.base.rglob("docs-123-2026-11-23-08-00-01.snapshot*") if p.suffix in (".zst", ".delta")).unlink()
    bad, = [b for p in data_in(page_of(full, "--collection", "docs"))["places"] for b in p["backups"] if b[0] == "docs-123-2026-11-23-08-00-01"]
    assert bad[7] == "incomplete" and bad[11]


def test_on_a_terminal_it_says_where_to_write_it(full):
    import pty
    import select
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(BUILD / "qdrant-efs", ["qdrant-efs", "browse"], full.env)
    select.select([fd], [], [], 10)
    said = os.read(fd, 4096).decode()
    assert os.waitpid(pid, 0)[1] >> 8 == 64 and "browse > backups.html" in said
    os.close(fd)


@browser
def test_the_commands_of_the_page_are_right_as_they_stand(full, tmp_path):
    for name in ("docs", ODD):
        page = tmp_path / "backups.html"
        page.write_text(page_of(full, "--collection", name))
        dom = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120).stdout
        commands = [html.unescape(c) for c in re.findall(r"<pre><code>(.*?)</code></pre>", dom, re.S)]
        assert len(commands) == 6 and "\u202e" not in dom
        env = full.env | {"PATH": f"{BUILD}:{os.environ['PATH']}"}
        show, = [c for c in commands if " show " in c]
        run = subprocess.run(["bash", "-c", show], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0 and "-123-2026-11-24-09-00-01" in run.stdout, run.stderr
        pin, = [c for c in commands if " pin " in c]
        assert subprocess.run(["bash", "-c", pin], env=env, cwd=tmp_path).returncode == 0
        restore = next(c for c in commands if "--force" in c).replace("--force", "--to out.snapshot --force")
        tried = subprocess.run(["bash", "-c", restore], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert tried.returncode == 0 and (tmp_path / "out.snapshot").exists(), (restore, tried.stderr)
        assert not (tmp_path / "pwned").exists()
        (tmp_path / "out.snapshot").unlink()


@browser
@pytest.mark.parametrize("size", ["1400,900", "420,900"])
def test_it_can_be_drawn(full, tmp_path, size):
    page = tmp_path / "backups.html"
    page.write_text(page_of(full))
    subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={size}", f"--screenshot={tmp_path / 'shot.png'}", page.as_uri()],
                   capture_output=True, timeout=120, check=True)
    assert (tmp_path / "shot.png").stat().st_size > 10000
