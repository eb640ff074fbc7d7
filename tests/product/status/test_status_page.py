"""The page for people, as a browser renders it."""
import contextlib
import html
import html.parser
import http.server
import os
import re
import shutil
import subprocess
import threading
import urllib.request

import pytest
from status_driver import fill, healthy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser = pytest.mark.skipif(not CHROMIUM, reason="needs a browser (Debian's package chromium)")
VOID = {"meta", "link", "input", "br", "img", "hr"}
EVIL = "<img src=x onerror=\"document.title='pwned'\">"


class Page(html.parser.HTMLParser):
    """What is seen: the text of each element with an id, the rows of the table, and all tags and attributes."""

    def __init__(self, dom):
        super().__init__()
        self.open, self.text, self.tags, self.rows = [], {}, [], []
        self.feed(dom)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "tr" and "data-is" in attributes:
            self.rows.append(attributes | {"text": ""})
        if tag not in VOID:
            self.open.append((tag, attributes.get("id"), "hidden" in (attributes.get("class") or "").split()))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [t for t, _, _ in self.open]
        if "script" in tags or "style" in tags or any(hidden for _, _, hidden in self.open):
            return
        for name in {i for _, i, _ in self.open if i}:
            self.text[name] = self.text.get(name, "") + " " + data
        if "tr" in tags and self.rows:
            self.rows[-1]["text"] += " " + data

    def row(self, name):
        return next(r for r in self.rows if name in r["text"])


def browse(driver, profile, width=1400, path="/"):
    """The DOM after the page's script ran, and what the browser's console had to say."""
    run = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                          f"--user-data-dir={profile}", f"--window-size={width},1000", "--virtual-time-budget=3000",
                          "--enable-logging=stderr", "--dump-dom", f"http://127.0.0.1:{driver.port}{path}"],
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    console = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    return Page(run.stdout), run.stdout, console


def plain(text):
    return re.sub(r"\s+", " ", text).strip()


@pytest.fixture
def page(driver, tmp_path):
    def render(**more):
        if driver.port is None:
            driver.serve()
        return browse(driver, tmp_path / "profile", **more)[0]
    return render


@browser
def test_all_is_well_at_one_glance(driver, page):
    healthy(driver)
    shown = page()
    assert plain(shown.text["headline"]) == "OK: every collection has a backup within 30 min"
    assert "30 min" in shown.text["point"] and "4 min old" in shown.text["point"]
    docs = plain(shown.row("docs")["text"])
    assert docs.startswith("docs commands and history in time")
    assert "4 min old, of 30 min" in docs and "70 kept" in docs and "24 kept" in docs and "MiB stored" in docs
    assert {r["data-is"] for r in shown.rows} == {"good"}
    # Due, when a quarter of an hour begins meanwhile.
    assert any(t in shown.text["schedule"] for t in ("Next run in", "A run is due")) and "3 of 3 made" in plain(shown.text["schedule"])
    assert "usable" in shown.text["efs"] and "answers" in shown.text["qdrant"] and "1.18.2" in shown.text["qdrant"]
    assert "in order" in shown.text["s3"] and "restores" in shown.text["drill"]
    assert "None since the start" in shown.text["errors"]
    assert "qdrant-0 · qdrant-prod · eu-central-1a" in shown.text["node"]


@browser
def test_the_next_drill_is_told(driver, page):
    healthy(driver)
    assert "the next" not in page().text["drill"]
    driver.do("drill_next", when=driver.now + 3 * 3600 + 100)
    assert driver.status()["drill_next"] and "the next in 3 h" in page().text["drill"]
    driver.do("drill_next", when=driver.now - 60)
    assert "one is due" in page().text["drill"]


@browser
def test_what_is_wrong_is_said_in_words(driver, page):
    healthy(driver)
    driver.wanted("docs", "orders", "nothing", now=driver.now - 3 * 3600)
    fill(driver, "orders", 10**8, last=4 * 3600)
    driver.do("snapshot_failed", collection="orders", why="No space left on device (os error 28)")
    driver.do("drill", collection="docs", snapshot="docs-1", seconds=3, why="4,999 points of 5,000")
    shown = page()
    assert plain(shown.text["headline"]).startswith("Failing: ")
    for words in ("1 collection without a recent backup", "1 collection without any backup", "1 restore drill failed"):
        assert words in shown.text["headline"]
    assert "4,999 points of 5,000" in shown.text["reasons"] and "4,999 points of 5,000" in shown.text["drill"]
    orders = plain(shown.row("orders")["text"])
    assert "late" in orders and "4 h old, of 30 min" in orders and "No space left on device" in orders
    assert shown.row("orders")["data-is"] == "bad" and "missing" in shown.row("nothing")["text"]
    assert [r["data-is"] for r in shown.rows][:2] == ["bad", "bad"]  # the worst first


@browser
def test_a_hung_efs_shows(driver, page):
    healthy(driver)
    driver.do("busy", worker=0, **{"what": "publish docs-1", "now": driver.now - 5 * 3600})
    shown = page()
    assert "EFS does not answer" in shown.text["headline"]
    assert "hangs" in shown.text["efs"] and "publish docs-1: 5 h, silent for 5 h" in plain(shown.text["efs"])


@browser
def test_a_name_is_text_whatever_is_in_it(driver, tmp_path):
    names = (EVIL, "</script><script>document.title='pwned'</script>", "مجموعة", "🎉", "a\u202egnp.exe", "tab\there")
    healthy(driver, names)
    driver.do("snapshot_failed", collection=EVIL, why=EVIL)
    driver.do("log", level="error", event="mismatch", message=EVIL, collection=EVIL)
    driver.do("drill", collection=EVIL, snapshot=EVIL, seconds=1, why=EVIL)
    driver.do("qdrant", reachable=True, version=EVIL)
    driver.serve()
    shown, dom, console = browse(driver, tmp_path / "profile")
    assert "pwned" not in dom[dom.index("<title>"):dom.index("</title>")]
    assert not [t for t, _ in shown.tags if t == "img"]
    assert [t for t, _ in shown.tags].count("script") == 1
    assert not [a for _, attributes in shown.tags for a in attributes if a.startswith("on")]
    assert EVIL in shown.row("onerror")["text"] and EVIL in shown.text["errors"] and EVIL in shown.text["reasons"]
    assert EVIL in shown.text["drill"] and "</script><script>" in shown.text["rows"]
    assert "مجموعة" in shown.text["rows"] and "🎉" in shown.text["rows"]
    assert "a‹U+202E›gnp.exe" in shown.text["rows"]  # nothing turns the text around
    assert "tab‹U+0009›here" in shown.text["rows"]
    assert console == []  # nothing was tried that the policy refused


@browser
def test_two_hundred_collections(driver, page):
    healthy(driver, tuple(f"tenant-{i:03d}" for i in range(200)))
    driver.do("snapshot_failed", collection="tenant-150", why="timed out")
    shown = page()
    assert len(shown.rows) == 200 and "200 shown" in plain(shown.text["shown"])
    assert "tenant-150" in shown.rows[0]["text"]


@browser
def test_shards_and_the_whole_storage_have_names_of_their_own(driver, page):
    healthy(driver)
    driver.published("docs", 100, "daily", shard="12")
    driver.published(None, 100, "monthly", snapshot="full-1")
    rows = plain(page().text["rows"])
    assert "docs · shard 12" in rows and "whole storage" in rows and "no objective of its own" in rows


@browser
def test_recent_errors_show_newest_first(driver, page):
    healthy(driver)
    driver.do("log", level="warn", event="no_watch", message="inotify is used up")
    driver.do("log", level="error", event="publish_failed", message="no space left", collection="docs")
    errors = plain(page().text["errors"])
    assert errors.index("publish_failed docs no space left") < errors.index("no_watch")


@browser
def test_a_chart_is_told_in_words_too(driver, page):
    healthy(driver)
    charts = [a for t, a in page().tags if t == "svg"]
    assert len(charts) == 3
    assert all(a["role"] == "img" and "96 backups, sizes" in a["aria-label"] for a in charts)


@contextlib.contextmanager
def in_front(driver, script="", gone=False):
    """A server in front of the replicator: with one more script in the page, or the replicator gone behind it."""
    page = driver.ask("/")[2] + f"<script>{script}</script>".encode()
    real = driver.port

    class Front(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, kind, body = 502, "text/plain", b""
            if self.path == "/":
                status, kind, body = 200, "text/html; charset=utf-8", page
            elif not gone:
                with urllib.request.urlopen(f"http://127.0.0.1:{real}{self.path}") as reply:
                    status, kind, body = 200, "application/json", reply.read()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver.port = server.server_port
        yield
        driver.port = real
        server.shutdown()


@browser
def test_it_says_when_the_replicator_does_not_answer(driver, tmp_path):
    healthy(driver)
    driver.serve()
    with in_front(driver, gone=True):
        shown, _, _ = browse(driver, tmp_path / "profile")
    assert "does not answer" in shown.text["headline"] and "HTTP 502" in shown.text["point"]


def seen(shown):
    return [plain(r["text"]).split()[0] for r in shown.rows if "hidden" not in (r.get("class") or "")]


@browser
@pytest.mark.parametrize("act, left", [("filter.value = 'T-01'; filter.dispatchEvent(new Event('input'))", 10),
                                       ("troubled.click()", 1)])
def test_the_table_can_be_narrowed_down(driver, tmp_path, act, left):
    healthy(driver, tuple(f"tenant-{i:03d}" for i in range(30)))
    driver.do("snapshot_failed", collection="tenant-012", why="timed out")
    driver.serve()
    with in_front(driver, f"setTimeout(() => {{ {act} }}, 1000)"):
        shown, _, _ = browse(driver, tmp_path / "profile")
    assert len(seen(shown)) == left and "tenant-012" in seen(shown)
    assert f"{left} of 30 shown" in plain(shown.text["shown"])


def render_after(driver, tmp_path, act):
    """What is seen after a script did that."""
    if driver.port is None:
        driver.serve()
    with in_front(driver, f"setTimeout(() => {{ {act} }}, 1000)"):
        return browse(driver, tmp_path / "profile")


@browser
def test_the_table_is_sorted_as_one_likes(driver, tmp_path):
    healthy(driver, ("a", "b", "c"))
    fill(driver, "b", 10**10, last=100)
    first = render_after(driver, tmp_path, "sort.value = 'size'; sort.dispatchEvent(new Event('input'))")[0]
    assert seen(first)[0] == "b"
    last = render_after(driver, tmp_path, "sort.value = 'age'; sort.dispatchEvent(new Event('input'))")[0]
    assert seen(last)[-1] == "b"


@browser
def test_a_collection_has_its_commands_and_what_was_published_of_it(driver, tmp_path):
    healthy(driver)
    driver.published("docs", 60, "15min", size=2**20, stored=2**19)
    shown, dom, console = render_after(driver, tmp_path, "for (const d of document.querySelectorAll('details')) d.open = true")
    docs = plain(shown.row("docs")["text"])
    assert "qdrant-efs restore --collection=docs --dry-run" in docs and "qdrant-efs drill --collection=docs" in docs
    assert "Published since the start" in docs and "15min, 1.0 MiB, 512 KiB stored, in" in docs and console == []
    assert all(a["aria-label"].startswith("commands and history of ") for t, a in shown.tags if t == "summary")


@browser
def test_a_command_is_safe_to_paste_whatever_the_name(driver, tmp_path):
    names = ("-x $(touch pwned) 'a' \\ \"b\"", "a\u202eb'\\c", "--json", "tab\there")
    healthy(driver, names)
    _, dom, _ = render_after(driver, tmp_path, "for (const d of document.querySelectorAll('details')) d.open = true")
    drills = [html.unescape(c) for c in re.findall(r"<code>(qdrant-efs drill .*?)</code>", dom, re.S)]
    env = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    said = [subprocess.run(["bash", "-c", c.replace("qdrant-efs", "printf '%s\\0'")], env=env, cwd=tmp_path,
                           capture_output=True, check=True).stdout.decode() for c in drills]
    assert sorted(said) == sorted(f"drill\0--collection={name}\0" for name in names) and not (tmp_path / "pwned").exists()


@browser
def test_the_same_error_is_one_line_and_one_that_is_over_says_so(driver, page):
    healthy(driver)
    for n in range(3):
        driver.do("log", level="error", event="publish_failed", message=f"no space left, try {n}", collection="images")
    driver.do("log", level="error", event="drill_failed", message="19 points", collection="docs")
    errors = plain(page().text["errors"])
    assert errors.count("publish_failed") == 1 and "×3 publish_failed images no space left, try 2" in errors
    assert "recovered" not in errors
    driver.published("images", -60, "15min")
    driver.published("docs", -60, "15min")
    errors = plain(page().text["errors"])
    assert "recovered ×3 publish_failed" in errors and "error drill_failed" in errors  # a newer backup proves no older one


@browser
def test_a_restore_that_goes_on_is_progress_and_no_failure(driver, page):
    healthy(driver)
    driver.do("restoring", done=3, total=10)
    shown = page()
    assert plain(shown.text["headline"]) == "Restoring: 3 of 10 collections back"
    assert "in progress" in shown.text["reasons"] and "in progress" in shown.text["restore"]
    assert next(a for t, a in shown.tags if a.get("id") == "state")["data-is"] == "warn"


@browser
def test_what_lies_on_efs_is_added_up(driver, page):
    healthy(driver)
    assert re.search(r"On EFS \d+\.?\d* GiB \d+ backups the data grew by \d", plain(page().text["total"])), page().text["total"]


def test_without_a_script_it_points_to_the_document(driver):
    healthy(driver)
    driver.serve()
    page = driver.ask("/")[2].decode()
    assert '<a href="./status">' in page[page.index("<noscript>"):page.index("</noscript>")]


def test_nothing_comes_from_elsewhere(driver):
    healthy(driver)
    driver.serve()
    page = driver.ask("/")[2].decode()
    assert len(page.encode()) < 100_000
    links = re.findall(r"(?:src|href)=\"([^\"]*)", page)
    assert set(links) == {"./status", "./metrics", "./health", "data:,"}
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in page and "insertAdjacentHTML" not in page and "document.write" not in page
