"""QDRANT_CLUSTER_DNS: before Qdrant starts, the entrypoint has its place in the cluster looked for, and waits for nothing else."""
import os
import signal
import time

import pytest
from harness import alive, wait_for
from running import children

DNS = {"QDRANT_CLUSTER_DNS": "qdrant-0,qdrant-1"}


def started(container, finder, *argv, **env):
    """The entrypoint whose replicator runs `finder`, shell text, as cluster-start; its Qdrant writes down its environment and arguments."""
    replicator = container.replicator_program("TERM=0")
    script = container.script("replicator-with-finder", "if [ \"$1\" = cluster-start ]; then\n" + finder + "\nfi\n"
                              "exec " + " ".join(f"'{w}'" for w in replicator))
    seen = container.root / "seen"
    qdrant = container.script("qdrant-that-tells", f"env >'{seen}.new'; echo \"$@\" >>'{seen}.new'; mv '{seen}.new' '{seen}'\nexec " +
                              " ".join(f"'{w}'" for w in container.qdrant_program("TERM=5")))
    container.start(None, argv=argv, **{"REPLICATOR_BIN": script, "QDRANT_BIN": qdrant} | DNS | env)
    return seen


def environment(seen):
    wait_for(seen.exists)
    return dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)


@pytest.mark.parametrize("line, uri, peer", [("join http://a:6335 http://b:6335/", "http://a:6335", "http://b:6335/"),
                                             ("found http://a:6335", "http://a:6335", None), ("run http://a:6335", "http://a:6335", None),
                                             ("run", None, None)])
def test_qdrant_is_told_the_place_that_was_found(anywhere, line, uri, peer):
    seen = started(anywhere, f"echo '{line}'; exec sleep 60")
    env = environment(seen)
    assert env["QDRANT__CLUSTER__ENABLED"] == "true" and env.get("QDRANT_URI") == uri and env.get("QDRANT_BOOTSTRAP") == peer
    wait_for(anywhere.qdrant.starts)
    assert anywhere.stop()[0] == 5  # and whoever found it, and is still there, holds up no stop
    wait_for(lambda: not anywhere.left())


def test_qdrant_and_the_replicator_wait(container):
    seen = started(container, f"touch {container.root}/looks; while [ ! -e {container.root}/go ]; do sleep 0.1; done; echo 'found http://a:6335'")
    wait_for((container.root / "looks").exists)
    time.sleep(1)
    assert not seen.exists() and container.qdrant.starts() == [] and container.replicator.starts() == []
    (container.root / "go").touch()
    assert environment(seen)["QDRANT_URI"] == "http://a:6335"
    wait_for(container.replicator.starts)


def test_a_stop_while_it_waits_ends_at_once(anywhere):
    seen = started(anywhere, f"touch {anywhere.root}/looks; exec sleep 60")
    wait_for((anywhere.root / "looks").exists)
    code, seconds = anywhere.stop()
    assert code == 143 and seconds < 5 and not seen.exists()
    wait_for(lambda: not anywhere.left())


def test_one_that_ends_without_a_word_is_started_again(container):
    seen = started(container, f"if [ -e {container.root}/tried ]; then echo 'run'; exit 0; fi; touch {container.root}/tried; exit 1")
    environment(seen)
    assert "ended with code 1" in container.messages("cluster_start_failed")[0]


def test_one_that_is_killed_is_started_again(container):
    seen = started(container, f"if [ -e {container.root}/tried ]; then echo 'run'; exit 0; fi; touch {container.root}/tried; exec sleep 600")
    wait_for((container.root / "tried").exists)
    time.sleep(0.5)
    finder, = children(container.pid)
    os.kill(finder, signal.SIGKILL)
    environment(seen)
    assert "by signal KILL" in container.messages("cluster_start_failed")[0]


def test_a_line_that_is_not_understood_starts_nothing(container):
    seen = started(container, "echo 'join http://a:6335 http://A:6335/'; exec sleep 60")  # its own address
    wait_for(lambda: len(container.messages("cluster_start_failed")) >= 3)  # it is ended, and started again
    assert "not understood" in container.messages("cluster_start_failed")[0] and not seen.exists()


def test_a_wrong_setting_ends_the_container(container):
    started(container, "exit 64")
    assert container.end() == 64 and container.messages("cluster_refused")


def test_an_end_after_its_word_is_nothing_to_be_said(container):
    seen = started(container, "echo run; exit 1")
    environment(seen)
    time.sleep(1)
    assert not container.log("cluster_start_failed") and alive(container.qdrant.pid())


@pytest.mark.parametrize("argv, env", [(["--bootstrap", "http://x:6335"], {}), (["--bootstrap=http://x:6335"], {}),
                                       ([], {"QDRANT_BOOTSTRAP": "http://x:6335"})])
def test_who_names_a_peer_has_found_the_cluster_himself(container, argv, env):
    seen = started(container, "echo 'run http://other:6335'", *argv, **env)
    told = environment(seen)
    assert "QDRANT_URI" not in told and told.get("QDRANT_BOOTSTRAP") == env.get("QDRANT_BOOTSTRAP")
    assert "does not count" in container.messages("wrong_setting")[0]


def test_the_address_in_qdrants_arguments_is_the_one_that_is_told(container):
    seen = started(container, 'echo "run $QDRANT_URI"', "--uri", "http://mine:6335")
    assert environment(seen)["QDRANT_URI"] == "http://mine:6335"


def test_it_is_found_without_efs_too(container):
    seen = started(container, "echo 'join http://a:6335 http://b:6335'", EFS_ROOT="")
    assert environment(seen)["QDRANT_BOOTSTRAP"] == "http://b:6335"


def test_an_empty_disk_is_not_restored_by_itself_in_a_cluster(container):
    seen = started(container, "echo run", RESTORE_ON_EMPTY="latest")
    assert container.end() == 64 and not seen.exists()


def test_a_qdrant_that_did_not_come_to_join_looks_for_its_place_again(container):
    """Qdrant 1.18.2 ends with 101 when the peer that it is to join goes away, or has no leader any more."""
    tried = container.root / "tried"
    qdrant = container.script("qdrant-that-fails-first", f"echo \"$QDRANT_BOOTSTRAP\" >>'{tried}'\n"
                              f"[ $(wc -l <'{tried}') -gt 2 ] || exit 101\nexec " + " ".join(f"'{w}'" for w in container.qdrant_program("TERM=5")))
    container.start(None, argv=[], QDRANT_BIN=qdrant, **DNS, REPLICATOR_BIN=container.script(
        "finder-and-replicator", f"""if [ "$1" = cluster-start ]; then
        echo x >>'{container.root}/looked'
        echo "join http://a:6335 http://peer-$(wc -l <'{container.root}/looked'):6335"
        exec sleep 60
        fi
        exec """ + " ".join(f"'{w}'" for w in container.replicator_program("TERM=0"))))
    wait_for(container.qdrant.starts)
    assert tried.read_text().split() == [f"http://peer-{n}:6335" for n in (1, 2, 3)]  # it was looked for anew each time
    assert ["looked for again" in m for m in container.messages("cluster_start_failed")] == [True, True]
    assert container.stop()[0] == 5
    wait_for(lambda: not container.left())


def test_one_that_never_takes_its_place_ends_the_container_with_its_code(container):
    started(container, "echo 'join http://a:6335 http://b:6335'; exec sleep 60", QDRANT_BIN=container.script("broken", "exit 101"))
    assert container.end(120) == 101 and len(container.messages("cluster_start_failed")) == 5


@pytest.mark.parametrize("code", [0, 1, 137])
def test_any_other_end_is_the_containers(container, code):
    started(container, "echo 'run'; exec sleep 60", QDRANT_BIN=container.script("ends", f"exit {code}"))
    assert container.end() == code and not container.messages("cluster_start_failed")
