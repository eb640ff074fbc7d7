"""Three real nodes under the entrypoint, each at an address of its own: one cluster, whatever is lost, killed and started when."""
import os
import random

import pytest
from cluster_peers import HOSTS
from harness import wait_for
from server import REAL

pytestmark = [pytest.mark.real, pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]
ROUNDS = int(os.environ.get("ROUNDS", "50" if os.environ.get("LONG") else "8"))


def remove(asked, dead):
    """A peer that is gone and has no shards, as the runbook has it."""
    asked.ask("DELETE", f"/cluster/peer/{dead}")


def test_nodes_that_start_together_are_one_cluster_and_stay_it(cluster):
    for n in cluster.nodes:
        n.start()
    cluster.await_one(3)
    founders = [n for n in cluster.nodes if n.log("cluster_founds")]
    assert len(founders) == 1
    wait_for(lambda: list(cluster.tree.efs.glob("clusters/test/1.founded.json")))
    # All at once again, with their disks.
    for n in cluster.nodes:
        n.kill()
    for n in cluster.nodes:
        n.start()
    cluster.await_one(3)
    assert all(n.log("cluster_starts") and not n.log("cluster_waits") for n in cluster.nodes)


def test_a_founder_that_lost_its_disk_joins_and_founds_nothing(cluster):
    cluster.nodes[0].start()
    cluster.await_one(1)
    for n in cluster.nodes[1:]:
        n.start()
    cluster.await_one(3)
    first = cluster.nodes[0]
    cluster.nodes[1].ask("PUT", "/collections/c?timeout=30", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 3, "replication_factor": 2})
    cluster.nodes[1].ask("PUT", "/collections/c/points?wait=true", {"points": [{"id": i, "vector": [1, 2, 3, i]} for i in range(90)]})
    lost = first.state()[0]
    first.kill()
    first.lose_disk()
    first.start()
    wait_for(lambda: first.log("cluster_waits"), 60)  # its shards are still assigned to its address
    assert f"peer {lost}" in first.log("cluster_waits")[-1]["message"] and first.state() is None
    wait_for(lambda: cluster.nodes[1].state() and cluster.nodes[1].state()[1] not in (None, lost), 60)
    shards = cluster.nodes[1].ask("GET", "/collections/c/cluster")
    mine = shards["peer_id"]
    everywhere = [(s["shard_id"], mine) for s in shards["local_shards"]] + [(s["shard_id"], s["peer_id"]) for s in shards["remote_shards"]]
    for shard, peer in everywhere:
        if peer == lost:
            cluster.nodes[1].ask("POST", "/collections/c/cluster?timeout=30", {"drop_replica": {"shard_id": shard, "peer_id": peer}})
    wait_for(lambda: first.log("cluster_joins"), 60)
    cluster.await_one(3)
    assert first.ask("POST", "/collections/c/points/count", {"exact": True})["count"] == 90


def test_with_all_disks_lost_nobody_founds_until_there_is_a_word(cluster):
    for n in cluster.nodes:
        n.start()
    cluster.await_one(3)
    wait_for(lambda: list(cluster.tree.efs.glob("clusters/test/1.founded.json")))
    for n in cluster.nodes:
        n.kill()
    for n in cluster.nodes:
        n.lose_disk()
        n.start()
    wait_for(lambda: all(n.log("cluster_waits") for n in cluster.nodes), 60)
    assert all(n.state() is None for n in cluster.nodes)
    for n in cluster.nodes:
        n.stop()
        n.start(QDRANT_CLUSTER_FOUND="lost")
    cluster.await_one(3, 150)
    assert sum(bool(n.log("cluster_founds")) for n in cluster.nodes) == 1


def test_rounds_of_kills_losses_and_new_addresses_leave_one_cluster(cluster):
    """What is lost has no shards here: healing is a person's."""
    rng = random.Random(os.environ.get("SEED") or random.randrange(1 << 30))
    spare = list(HOSTS[3:])
    for n in cluster.nodes:
        n.start()
    cluster.await_one(3)
    for number in range(ROUNDS):
        what = rng.choice(("kill one", "kill all", "lose one", "new address", "roll", "stop one while another starts"))
        victim = rng.choice(cluster.nodes)
        others = [n for n in cluster.nodes if n is not victim]
        said = f"round {number}, {what}, {victim.name}"
        if what == "kill one":
            victim.kill()
            victim.start()
        elif what == "kill all":
            for n in cluster.nodes:
                n.kill()
            for n in rng.sample(cluster.nodes, 3):
                n.start()
        elif what in ("lose one", "new address"):
            dead = victim.state()[0]
            victim.kill()
            victim.lose_disk()
            if what == "new address":
                spare.append(victim.host)
                victim.host = spare.pop(0)
            wait_for(lambda: all(n.state() and n.state()[1] not in (None, dead) for n in others), 60)
            victim.start()
            wait_for(lambda: victim.state() and victim.state()[1], 90)
            if str(dead) in others[0].state()[2]:
                remove(others[0], dead)
        elif what == "roll":
            for n in cluster.nodes:
                n.stop()
                n.start()
                cluster.await_one(3)
        else:
            others[0].stop()
            victim.kill()
            others[0].start()
            victim.start()
        try:
            cluster.await_one(3, 120)
        except AssertionError:
            raise AssertionError(said + ": " + str([(n.name, n.state()) for n in cluster.nodes])) from None
    assert sorted(p.name for p in cluster.tree.efs.glob("clusters/test/*.json")) == ["1.founded.json", "1.json", "1.telling.json"]
