"""How a node of a cluster starts: with its disk, into the cluster that is there, or by founding one; and never two clusters."""
import socket
import subprocess
import time

import pytest
from cluster_peers import HOSTS, age, raft_state
from faulty_mount import faulty
from harness import BUILD, tar_of, wait_for

A, B, C = HOSTS[:3]


# Joining

def test_a_node_joins_the_cluster_that_has_a_leader(net):
    net.peer(B, 5, leader=5)
    node = net.start(A)
    assert node.said() == f"join {net.uri(A)} {net.uri(B)}/"
    assert net.claims() == {}


def test_it_joins_whichever_peer_has_a_leader(net):
    net.peer(B, 5, leader=None)
    net.peer(C, 6, leader=6)
    assert net.start(A).said() == f"join {net.uri(A)} {net.uri(C)}/"


@pytest.mark.parametrize("peer, said", [
    ({"leader": None}, "has no leader"), ({"leader": 0}, "has no leader"), ({"status": "disabled"}, "is a Qdrant without a cluster"),
    ({"code": 401}, "401"), ({"code": 500}, "500"), ({"leader": 5, "consensus": "stopped"}, "consensus"),
    ({"leader": 5, "peers": {"7": "http://192.0.2.9:6335"}}, "no member")],
    ids=["none yet", "no leader", "no cluster", "refused", "broken", "stopped", "removed"])
def test_beside_a_peer_that_cannot_take_it_a_node_waits_and_founds_nothing(net, peer, said):
    bad = net.peer(B, 5, **peer)
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    assert said in node.logged("cluster_waits")[0] and B in node.logged("cluster_waits")[0]
    time.sleep(6)  # longer than silence has to last
    assert node.is_silent() and net.claims() == {}
    bad.code, bad.status, bad.leader, bad.consensus, bad.peers = 200, "enabled", 5, "working", {"5": net.uri(B)}
    assert node.said() == f"join {net.uri(A)} {net.uri(B)}/"


def test_an_address_that_a_lost_node_has_shards_at_is_not_joined_until_it_has_none(net):
    peer = net.peer(B, 5, leader=5, peers={"5": net.uri(B), "9": net.uri(A)}, shards={"docs": {0: [9], 1: [6]}, "more": {0: [9, 6]}})
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    said, = node.logged("cluster_waits")
    assert "peer 9" in said and "2 replicas" in said and "A node of a cluster is lost" in said
    assert node.is_silent()
    asked = peer.asked.count("/collections")
    time.sleep(5)
    assert peer.asked.count("/collections") <= asked + 1  # each count asks for each collection
    peer.shards = {"docs": {0: [6], 1: [6]}}
    assert node.said() == f"join {net.uri(A)} {net.uri(B)}/"  # Qdrant puts it in the other's place


def test_without_efs_a_node_joins_and_does_not_found(net):
    node = net.start(A, EFS_ROOT="")
    wait_for(lambda: node.logged("cluster_waits"))
    assert "EFS_ROOT is not set" in node.logged("cluster_waits")[0]
    time.sleep(5)
    assert node.is_silent()
    net.peer(C, 6, leader=6)
    assert node.said() == f"join {net.uri(A)} {net.uri(C)}/"


def test_an_efs_that_hangs_keeps_nobody_from_joining(net):
    mark = net.tree.root / "hangs"
    node = net.start(A, **faulty(HANG=str(net.tree.efs), MARK=mark))
    wait_for(mark.exists)
    wait_for(lambda: node.logged("cluster_waits"))
    assert "not answered" in node.logged("cluster_waits")[0]
    net.peer(C, 6, leader=6)
    assert node.said() == f"join {net.uri(A)} {net.uri(C)}/"


def test_an_efs_that_is_not_mounted_says_nothing_of_who_may_found(net):
    node = net.start(A, EFS_ALLOW_LOCAL="0")
    wait_for(lambda: node.logged("cluster_waits"))
    assert "EFS is not mounted" in node.logged("cluster_waits")[0]
    time.sleep(5)
    assert node.is_silent() and not net.tree.base.exists()


# Founding

def test_the_first_node_founds_by_a_claim_and_the_record_is_complete_once_there_is_a_leader(net):
    node = net.start(A)
    assert node.said() == f"found {net.uri(A)}"
    wait_for(lambda: node.logged("cluster_founds"))  # the log has a thread of its own
    assert len(node.logged("cluster_claimed")) == 1 and "founds a cluster" in node.logged("cluster_founds")[0]
    claim = net.claims()["1.json"]
    assert claim["node"] == "node-2" and claim["uri"] == net.uri(A) and sorted(net.claims()) == ["1.json", "1.telling.json"]
    net.peer(A, 8, leader=8)  # its Qdrant
    wait_for(lambda: "1.founded.json" in net.claims())
    assert net.claims()["1.founded.json"]["peer_id"] == "8"
    assert node.process.wait(20) == 0


def test_of_nodes_that_start_together_one_founds_and_the_others_join_it(net):
    nodes = {host: net.start(host) for host in HOSTS[:3]}
    wait_for(lambda: not all(n.is_silent() for n in nodes.values()))
    founder, = (h for h in nodes if not nodes[h].lines.empty())
    assert nodes[founder].said() == f"found {net.uri(founder)}"
    others = [h for h in nodes if h != founder]
    wait_for(lambda: all(nodes[h].logged("cluster_waits") for h in others))
    assert all(f"node-{founder[-1]} " in nodes[h].logged("cluster_waits")[-1] for h in others)
    time.sleep(3)
    assert all(nodes[h].is_silent() for h in others)
    net.peer(founder, 8, leader=8)
    assert {nodes[h].said() for h in others} == {f"join {net.uri(h)} {net.uri(founder)}/" for h in others}
    assert {n for n in net.claims() if "founded" not in n} == {"1.json", "1.telling.json"}


def test_a_founder_that_restarts_with_its_disk_goes_on(net):
    first = net.start(A)
    assert first.said() == f"found {net.uri(A)}"
    first.process.kill()
    assert net.start(A).said() == f"found {net.uri(A)}"
    assert sorted(net.claims()) == ["1.json", "1.telling.json"]


def lose_disk(net, host):
    (net.storage(host) / ".cluster-token").unlink()


def test_a_founder_that_comes_back_empty_founds_no_second_cluster(net):
    first = net.start(A)
    assert first.said() == f"found {net.uri(A)}"
    net.peer(A, 8, leader=8)
    assert first.process.wait(20) == 0
    net.peers.pop().close()
    lose_disk(net, A)
    again = net.start(A)
    wait_for(lambda: again.logged("cluster_waits"))
    said = again.logged("cluster_waits")[0]
    assert "a cluster is on record (number 1, founded by node-2 at 20" in said and "QDRANT_CLUSTER_FOUND" in said
    time.sleep(5)
    assert again.is_silent()


def test_what_became_of_a_founder_that_told_and_is_gone_is_a_persons_to_say(net):
    first = net.start(A)
    assert first.said() == f"found {net.uri(A)}"
    first.process.kill()  # whether its Qdrant founded nobody knows
    lose_disk(net, A)
    age(net.tree.efs / "clusters/test/1.json", 100000)
    other = net.start(B)
    wait_for(lambda: other.logged("cluster_waits"))
    assert "node-2 founds the cluster" in other.logged("cluster_waits")[0]  # as at each first start; nothing is wrong yet
    age(net.tree.efs / "clusters/test/1.telling.json", 100)
    wait_for(lambda: len(other.logged("cluster_waits")) > 1)
    assert "node-2" in other.logged("cluster_waits")[1] and "nobody has left that it did" in other.logged("cluster_waits")[1]
    time.sleep(4)
    assert other.is_silent()
    assert net.start(C, QDRANT_CLUSTER_FOUND="it-did-not").said(90) == f"found {net.uri(C)}"


def test_a_claim_that_its_holder_left_before_it_told_is_taken_over_once_it_is_old(net):
    folder = net.tree.efs / "clusters/test"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text('{"format":1,"claim":1,"word":"","node":"node-9","uri":"http://192.0.2.9:6335","token":"gone"}')
    nodes = [net.start(host) for host in (B, C)]
    time.sleep(4)
    assert all(n.is_silent() for n in nodes) and "node-9 founds" in nodes[0].logged("cluster_waits")[0]
    age(folder / "1.json", 200)
    wait_for(lambda: not all(n.is_silent() for n in nodes), 60)
    time.sleep(3)
    assert sum(not n.lines.empty() for n in nodes) == 1
    assert sorted(net.claims()) == ["1.json", "2.json", "2.telling.json"]


def test_a_claim_that_cannot_be_made_out_is_anothers(net):
    folder = net.tree.efs / "clusters/test"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("{")
    (folder / "1.telling.json").write_text("\0")
    age(folder / "1.telling.json", 100)
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    time.sleep(4)
    assert node.is_silent() and "nobody has left that it did" in node.logged("cluster_waits")[0]


def test_beside_backups_founding_takes_a_word_and_a_word_founds_once(net):
    net.tree.snapshot("docs", "docs-1-2026-11-24-08-00-03", tar_of("x"))
    assert net.tree.once().returncode == 0
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    assert "EFS has backups of a cluster or node of TIER test" in node.logged("cluster_waits")[0]
    node.process.kill()
    other = net.start(A, CPU_ARCH="aarch64")  # another tree of that TIER
    wait_for(lambda: other.logged("cluster_waits"))
    time.sleep(4)
    assert other.is_silent()
    other.process.kill()
    begin = time.monotonic()
    node = net.start(A, QDRANT_CLUSTER_FOUND="lost-2026-11-30")
    assert node.said(90) == f"found {net.uri(A)}" and time.monotonic() - begin >= 30  # a word is obeyed after a longer silence
    net.peer(A, 8, leader=8)
    assert node.process.wait(20) == 0 and "1.founded.json" in net.claims()
    net.peers.pop().close()
    lose_disk(net, A)
    again = net.start(A, QDRANT_CLUSTER_FOUND="lost-2026-11-30")
    wait_for(lambda: again.logged("cluster_waits"))
    assert again.is_silent() and "QDRANT_CLUSTER_FOUND=lost-2026-11-30 was used before" in again.logged("cluster_waits")[0]


def test_a_word_that_was_not_needed_is_used_all_the_same(net):
    """Else it would found a second cluster some day, with the first one out of reach."""
    own = net.peer(A, 6, leader=5)  # its Qdrant, as it will be; `own` does not answer as a peer, since it is ours
    net.peer(B, 5, leader=5)
    node = net.start(A, QDRANT_CLUSTER_FOUND="lost")
    assert node.said() == f"join {net.uri(A)} {net.uri(B)}/"
    assert node.process.wait(30) == 0 and list(net.claims()) == ["used-lost.json"]
    for p in (own, net.peers[-1]):
        p.close()
    net.peers.clear()
    lose_disk(net, A)
    again = net.start(A, QDRANT_CLUSTER_FOUND="lost")
    wait_for(lambda: again.logged("cluster_waits"), 60)
    assert "was used before" in again.logged("cluster_waits")[0]


def test_nodes_with_different_words_found_one_cluster(net):
    nodes = [net.start(A, QDRANT_CLUSTER_FOUND="w1"), net.start(B, QDRANT_CLUSTER_FOUND="w2"), net.start(C)]
    wait_for(lambda: not all(n.is_silent() for n in nodes), 90)
    time.sleep(5)
    assert sum(not n.lines.empty() for n in nodes) == 1
    assert len([n for n in net.claims() if "telling" in n]) == 1


# Whom it meets

def test_a_peer_that_is_at_our_own_address_is_never_joined(net):
    """Qdrant takes a node that joins its own address for the first one of a cluster: src/main.rs, resolve_bootstrap_uri."""
    net.peer(B, 5, leader=5, peers={"5": net.uri(A)})
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    assert "own address" in node.logged("cluster_waits")[0] and "QDRANT_URI" in node.logged("cluster_waits")[0]
    time.sleep(4)
    assert node.is_silent() and net.claims() == {}


def test_a_good_peer_is_found_behind_odd_ones(net):
    net.peer(B, 5, leader=5, consensus="stopped")
    net.peer(HOSTS[3], 9, leader=5, peers={"9": "http://a b:6335"})
    net.peer(C, 6, leader=6)
    for _ in range(3):  # they are asked in an order of each process's own
        assert net.start(A, QDRANT_CLUSTER_DNS=",".join(HOSTS[:4])).said() == f"join {net.uri(A)} {net.uri(C)}/"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"result":null}', b'{"result":{"status":"enabled","peers":[1,2],"raft_info":7}}',
                                  b'{"result":{"status":"enabled","peer_id":"x","peers":{"1":{}},"raft_info":{"leader":"x"}}}', b"x" * 100000])
def test_whatever_a_peer_says_a_node_waits_and_lives(net, body):
    peer = net.peer(B, 5, leader=5)
    peer.raw = body
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    assert node.is_silent() and net.claims() == {} and B in node.logged("cluster_waits")[0]


def test_a_peer_whose_rest_api_is_out_of_reach_is_there_all_the_same(net):
    """A security group that lets nodes reach each other's port for peers alone."""
    with socket.create_server((B, net.p2p)):
        node = net.start(A)
        wait_for(lambda: node.logged("cluster_waits"))
        assert B in node.logged("cluster_waits")[0]
        time.sleep(5)
        assert node.is_silent() and net.claims() == {}


def test_one_that_was_added_and_killed_before_its_first_term_is_itself(net):
    raft_state(net.storage(A), peer_id=77)
    net.peer(B, 5, leader=5, peers={"5": net.uri(B), "77": net.uri(A)}, shards={"docs": {0: [77]}})
    assert net.start(A).said() == f"join {net.uri(A)} {net.uri(B)}/"


# Its disk

def test_a_disk_with_its_part_in_a_cluster_waits_for_nobody(net):
    raft_state(net.storage(A), term=3, voters=[77, 5], uri=f"{net.uri(A)}/")
    node = net.start(A, EFS_ROOT="")
    assert node.said(10) == f"run {net.uri(A)}"
    node = net.start(A, EFS_ROOT="", QDRANT_URI="", QDRANT_CLUSTER_DNS="no-such-name.invalid")
    assert node.said(10).startswith("run")


def test_an_address_that_is_no_more_of_this_machine_is_replaced(net):
    raft_state(net.storage(A), term=3, voters=[77, 5], uri="http://192.0.2.7:6335/")
    assert net.start(A).said() == f"run {net.uri(A)}"


def test_what_a_start_without_success_left_on_the_disk_holds_up_none(net):
    raft_state(net.storage(A), voters=[77])  # it was to found, and never had a term
    net.peer(B, 5, leader=5)
    assert net.start(A).said() == f"join {net.uri(A)} {net.uri(B)}/"
    assert not (net.storage(A) / "raft_state.json").exists()
    raft_state(net.storage(C))  # it was to join, and never did: Qdrant goes on by itself
    assert net.start(C).said() == f"join {net.uri(C)} {net.uri(B)}/"
    assert (net.storage(C) / "raft_state.json").exists()


def test_a_disk_with_collections_of_a_qdrant_alone_joins_no_cluster(net):
    raft_state(net.storage(A), voters=[77])
    collection = net.storage(A) / "collections/docs"
    collection.mkdir(parents=True)
    (collection / "config.json").write_text("{}")
    peer = net.peer(B, 5, leader=5)
    node = net.start(A)
    wait_for(lambda: node.logged("cluster_waits"))
    assert "collections of a Qdrant without a cluster" in node.logged("cluster_waits")[0] and node.is_silent()
    assert (net.storage(A) / "raft_state.json").exists()
    peer.close()
    net.peers.remove(peer)
    assert node.said(60) == f"found {net.uri(A)}"  # it becomes the first node of one
    assert (net.storage(A) / "raft_state.json").exists()


def test_a_disk_with_collections_whose_state_cannot_found_is_left_alone(net):
    raft_state(net.storage(A))
    collection = net.storage(A) / "collections/docs"
    collection.mkdir(parents=True)
    (collection / "config.json").write_text("{}")
    node = net.start(A)
    assert node.process.wait(60) == 1 and "there are collections" in node.logged("cluster_start_failed")[0]
    assert (net.storage(A) / "raft_state.json").exists()


def test_a_state_that_cannot_be_made_out_ends_the_start(net):
    net.storage(A).mkdir()
    (net.storage(A) / "raft_state.json").write_text("{}")
    node = net.start(A)
    assert node.process.wait(20) == 1 and "raft_state.json" in node.logged("cluster_start_failed")[0]


# Settings

def test_that_the_key_goes_over_the_network_as_it_is_is_said_once(net):
    net.peer(B, 5, leader=None)
    node = net.start(A, QDRANT_API_KEY="secret", QDRANT_URL="http://192.0.2.1:" + str(net.rest))
    wait_for(lambda: node.logged("cluster_waits"))
    time.sleep(3)
    assert node.logged("key_in_clear") == []  # these peers are on this machine
    other = net.start(A, QDRANT_API_KEY="secret", QDRANT_CLUSTER_DNS="192.0.2.7,192.0.2.8")
    wait_for(lambda: other.logged("key_in_clear"), 60)
    time.sleep(6)
    assert len(other.logged("key_in_clear")) == 1 and "secret" not in other.log_path.read_text()


@pytest.mark.parametrize("env, said", [
    ({"QDRANT_CLUSTER_DNS": "a,,b"}, "QDRANT_CLUSTER_DNS"), ({"QDRANT_CLUSTER_DNS": "a:b"}, "QDRANT_CLUSTER_DNS"),
    ({"QDRANT_CLUSTER_DNS": "http://a"}, "QDRANT_CLUSTER_DNS"), ({"QDRANT_CLUSTER_DNS": ""}, "QDRANT_CLUSTER_DNS"),
    ({"QDRANT_CLUSTER_DNS": "a;b"}, "QDRANT_CLUSTER_DNS"), ({"QDRANT_CLUSTER_DNS": "[a,b]"}, "QDRANT_CLUSTER_DNS"),
    ({"QDRANT_CLUSTER_FOUND": "a/b"}, "QDRANT_CLUSTER_FOUND"), ({"QDRANT_CLUSTER_FOUND": "../x"}, "QDRANT_CLUSTER_FOUND"),
    ({"QDRANT_CLUSTER_FOUND": "x" * 65}, "QDRANT_CLUSTER_FOUND"), ({"QDRANT_URI": "a b"}, "QDRANT_URI"), ({"TIER": "a/b"}, "TIER"),
    ({"QDRANT_URI": "qdrant-0:6335"}, "QDRANT_URI"), ({"QDRANT_URI": "http://qdrant-0"}, "QDRANT_URI"),
    ({"QDRANT_URI": "http://qdrant-0:6335/x"}, "QDRANT_URI"), ({"QDRANT_URI": "http://a b:6335"}, "QDRANT_URI")])
def test_a_wrong_setting_is_named(net, env, said):
    node = net.start(A, **env)
    assert node.process.wait(20) == 64 and said in node.logged("wrong_setting")[0] and node.lines.empty()


def test_it_takes_no_arguments():
    for argument in ("extra", "--once"):
        run = subprocess.run([BUILD / "qdrant-replicator", "cluster-start", argument], capture_output=True, text=True)
        assert run.returncode == 64 and argument in run.stderr


def test_a_name_that_nobody_knows_yet_is_said(net):
    node = net.start(A, QDRANT_URI="", QDRANT_CLUSTER_DNS="no-such-name.invalid", EFS_ROOT="")
    wait_for(lambda: node.logged("cluster_waits"))
    assert "no-such-name.invalid" in node.logged("cluster_waits")[0] or "no address" in node.logged("cluster_waits")[0]


def resolver_says_no():
    """A resolver that is out of reach does not tell whether there is such a name."""
    try:
        socket.getaddrinfo("no-such-name.invalid", None)
    except socket.gaierror as e:
        return e.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
    return False


def test_a_name_of_several_that_is_not_known_yet_may_be_our_own(net):
    """Cloud Map has it some seconds after the start: until then the node does not go by an address."""
    if not resolver_says_no():
        pytest.skip("no resolver is in reach that says which names there are not")
    net.peer(B, 5, leader=5)
    begin = time.monotonic()
    node = net.start(A, QDRANT_URI="", QDRANT_CLUSTER_DNS=f"no-such-name.invalid,{B}")
    assert node.said().startswith("join http://") and time.monotonic() - begin >= 25


def test_a_node_finds_its_own_name_among_several(net):
    node = net.start(A, QDRANT_URI="", QDRANT_CLUSTER_DNS=f"localhost,{B}")
    assert node.said() == f"found http://127.0.0.1:{net.p2p}"
