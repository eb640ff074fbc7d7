"""A cluster of real Qdrants under the entrypoint, each with an address, a disk and a name of its own."""
import http.client
import json
import os
import shutil
import signal
import subprocess

from cluster_peers import HOSTS
from harness import BUILD, events, marked, wait_for
from server import REAL, free_port


class Node:
    """A container with the entrypoint: a disk, an address, a name."""

    def __init__(self, cluster, n):
        self.cluster, self.n, self.name, self.host = cluster, n, f"node-{n}", cluster.hosts[n]
        self.root = cluster.tree.root / self.name
        self.process = None
        self.logs = 0

    def start(self, **env):
        (self.root / "snapshots").mkdir(parents=True, exist_ok=True)
        self.logs += 1
        c = self.cluster
        own = {"NODE_NAME": self.name, "QDRANT_URI": f"http://{self.host}:{c.p2p}", "QDRANT_CLUSTER_DNS": ",".join(c.hosts),
               "QDRANT__SERVICE__HOST": self.host, "QDRANT__SERVICE__HTTP_PORT": str(c.rest), "QDRANT__SERVICE__GRPC_PORT": str(c.grpc),
               "QDRANT__CLUSTER__P2P__PORT": str(c.p2p), "QDRANT__STORAGE__STORAGE_PATH": str(self.root / "storage"),
               "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.root / "snapshots"), "SNAPSHOTS_DIR": str(self.root / "snapshots"),
               "QDRANT_INIT_FILE_PATH": str(self.root / "initialized"), "QDRANT_BIN": REAL, "EFS_ALLOW_LOCAL": "1",
               "QDRANT__TELEMETRY_DISABLED": "true", "QDRANT__SERVICE__ENABLE_STATIC_CONTENT": "false", "STOP_GRACE_SECONDS": "15",
               "SNAPSHOT_ON_STOP": "off"}
        base = {k: v for k, v in c.tree.env.items() if k != "QDRANT_URL"}
        self.process = subprocess.Popen([*self.inside(), BUILD / "qdrant-entrypoint"], env=base | own | env, cwd=self.root, start_new_session=True,
                                        stdout=subprocess.DEVNULL, stderr=open(self.root / f"log{self.logs}", "w"))

    def inside(self):
        """The command that runs another one where this node is."""
        return []

    def log(self, event):
        text = (self.root / f"log{self.logs}").read_text()
        return events("\n".join(line for line in text.splitlines() if line.startswith('{"') and f'"{event}"' in line and line.endswith("}")))

    def kill(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for p in self._own():
                os.kill(p, signal.SIGKILL)
            wait_for(lambda: not self._own())
        self.process = None

    def _own(self):
        """The replicator has a process group of its own."""
        return marked(f"NODE_NAME={self.name}", f"EFS_ROOT={self.cluster.tree.efs}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process = None

    def lose_disk(self):
        shutil.rmtree(self.root / "storage", ignore_errors=True)
        shutil.rmtree(self.root / "snapshots", ignore_errors=True)

    def ask(self, method, path, body=None, timeout=90):
        c = http.client.HTTPConnection(self.host, self.cluster.rest, timeout=timeout)
        c.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
        r = c.getresponse()
        text = r.read()
        assert r.status == 200, (path, r.status, text)
        return json.loads(text)["result"]

    def state(self):
        """(peer id, leader, peers, whether it votes already) or None."""
        try:
            s = self.ask("GET", "/cluster", timeout=10)
        except (OSError, AssertionError, http.client.HTTPException):
            return None
        return s["peer_id"], s["raft_info"]["leader"], frozenset(s["peers"]), s["raft_info"]["is_voter"]


class Cluster:
    hosts, node = HOSTS, Node

    def __init__(self, tree):
        self.tree, self.rest, self.grpc, self.p2p = tree, free_port(), free_port(), free_port()
        self.nodes = [self.node(self, n) for n in range(3)]

    def running(self):
        return [n for n in self.nodes if n.process]

    def is_one(self, members):
        """Do all that run agree on the leader and on so many members, and are these all that run?"""
        states = [n.state() for n in self.running()]
        return (all(states) and all(s[3] for s in states) and len({s[1] for s in states}) == 1 and states[0][1] is not None and len({s[2] for s in states}) == 1 and
                len(states[0][2]) == members and {str(s[0]) for s in states} <= set(states[0][2]))

    def await_one(self, members, seconds=90):
        wait_for(lambda: self.is_one(members), seconds)

    def end(self):
        for n in self.nodes:
            n.kill()


class IsolatedNode(Node):
    """In a network of its own, which can be cut off. EFS stays: that is the worse case, since it can still act."""

    @property
    def net(self):
        return f"{self.cluster.net}-{self.host.rsplit('.', 1)[1]}"

    def inside(self):
        return ["ip", "netns", "exec", self.net]

    def cut(self):
        run("ip", "-n", self.cluster.net, "link", "set", self.net, "down")

    def mend(self):
        run("ip", "-n", self.cluster.net, "link", "set", self.net, "up")


def run(*argv, check=True):
    subprocess.run(argv, check=check, capture_output=True)


class IsolatedCluster(Cluster):
    """A network of its own for each of five addresses and for us, all at one switch. That is a bridge in a namespace of its own, where no rules
    of this machine, such as Docker's, are in the way. Needs root."""
    node = IsolatedNode

    def __init__(self, tree):
        mine = os.getpid()
        self.net, self.prefix = f"qb{mine % 10000}", f"10.{77 + mine % 100}.{mine // 100 % 250}"
        self.hosts = tuple(f"{self.prefix}.{n}" for n in (2, 3, 4, 5, 6))
        super().__init__(tree)
        run("ip", "netns", "add", self.net)
        run("ip", "-n", self.net, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", self.net, "link", "set", "switch", "up")
        run("ip", "link", "add", self.net, "type", "veth", "peer", "name", "us", "netns", self.net)
        run("ip", "-n", self.net, "link", "set", "us", "master", "switch", "up")
        run("ip", "addr", "add", f"{self.prefix}.1/24", "dev", self.net)
        run("ip", "link", "set", self.net, "up")
        for host in self.hosts:
            own = f"{self.net}-{host.rsplit('.', 1)[1]}"
            run("ip", "netns", "add", own)
            run("ip", "-n", self.net, "link", "add", own, "type", "veth", "peer", "name", "eth0", "netns", own)
            run("ip", "-n", self.net, "link", "set", own, "master", "switch", "up")
            run("ip", "-n", own, "addr", "add", f"{host}/24", "dev", "eth0")
            run("ip", "-n", own, "link", "set", "eth0", "up")
            run("ip", "-n", own, "link", "set", "lo", "up")

    @staticmethod
    def possible():
        return os.geteuid() == 0 and subprocess.run(["sh", "-c", "ip netns add qb-try && ip netns del qb-try"], capture_output=True).returncode == 0

    def end(self):
        super().end()
        for host in self.hosts:
            run("ip", "netns", "del", f"{self.net}-{host.rsplit('.', 1)[1]}", check=False)
        run("ip", "netns", "del", self.net, check=False)
