"""Nodes of a cluster for `qdrant-replicator cluster-start`: an address of its own for each, and peers that answer as Qdrant 1.18.2 does."""
import http.server
import json
import os
import queue
import subprocess
import threading

from harness import BUILD, events
from server import free_port

HOSTS = tuple(f"127.0.0.{n}" for n in (2, 3, 4, 5, 6))


class Peer:
    """The REST API of one, at its host. `leader`: its id; 0, as raft has it, when there is none; None before the first look; `peers`: {id: uri}; `shards`: {collection: {shard: [peer ids]}}."""

    def __init__(self, net, host, peer_id, leader=None, peers=None, shards=None, status="enabled", code=200, consensus="working"):
        self.id, self.leader, self.status, self.code, self.consensus = peer_id, leader, status, code, consensus
        self.peers = {str(peer_id): net.uri(host)} if peers is None else peers
        self.shards = shards or {}
        self.asked, self.raw = [], None  # `raw`: the body of every answer
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                peer.asked.append(self.path)
                code, result = peer.answer(self.path)
                body = peer.raw if peer.raw is not None else json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = http.server.ThreadingHTTPServer((host, net.rest), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, path):
        if self.code != 200:
            return self.code, None
        if path == "/cluster" and self.status != "enabled":
            return 200, {"status": "disabled"}
        if path == "/cluster":
            return 200, {"status": "enabled", "peer_id": self.id, "peers": {i: {"uri": f"{u}/"} for i, u in self.peers.items()},
                         "raft_info": {"term": 2, "commit": 9, "pending_operations": 0, "leader": self.leader, "role": "Follower",
                                       "is_voter": True},
                         "consensus_thread_status": {"consensus_thread_status": self.consensus, "last_update": "2026-11-24T08:00:00Z"},
                         "message_send_failures": {}}
        if path == "/collections":
            return 200, {"collections": [{"name": name} for name in self.shards]}
        shards = self.shards[path.split("/")[2]]
        return 200, {"peer_id": self.id, "shard_count": len(shards), "local_shards": [], "shard_transfers": [],
                     "remote_shards": [{"shard_id": s, "peer_id": p, "state": "Dead"} for s, peers in shards.items() for p in peers]}

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Start:
    """A `cluster-start` that runs, in the place of the node `host`."""

    def __init__(self, net, host, **env):
        self.root = net.tree.root / f"node-{host}-{len(net.starts)}"
        self.root.mkdir()
        self.storage = net.storage(host)
        self.log_path = self.root / "log"
        own = {"QDRANT_URI": net.uri(host), "QDRANT__STORAGE__STORAGE_PATH": str(self.storage), "QDRANT_URL": f"http://{host}:{net.rest}",
               "NODE_NAME": f"node-{host[-1]}", "QDRANT_CLUSTER_DNS": ",".join(HOSTS[:3]), "EFS_ALLOW_LOCAL": "1",
               "QDRANT__CLUSTER__P2P__PORT": str(net.p2p)}
        self.process = subprocess.Popen([BUILD / "qdrant-replicator", "cluster-start"], env=net.tree.env | own | env, text=True,
                                        stdout=subprocess.PIPE, stderr=open(self.log_path, "w"))
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def said(self, seconds=60):
        """Its line."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"it said nothing: {self.log_path.read_text()}") from None

    def is_silent(self):
        return self.lines.empty() and self.process.poll() is None

    def logged(self, event):
        return [line["message"] for line in events(self.log_path.read_text()) if line["event"] == event]


class Net:
    def __init__(self, tree):
        self.tree, self.rest, self.p2p = tree, free_port(), free_port()
        self.starts, self.peers = [], []

    def uri(self, host):
        return f"http://{host}:{self.p2p}"

    def storage(self, host):
        return self.tree.root / f"storage-{host}"

    def peer(self, *args, **kwargs):
        self.peers.append(Peer(self, *args, **kwargs))
        return self.peers[-1]

    def start(self, host, **env):
        self.starts.append(Start(self, host, **env))
        return self.starts[-1]

    def claims(self):
        return {p.name: json.loads(p.read_text()) for p in self.tree.efs.glob("clusters/test/*.json")}

    def close(self):
        for s in self.starts:
            if s.process.poll() is None:
                s.process.kill()
            s.process.wait()
        for p in self.peers:
            p.close()


def raft_state(storage, term=0, voters=(), peer_id=77, uri=None):
    """As a Qdrant 1.18.2 leaves it."""
    storage.mkdir(parents=True, exist_ok=True)
    (storage / "raft_state.json").write_text(json.dumps({
        "state": {"hard_state": {"term": term, "vote": 0, "commit": 0}, "conf_state": {"voters": list(voters), "learners": []}},
        "latest_snapshot_meta": {"term": 0, "index": 0}, "apply_progress_queue": None, "first_voter": None,
        "peer_address_by_id": {str(peer_id): uri} if uri else {}, "this_peer_id": peer_id}))


def age(path, seconds):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
