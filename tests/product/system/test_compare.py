"""docs/compare.md: what it says that our programs do, they do."""
import re
import subprocess

import pytest
from harness import BUILD, ROOT
from restoring import attach, fill, publish, snapshot, upsert
from server import SERVERS, STANDIN_PATH, Server

ROWS = re.findall(r"^\| (\d+) \| (.+?) \| `(qdrant-.+?)` \| (.+?) \|", (ROOT / "docs/compare.md").read_text(), re.M)


@pytest.fixture(scope="module", params=SERVERS)
def place(request, tmp_path_factory):
    """(environment, older backup, newer one) of a Qdrant with a collection that was backed up twice."""
    from harness import Tree
    root = tmp_path_factory.mktemp("compare")
    tree = Tree(root / "t")
    with Server(request.param, root / "server", api_key="k3y-that-nobody-may-see") as server:
        attach(tree, server)
        tree.env |= {"QDRANT_BIN": server.program, "DRILL_DIR": str(root / "scratch"), "PATH": STANDIN_PATH, "DRILL_SCHEDULE": "never"}
        fill(server, "docs")
        names = []
        for i in range(2):
            names.append(snapshot(server, "docs"))
            publish(tree)
            upsert(server, "docs", [{"id": 100 + i, "vector": [i, 1, 1, 1], "payload": {"city": "x"}}])
        tree.start()  # publishes what is made by hand
        yield tree.env, names
        tree.stop()


def test_it_has_twenty_tasks():
    assert [int(n) for n, *_ in ROWS] == list(range(1, 21))


@pytest.mark.parametrize("task, command, prints", [pytest.param(*r[1:], id=r[0]) for r in ROWS])
def test_a_command_prints_what_the_page_says(task, command, prints, place):
    env, (older, newer) = place
    command = re.sub(r"^(\S+)", rf"{BUILD}/\1", command).replace("OLDER", older).replace("NEWER", newer)
    run = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=300)
    said = run.stdout + run.stderr
    assert run.returncode in (0, 1) and "--help" not in said, said
    wanted = re.findall(r"`(.+?)`", prints)
    assert not wanted or any(w in said for w in wanted), (command, said)
