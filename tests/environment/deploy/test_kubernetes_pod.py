"""The pod of deploy/kubernetes, run by Docker as its StatefulSet describes it: user, mounts, variables and probes. From the page's commands
to a backup, and back from a lost disk."""
import http.client
import json
import os
import shutil

import image as images
import pytest
from harness import wait_for
from manifests import KUBERNETES, kustomized, of_kind

pytestmark = images.needs_docker
KEY, TOKEN = "a-key-of-the-secret", "a-token-of-the-secret-that-is-long"
SECRET = {"api-key": KEY, "status-token": TOKEN}


class Pod:
    """`folder` has a folder for each volume."""

    def __init__(self, variant, folder):
        self.variant = variant
        stateful, = of_kind(kustomized(KUBERNETES / variant), "StatefulSet")
        self.spec, self.name, self.folder, self.id = stateful["spec"]["template"]["spec"], f"{stateful['metadata']['name']}-0", folder, None
        self.container, = self.spec["containers"]
        for volume in self.volumes():
            (folder / volume).mkdir(exist_ok=True)
        secret = self.folder / self.volume_of("secret")
        for name, value in SECRET.items():
            (secret / name).write_text(value)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 1000, 1000)  # fsGroup

    def volumes(self):
        return {m["name"] for m in self.container["volumeMounts"]}

    def volume_of(self, kind):
        return next(v["name"] for v in self.spec["volumes"] if kind in v)

    def value(self, entry):
        if "value" in entry:
            return entry["value"]
        source = entry["valueFrom"]
        return self.name if source == {"fieldRef": {"fieldPath": "metadata.name"}} else SECRET[source["secretKeyRef"]["key"]]

    def arguments(self):
        s, c = self.spec["securityContext"], self.container["securityContext"]
        yield from ("--user", f"{s['runAsUser']}:{s['runAsGroup']}", "--read-only", "--security-opt=no-new-privileges")
        yield from (f"--cap-drop={name}" for name in c["capabilities"]["drop"])
        yield from (f"--env={e['name']}={self.value(e)}" for e in self.container["env"])
        yield from (f"-p=127.0.0.1::{p['containerPort']}" for p in self.container["ports"])
        for m in self.container["volumeMounts"]:
            at = self.folder / m["name"] / m.get("subPath", "")
            if not at.exists():
                at.mkdir()
                os.chown(at, 1000, 1000)
            yield f"-v={at}:{m['mountPath']}" + (":ro" if m.get("readOnly") else "")

    def start(self):
        self.id = images.docker("run", "-d", "--label", images.LABEL, *self.arguments(), "--env=EFS_ALLOW_LOCAL=1", "--env=SNAPSHOT_INTERVAL=0",
                                images.build("trixie").tag).stdout.strip()
        self.ports = {p["name"]: int(images.docker("port", self.id, str(p["containerPort"])).stdout.split(":")[-1]) for p in self.container["ports"]}
        wait_for(lambda: self.probe("startupProbe") == 200, 90)
        wait_for(lambda: self.probe("readinessProbe") == 200, 90)
        return self

    def request(self, port, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"} | headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def probe(self, name):
        state = images.docker("inspect", "-f", "{{.State.Running}}", self.id).stdout.strip()
        assert state == "true", images.docker("logs", self.id).stdout
        get = self.container[name]["httpGet"]
        try:
            return self.request(get["port"], "GET", get["path"])[0]
        except (OSError, http.client.HTTPException):
            return 0

    def qdrant(self, method, path, body=None):
        status, text = self.request("rest", method, path, body, **{"api-key": KEY})
        assert status == 200, (status, text)
        return json.loads(text)["result"]

    def exec(self, *command):
        return images.docker("exec", self.id, *command)

    def stop(self):
        images.docker("stop", "-t", str(self.spec["terminationGracePeriodSeconds"]), self.id)
        return int(images.docker("inspect", "-f", "{{.State.ExitCode}}", self.id).stdout)


@pytest.fixture(autouse=True)
def no_container_is_left():
    yield
    images.remove_containers()


def fill(pod):
    pod.qdrant("PUT", "/collections/docs", {"vectors": {"size": 4, "distance": "Dot"}})
    pod.qdrant("PUT", "/collections/docs/points?wait=true", {"points": [{"id": 1, "vector": [0.05, 0.61, 0.76, 0.74]}]})


def the_disk_is_lost(pod):
    shutil.rmtree(pod.folder / "storage")
    return Pod(pod.variant, pod.folder).start()


def test_it_backs_up_proves_and_comes_back_whole_after_its_disk_was_lost(tmp_path):
    pod = Pod("base", tmp_path).start()
    fill(pod)
    pod.exec("qdrant-replicator", "snapshot")
    assert "complete" in pod.exec("qdrant-efs", "ls").stdout
    assert "proven" in pod.exec("qdrant-efs", "drill").stdout
    pod.exec(*pod.container["livenessProbe"]["exec"]["command"])
    assert pod.request("status", "GET", "/metrics")[0] == 401
    status, text = pod.request("status", "GET", "/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200 and b"qdrant_backup_healthy 1" in text
    assert pod.stop() == 0
    back = the_disk_is_lost(pod)
    assert back.qdrant("POST", "/collections/docs/points/count", {}) == {"count": 1}


def test_without_a_disk_of_its_own_a_stop_loses_nothing(tmp_path):
    pod = Pod("emptydir", tmp_path).start()
    fill(pod)
    assert pod.stop() == 0
    back = the_disk_is_lost(pod)
    assert back.qdrant("POST", "/collections/docs/points/count", {}) == {"count": 1}
