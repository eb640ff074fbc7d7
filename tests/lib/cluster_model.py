"""A cluster of Qdrants as far as a restore into it goes, over real snapshots' tars: what each node was sent, and what the
rules of 1.18.2 make of it. Upload to a node: a tar without a member of some shard is answered with 500; a replica that the
node does not have would appear there, which is what exact placement is to avoid, and `priority=snapshot` would take the
other replicas away: both are kept in `wrong`."""
import http.server
import io
import itertools
import json
import re
import tarfile
import threading
import urllib.parse


class Node:
    def __init__(self, cluster, number, host="127.0.0.1", port=0):
        self.cluster, self.number, self.sent = cluster, number, []
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with cluster.lock:
                    status, result = cluster.answer(node, self.command, self.path, body)
                data = json.dumps({"status": "ok" if status == 200 else {"error": result}, "result": result, "time": 0}).encode()
                if self.path == "/":
                    data = json.dumps({"title": "qdrant", "version": "1.18.2"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_PUT = do_POST = do_DELETE = do

        self.server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.url = f"http://{host}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Cluster:
    """`place`: {shard: [numbers of nodes]} of a collection that is made. `points`: {shard: points} once it was restored."""

    def __init__(self, n, place, points, ids=None):
        self.ids = [int(i) for i in ids] if ids else [100 + i for i in range(n)]
        self.lock, self.place, self.points = threading.RLock(), place, points
        self.there, self.asked, self.wrong, self.had = {}, [], [], {}  # {collection: {(node, shard): points}}
        self.balanced, self.turn = False, itertools.count()
        self.unsettled, self.refuses, self.on_settled = 0, None, lambda: None
        self.on_upload = lambda: None
        self.failures, self.host = {}, "10.0.0.{}".format  # where the peers reach each other
        self.nodes = self.begin(n)

    def begin(self, n):
        return [Node(self, i) for i in range(n)]

    def close(self):
        for node in self.nodes:
            node.close()

    def peers(self):
        return {str(self.ids[i]): {"uri": f"http://{self.host(i)}:6335/"} for i in range(len(self.nodes))}

    def urls(self):
        """What restore is to be told of the nodes behind the first one."""
        return [f"--peer-url={node.url}" for node in self.nodes[1:]]

    def count(self, name):
        """As a client sees it: one replica of each shard."""
        return sum({shard: points for (_, shard), points in self.there[name]["points"].items()}.values())

    def answer(self, node, method, path, body):
        if self.balanced and node.number == 0:  # a load balancer's address: another node each time
            node = self.nodes[next(self.turn) % len(self.nodes)]
        path, _, query = path.partition("?")
        self.asked.append(f"{node.number} {method} {path}")
        if path == "/":
            return 200, None
        if path == "/cluster":
            return 200, {"status": "enabled", "peer_id": self.ids[node.number], "peers": self.peers(), "raft_info": {},
                         "consensus_thread_status": {"consensus_thread_status": "working"}, "message_send_failures": self.failures}
        if path == "/collections":
            return 200, {"collections": [{"name": n} for n in self.there]}
        if path in ("/aliases", "/collections/aliases"):
            return 200, {"aliases": []}
        name, _, rest = path.removeprefix("/collections/").partition("/")
        name = urllib.parse.unquote(name)
        if method == "PUT" and not rest:
            if name in self.there:
                return 409, f"Wrong input: Collection `{name}` already exists!"
            made = json.loads(body)
            self.there[name] = {"made": made, "indexes": {}, "points": {(n, s): 0 for s, nodes in self.place.items() for n in nodes}}
            return 200, True
        if name not in self.there:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        return self.of_collection(node, self.there[name], name, method, rest, query, body)

    def of_collection(self, node, c, name, method, rest, query, body):
        if not rest and method == "DELETE":
            del self.there[name]
            return 200, True
        if not rest:
            params = {k: v for k, v in c["made"].items() if not k.endswith("_config")}
            config = {"params": params} | {k.replace("optimizers", "optimizer"): v for k, v in c["made"].items() if k.endswith("_config")}
            return 200, {"status": "green", "config": config, "payload_schema": c["indexes"], "points_count": self.count(name)}
        if rest == "index":
            c["indexes"][json.loads(body)["field_name"]] = json.loads(body)["field_schema"]
            return 200, {}
        if rest == "points/count":
            return 200, {"count": self.count(name)}
        if rest == "cluster":
            if node.number == 0 and self.unsettled:
                self.unsettled -= 1
                if not self.unsettled:
                    self.on_settled()
            state = "Initializing" if self.unsettled else "Active"
            local = [{"shard_id": s, "points_count": p, "state": state} for (n, s), p in c["points"].items() if n == node.number]
            remote = [{"shard_id": s, "peer_id": self.ids[n], "state": state} for n, s in c["points"] if n != node.number]
            return 200, {"peer_id": self.ids[node.number], "shard_count": len(self.place), "local_shards": local, "remote_shards": remote, "shard_transfers": []}
        if rest == "snapshots/upload" and method == "POST":
            return self.upload(node, c, urllib.parse.parse_qs(query), body)
        if rest == "snapshots" or rest.startswith("snapshots/"):
            return (200, []) if method == "GET" else (404, "Not found: no snapshot")
        return 400, f"the model does not know {method} {rest}"

    def upload(self, node, c, query, body):
        begin = body.index(b"\r\n\r\n") + 4
        end = body.rindex(b"\r\n--")
        data = body[begin:end]
        if query["priority"] != ["no_sync"]:
            self.wrong.append(f"priority {query['priority']}")
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = [m.name for m in tar]
            stubs = {int(n.split("/")[0]): json.load(tar.extractfile(n)) for n in names if re.fullmatch(r"\d+/shard_config.json", n)}
        whole = {int(n.split("/")[0]) for n in names if re.fullmatch(r"\d+/replica_state.json", n)}
        node.sent.append(whole)
        if self.refuses == node.number:
            return 500, "Service internal error: No space left on device (os error 28)"
        if set(stubs) != {s for _, s in c["points"]} or any(s != {"type": "ReplicaSet"} for s in stubs.values()):
            return 500, "Service internal error: shard config is missing"
        if "config.json" not in names or len(names) != len(set(names)):
            return 400, "Bad request: no config"
        for shard in whole:
            if (node.number, shard) not in c["points"]:
                self.wrong.append(f"node {node.number} got shard {shard}")
            c["points"][node.number, shard] = self.points[shard]
        self.on_upload()
        return 200, True
