"""The construct for CDK in TypeScript: it compiles strictly, and gives the very templates that the one in Python gives."""
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from harness import ROOT, takes_minutes
from test_cdk_construct import CDK, STACKS, python

pytestmark = [pytest.mark.skipif(not shutil.which("tsc"), reason="tsc is not installed (node-typescript)"),
              pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"), takes_minutes]
# PyPI's packages carry those of npm.
PACKAGES = {"aws_cdk/_jsii": "aws-cdk-lib", "constructs/_jsii": "constructs", "aws_cdk/asset_awscli_v1/_jsii": "@aws-cdk/asset-awscli-v1",
            "aws_cdk/asset_node_proxy_agent_v6/_jsii": "@aws-cdk/asset-node-proxy-agent-v6",
            "aws_cdk/cloud_assembly_schema/_jsii": "@aws-cdk/cloud-assembly-schema"}
# The stacks of test_cdk_construct.STACKS; what became of each goes to standard output.
OTHERS = """
import * as cdk from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as efs from 'aws-cdk-lib/aws-efs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { CONTAINER, QdrantBackups, QdrantBackupsProps } from './qdrant-backups';

const out: Record<string, unknown> = {};

function stack(name: string, options: (s: cdk.Stack) => Partial<QdrantBackupsProps>): void {
  const app = new cdk.App();
  const s = new cdk.Stack(app, name, { env: { account: '123456789012', region: 'eu-central-1' } });
  const vpc = new ec2.Vpc(s, 'Vpc', { maxAzs: 2 });
  const taskDefinition = new ecs.FargateTaskDefinition(s, 'Task', { cpu: 2048, memoryLimitMiB: 8192 });
  const container = taskDefinition.addContainer('qdrant', { image: ecs.ContainerImage.fromRegistry('x'), ...CONTAINER });
  const made = options(s);
  const backups = new QdrantBackups(s, 'Backups', { vpc, taskDefinition, container, apiKey: new secretsmanager.Secret(s, 'Key'), ...made });
  backups.grantRead(new iam.User(s, 'Ops'));
  out[name] = app.synth().getStackByName(name).template;
}

function refused(name: string, options: (s: cdk.Stack) => Partial<QdrantBackupsProps>): void {
  try {
    stack(name, options);
    out[name] = '';
  } catch (e) {
    out[name] = (e as Error).message;
  }
}

const existing = (s: cdk.Stack) => efs.FileSystem.fromFileSystemAttributes(s, 'There', {
  fileSystemId: 'fs-0123456789abcdef0', securityGroup: ec2.SecurityGroup.fromSecurityGroupId(s, 'Group', 'sg-0123456789abcdef0') });

stack('Options', (s) => ({
  bucket: new s3.Bucket(s, 'Bucket'), arm64: true, tier: 'dev', drills: false, localVolumes: false, apiKeyJsonKey: 'key',
  rpo: cdk.Duration.hours(1), replicaRegion: 'eu-west-1', settings: { COMPRESSION: 'delta', HEALTH_START_SECONDS: '7200' } }));
stack('Existing', (s) => ({ fileSystem: existing(s) }));
refused('ReplicaOfAnother', (s) => ({ fileSystem: existing(s), replicaRegion: 'eu-west-1' }));
refused('ReplicaWithoutItsRegion', () => ({ replicaFileSystemId: 'fs-0123456789abcdef0' }));
console.log(JSON.stringify(out));
"""


def run(*command, cwd, **env):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    cdk = pytest.importorskip("aws_cdk", reason="aws-cdk-lib is not installed")
    site = os.path.dirname(os.path.dirname(cdk.__file__))
    folder = tmp_path_factory.mktemp("typescript")
    for where, name in PACKAGES.items():
        there, = (p for p in os.listdir(f"{site}/{where}") if p.endswith(".jsii.tgz"))
        with tarfile.open(f"{site}/{where}/{there}") as tar:
            tar.extractall(folder / "unpacked", filter="data")
        to = folder / "node_modules" / name
        to.parent.mkdir(parents=True, exist_ok=True)
        (folder / "unpacked/package").rename(to)
    for name in ("qdrant-backups.ts", "example.ts", "tsconfig.json"):
        shutil.copy(CDK / "typescript" / name, folder)
    (folder / "others.ts").write_text(OTHERS.replace("console.log", "(globalThis as any).console.log"))
    settings = json.loads((folder / "tsconfig.json").read_text())
    settings["files"].append("others.ts")
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    run("tsc", "-p", ".", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def of_python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    told = python("-B", "-c", STACKS, folder, CDK_OUTDIR=str(folder / "example"))
    return json.loads((folder / "example/Qdrant.template.json").read_text()), json.loads(told)


def test_the_example_gives_the_same_template(compiled, of_python):
    run("node", "example.js", cwd=compiled, CDK_OUTDIR=str(compiled / "out"))
    assert json.loads((compiled / "out/Qdrant.template.json").read_text()) == of_python[0]


def test_so_does_every_option_and_what_is_refused_is_refused_in_both(compiled, of_python):
    def plain(text):
        return text.replace("_", "").lower().partition(": ")[0 if ": leave" not in text else 2] if isinstance(text, str) else text
    ours, theirs = json.loads(run("node", "others.js", cwd=compiled)), of_python[1]
    assert ours.keys() == theirs.keys()
    for name in ("Options", "Existing"):
        assert ours[name] == theirs[name], name
    for name in ("ReplicaOfAnother", "ReplicaWithoutItsRegion"):
        assert ours[name] and plain(theirs[name]).endswith(plain(ours[name])[-40:]), (ours[name], theirs[name])


def test_both_have_the_same_parameters():
    import re
    snake = set(re.findall(r"^        (\w+): [^\n]*(?:=[^\n]*)?,$", (CDK / "python/qdrant_backups.py").read_text(), re.M)) - {"self"}
    camel = set(re.findall(r"^  readonly (\w+)\??:", (CDK / "typescript/qdrant-backups.ts").read_text().partition("interface QdrantBackupsProps")[2].partition("\n}")[0], re.M))
    assert {re.sub(r"_(\w)", lambda m: m[1].upper(), name) for name in snake} == camel


def test_the_page_shows_the_example():
    page = (CDK / "README.md").read_text()
    assert "deploy/cdk/typescript/qdrant-backups.ts" in page and "deploy/cdk/typescript/example.ts" in page
    assert (ROOT / "deploy/cdk/typescript/package.json").exists()
