"""As much of AWS as the runbook talks to: the real `aws` command checks what is typed, and this answers it.

CloudFormation and EFS replication are modelled here with the rules that decide whether the page's order of steps is possible:
a stack takes only its template's parameters and their values; a file system is the destination of one replication at most, only with its
overwrite protection off, and EFS turns that on again when the replication ends. The rest (ECS, Secrets Manager, CloudWatch, S3) is moto's.
"""
import http.client
import http.server
import json
import pathlib
import re
import threading
import urllib.parse
import xml.sax.saxutils

from cfnlint.decode import cfn_yaml

TEMPLATES = pathlib.Path(__file__).parents[2] / "docker/cloudformation"
EFS = "/2015-02-01/file-systems"


class Refused(Exception):
    def __init__(self, code, text, status=400):
        super().__init__(text)
        self.code, self.status = code, status


class Stack:
    def __init__(self, region, name, template, parameters):
        self.region, self.name, self.template, self.parameters = region, name, template, parameters
        self.made = len(Account.made)
        Account.made.append(self)

    def id(self, resource):
        """Of a file system of this stack."""
        return f"fs-{self.made:04x}{list(self.template['Resources']).index(resource):04x}"

    def outputs(self):
        known = {"ServiceName": f"{self.name}-service", "ClusterName": f"{self.name}-cluster", "LogGroupName": f"{self.name}-log",
                 "HostName": "qdrant-0.qdrant.internal", "BucketName": "backups"}
        return {o: known.get(o) or (self.id(self.file_systems[o]) if o in self.file_systems else f"{o}-of-{self.name}")
                for o in self.template["Outputs"]}

    @property
    def file_systems(self):
        """{output: resource}"""
        kinds = {n for n, r in self.template["Resources"].items() if r["Type"] == "AWS::EFS::FileSystem"}
        return {f"{n}Id": n for n in kinds}


class Account:
    """`on_change(stack, before)` and `on_deployment(region, service)` are called when something was done."""
    made = []

    def __init__(self, moto):
        self.moto = moto  # (host, port)
        self.stacks, self.replications, self.protection, self.changes = {}, {}, {}, {}
        self.events, self.synced = [], 1764000000.0
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

    # ---- requests

    def answer(self, method, target, headers, body):
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
        region, service = scope.groups() if scope else ("", "")
        path, _, query = target.partition("?")
        fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
        try:
            if service == "cloudformation":
                return 200, {"Content-Type": "text/xml"}, self.cloudformation(region, body)
            if service == "elasticfilesystem":
                return 200, {"Content-Type": "application/json"}, json.dumps(self.efs(region, method, path, fields, body)).encode()
            if service == "logs" and operation == "FilterLogEvents":
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"events": self.events}).encode()
        except Refused as e:
            text = xml.sax.saxutils.escape(str(e))
            if service == "cloudformation":
                said = f"<Error><Type>Sender</Type><Code>{e.code}</Code><Message>{text}</Message></Error>"
                return e.status, {"Content-Type": "text/xml"}, f"<ErrorResponse>{said}</ErrorResponse>".encode()
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
                f"<StackStatus>UPDATE_COMPLETE</StackStatus>"
                + members("Parameters", "ParameterKey", "ParameterValue", s.parameters.items())
                + members("Outputs", "OutputKey", "OutputValue", s.outputs().items()) + "</member></Stacks>")

    def _GetTemplateSummary(self, region, name, _):
        names = "".join(f"<member><ParameterKey>{n}</ParameterKey></member>" for n in self.stack(region, name).parameters)
        return f"<Parameters>{names}</Parameters>"

    def _CreateChangeSet(self, region, name, fields):
        template = _yaml(fields["TemplateBody"])
        before = self.stacks.get((region, name))
        given = {}
        for key in (k for k in fields if re.fullmatch(r"Parameters\.member\.\d+\.ParameterKey", k)):
            stem, parameter = key.rpartition(".")[0], fields[key]
            given[parameter] = before.parameters[parameter] if fields.get(f"{stem}.UsePreviousValue") == "true" else \
                fields[f"{stem}.ParameterValue"]
        change = fields["ChangeSetName"]
        self.changes[change] = (region, name, template, self.checked(template, given))
        return f"<Id>arn:aws:cloudformation:{region}:1:changeSet/{change}</Id><StackId>{name}</StackId>"

    @staticmethod
    def checked(template, given):
        known = template["Parameters"]
        if set(given) - set(known):
            raise Refused("ValidationError", f"Parameters: {sorted(set(given) - set(known))} do not exist in the template")
        missing = [n for n, p in known.items() if n not in given and "Default" not in p]
        if missing:
            raise Refused("ValidationError", f"Parameters: {missing} must have values")
        values = {n: str(given.get(n, p.get("Default"))) for n, p in known.items()}
        for n, p in known.items():
            if p.get("AllowedValues") and values[n] not in map(str, p["AllowedValues"]) or \
                    not re.fullmatch(p.get("AllowedPattern", ".*"), values[n]):
                raise Refused("ValidationError", f"Parameter {n} failed to satisfy its constraint: {values[n]!r}")
        if (values["ReplicaRegion"] == "") != (values["ReplicaFileSystemId"] == ""):
            raise Refused("ValidationError", "ReplicaRegion and ReplicaFileSystemId go together")
        return values

    def _DescribeChangeSet(self, region, name, fields):
        region, name, _, parameters = self.changes[fields["ChangeSetName"].rpartition("/")[2]]
        now = self.stacks.get((region, name))
        if now and now.parameters == parameters:
            return "<Status>FAILED</Status><StatusReason>No updates are to be performed.</StatusReason>"
        return "<Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus><Changes/>"

    def _ExecuteChangeSet(self, region, name, fields):
        region, name, template, parameters = self.changes.pop(fields["ChangeSetName"].rpartition("/")[2])
        self.put(region, name, template, parameters)
        return ""

    def put(self, region, name, template, parameters):
        """What a finished deployment has done."""
        s = self.stacks.get((region, name))
        before = dict(s.parameters) if s else {}
        s = self.stacks[region, name] = s or Stack(region, name, template, {})
        for resource in s.file_systems.values():
            self.protection.setdefault(s.id(resource), "DISABLED" if resource.startswith("Replica") else "ENABLED")
        own = s.id("FileSystem")
        to = (parameters["ReplicaRegion"], parameters["ReplicaFileSystemId"])
        if (before.get("ReplicaRegion", ""), before.get("ReplicaFileSystemId", "")) != to:
            self.end_replication(own)
            if to[1]:
                self.replicate(own, region, to)
        s.parameters = parameters
        self.on_change(s, before)

    def deploy(self, region, name, template, **parameters):
        body = _yaml((TEMPLATES / template).read_text())
        self.put(region, name, body, self.checked(body, parameters))
        return self.stacks[region, name]

    # ---- EFS

    def replicate(self, source, region, to):
        destinations = {r["to"] for r in self.replications.values()}
        if to[1] not in self.protection:
            raise Refused("ValidationError", f"there is no file system {to[1]}")
        if to[1] in destinations or to[1] in self.replications or source in destinations or source in self.replications:
            raise Refused("ConflictException", "a file system is in one replication at most")
        if self.protection[to[1]] != "DISABLED":
            raise Refused("ValidationError", f"{to[1]}: replication overwrite protection is enabled")
        self.replications[source] = {"region": region, "to": to[1], "there": to[0]}
        self.protection[to[1]] = "REPLICATING"

    def end_replication(self, source):
        gone = self.replications.pop(source, None)
        if gone:
            self.protection[gone["to"]] = "ENABLED"

    def efs(self, region, method, path, fields, body):
        if path == f"{EFS}/replication-configurations" and method == "GET":
            found = [(s, r) for s, r in self.replications.items() if fields.get("FileSystemId") in (None, s, r["to"])]
            if not found:
                raise Refused("ReplicationNotFound", "no replication", 404)
            return {"Replications": [{
                "SourceFileSystemId": s, "SourceFileSystemRegion": r["region"], "SourceFileSystemArn": f"arn:aws:elasticfilesystem:::{s}",
                "OriginalSourceFileSystemArn": f"arn:aws:elasticfilesystem:::{s}", "CreationTime": 1764000000,
                "Destinations": [{"Status": "ENABLED", "FileSystemId": r["to"], "Region": r["there"],
                                  "LastReplicatedTimestamp": self.synced}]} for s, r in found]}
        if m := re.fullmatch(rf"{EFS}/(fs-\w+)/replication-configuration", path):
            assert method == "DELETE" and m[1] in self.replications, path
            if fields.get("deletionMode") not in (None, "ALL_CONFIGURATIONS", "LOCAL_CONFIGURATION_ONLY"):  # `aws` takes any
                raise Refused("BadRequest", fields["deletionMode"])
            self.end_replication(m[1])
            return {}
        if m := re.fullmatch(rf"{EFS}/(fs-\w+)/protection", path):
            wanted = json.loads(body)["ReplicationOverwriteProtection"]
            if wanted not in ("ENABLED", "DISABLED"):
                raise Refused("BadRequest", wanted)
            if self.protection[m[1]] == "REPLICATING":
                raise Refused("ReplicationAlreadyExists", "it is being replicated to", 409)
            self.protection[m[1]] = wanted
            return {"ReplicationOverwriteProtection": wanted}
        if path == "/2015-02-01/mount-targets":
            return {"MountTargets": [{"MountTargetId": f"fsmt-{n}", "FileSystemId": fields["FileSystemId"], "SubnetId": f"subnet-{n}",
                                      "AvailabilityZoneName": f"{region}{n}", "LifeCycleState": state, "IpAddress": "10.0.0.9"}
                                     for n, state in (("a", "available"), ("b", "error"))]}
        raise Refused("BadRequest", f"{method} {path}")


def _yaml(text):
    return cfn_yaml.loads(text)
