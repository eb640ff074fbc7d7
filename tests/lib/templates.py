"""The CloudFormation templates, the task definition and the compose file as plain data, and what they have in common."""
import json
import pathlib
import re
import subprocess

from cfnlint.decode import cfn_yaml

DOCKER = pathlib.Path(__file__).parents[2] / "docker"
PRIMARY, SECOND, OPS = (DOCKER / f"cloudformation/{name}.yaml" for name in ("primary", "second-region", "ops"))
RENDER = DOCKER / "fargate/render.sh"


class Template:
    """One file. Its dicts, lists and strings know their lines (start_mark), so that comments can be looked at."""

    def __init__(self, path):
        self.path, self.text = path, path.read_text()
        self.lines = self.text.splitlines()
        self.body = cfn_yaml.load(str(path))

    def __getitem__(self, section):
        return self.body[section]

    def resources(self, kind):
        return {name: r for name, r in self.body["Resources"].items() if r["Type"] == kind}

    def properties(self, kind):
        return [r.get("Properties", {}) for r in self.resources(kind).values()]

    @property
    def service(self):
        return self.properties("AWS::ECS::Service")[0]

    @property
    def task(self):
        return self.properties("AWS::ECS::TaskDefinition")[0]

    def statements(self):
        """(allowed or denied by whom, statement) of every role and bucket."""
        for name, role in self.resources("AWS::IAM::Role").items():
            for policy in branches(role["Properties"]["Policies"]):
                for s in branches(policy["PolicyDocument"]["Statement"]):
                    yield name, s
        for name, policy in (self.resources("AWS::IAM::ManagedPolicy") | self.resources("AWS::IAM::RolePolicy")).items():
            for s in branches(policy["Properties"]["PolicyDocument"]["Statement"]):
                yield name, s
        for name, policy in self.resources("AWS::S3::BucketPolicy").items():
            for s in policy["Properties"]["PolicyDocument"]["Statement"]:
                yield name, s


def branches(items):
    """The items of a list, those of both sides of each Fn::If."""
    for item in items:
        if isinstance(item, dict) and set(item) == {"Fn::If"}:
            yield from branches(item["Fn::If"][1:])
        elif item != {"Ref": "AWS::NoValue"}:
            yield item


def as_list(value):
    return value if isinstance(value, list) else [value]


def strings(value):
    """Every string in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


def names_of(environment):
    return [e["Name"] for e in branches(environment)]


# How CloudFormation and the API spell one thing; else the first letter alone differs.
SPELLING = {"EFSVolumeConfiguration": "efsVolumeConfiguration", "FilesystemId": "fileSystemId", "IAM": "iam"}


def as_api(value):
    """A task definition of a template as the API takes it, each intrinsic function as a text of its own."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
            only = next(iter(value.values()))
            if "Fn::If" in value and isinstance(only[1], dict) and {"Name", "SourceVolume"} & set(only[1]):
                return as_api(only[1])
            return json.dumps(value)
        return {k if "awslogs" in k or k in ("mode", "max-buffer-size") else SPELLING.get(k, k[0].lower() + k[1:]): as_api(v)
                for k, v in value.items()}
    if isinstance(value, list):
        return [as_api(v) for v in value]
    return value


def render(**values):
    """The plain task definition; what is not given gets a value that can be told from others."""
    names = subprocess.run([RENDER, "--names"], capture_output=True, text=True, check=True).stdout.split()
    known = {"PATH": "/usr/local/bin:/usr/bin:/bin", "ARCHITECTURE": "ARM64"} | values
    env = {n: f"<{n}>" for n in names} | known
    done = subprocess.run([RENDER], capture_output=True, text=True, check=True, env=env)
    return json.loads(done.stdout)


def code_of(*paths):
    """Files without their comments, in which a word would be found that no template sets."""
    return {p: re.sub(r"(^|\s)#.*", "", p.read_text(), flags=re.M) for p in paths}
