"""The templates in an app of CDK, by the lines of docker/README.md, under the strictest of CDK's own rules."""
import json
import re
import shutil

import pytest
from programs import ROOT
from templates import DOCKER, OPS, PRIMARY, SECOND

STRICT = {"@aws-cdk/core:validateAgainstDefaultRules": True}
KNOWN = {"F3031": r"(AccessPoint|FileSystem): .*FileSystemId: '' does not match pattern",
         "W1001": r": Outputs/(FileSystemId|AccessPointId|LogGroupName|BucketName)/Value\.Fn::If\.1: ",
         "W2509": r": Parameters/(ApiKeySecretArn|SecretKmsKeyArn): "}
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


def the_readmes_lines(template):
    text, = re.findall(r"^```python\n(.*?)^```$", (DOCKER / "README.md").read_text(), re.M | re.S)
    assert text.count(PRIMARY.name) == 1
    return text.replace(PRIMARY.name, template.name)


def synthesize(folder):
    """What CDK says of the three: (what is left, what was acknowledged), each {(rule, "resource: text")}."""
    cdk = pytest.importorskip("aws_cdk", reason="aws-cdk-lib is not installed")
    from aws_cdk.cloudformation_include import CfnInclude
    app = cdk.App(outdir=str(folder), context=STRICT)
    for template in (PRIMARY, SECOND, OPS):
        stack = cdk.Stack(app, template.stem)
        exec(the_readmes_lines(template), {"cdk": cdk, "CfnInclude": CfnInclude, "stack": stack})
    app.synth()
    report, = json.loads((folder / "validation-report.json").read_text())["pluginReports"]
    assert report["conclusion"] == "success" and report["suppressedViolations"]
    return [{(v["ruleName"], f"{c['constructPath'].rpartition('/')[2]}: {v['description']}") for v in report[kind]
             for c in v["violatingConstructs"]} for kind in ("violations", "suppressedViolations")]


def test_included_by_cdk_they_synthesize_without_a_word_under_its_strictest_rules(tmp_path, monkeypatch):
    monkeypatch.setenv("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "1")
    monkeypatch.setenv("JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION", "1")
    monkeypatch.chdir(ROOT)
    left, acknowledged = synthesize(tmp_path / "out")
    assert left == set()
    assert {v for v in acknowledged if not re.search(KNOWN.get(v[0], "$^"), v[1])} == set()
