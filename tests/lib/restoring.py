"""What the tests do with backups and a Qdrant, in words."""
import json
import socket
import subprocess
import threading
import time

from server import Server, free_port

KEY = "k3y-that-nobody-may-see"
CITIES = ["Berlin", "London", "Moscow", "New York", "Beijing"]
VECTORS = [[0.05, 0.61, 0.76, 0.74], [0.19, 0.81, 0.75, 0.11], [0.36, 0.55, 0.47, 0.94], [0.18, 0.01, 0.85, 0.80],
           [0.24, 0.18, 0.22, 0.44]]
SIXTH = {"id": 6, "vector": [0.30, 0.05, 0.10, 0.40], "payload": {"city": "Bengaluru"}}


def path_of(collection):
    from urllib.parse import quote
    return "/collections/" + quote(collection, safe="")


def attach(tree, server):
    """Have the tree's programs speak to this server."""
    tree.snapshots = server.snapshots
    tree.env |= {"QDRANT_URL": server.url, "SNAPSHOTS_DIR": str(server.snapshots), "MIN_FREE": "0"}
    if server.api_key:
        tree.env["QDRANT_API_KEY"] = server.api_key


def fill(server, collection="test_collection"):
    """Qdrant's own example: five cities."""
    server.result("PUT", path_of(collection), {"vectors": {"size": 4, "distance": "Dot"}})
    upsert(server, collection, [{"id": i + 1, "vector": v, "payload": {"city": c}}
                                for i, (v, c) in enumerate(zip(VECTORS, CITIES))])


def upsert(server, collection, points):
    server.result("PUT", path_of(collection) + "/points?wait=true", {"points": points})


def scroll(server, collection="test_collection"):
    return server.result("POST", path_of(collection) + "/points/scroll",
                         {"limit": 1000, "with_payload": True, "with_vector": True})


def count(server, collection="test_collection"):
    return server.result("POST", path_of(collection) + "/points/count", {"exact": True})["count"]


def snapshot(server, collection="test_collection"):
    """Have one made, in a second of its own: its name has no more than that. Its stem."""
    time.sleep(1.01)
    return server.result("POST", path_of(collection) + "/snapshots?wait=true")["name"].removesuffix(".snapshot")


def publish(tree, **env):
    run = tree.once(**env)
    assert run.returncode == 0, run.stderr


def restore(tree, *args, **env):
    run = tree.efs_tool("restore", *args, **env)
    assert KEY not in run.stdout + run.stderr
    return run


def restored(tree, *args, **env):
    """The JSON of a restore that must succeed."""
    run = restore(tree, "--json", *args, **env)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def data_of(tree, stem):
    """The stored data of a backup."""
    return next(p for p in tree.efs.rglob("*") if p.name in (f"{stem}.snapshot", f"{stem}.snapshot.zst"))


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def uploads(server):
    """What uploads left in Qdrant's snapshots folder: none, once all is done."""
    return [str(p) for p in server.snapshots.rglob("*") if p.is_file() and ".restore_" in p.name]


class Dam:
    """Passes TCP on to a server, but no more than `limit` bytes of any one connection to it, until it is let go or closed."""

    def __init__(self, port, limit):
        self.port, self.limit, self.full, self.closed = port, limit, threading.Event(), threading.Event()
        self.free = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            passed = 0
            while data := client.recv(65536):
                server.sendall(data)
                passed += len(data)
                if passed >= self.limit and not self.free.is_set():
                    self.full.set()
                    while not self.free.wait(0.02) and not self.closed.is_set():
                        pass
                    if self.free.is_set():
                        continue
                    # The client's end does not arrive while what it sent before is not read.
                    self.closed.wait()
                    server.shutdown(socket.SHUT_RDWR)  # closing it is not enough while _back reads
                    return

    @staticmethod
    def _back(server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass

    def let_go(self):
        self.free.set()

    def close(self):
        self.closed.set()
        self.listener.close()


def tar_of_backup(tree, stem):
    """The snapshot in a backup, as Qdrant made it."""
    path = data_of(tree, stem)
    if path.suffix != ".zst":
        return path.read_bytes()
    return subprocess.run(["zstd", "-qdc", path], check=True, capture_output=True).stdout


def put_backup(tree, collection, data):
    """A backup of now that holds these bytes, and says so."""
    time.sleep(1.01)
    stem = f"{collection}-77-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}"
    tree.snapshot(collection, stem, data)
    publish(tree)
    return stem


def cluster_of_one(kind, root):
    """With shard keys, which only a cluster has."""
    p2p = free_port()
    server = Server(kind, root, api_key=KEY, env={"QDRANT__CLUSTER__ENABLED": "true", "QDRANT__CLUSTER__P2P__PORT": str(p2p)})
    return server.start("--uri", f"http://127.0.0.1:{p2p}")
