"""As much of AWS as the runbook talks to: the real `aws` command checks what is typed, and this answers it.

CloudFormation and EFS replication are modelled here with the rules that decide whether the page's order of steps is possible:
a stack takes only its template's parameters and their values, and nothing while it changes; a file system is in one replication at most, its
destination only with its overwrite protection off, and EFS turns that on again when the replication has ended; a file system that is in a
replication or has mount targets is not deleted. The rest (ECS, Secrets Manager, CloudWatch, S3) is moto's.

What takes AWS minutes takes them here, by a clock that goes on when somebody sleeps: `sleep` on the PATH of the page's commands tells
POST /clock how long. Sources: the API texts of botocore (DeleteReplicationConfiguration, DeleteFileSystem, UpdateFileSystemProtection), the EFS
User Guide "Deleting replication configurations" ("several minutes"; LOCAL_CONFIGURATION_ONLY leaves the other Region's side).
"""
import http.client
import http.server
import json
import pathlib
import re
import threading
import time
import urllib.parse
import xml.sax.saxutils

from cfnlint.decode import cfn_yaml

from resolve import Resolved

TEMPLATES = pathlib.Path(__file__).parents[3] / "docker/cloudformation"
EFS = "/2015-02-01/file-systems"
# Seconds: a change of a stack, the end of a replication, a mount target's end, the first sync.
# The configuration is gone before the protection can be changed: nobody promises an order, so the page must wait for both.
STACK_TAKES, REPLICATION_ENDS, PROTECTION_ENDS, MOUNT_TARGET_ENDS, FIRST_SYNC = 60, 240, 420, 60, 240
# (operation, path) of EFS's REST requests, for what is called.
OPERATIONS = [("DescribeReplicationConfigurations", "GET", rf"{EFS}/replication-configurations"),
              ("DeleteReplicationConfiguration", "DELETE", rf"{EFS}/(fs-\w+)/replication-configuration"),
              ("UpdateFileSystemProtection", "PUT", rf"{EFS}/(fs-\w+)/protection"),
              ("DescribeFileSystems", "GET", EFS), ("DeleteFileSystem", "DELETE", rf"{EFS}/(fs-\w+)"),
              ("DescribeMountTargets", "GET", "/2015-02-01/mount-targets"),
              ("DeleteMountTarget", "DELETE", "/2015-02-01/mount-targets/(fsmt-[\\w-]+)")]


class Refused(Exception):
    def __init__(self, code, text, status=400):
        super().__init__(text)
        self.code, self.status = code, status


class Stack:
    def __init__(self, region, name, template, parameters):
        self.region, self.name, self.template, self.parameters = region, name, template, parameters
        self.status, self.text = "UPDATE_COMPLETE", ""
        self.made = len(Account.made)
        Account.made.append(self)

    def id(self, resource):
        """Of a file system of this stack."""
        return f"fs-{self.made:04x}{list(self.template['Resources']).index(resource):04x}"

    def outputs(self):
        """Those whose condition holds."""
        known = {"ServiceName": f"{self.name}-service", "ClusterName": f"{self.name}-cluster", "LogGroupName": f"{self.name}-log"}
        if self.parameters.get("S3Bucket") == "new":
            known["BucketName"] = f"{self.name}-bucket-1x2y3z"
        made = Resolved(self.template, **self.parameters).outputs()
        return made | {o: v for o, v in known.items() if o in made} | {o: self.id(r) for o, r in self.file_systems.items() if o in made}

    @property
    def file_systems(self):
        """{output: resource}"""
        made = Resolved(self.template, **self.parameters).made
        return {f"{n}Id": n for n in made if self.template["Resources"][n]["Type"] == "AWS::EFS::FileSystem"}


class Account:
    """`on_change(stack, before)` and `on_deployment(region, service)` are called when something was done."""
    made = []

    def __init__(self, moto):
        self.moto = moto  # (host, port)
        self.stacks, self.replications, self.protection = {}, {}, {}
        self.files, self.mounts = {}, {}  # {file system: (Region, name)}, {mount target: file system}
        self.sizes = {}  # {file system: bytes}, if it has more than an empty one
        self.services = {}  # {(Region, cluster, service): what ECS says of it}; those of moto if there is none
        self.events, self.clock, self.due, self.calls = [], time.time(), [], set()
        self.refuses = lambda operation: False  # whether a call is refused, as when the caller's keys have run out
        self.on_change = self.on_deployment = lambda *_: None
        account = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, kind, data = account.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in kind.items():
                    self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else data)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    # ---- time

    def later(self, seconds, what):
        self.due.append((self.clock + seconds, len(self.due), what))

    def advance(self, seconds):
        until = self.clock + seconds
        while self.due and min(self.due)[0] <= until:
            first = min(self.due, key=lambda d: d[:2])
            self.due.remove(first)
            self.clock = first[0]
            first[2]()
        self.clock = until

    # ---- requests

    def answer(self, method, target, headers, body):
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
        region, service = scope.groups() if scope else ("", "")
        path, _, query = target.partition("?")
        if path == "/clock":
            self.advance(float(query.partition("=")[2]))
            return 200, {}, b""
        fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
        if service == "elasticfilesystem":
            operation = next((o for o, m, p in OPERATIONS if m == method and re.fullmatch(p, path)), "")
        operation = operation or dict(urllib.parse.parse_qsl(body.decode("latin-1"))).get("Action", "")
        self.calls.add((region, service, operation))
        try:
            if self.refuses(operation):
                raise Refused("ExpiredToken", "The security token included in the request is expired", 403)
            if service == "cloudformation":
                return 200, {"Content-Type": "text/xml"}, self.cloudformation(region, body)
            if service == "elasticfilesystem":
                return 200, {"Content-Type": "application/json"}, json.dumps(self.efs(region, method, path, fields, body)).encode()
            if service == "logs" and operation == "FilterLogEvents":
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"events": self.events}).encode()
            if service == "ecs" and self.services:
                said = getattr(self, f"_{operation}")(region, json.loads(body))
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(said).encode()
        except Refused as e:
            text = xml.sax.saxutils.escape(str(e))
            if service == "cloudformation":
                said = f"<Error><Type>Sender</Type><Code>{e.code}</Code><Message>{text}</Message></Error>"
                return e.status, {"Content-Type": "text/xml"}, f"<ErrorResponse>{said}</ErrorResponse>".encode()
            if service == "ecs":
                return e.status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": e.code, "message": str(e)}).encode()
            return e.status, {"Content-Type": "application/json", "x-amzn-ErrorType": e.code}, json.dumps({"Message": str(e)}).encode()
        reply = self.forward(method, target, headers, body)
        if service == "ecs" and operation == "UpdateService" and reply[0] == 200 and json.loads(body).get("forceNewDeployment"):
            self.on_deployment(region, json.loads(body)["service"])
        return reply

    def forward(self, method, target, headers, body):
        c = http.client.HTTPConnection(*self.moto, timeout=60)
        c.request(method, target, body, {n: v for n, v in headers.items() if n.lower() not in ("host", "connection")})
        r = c.getresponse()
        data = r.read()
        own = ("connection", "transfer-encoding", "date", "server", *(["content-length"] if method != "HEAD" else []))
        kept = {n: v for n, v in r.getheaders() if n.lower() not in own}
        c.close()
        return r.status, kept, data

    # ---- CloudFormation

    def cloudformation(self, region, body):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        action = fields["Action"]
        name = fields.get("StackName", "").rpartition(":")[2]
        result = getattr(self, f"_{action}")(region, name, fields)
        return f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>".encode()

    def stack(self, region, name):
        if (region, name) not in self.stacks:
            raise Refused("ValidationError", f"Stack with id {name} does not exist")
        return self.stacks[region, name]

    def _DescribeStacks(self, region, name, _):
        def members(tag, key, value, pairs):
            text = "".join(f"<member><{key}>{n}</{key}><{value}>{xml.sax.saxutils.escape(str(v))}</{value}></member>" for n, v in pairs)
            return f"<{tag}>{text}</{tag}>"
        s = self.stack(region, name)
        return (f"<Stacks><member><StackName>{name}</StackName><StackId>{name}</StackId><CreationTime>2026-11-01T00:00:00Z</CreationTime>"
                f"<StackStatus>{s.status}</StackStatus>"
                + members("Parameters", "ParameterKey", "ParameterValue", s.parameters.items())
                + members("Outputs", "OutputKey", "OutputValue", s.outputs().items()) + "</member></Stacks>")

    def _GetTemplate(self, region, name, _):
        return f"<TemplateBody>{xml.sax.saxutils.escape(self.stack(region, name).text)}</TemplateBody>"

    def _DescribeStackEvents(self, region, name, _):
        s = self.stack(region, name)
        failed = getattr(s, "failed", [])
        return "<StackEvents>" + "".join(
            f"<member><EventId>{n}</EventId><StackId>{name}</StackId><StackName>{name}</StackName><Timestamp>2026-11-01T00:00:00Z</Timestamp>"
            f"<LogicalResourceId>{r}</LogicalResourceId><ResourceStatus>{status}</ResourceStatus>"
            f"<ResourceStatusReason>{xml.sax.saxutils.escape(why)}</ResourceStatusReason></member>"
            for n, (r, status, why) in enumerate(failed)) + "</StackEvents>"

    def _CreateStack(self, region, name, fields):
        if (region, name) in self.stacks:
            raise Refused("AlreadyExistsException", f"Stack [{name}] already exists")
        text = fields["TemplateBody"]
        parameters = self.checked(_yaml(text), self.given(fields, {}))
        s = self.stacks[region, name] = Stack(region, name, _yaml(text), {})
        s.text, s.status = text, "CREATE_IN_PROGRESS"
        self.later(STACK_TAKES, lambda: self.put(s, parameters, "CREATE_COMPLETE"))
        return f"<StackId>{name}</StackId>"

    def _UpdateStack(self, region, name, fields):
        s = self.stack(region, name)
        if not s.status.endswith("_COMPLETE") or s.status.startswith(("ROLLBACK", "DELETE")):
            raise Refused("ValidationError", f"Stack:{name} is in {s.status} state and can not be updated.")
        if fields.get("UsePreviousTemplate") != "true":
            raise Refused("ValidationError", "in these tests nobody has the templates of another day at hand")
        parameters = self.checked(s.template, self.given(fields, s.parameters))
        if s.parameters == parameters:
            raise Refused("ValidationError", "No updates are to be performed.")
        s.status = "UPDATE_IN_PROGRESS"
        self.later(STACK_TAKES, lambda: self.put(s, parameters, "UPDATE_COMPLETE"))
        return f"<StackId>{name}</StackId>"

    def _DeleteStack(self, region, name, _):
        self.stack(region, name).status = "DELETE_IN_PROGRESS"
        self.later(STACK_TAKES, lambda: self.stacks.pop((region, name)))
        return ""

    @staticmethod
    def given(fields, before):
        """The request's parameters, as CloudFormation takes them: what is left out gets the default, also in an update."""
        given = {}
        for key in (k for k in fields if re.fullmatch(r"Parameters\.member\.\d+\.ParameterKey", k)):
            stem, parameter = key.rpartition(".")[0], fields[key]
            given[parameter] = before[parameter] if fields.get(f"{stem}.UsePreviousValue") == "true" else fields[f"{stem}.ParameterValue"]
        return given

    @staticmethod
    def checked(template, given):
        known = template["Parameters"]
        if set(given) - set(known):
            raise Refused("ValidationError", f"Parameters: {sorted(set(given) - set(known))} do not exist in the template")
        missing = [n for n, p in known.items() if n not in given and "Default" not in p]
        if missing:
            raise Refused("ValidationError", f"Parameters: {missing} must have values")
        values = {n: str(given.get(n, p.get("Default"))) for n, p in known.items()}
        if said := Resolved(template, **values).refused():
            raise Refused("ValidationError", "; ".join(said))
        return values

    def put(self, s, parameters, status="UPDATE_COMPLETE"):
        """What a finished change of a stack has done."""
        before, s.parameters = dict(s.parameters), parameters
        for resource in s.file_systems.values():
            self.make_file_system(s.id(resource), s.region, f"{s.name}-{'replica' if resource.startswith('Replica') else 'backups'}",
                                  "DISABLED" if resource.startswith("Replica") else "ENABLED")
        own = s.id("FileSystem")
        to = (parameters["ReplicaRegion"], parameters["ReplicaFileSystemId"])
        try:
            if (before.get("ReplicaRegion", ""), before.get("ReplicaFileSystemId", "")) != to:
                self.end_replication(own, s.region)
                if to[1]:
                    self.replicate(own, s.region, to)
        except Refused as e:
            s.parameters, s.status, s.failed = before, "UPDATE_ROLLBACK_COMPLETE", [("FileSystem", "UPDATE_FAILED", str(e))]
            return
        s.status = status
        self.on_change(s, before)

    def deploy(self, region, name, template, as_json=False, **parameters):
        """At once, from the checkout: how the account came to be. As JSON, when CDK has included the template."""
        text = (TEMPLATES / template).read_text()
        body = _yaml(text)
        text = json.dumps(body) if as_json else text
        s = self.stacks.setdefault((region, name), Stack(region, name, body, {}))
        s.text = text
        self.put(s, self.checked(body, parameters))
        assert s.status == "UPDATE_COMPLETE", s.failed
        return s

    # ---- ECS: a service that nothing runs of

    def service(self, region, cluster, name):
        if (region, cluster) not in {(r, c) for r, c, _ in self.services}:
            raise Refused("ClusterNotFoundException", "Cluster not found.")
        return self.services.get((region, cluster, name))

    def _DescribeServices(self, region, asked):
        found = [(n, s) for n in asked["services"] if (s := self.service(region, asked["cluster"], n))]
        return {"failures": [], "services": [
            {"serviceName": n, "desiredCount": 1, "runningCount": 0, "events": [{"id": str(i), "message": m} for i, m in enumerate(s["events"])]}
            for n, s in found]}

    def _ListTasks(self, region, asked):
        s = self.service(region, asked["cluster"], asked["serviceName"])
        if s is None:
            raise Refused("ServiceNotFoundException", "Service not found.")
        tasks = s["stopped"] if asked.get("desiredStatus") == "STOPPED" else []  # without a word those that run
        return {"taskArns": [f"arn:aws:ecs:{region}:1:task/{asked['cluster']}/{n}" for n in range(len(tasks))]}

    def _DescribeTasks(self, region, asked):
        if not asked["tasks"]:
            raise Refused("InvalidParameterException", "Tasks cannot be empty.")
        (s,) = (s for (r, c, _), s in self.services.items() if (r, c) == (region, asked["cluster"]))
        found = [s["stopped"][int(arn.rpartition("/")[2])] for arn in asked["tasks"]]
        return {"failures": [], "tasks": [{n: t[n] for n in ("stopCode", "stoppedReason")} | {"stoppedAt": 1764000000, "containers": [
            {"name": "qdrant"} | {n: t[n] for n in ("exitCode", "reason") if n in t}]} for t in found]}

    # ---- EFS

    def make_file_system(self, name, region, title, protection):
        if name in self.files:
            return
        self.files[name], self.protection[name] = (region, title), protection
        self.mounts |= {f"fsmt-{name}-{zone}": name for zone in "ab"}

    def replicate(self, source, region, to):
        pair = {source, to[1]}
        if to[1] not in self.files:
            raise Refused("FileSystemNotFound", f"File system '{to[1]}' does not exist.", 404)
        if any(pair & {s, r["to"]} for s, r in self.replications.items()):
            raise Refused("ConflictException", "a file system can be part of only one replication configuration", 409)
        if self.protection[to[1]] != "DISABLED":
            raise Refused("ValidationException", f"{to[1]}: replication overwrite protection is {self.protection[to[1]]}")
        self.replications[source] = {"region": region, "to": to[1], "there": to[0], "sides": {region, to[0]}, "status": "ENABLED",
                                     "since": self.clock}
        self.protection[to[1]] = "REPLICATING"

    def end_replication(self, source, region, mode=None):
        """Both sides, or the caller's alone. The destination can be written to several minutes later."""
        gone = self.replications.get(source)
        if not gone or region not in gone["sides"] or gone["status"] == "DELETING":
            return
        if mode != "LOCAL_CONFIGURATION_ONLY" and len(gone["sides"]) < 2:
            raise Refused("ReplicationNotFound", "the configuration of the other Region is gone: delete this one with "
                          "LOCAL_CONFIGURATION_ONLY", 404)
        self.later(PROTECTION_ENDS, lambda: self.protection.__setitem__(gone["to"], "ENABLED"))
        if mode == "LOCAL_CONFIGURATION_ONLY" and len(gone["sides"]) == 2:
            gone["sides"] -= {region}  # the other Region's half stays until somebody deletes it there
        else:
            gone["status"] = "DELETING"
            self.later(REPLICATION_ENDS, lambda: self.replications.pop(source, None))

    def efs(self, region, method, path, fields, body):
        if path == f"{EFS}/replication-configurations" and method == "GET":
            found = [(s, r) for s, r in self.replications.items()
                     if region in r["sides"] and fields.get("FileSystemId") in (None, s, r["to"])]
            if not found:
                raise Refused("ReplicationNotFound", "no replication", 404)
            return {"Replications": [self.described(s, r) for s, r in found]}
        if m := re.fullmatch(rf"{EFS}/(fs-\w+)/replication-configuration", path):
            if m[1] not in self.replications or region not in self.replications[m[1]]["sides"]:
                raise Refused("ReplicationNotFound", f"{m[1]} has no replication", 404)
            if fields.get("deletionMode") not in (None, "ALL_CONFIGURATIONS", "LOCAL_CONFIGURATION_ONLY"):  # `aws` takes any
                raise Refused("BadRequest", fields["deletionMode"])
            self.end_replication(m[1], region, fields.get("deletionMode"))
            return {}
        if m := re.fullmatch(rf"{EFS}/(fs-\w+)/protection", path):
            wanted = json.loads(body)["ReplicationOverwriteProtection"]
            if wanted not in ("ENABLED", "DISABLED"):
                raise Refused("BadRequest", wanted)
            if self.protection[m[1]] == "REPLICATING":
                raise Refused("ReplicationAlreadyExists", "it is being replicated to", 409)
            self.protection[m[1]] = wanted
            return {"ReplicationOverwriteProtection": wanted}
        if m := re.fullmatch(rf"{EFS}/(fs-\w+)", path):
            return self.delete_file_system(m[1], region)
        if path == EFS and method == "GET":
            mine = [n for n, (where, _) in self.files.items() if where == region and fields.get("FileSystemId") in (None, n)]
            if not mine and "FileSystemId" in fields:
                raise Refused("FileSystemNotFound", f"File system '{fields['FileSystemId']}' does not exist.", 404)
            return {"FileSystems": [self.file_system(n) for n in mine]}
        if m := re.fullmatch(r"/2015-02-01/mount-targets/(fsmt-[\w-]+)", path):
            if method != "DELETE" or m[1] not in self.mounts:
                raise Refused("MountTargetNotFound", m[1], 404)
            self.later(MOUNT_TARGET_ENDS, lambda: self.mounts.pop(m[1], None))
            return {}
        if path == "/2015-02-01/mount-targets":
            return {"MountTargets": [{"MountTargetId": n, "FileSystemId": f, "SubnetId": f"subnet-{n[-1]}",
                                      "AvailabilityZoneName": f"{region}{n[-1]}", "IpAddress": "10.0.0.9",
                                      "LifeCycleState": "available" if n[-1] == "a" else "error"}
                                     for n, f in self.mounts.items() if f == fields["FileSystemId"]]}
        raise Refused("BadRequest", f"{method} {path}")

    def described(self, source, r):
        destination = {"Status": r["status"], "FileSystemId": r["to"], "Region": r["there"]}
        if self.clock - r["since"] >= FIRST_SYNC:  # until then there is none
            destination["LastReplicatedTimestamp"] = self.clock - 60
        return {"SourceFileSystemId": source, "SourceFileSystemRegion": r["region"], "CreationTime": 1764000000,
                "SourceFileSystemArn": f"arn:aws:elasticfilesystem:::{source}", "Destinations": [destination],
                "OriginalSourceFileSystemArn": f"arn:aws:elasticfilesystem:::{source}"}

    def file_system(self, name):
        return {"FileSystemId": name, "OwnerId": "1", "CreationToken": name, "CreationTime": 1764000000, "LifeCycleState": "available",
                "Name": self.files[name][1], "NumberOfMountTargets": sum(f == name for f in self.mounts.values()),
                "SizeInBytes": {"Value": self.sizes.get(name, 6144)}, "PerformanceMode": "generalPurpose", "Tags": [],
                "FileSystemProtection": {"ReplicationOverwriteProtection": self.protection[name]}}

    def delete_file_system(self, name, region):
        if self.files.get(name, ("",))[0] != region:
            raise Refused("FileSystemNotFound", f"File system '{name}' does not exist.", 404)
        if any(name in (s, r["to"]) for s, r in self.replications.items()):
            raise Refused("FileSystemInUse", "it is part of a replication configuration: delete that first", 409)
        if name in self.mounts.values():
            raise Refused("FileSystemInUse", "it has mount targets", 409)
        del self.files[name]
        return {}


def _yaml(text):
    return cfn_yaml.loads(text)
