"""checkov over the templates, and over stacks that they make: what it says of them stands here with its reason, and it says no more."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from templates import OPS, PRIMARY, SECOND, Template
from test_combinations import ops_beside, stacks

CHECKOV = pathlib.Path(sys.prefix).with_name("checkov") / "bin/checkov"
pytestmark = pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed: make build/checkov/ok")

# What we leave, {(check, resource): why}. docker/README.md tells it to those who run checkov themselves.
LEFT = {
    ("CKV_AWS_18", "Bucket"): "access logs need a second bucket, and cost by the request",
    ("CKV_AWS_158", "LogGroup"): "it is encrypted by AWS's key; one with a key of your own is given as LogGroupName",
    ("CKV_AWS_65", "Cluster"): "Container Insights cost by the metric, and NodeMissing needs none; a cluster with them is given as ClusterName",
}
# What it says of a template alone, since it decides no conditions: of the stacks it says none of this.
NOT_DECIDED = {
    ("CKV_AWS_19", "Bucket"): "the algorithm is behind HasKmsKey, aws:kms or AES256",
    ("CKV_AWS_23", "NodeSecurityGroup"): "the rule for S3PrefixListId is behind HasPrefixList, and its description with it",
    ("CKV_AWS_23", "OpsSecurityGroup"): "the same",
}
STACKS = 12  # of each template, by chance; each resource is in one of them


EDITS = {"Encrypted: true": "Encrypted: false", "BlockPublicAcls: true": "BlockPublicAcls: false",
         "TransitEncryption: ENABLED": "TransitEncryption: DISABLED"}  # careless ones


def write_stacks(folder, path):
    """Returns the resources that are in none of them."""
    never = set(Template(path)["Resources"]) | set(Template(OPS)["Resources"])
    for n, stack in enumerate(stacks(path)[:STACKS]):
        for name, s in (("node", stack), ("ops", ops_beside(stack, n))):
            made = {r: {"Type": kind, "Properties": p} for r, (kind, p) in s.resources().items()}
            never -= set(made)
            (folder / f"{name}-{n}.json").write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": made}))
    return never


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """{folder: {(check, resource)}}: it takes seconds to start, so it looks at all of them at once."""
    root = tmp_path_factory.mktemp("checkov")
    for name in ("templates", "edited", PRIMARY.stem, SECOND.stem):
        (root / name).mkdir()
    for template in (PRIMARY, SECOND, OPS):
        shutil.copy(template, root / "templates")
    edited = PRIMARY.read_text()
    for good, bad in EDITS.items():
        assert good in edited
        edited = edited.replace(good, bad)
    (root / "edited" / PRIMARY.name).write_text(edited)
    assert write_stacks(root / PRIMARY.stem, PRIMARY) == {"ReplicaOpsAccessPoint", "OpsToReplica", "OpsOutToReplica"}
    assert write_stacks(root / SECOND.stem, SECOND) == set()
    return remarks(root)


def remarks(root):
    done = subprocess.run([CHECKOV, "--framework", "cloudformation", "--directory", root, "--skip-download", "--compact",
                           "--output", "json"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0, done.stderr
    found = {folder.name: set() for folder in root.iterdir()}
    assert {c["file_path"].split("/")[1] for c in report["results"]["passed_checks"]} == set(found)
    for c in report["results"]["failed_checks"]:
        found[c["file_path"].split("/")[1]].add((c["check_id"], c["resource"].rpartition(".")[2]))
    return found


def test_of_the_templates_it_says_what_is_left_and_what_it_does_not_decide(said):
    assert said["templates"] == set(LEFT) | set(NOT_DECIDED)


@pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)
def test_of_the_stacks_that_they_make_it_says_what_is_left_and_no_more(said, path):
    assert said[path.stem] == {(check, r) for check, r in LEFT if r in Template(path)["Resources"]}


def test_it_finds_careless_edits(said):
    assert {check for check, _ in said["edited"] - set(LEFT) - set(NOT_DECIDED)} == {"CKV_AWS_42", "CKV_AWS_53", "CKV_AWS_97"}
