"""The dashboard for Grafana: each of its queries, asked of a Prometheus that has looked at a node with everything to show, has an answer."""
import http.client
import json
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest
from booting import Efs, Task
from harness import ROOT, wait_for
from moto.server import ThreadedMotoServer
from restoring import fill
from server import free_port

FOLDER = ROOT / "deploy/grafana"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
NAME = re.compile(r"\bqdrant_backup_\w+")
PANELS = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
QUERIES = [(p["title"], t["expr"]) for p in PANELS for t in p["targets"]]
VARIABLES = [v["definition"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
WHAT = ("age_seconds", "rpo_seconds", "tier_objective_seconds", "size_bytes", "stored_size_bytes", "compression_ratio", "queue_length", "drill_ok",
        "drill_timestamp_seconds", "drill_duration_seconds", "heartbeat_timestamp_seconds", "s3_last_upload_timestamp_seconds", "restore_pending")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")


def documented():
    """Every metric of the table in docs/status.md."""
    text = (ROOT / "docs/status.md").read_text().split("## Prometheus", 1)[1].split("\n## ", 1)[0]
    out, first = set(), ""
    for line in text.splitlines():
        for word in re.findall(r"`([a-z0-9_]+)`", line.split("|")[1] if line.startswith("| `") else ""):
            first = first if word.startswith("_") else word  # `a_made`, `_failed` is a_made and a_failed
            out.add(first.rpartition("_")[0] + word if word.startswith("_") else word)
    return {f"qdrant_backup_{n}" for n in out}


def used():
    return {n for text in (*(q for _, q in QUERIES), *VARIABLES) for n in NAME.findall(text)}


def test_every_metric_that_it_asks_for_is_documented():
    assert len(documented()) > 60 and used() - documented() == set()


def test_it_shows_what_people_ask_for():
    assert {f"qdrant_backup_{n}" for n in WHAT} - used() == set()


def test_its_panels_do_not_overlap_and_have_names_of_their_own():
    cells = [(x, y) for p in DASHBOARD["panels"] for g in [p["gridPos"]] for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    for field in ("id", "title"):
        values = [p[field] for p in DASHBOARD["panels"]]
        assert len(values) == len(set(values))


def test_every_query_keeps_to_the_chosen_node_and_source():
    for p in PANELS:
        assert p["datasource"]["uid"] == "${datasource}"
    for title, query in QUERIES:
        for selector in re.findall(r"qdrant_backup_\w+(\{[^}]*\})?", query):
            assert 'instance=~"$instance"' in selector, (title, query)


class Prometheus:
    def __init__(self, folder, target):
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms"},
            "scrape_configs": [{"job_name": "qdrant", "static_configs": [{"targets": [target]}]}]}))

    def __enter__(self):
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=open(self.folder / "log", "wb"), stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)

    def query(self, expr):
        """[(labels, value)]"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expr}))
        reply = json.loads(connection.getresponse().read())
        connection.close()
        assert reply["status"] == "success", (expr, reply)
        return [(r["metric"], float(r["value"][1])) for r in reply["data"]["result"]]

    def knows(self, expr):
        try:
            return self.query(expr)
        except OSError:
            return []


def filled_in(query):
    return query.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$collection", ".*")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Its disk was lost and restored; it has made snapshots since, copied them to S3, and drilled one."""
    folder = tmp_path_factory.mktemp("grafana")
    efs, moto = Efs(folder / "efs"), ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    address = f"127.0.0.1:{moto.get_host_and_port()[1]}"
    connection = http.client.HTTPConnection(address)
    connection.request("PUT", "/grafana", headers={"Host": "s3.amazonaws.com"})
    assert connection.getresponse().status == 200
    s3 = {"SNAPSHOT_S3_BUCKET_NAME": "grafana", "SNAPSHOT_S3_ENDPOINT": f"http://{address}", "AWS_ACCESS_KEY_ID": "AKIDTEST",
          "AWS_SECRET_ACCESS_KEY": "sekret", "AWS_REGION": "us-east-1"}
    tasks = [Task("standin", folder / f"task{i}", efs, **env) for i, env in enumerate((s3, s3 | {
        "RESTORE_ON_EMPTY": "latest", "COMPRESSION": "delta"}))]
    try:
        first, second = tasks
        first.start()
        fill(first.server)
        snapshot(first)
        first.stop()
        second.env["DRILL_SCHEDULE"] = f"hourly@:{time.strftime('%M', time.gmtime(time.time() + 85))}"  # a minute that begins after the start
        yield second.start()
    finally:
        for t in tasks:
            t.end()
        moto.stop()


def snapshot(task):
    done = subprocess.run([task.program("qdrant-replicator"), "snapshot"], env=task.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_prometheus_that_has_seen_a_node_answers_every_query(node, tmp_path):
    with Prometheus(tmp_path / "prometheus", f"127.0.0.1:{node.status}") as prometheus:
        wait_for(lambda: prometheus.knows("qdrant_backup_healthy"), 60)
        snapshot(node)  # so that there is something to count
        empty = {}

        def all_have_an_answer():
            empty.clear()
            empty.update({title: q for title, q in QUERIES if not prometheus.query(filled_in(q))})
            return not empty
        deadline = time.monotonic() + 180
        while not all_have_an_answer() and time.monotonic() < deadline:
            time.sleep(1)
        assert empty == {}
        healthy, = prometheus.query(filled_in(dict(QUERIES)["Healthy"]))
        assert healthy[1] == 1
        done, = prometheus.query("sum(qdrant_backup_restore_collections_done)")
        assert done[1] > 0
        for definition in VARIABLES:
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()
            assert all(labels.get(label) for labels, _ in prometheus.query(filled_in(metric)))
