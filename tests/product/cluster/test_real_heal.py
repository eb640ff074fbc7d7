"""A node of three real ones comes back without its disk: `HEAL` and `qdrant-efs heal` fill its place, and touch nothing that may come back."""
import contextlib
import http.client
import json
import os
import random
import subprocess
import threading
import time

import pytest
from cluster_peers import HOSTS
from harness import BUILD, wait_for
from real_cluster import IsolatedCluster
from server import REAL

pytestmark = [pytest.mark.real, pytest.mark.skipif(not REAL, reason="needs the real Qdrant server: set QDRANT_BIN to its binary")]
POINTS = 300
ROUNDS = int(os.environ.get("ROUNDS", "50" if os.environ.get("LONG") else "5"))


def begin(cluster, **env):
    for n in cluster.nodes:
        n.start(**env)
    cluster.await_one(3)
    ask = cluster.nodes[0].ask
    for name, factor in (("one", 1), ("two", 2)):
        ask("PUT", f"/collections/{name}?timeout=30", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 6, "replication_factor": factor,
                                                    "write_consistency_factor": factor})  # what is acknowledged, all copies have
        fill(cluster, name, range(POINTS))
    assert all(holders(cluster.nodes[0], "one").values())


def fill(cluster, name, ids):
    cluster.running()[0].ask("PUT", f"/collections/{name}/points?wait=true",
                             {"points": [{"id": i, "vector": [1, 2, 3, i], "payload": {"n": i}} for i in ids]})


def holders(node, name):
    """{shard: {peer: state}}"""
    c, out = node.ask("GET", f"/collections/{name}/cluster"), {}
    for s in c["local_shards"]:
        out.setdefault(s["shard_id"], {})[str(c["peer_id"])] = s["state"]
    for s in c["remote_shards"]:
        out.setdefault(s["shard_id"], {})[str(s["peer_id"])] = s["state"]
    return out


def back_up(cluster, names=("one", "two")):
    """A set of each collection on EFS."""
    made = []
    for n in cluster.running():
        for name in names:
            if n.ask("GET", f"/collections/{name}/cluster")["local_shards"]:  # else there is nothing to back up
                made.append(n.ask("POST", f"/collections/{name}/snapshots?wait=true")["name"].removesuffix(".snapshot"))
    wait_for(lambda: set(made) <= {p.stem for p in cluster.tree.efs.glob("test-*/*/*/*.json")}, 60)


def ids_of(node, name):
    got = node.ask("POST", f"/collections/{name}/points/scroll", {"limit": 10 * POINTS, "with_payload": True, "with_vector": True})
    return {p["id"]: (p["payload"]["n"]) for p in got["points"]}


def whole(cluster, name, factor, points, members):
    node = cluster.running()[0]
    shards = holders(node, name)
    return (set(map(len, shards.values())) == {factor} and {s for r in shards.values() for s in r.values()} == {"Active"} and
            {p for r in shards.values() for p in r} <= members and
            all(n.ask("POST", f"/collections/{name}/points/count", {"exact": True})["count"] == points for n in cluster.running()))


def await_whole(cluster, points=POINTS, seconds=120):
    members = {str(n.state()[0]) for n in cluster.running()}
    wait_for(lambda: all(whole(cluster, name, factor, points, members) for name, factor in (("one", 1), ("two", 2))), seconds)
    assert all(ids_of(n, name) == {i: i for i in range(points)} for n in cluster.running() for name in ("one", "two"))


def heal(cluster, *args, node=0):
    asked = cluster.nodes[node]
    env = {k: v for k, v in cluster.tree.env.items() if k != "NODE_NAME"} | {"QDRANT_URL": f"http://{asked.host}:{cluster.rest}"}
    return subprocess.run([BUILD / "qdrant-efs", "heal", *args], env=env, capture_output=True, text=True)


def unreached(cluster, node, peer):
    s = node.ask("GET", "/cluster")
    leader = next((n for n in cluster.running() if n.state()[0] == s["raft_info"]["leader"]), None)
    if not leader or str(s["raft_info"]["leader"]) == str(peer):
        return False
    s = leader.ask("GET", "/cluster")
    return s["message_send_failures"].get(s["peers"][str(peer)]["uri"], {}).get("count", 0) >= 5


@pytest.mark.parametrize("address", ["the same", "another"])
def test_a_node_that_lost_its_disk_is_healed_by_itself(cluster, address):
    heal = {"HEAL": "restore", "HEAL_AFTER": "10s"}
    begin(cluster, **heal)
    back_up(cluster)
    victim = cluster.nodes[2]
    lost = victim.state()[0]
    wait_for(lambda: (cluster.tree.efs / f"clusters/test/peers/{lost}.json").exists(), 30)
    victim.kill()
    victim.lose_disk()
    if address == "another":
        victim.host = HOSTS[3]
    victim.start(**heal)
    cluster.await_one(3, 240)
    await_whole(cluster)
    assert str(lost) not in cluster.nodes[0].state()[2]
    said = [e for n in cluster.nodes for e in n.log("heal_begins")]
    assert said and str(lost) in said[0]["message"]
    wait_for(lambda: any(n.log("healed") for n in cluster.nodes), 150)
    assert not any(n.log("heal_step_failed") for n in cluster.nodes)


def test_a_node_that_restarts_keeps_all_that_it_has(cluster):
    heal = {"HEAL": "restore", "HEAL_AFTER": "10s"}
    begin(cluster, **heal)
    back_up(cluster)
    before = {name: holders(cluster.nodes[0], name) for name in ("one", "two")}
    victim = cluster.nodes[1]
    peer = victim.state()[0]
    wait_for(lambda: (cluster.tree.efs / f"clusters/test/peers/{peer}.json").exists(), 30)
    victim.kill()
    wait_for(lambda: any(n.log("heal_unsure") for n in cluster.running()), 120)
    said = [e["message"] for n in cluster.running() for e in n.log("heal_unsure")][0]
    assert str(peer) in said and victim.name in said and f"qdrant-efs heal --peer {peer} --restore" in said
    victim.start(**heal)
    cluster.await_one(3)
    await_whole(cluster)
    assert {name: {s: set(r) for s, r in holders(cluster.nodes[0], name).items()} for name in before} == \
        {name: {s: set(r) for s, r in shards.items()} for name, shards in before.items()}
    assert not any(n.log("heal_begins") for n in cluster.nodes)


def test_a_person_heals_with_one_command(cluster):
    begin(cluster)
    back_up(cluster)
    victim = cluster.nodes[2]
    lost = str(victim.state()[0])
    wait_for(lambda: (cluster.tree.efs / f"clusters/test/peers/{lost}.json").exists(), 60)
    alive = heal(cluster, "--peer", lost)
    assert alive.returncode == 1 and "is not lost: it answers; nothing was changed" in alive.stderr
    victim.kill()
    victim.lose_disk()
    wait_for(lambda: unreached(cluster, cluster.nodes[0], lost), 60)
    looked = heal(cluster, "--dry-run")
    assert looked.returncode == 1 or "keeps its copies" in looked.stderr
    plan = heal(cluster, "--dry-run", "--restore", "--peer", lost, "--json")
    steps = json.loads(plan.stdout)["steps"]
    assert {"drop", "restore", "remove"} <= {s["step"] for s in steps} and not any(s["error"] for s in steps), plan.stdout
    assert lost in {p for r in holders(cluster.nodes[0], "two").values() for p in r}  # nothing was changed
    without = heal(cluster, "--peer", lost)
    assert without.returncode == 1 and "--restore brings them back" in without.stderr
    done = heal(cluster, "--peer", lost, "--restore", node=1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"remove the lost peer {lost} {victim.name}, which has nothing any more: done" in done.stdout and "every shard has its copies" in done.stdout
    await_whole(cluster)
    again = heal(cluster, "--dry-run")
    assert again.returncode == 0 and "every shard has its copies: there is nothing to do" in again.stdout


class Writer:
    """Writes to the collection `two` all the while, by whichever node takes it, and knows what was acknowledged."""

    def __init__(self, cluster):
        self.cluster, self.acknowledged, self.next, self.ended = cluster, dict.fromkeys(range(POINTS)), POINTS, False
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        while not self.ended:
            for n in self.cluster.running():
                i = self.next
                self.next += 1
                try:
                    n.ask("PUT", "/collections/two/points?wait=true", {"points": [{"id": i, "vector": [1, 2, 3, i], "payload": {"n": i}}]}, timeout=15)
                except (OSError, AssertionError, http.client.HTTPException, ValueError):
                    continue
                self.acknowledged[i] = f"{time.strftime('%H:%M:%S', time.gmtime())} {n.name}"
            time.sleep(0.02)

    def end(self):
        self.ended = True
        self.thread.join()


@pytest.fixture
def isolated(tree):
    if not IsolatedCluster.possible():
        pytest.skip("needs root, for networks of its own")
    c = IsolatedCluster(tree)
    yield c
    c.end()


def test_rounds_of_losses_and_cuts_under_a_client_leave_one_cluster_with_all_points(isolated):
    """`one` has no copies, and is written before each backup alone; `two` has two, and is written all the while."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    rng, env = random.Random(seed), {"HEAL": "restore", "HEAL_AFTER": "10s"}
    begin(isolated, **env)
    back_up(isolated)
    writer, spare, done = Writer(isolated), list(isolated.hosts[3:]), []
    try:
        for number in range(ROUNDS):
            what = rng.choice(("kill", "lose", "lose", "move", "cut", "roll"))
            victim = rng.choice(isolated.nodes)
            done.append(f"{what} {victim.name}")
            peer = victim.state()[0]
            wait_for(lambda: (isolated.tree.efs / f"clusters/test/peers/{peer}.json").exists(), 90)
            if what == "cut":
                victim.cut()
                time.sleep(40)
                victim.mend()
            elif what == "roll":
                for n in isolated.nodes:
                    n.stop()
                    n.start(**env)
                    isolated.await_one(3, 120)
            else:
                victim.kill()
                if what != "kill":
                    victim.lose_disk()
                if what == "move":
                    spare.append(victim.host)
                    victim.host = spare.pop(0)
                victim.start(**env)
            isolated.await_one(3, 300)
            assert (str(peer) in isolated.nodes[0].state()[2]) == (what not in ("lose", "move"))
            members = {str(n.state()[0]) for n in isolated.running()}
            wait_for(lambda: all(states_are(isolated, name, factor, members) for name, factor in (("one", 1), ("two", 2))), 240)
            assert all(ids_of(n, "one") == {i: i for i in range(POINTS)} for n in isolated.running())
            seen = set(writer.acknowledged)
            lost = {}
            with contextlib.suppress(AssertionError):  # Qdrant may show a point a moment after it has acknowledged it, where a replica has just become active
                wait_for(lambda: not lost_now(isolated, seen, lost), 30)
            assert not lost, ({name: [(i, writer.acknowledged[i]) for i in ids] for name, ids in lost.items()}, [(m.name, m.state()[0]) for m in isolated.running()],
                              holders(isolated.nodes[0], "two"))
            back_up(isolated)
    except BaseException:
        print(f"SEED={seed}: {done}, {[(n.name, n.state()) for n in isolated.nodes]}")
        raise
    finally:
        writer.end()
    assert not any(n.log("heal_step_failed") for n in isolated.nodes)


def lost_now(cluster, seen, out):
    """Of what was acknowledged, what each node does not give; also in `out`."""
    out.clear()
    out.update({n.name: sorted(seen - ids) for n in cluster.running() if seen - (ids := all_ids(n, "two"))})
    return out


def all_ids(node, name):
    return {p["id"] for p in node.ask("POST", f"/collections/{name}/points/scroll", {"limit": 1000000, "with_payload": False})["points"]}


def states_are(cluster, name, factor, members):
    shards = holders(cluster.running()[0], name)
    return (set(map(len, shards.values())) == {factor} and {s for r in shards.values() for s in r.values()} == {"Active"} and
            {p for r in shards.values() for p in r} <= members)
