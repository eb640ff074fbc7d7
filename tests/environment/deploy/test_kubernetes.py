"""The manifests for Kubernetes: its own schemas, and rules of ours."""
import re

import pytest
import yaml
from manifests import KUBERNETES, containers, documents, environment, kustomized, of_kind
from programs import settings

VERSIONS = ("1.29", "1.33", "1.37")
VARIANTS = ("base", "emptydir", "cluster")
VOLUMES = sorted((KUBERNETES / "volumes").glob("*.yaml"))
PAGE = (KUBERNETES / "README.md").read_text()
SECRET = set(re.findall(r"--from-literal=([\w-]+)=", PAGE))


@pytest.fixture(params=VARIANTS)
def objects(request):
    return kustomized(KUBERNETES / request.param)


@pytest.fixture
def stateful(objects):
    found, = of_kind(objects, "StatefulSet")
    return found


@pytest.fixture
def pod(stateful):
    return stateful["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    found, = pod["containers"]
    return found


def validate(o, version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    kubernetes_validate.validate(o, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_what_kubernetes_takes(objects, version):
    for o in [*objects, *(d for path in VOLUMES for d in documents(path))]:
        validate(o, version)


def test_what_kubernetes_would_not_take_is_found(objects):
    for o in objects:
        o["spec"]["terminationGracePeriodSecond"] = 1
        with pytest.raises(Exception, match="terminationGracePeriodSecond"):
            validate(o, VERSIONS[-1])


def test_no_file_is_left_out():
    listed = {(KUBERNETES / v / name).resolve() for v in VARIANTS for name in documents(KUBERNETES / v / "kustomization.yaml")[0]["resources"]}
    there = {p for p in KUBERNETES.rglob("*.yaml") if p.name != "kustomization.yaml" and p not in VOLUMES}
    assert there == {p for p in listed if p.is_file()} and VOLUMES


def test_every_variable_is_a_setting_or_qdrants_own(container):
    names = set(environment(container))
    assert {"EFS_ROOT", "RESTORE_ON_EMPTY", "NODE_NAME"} <= names
    assert {n for n in names if n not in settings() | {"QDRANT_URI"} and not n.startswith("QDRANT__")} == set()


def is_cluster(stateful):
    return stateful["spec"]["replicas"] > 1


def test_the_node_is_one_unless_it_is_a_cluster_and_has_a_name_that_outlives_its_pod(stateful, container):
    assert is_cluster(stateful) == ("QDRANT_CLUSTER_DNS" in environment(container))
    assert environment(container)["NODE_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_nodes_of_a_cluster_find_each_other_before_they_are_ready_and_start_together():
    objects = kustomized(KUBERNETES / "cluster")
    stateful, = of_kind(objects, "StatefulSet")
    env = environment(stateful["spec"]["template"]["spec"]["containers"][0])
    headless, = (s for s in of_kind(objects, "Service") if s["metadata"]["name"] == env["QDRANT_CLUSTER_DNS"])
    assert headless["spec"]["clusterIP"] == "None" and headless["spec"]["publishNotReadyAddresses"] is True
    assert stateful["spec"]["serviceName"] == headless["metadata"]["name"] and stateful["spec"]["podManagementPolicy"] == "Parallel"
    assert env["QDRANT_URI"] == f"http://$(NODE_NAME).{headless['metadata']['name']}:6335"
    assert list(env).index("NODE_NAME") < list(env).index("QDRANT_URI")  # else Kubernetes leaves it as it is written
    assert env["RESTORE_ON_EMPTY"] == "never" and "QDRANT_CLUSTER_FOUND" not in env


def test_probes_and_services_name_ports_that_are_there(objects, stateful, container):
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert ports == {"rest": 6333, "grpc": 6334, "status": 6336} | ({"p2p": 6335} if is_cluster(stateful) else {})
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    for service in of_kind(objects, "Service"):
        for p in service["spec"]["ports"]:
            assert ports[p["targetPort"]] == p["port"]
    assert environment(container)["STATUS_LISTEN"] == "0.0.0.0:6336"


def test_readiness_asks_whether_all_is_restored_and_liveness_is_in_no_hurry(stateful, container):
    ready = {"path": "/readyz", "port": "rest"} if is_cluster(stateful) else {"path": "/restored", "port": "status"}
    assert container["readinessProbe"]["httpGet"] == ready
    live = container["livenessProbe"]
    assert live["exec"]["command"] == ["qdrant-entrypoint", "health"]
    assert live["periodSeconds"] * live["failureThreshold"] >= 600 and live["timeoutSeconds"] > 10  # HEALTH_TIMEOUT_SECONDS
    start = container["startupProbe"]
    assert start["httpGet"] == {"path": "/readyz", "port": "rest"} and start["periodSeconds"] * start["failureThreshold"] >= 86400


def test_a_stop_has_longer_than_it_takes(pod, container):
    assert pod["terminationGracePeriodSeconds"] >= int(environment(container)["STOP_GRACE_SECONDS"]) + 5


def test_nothing_runs_as_root_or_may_become_it(pod, container):
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 1000
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False


def test_every_mount_has_its_volume_and_all_that_is_written_is_on_one(stateful, pod, container):
    volumes = {v["name"] for v in pod["volumes"]} | {c["metadata"]["name"] for c in stateful["spec"].get("volumeClaimTemplates", [])}
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert {m["name"] for m in mounts.values()} == volumes
    assert mounts["/efs"]["name"] == "backups" and environment(container)["EFS_ROOT"] == "/efs"
    assert {p for p, m in mounts.items() if m["name"] == "storage"} == {"/qdrant/storage", "/qdrant/snapshots", "/tmp"}
    assert environment(container)["QDRANT_INIT_FILE_PATH"].startswith("/tmp/")


def test_keys_come_from_the_secret_that_the_page_makes_and_are_in_no_manifest(objects, pod, container):
    env = environment(container)
    key = env["QDRANT__SERVICE__API_KEY"]["secretKeyRef"]
    secret, = (v["secret"] for v in pod["volumes"] if "secret" in v)
    mount, = (m["mountPath"] for m in container["volumeMounts"] if m["name"] == "secret")
    used = {key["key"], *(env[n].removeprefix(f"{mount}/") for n in ("QDRANT_API_KEY_FILE", "STATUS_TOKEN_FILE"))}
    assert used == SECRET and key["name"] == secret["secretName"] and "create secret generic qdrant " in PAGE.replace("\\\n", " ")
    assert not of_kind(objects, "Secret")


def test_without_a_disk_of_its_own_a_stop_makes_snapshots_first():
    kept, lost = (environment(containers(of_kind(kustomized(KUBERNETES / v), "StatefulSet")[0])[0]) for v in ("base", "emptydir"))
    assert "SNAPSHOT_ON_STOP" not in kept and lost["SNAPSHOT_ON_STOP"] == "on"
    assert kept["RESTORE_ON_EMPTY"] == lost["RESTORE_ON_EMPTY"] == "latest"


@pytest.mark.parametrize("path", VOLUMES, ids=lambda p: p.stem)
def test_a_volume_and_its_claim_fit_each_other_and_the_pod(path):
    volume, claim = documents(path)
    assert (volume["kind"], claim["kind"]) == ("PersistentVolume", "PersistentVolumeClaim")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] and claim["metadata"]["namespace"] == "qdrant"
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    stateful, = of_kind(kustomized(KUBERNETES / "base"), "StatefulSet")
    named = {v["persistentVolumeClaim"]["claimName"] for v in stateful["spec"]["template"]["spec"]["volumes"] if "persistentVolumeClaim" in v}
    assert named == {claim["metadata"]["name"]}


def test_the_page_names_files_and_objects_that_are_there():
    for path in re.findall(r"(?:-f|-k) (deploy/[^\s`]+)", PAGE):
        assert (KUBERNETES.parents[1] / path).exists(), path
    monitor = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1])
    headless = next(s for s in of_kind(kustomized(KUBERNETES / "base"), "Service") if s["metadata"]["name"] == "qdrant-nodes")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= headless["metadata"]["labels"].items()
    assert [e["port"] for e in monitor["spec"]["endpoints"]] == [p["name"] for p in headless["spec"]["ports"]]
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"]["key"] in SECRET
