"""A server that answers badly: each bad answer gives one clear error line, whoever answers well is served, nothing is
written outside, and the replicator lives on within its memory."""
import json
import os
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bad_server import BAD, BadServer, redirect, silence, status
from harness import Tree, takes_minutes, tar_of, wait_for
from scheduling import DAY, KEY, attach, clean, failed, from_now, made, troubles

MEMORY = 100 << 20  # at most resident at any time; sanitizers need more, and have limits of their own
GOOD = ["good one", "good two"]


def peak_memory(process):
    status_lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status_lines if line.startswith("VmHWM")) << 10


def paths_below(folder):
    return {p for p in folder.rglob("*")}


def bounded(process):
    assert os.environ.get("SANITIZED") or peak_memory(process) < MEMORY
    assert process.poll() is None


def clear(line):
    """For a person: short, on one line, without what could harm a terminal."""
    text = line["message"]
    return 10 < len(text) < 1000 and text.isprintable()


def side_by_side(names, **env):
    """A test for each name, with a tree and a server of its own. All are run at once by the first of them: they do little
    but wait."""
    def one(case, root, name):
        tree = Tree(root)
        with BadServer(tree.snapshots) as server:
            attach(tree, server, FINGERPRINT="off", QDRANT_API_KEY=KEY, **env)
            try:
                case(server, tree, name)
            finally:
                tree.stop()
        clean(tree)

    def decorate(case):
        results = {}

        @pytest.mark.parametrize("name", names, ids=str)
        def test(name, tmp_path_factory):
            if not results:
                root = tmp_path_factory.mktemp("cases")
                with ThreadPoolExecutor(6) as pool:
                    results.update((n, pool.submit(one, case, root / str(i), n)) for i, n in enumerate(names))
            results[name].result()
        test.__name__, test.__doc__ = case.__name__, case.__doc__
        return test
    return decorate


# Snapshots of one collection

KEYS = ("401", "403")  # concern all, and are said once
ONE_RUN = {name: answer for name, answer in BAD.items() if name not in KEYS}


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    """Each bad answer to the request for a snapshot of its own collection, in one run with good ones."""
    tree = Tree(tmp_path_factory.mktemp("one_run") / "t")
    with BadServer(tree.snapshots, [*ONE_RUN, *GOOD]) as server:
        attach(tree, server, FINGERPRINT="off")
        server.answers |= {("make", name): answer for name, answer in ONE_RUN.items()}
        p = tree.start(SNAPSHOT_INTERVAL=DAY, SNAPSHOT_PARALLEL="4", SNAPSHOT_TIMEOUT="3s", QDRANT_API_KEY=KEY)
        wait_for(lambda: len(tree.complete()) == 2 and all(server.asked("make", name) for name in ONE_RUN), 40)
        wait_for(lambda: all(failed(tree, name) for name in ONE_RUN), 20)
        first = tree.log()
        bounded(p)
        yield tree, server, first
        tree.stop()
    clean(tree)


@pytest.mark.parametrize("name", ONE_RUN)
def test_a_bad_answer_about_one_collection_is_one_clear_error_line(one_run, name):
    tree, server, log = one_run
    tries = len(server.asked("make", name))
    lines = [line for line in log if line.get("collection") == name]
    assert 1 <= len(lines) <= tries and all(line["level"] == "error" and clear(line) for line in lines)
    assert {line["event"] for line in lines} == {"snapshot_failed"}
    if name[0].isdigit():
        assert name[:3] in lines[0]["message"]


def test_the_others_are_served_in_spite_of_them(one_run):
    tree, server, _ = one_run
    assert {c for _, c, _ in tree.complete()} == set(GOOD) and all(len(server.asked("make", name)) == 1 for name in GOOD)
    assert tree.efs_tool("verify").returncode == 0


@side_by_side(KEYS)
def test_a_collection_that_the_key_is_not_good_for_keeps_none_of_the_others_back(bad, tree, name):
    bad.names = ["a", "kept from us", "z"]
    bad.answers[("make", "kept from us")] = BAD[name]
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: sorted(made(tree)) == ["a", "z"], 20)
    line = failed(tree, "kept from us")[0]
    assert line["event"] == "qdrant_unauthorized" and name in line["message"] and clear(line)


# All other routes

@side_by_side([n for n in BAD if n not in ("403", "404", "422", "503", "302 without a place", "wrong type", "deep json")])
def test_a_bad_list_of_collections_is_one_clear_error_line_and_asked_for_again(bad, tree, name):
    bad.answers[("collections", None)] = BAD[name]
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: troubles(tree), 15)
    wait_for(lambda: len(bad.asked("collections")) >= 2, 15)
    bounded(p)
    line, = troubles(tree)
    assert line["level"] == "error" and clear(line) and not bad.asked("make")
    assert line["event"] == ("qdrant_unauthorized" if name in ("401", "403") else "collections_failed")
    del bad.answers[("collections", None)]
    wait_for(lambda: made(tree) == ["c"], 20)


@side_by_side([n for n in BAD if n not in ("403", "422", "500", "never ends", "wrong type", "announced")])
def test_bad_metrics_and_listings_keep_nobody_from_being_served(bad, tree, name):
    """They only help: to know what is being made, what was made, how much room it took."""
    bad.answers |= {("metrics", None): BAD[name], ("listing", None): BAD[name], ("info", None): BAD[name], ("version", None): BAD[name]}
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: made(tree) == ["c"], 30)
    wait_for(lambda: len(tree.complete()) == 1, 30)
    bounded(p)


@side_by_side(["503", "closed", "never answers", "never ends", "a gigabyte", "no http"])
def test_what_is_not_ready_is_waited_for(bad, tree, name):
    bad.answers[("readyz", None)] = BAD[name]
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: tree.logged("qdrant_not_ready"), 15)
    wait_for(lambda: len(bad.asked("readyz")) >= 2, 20)
    bounded(p)
    line, = troubles(tree)
    assert clear(line) and not bad.asked("make")
    del bad.answers[("readyz", None)]
    wait_for(lambda: made(tree) == ["c"], 30)


@side_by_side(["401", "404", "500", "html", "cut json", "wrong types", "deep json", "a gigabyte", "closed", "never answers"])
def test_a_collection_that_cannot_be_looked_into_is_backed_up_all_the_same(bad, tree, name):
    """Fingerprints are on by default. Here each question of theirs is answered badly."""
    bad.answers |= {("info", None): BAD[name], ("unknown", None): BAD[name]}
    p = tree.start(SNAPSHOT_INTERVAL=DAY, FINGERPRINT="on")
    wait_for(lambda: len(tree.complete()) == 1, 40)
    assert all(line["level"] == "warn" and clear(line) for line in troubles(tree)) and len(troubles(tree)) <= 1
    bounded(p)


def test_metrics_that_never_answer_do_not_use_up_the_slot(bad, tree):
    bad.names = [f"c{i}" for i in range(12)]
    bad.answers[("metrics", None)] = silence
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(made(tree)) == 12, 25)


@side_by_side([301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_at_home(bad, tree, code):
    with BadServer(tree.root, ["c"]) as other:
        away = redirect(code, other.url)
        bad.names = ["away", "home"]
        bad.answers |= {("make", "away"): away, ("metrics", None): away, ("listing", None): away, ("info", None): away, ("delete", None): away}
        tree.start(SNAPSHOT_INTERVAL=DAY)
        wait_for(lambda: len(tree.complete()) == 1 and failed(tree, "away"))
        line = failed(tree, "away")[0]
        assert str(code) in line["message"] and "QDRANT_URL" in line["message"]
        bad.answers |= {("collections", None): away, ("readyz", None): away}
        tree.stop()
        (tree.root / "log").unlink()
        tree.start(SNAPSHOT_INTERVAL="3s")
        wait_for(lambda: str(code) in str(troubles(tree)))
        del bad.answers[("readyz", None)]
        wait_for(lambda: any(str(code) in line["message"] for line in tree.logged("collections_failed")))
        assert other.requests == []
    assert any(r.headers.get("api-key") == KEY for r in bad.requests)


# Names

ODD = ["emoji 🎉", "per%cent", "50%2f", "que?ry=1&x#y", "back\\slash", "quo\"te", "new\nline", "bell\x07", "esc\x1b[31m", "-rf", ".hidden", "..x",
       "snapshots", "tmp2", "n" * 190, "größe", "\u202eright to left", "a b", "*", "[x]", "{a,b}", "'; drop", "$(id)", "con", "%storage"]
IMPOSSIBLE = ["../../etc", "a/b", ".", "..", "/", "", "../good one", "nul\0byte", "\0", "n" * 255, "🎉" * 63 + "abc"]


def test_collections_with_odd_names_are_served_under_their_own_names(bad, tree):
    bad.names = ODD
    p = tree.start(SNAPSHOT_INTERVAL=DAY, SNAPSHOT_PARALLEL="2")
    wait_for(lambda: {c for _, c, _ in tree.complete()} == set(ODD), 40)
    assert sorted(bad.order()) == sorted(ODD) and not troubles(tree) and not bad.asked("make full")
    assert tree.efs_tool("verify").returncode == 0
    bounded(p)


def test_names_that_no_collection_can_have_lead_nowhere(bad, tree, tmp_path):
    """And each gives one clear line. The server says that it has them; it makes none of them."""
    bad.names = [*IMPOSSIBLE, *GOOD]
    before = paths_below(tmp_path)
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 2)
    wait_for(lambda: len(tree.logged("run_finished")) + len(troubles(tree)) >= len(IMPOSSIBLE))
    time.sleep(1)
    bounded(p)
    assert {c for _, c, _ in tree.complete()} == set(GOOD)
    assert not bad.asked("make full"), "'..' climbed out of /collections"
    strange = [r.path for r in bad.requests if r.route[0] in ("unknown", "delete", "make full")]
    assert strange == []
    assert all(len(bad.asked("make", name)) == 1 for name in GOOD), "a name that was cut at its NUL"
    inside = {f.parent for f in before} | {tree.root, tree.efs, tree.snapshots}
    new = {f for f in paths_below(tmp_path) - before if tree.base not in (f, *f.parents) and tree.snapshots not in f.parents}
    assert {f.parent for f in new} <= inside and {f.name for f in new} <= {"log", "stdout"}, "something was written outside"
    lines = troubles(tree)
    assert [line["message"] for line in lines if not clear(line)] == []
    assert len(lines) == len(IMPOSSIBLE), [line["message"][:80] for line in lines]


def test_a_list_with_one_bad_entry_serves_the_others(bad, tree):
    entries = [{"name": 7}, {}, None, "c", {"name": None}, {"name": ["x"]}, {"name": "c"}, {"name": "c"}]
    bad.answers[("collections", None)] = lambda h: h.reply(200, json.dumps({"result": {"collections": entries}, "status": "ok"}))
    tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: troubles(tree))
    assert all(line["level"] == "error" and clear(line) for line in troubles(tree))
    wait_for(lambda: len(tree.complete()) == 1, 10)
    assert bad.order() == ["c"]


def test_names_that_are_not_utf_8_keep_the_log_readable(bad, tree):
    bad.answers[("collections", None)] = lambda h: h.reply(200, b'{"result":{"collections":[{"name":"bad\xff\xfe"},{"name":"c"}]},"status":"ok"}')
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: made(tree) == ["c"] and troubles(tree))
    assert all(clear(line) for line in troubles(tree))
    bounded(p)


@side_by_side(["../../../escaped.snapshot", "/tmp/escaped.snapshot", "", "x" * 300, "a\nb.snapshot", 7, None])
def test_the_name_that_the_server_gives_a_snapshot_is_believed_by_nobody(bad, tree, name):
    """What is put on EFS are the files that are there. A snapshot of another collection's time is one as good."""
    told = {"name": name, "size": 2000, "creation_time": "2026-11-24T08:00:00", "checksum": "0" * 64}
    bad.names = ["c", "other"]
    bad.answers |= {("make", "c"): lambda h: h.reply(200, json.dumps({"result": told, "status": "ok"})),
                    ("listing", "c"): lambda h: h.reply(200, json.dumps({"result": [told], "status": "ok"}))}
    p = tree.start(SNAPSHOT_INTERVAL=DAY)
    wait_for(lambda: len(tree.complete()) == 1 and bad.asked("make", "c"))
    bounded(p)
    assert not [f for f in paths_below(tree.root.parent) if "escaped" in f.name]


@takes_minutes
def test_ten_thousand_collections(bad, tree):
    bad.names, bad.files = [f"collection-{i:05}" for i in range(10000)], False
    tree.snapshot("collection-00007", "collection-00007-1-2026-01-01-08-00-00", tar_of("x"))
    begin = time.monotonic()
    p = tree.start(**from_now(300), SNAPSHOT_PARALLEL="2", LOG_LEVEL="info")
    wait_for(lambda: tree.logged("run_finished"), 500)
    run, = tree.logged("run_finished")
    assert (run["collections"], run["made"], run["failed"], run["skipped"]) == (10000, 10000, 0, 0)
    assert sorted(bad.order()) == sorted(bad.names) and "collection-00007" in bad.order()[-2:]
    print(f"{time.monotonic() - begin:.0f} s, {peak_memory(p) >> 20} MB")
    bounded(p)


def test_a_bad_slot_is_followed_by_a_good_one(bad, tree):
    for route in ("readyz", "collections", "make", "metrics", "listing"):
        bad.answers[(route, None)] = status(500)
    tree.start(SNAPSHOT_INTERVAL="3s")
    for route in ("readyz", "collections", "make"):
        wait_for(lambda: any(str(500) in line["message"] for line in troubles(tree)))
        time.sleep(3)
        del bad.answers[(route, None)]
    wait_for(lambda: made(tree).count("c") >= 2, 20)
