"""A cluster of Qdrants that lost nodes, as far as a heal of it goes, by the rules of 1.18.2: the last active replica of a shard cannot
be dropped; a peer with replicas cannot be removed; force removes it whatever it has (kept in `wrong`); a replica is copied while the
collection is `moving`; an upload with `priority=snapshot` brings each shard of the tar to that node, takes those of others away beyond the
replication factor, and marks the rest Dead; and while a shard has no active replica that answers, its collection cannot be read."""
import io
import json
import re
import tarfile
import urllib.parse

from cluster_model import Cluster, Node
from cluster_peers import HOSTS


class HealCluster(Cluster):
    """`shards`: {collection: {shard: [numbers of nodes]}}; `factor`: {collection: its replication factor}."""

    def __init__(self, n, shards, factor, points, ids=None, made=None):
        super().__init__(n, {}, points, ids)
        self.dead, self.gone, self.moves, self.factor = set(), set(), {}, factor
        self.states = {name: {(on, shard): "Active" for shard, nodes in of.items() for on in nodes} for name, of in shards.items()}
        self.made = made or {}
        self.leader, self.consensus, self.slow, self.refuse = 0, "working", 2, None
        self.changes = []

    def begin(self, n):
        """Each at an address of its own, and all at one port."""
        first = Node(self, 0, HOSTS[0])
        self.host = HOSTS.__getitem__
        return [first] + [Node(self, i, HOSTS[i], first.server.server_port) for i in range(1, n)]

    def urls(self):
        return [f"--peer-url={node.url}" for node in self.nodes if node.number not in self.dead]

    def lose(self, *numbers):
        """Their disks, tasks and addresses."""
        for n in numbers:
            self.dead.add(n)
            self.nodes[n].close()

    def close(self):
        for node in self.nodes:
            if node.number not in self.dead:
                node.close()

    def peers(self):
        return {i: u for n, (i, u) in enumerate(super().peers().items()) if n not in self.gone}

    def holders(self, name):
        out = {}
        for (on, shard), state in sorted(self.states[name].items()):
            out.setdefault(shard, {})[on] = state
        return out

    def active(self, name, shard, living=True):
        return [on for (on, s), state in self.states[name].items() if s == shard and state == "Active" and not (living and on in self.dead)]

    def readable(self, name):
        return all(self.active(name, shard) for _, shard in self.states[name])

    def answer(self, node, method, path, body):
        path, _, query = path.partition("?")
        self.asked.append(f"{node.number} {method} {path}")
        if self.refuse and re.fullmatch(self.refuse, f"{method} {path}"):
            return 500, "Service internal error: no"
        if path == "/":
            return 200, None
        if path == "/cluster":
            failures = {self.peers()[str(self.ids[n])]["uri"]: {"count": 9, "latest_error": "connection refused"} for n in self.dead - self.gone}
            return 200, {"status": "enabled", "peer_id": self.ids[node.number], "peers": self.peers(),
                         "raft_info": {"leader": None if self.leader is None else self.ids[self.leader]},
                         "consensus_thread_status": {"consensus_thread_status": self.consensus},
                         "message_send_failures": failures if node.number == self.leader else {}}
        if path == "/collections":
            return 200, {"collections": [{"name": n} for n in self.states]}
        if found := re.fullmatch(r"/cluster/peer/(\d+)", path):
            return self.remove(int(found[1]), query)
        name, _, rest = path.removeprefix("/collections/").partition("/")
        name = urllib.parse.unquote(name)
        if name not in self.states:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        return self.of(node, name, method, rest, query, body)

    def remove(self, peer, query):
        number = self.ids.index(peer)
        has = any(on == number for states in self.states.values() for on, _ in states)
        if "force=true" in query:
            self.wrong.append(f"removed {peer} by force")
        elif has:
            return 400, f"Wrong input: Cannot remove peer {peer} as there are shards on it"
        self.gone.add(number)
        self.changes.append(f"remove {number}")
        return 200, True

    def of(self, node, name, method, rest, query, body):
        if not rest and not self.readable(name):
            return 500, "Service internal error: The replica set for shard 0 has no active replica"
        if not rest:
            made = self.made.get(name, {})
            params = {"shard_number": len(self.holders(name)), "replication_factor": self.factor[name]} | made.get("params", {})
            config = {"params": params | {"replication_factor": self.factor[name]}} | {k: v for k, v in made.items() if k != "params"}
            return 200, {"status": "green", "config": config, "payload_schema": {}, "points_count": 0}
        if rest == "points/count":
            return (200, {"count": 0}) if self.readable(name) else (500, "Service internal error: no active replica")
        if rest == "cluster" and method == "GET":
            return 200, self.view(node, name)
        if rest == "cluster":
            return self.change(name, json.loads(body))
        if rest == "snapshots/upload" and method == "POST":
            return self.put_in(node, name, urllib.parse.parse_qs(query), body)
        if rest == "snapshots" or rest.startswith("snapshots/"):
            return (200, []) if method == "GET" else (404, "Not found: no snapshot")
        return 400, f"the model does not know {method} {rest}"

    def view(self, node, name):
        for at, left in list(self.moves.items()):
            if at[0] == name:
                self.moves[at] = left - 1
                if left <= 1:
                    del self.moves[at]
                    self.states[name][at[1:]] = "Active"
        local = [{"shard_id": s, "points_count": self.points.get(s, 0), "state": state} for (on, s), state in self.states[name].items() if on == node.number]
        remote = [{"shard_id": s, "peer_id": self.ids[on], "state": state} for (on, s), state in self.states[name].items() if on != node.number]
        return {"peer_id": self.ids[node.number], "shard_count": len(self.holders(name)), "local_shards": local, "remote_shards": remote,
                "shard_transfers": [{} for at in self.moves if at[0] == name]}

    def change(self, name, asked):
        (what, arguments), = asked.items()
        shard = arguments["shard_id"]
        if what == "drop_replica":
            on = self.ids.index(arguments["peer_id"])
            if (on, shard) not in self.states[name]:
                return 400, "Bad request: no such replica"
            if set(self.active(name, shard, living=False)) <= {on}:
                return 400, f"Wrong input: Shard {shard} must have at least one active replica after removing {arguments['peer_id']}"
            del self.states[name][on, shard]
        else:
            to, origin = self.ids.index(arguments["to_peer_id"]), self.ids.index(arguments["from_peer_id"])
            if any(at[0] == name for at in self.moves):
                self.wrong.append(f"{what} while another one moves")
            if to in self.dead or (to, shard) in self.states[name] or self.states[name].get((origin, shard)) != "Active":
                return 400, "Bad request: that cannot be copied"
            self.states[name][to, shard] = "Partial"
            self.moves[name, to, shard] = self.slow
        self.changes.append(f"{what} {name} {shard}" + (f" to {to}" if what != "drop_replica" else f" of {on}"))
        return 200, True

    def put_in(self, node, name, query, body):
        data = body[body.index(b"\r\n\r\n") + 4:body.rindex(b"\r\n--")]
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = [m.name for m in tar]
        whole = {int(n.split("/")[0]) for n in names if re.fullmatch(r"\d+/replica_state.json", n)}
        there = {int(n.split("/")[0]) for n in names if re.fullmatch(r"\d+/shard_config.json", n)}
        if there != set(self.holders(name)):
            return 500, "Service internal error: shard config is missing"
        if query["priority"] != ["snapshot"]:
            self.wrong.append(f"priority {query['priority']}")
        for (on, shard) in list(self.states[name]):
            others = [p for p in self.active(name, shard, living=False) if p != node.number]
            if on == node.number and shard not in whole and others and self.factor[name] > 1:
                self.wrong.append(f"replica of shard {shard} on {on} missed what was written")
        for shard in whole:
            others = self.active(name, shard, living=False)
            self.states[name][node.number, shard] = "Active"
            for n, on in enumerate(p for p in others if p != node.number):
                if n < len(others) - (self.factor[name] - 1):
                    del self.states[name][on, shard]
                else:
                    self.states[name][on, shard] = "Dead"
        node.sent.append(whole)
        self.changes.append(f"upload {name} {sorted(whole)} to {node.number}")
        return 200, True
