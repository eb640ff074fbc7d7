"""deploy/kubernetes as plain data: what `kubectl apply -k` would send, as far as these files use kustomize."""
import jsonpatch
import yaml
from harness import ROOT

KUBERNETES = ROOT / "deploy/kubernetes"
FIELDS = {"apiVersion", "kind", "namespace", "resources", "images", "patches"}  # of kustomize, that are known here


def documents(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def kustomized(folder):
    """Every object of a folder with a kustomization.yaml."""
    k, = documents(folder / "kustomization.yaml")
    assert set(k) <= FIELDS, "a field of kustomize that the tests do not know"
    out = []
    for name in k["resources"]:
        at = folder / name
        out += kustomized(at) if at.is_dir() else documents(at)
    for o in out:
        if "namespace" in k:
            o["metadata"]["namespace"] = k["namespace"]
        for image in k.get("images", []):
            for c in containers(o):
                if c["image"] == image["name"]:
                    c["image"] = f"{image['newName']}:{image['newTag']}"
    for patch in k.get("patches", []):
        hit = [i for i, o in enumerate(out) if (o["kind"], o["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"])]
        assert hit, patch["target"]
        for i in hit:
            out[i] = jsonpatch.apply_patch(out[i], yaml.safe_load(patch["patch"]))
    return out


def containers(o):
    return o["spec"].get("template", {}).get("spec", {}).get("containers", []) if o["kind"] == "StatefulSet" else []


def of_kind(objects, kind):
    return [o for o in objects if o["kind"] == kind]


def environment(container):
    """{name: value, or where it comes from}"""
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}
