"""The host of whoever follows the page, with nothing but what the page says it has: a bare container.

`Bare` goes before a scene's class: its blocks are then run there, with EFS and the replica mounted as the ops access point gives them:
to be read alone. A block that says that it repairs is refused first, and then has that right. `InContainer` is a node as ECS starts it by
the templates: from the image, its key, its EFS and its replica, as user 1000 on a read-only root. `WithShell` has the blocks that need
the node's own Qdrant run there, by what ECS Exec opens.
"""
import os
import subprocess
import time

import image as images
import runbook_scenes
from booting import RESTORE_IS_OVER, Task
from runbook_scenes import FIRST, SECOND, SECRET

SUITE = "trixie"
AS_ON_FARGATE = ("--user=1000:1000", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "-v=/tmp")
HOST = """
FROM {debian}
RUN apt-get update && apt-get install -y --no-install-recommends bash jq openssl curl awscli ca-certificates \\
    libcurl4t64 libcjson1 libzstd1 libssl3t64 libarchive13t64 libmicrohttpd12t64 libxml2 libyaml-0-2
COPY --from={image} /usr/local/bin/qdrant-efs /usr/local/bin/qdrant-replicator /usr/local/bin/
"""


def host():
    """The tag of its image."""
    built = images.build(SUITE)
    text = HOST.format(debian=built.debian, image=built.tag)
    tag = f"qdrant-efs-test/ops:{SUITE}-{images.hash_of(images.id_of(built.tag), text)}"
    with images.alone("ops"):
        if not images.id_of(tag):
            images.docker("build", "--force-rm", "--label", images.MADE_HERE, "-t", tag, "-", input=text)
    return tag


class Bare:
    """A Scene whose page is followed on such a host."""

    def __init__(self, *a):
        super().__init__(*a)
        (self.bin / "aws").unlink()  # it has its own
        self.mounted, self.took = {}, []

    def read_only(self, folder, at):
        prefix, there = super().read_only(folder, at)
        self.mounted[there] = folder
        return prefix, there

    def run(self, always, block):
        if block.at == "container":
            return self.shell(block)
        if block.repairs:
            code, said = self.command(always, block, "ro")
            assert code != 0, f"line {block.line} needs no right to repair\n{said}"
        return self.command(always, block, "rw" if block.repairs else "ro")

    def volumes(self, values, efs):
        mounted = {self.replica: self.replica} | {at: folder for at, folder in self.mounted.items()}
        own = [f"{values['EFS_ROOT']}:{values['EFS_ROOT']}:{efs}"] if "EFS_ROOT" in values and not self.efs_hangs else []
        there = [f"{folder}:{at}:ro" for at, folder in mounted.items()]
        return [f"{self.work}:{self.work}", f"{self.bin}:{self.bin}:ro", *own, *there]

    def command(self, always, block, efs):
        values = self.aws_env() | self.values() | {"HOME": self.work, "LANG": "C.UTF-8", "EFS_ALLOW_LOCAL": "1",
                                                   "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin"}
        volumes = self.volumes(values, efs)
        begin = time.monotonic()
        # It reaches the account and the nodes by the ports of this machine.
        done = subprocess.run(["docker", "run", "--rm", "--network=host", "--label", images.LABEL, "--cap-drop=ALL", "--cap-add=DAC_OVERRIDE",
                               "-w", self.work, *(f"-v={v}" for v in volumes), *(f"--env={k}={v}" for k, v in values.items()),
                               host(), "bash", "-euo", "pipefail", "-c", always + block.text],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        self.took.append((block.line, time.monotonic() - begin))
        return done.returncode, done.stdout


class InContainer(Task):
    """Its ports are this machine's, so that it reaches the account; its folders are where the image has them. `mounted`: {where
    RESTORE_FROM names it: the folder}."""

    def __init__(self, kind, root, efs, mounted, **env):
        super().__init__(kind, root, efs, **env)
        self.mounted, self.id = mounted, None

    def inside(self):
        """The environment that ECS would give."""
        own = {k: v for k, v in self.env.items() if os.environ.get(k) != v and k not in ("PATH", "QDRANT_BIN")}
        own |= {"EFS_ROOT": "/efs", "EFS_ALLOW_LOCAL": "1", "QDRANT__STORAGE__STORAGE_PATH": "/qdrant/storage",
                "QDRANT__STORAGE__SNAPSHOTS_PATH": "/qdrant/snapshots", "QDRANT_INIT_FILE_PATH": "/tmp/.qdrant-initialized"}
        return own | ({"RESTORE_FROM": "/replica"} if "RESTORE_FROM" in own else {})

    def begin(self):
        self.server.storage.mkdir(exist_ok=True)
        volumes = {self.efs: "/efs", self.server.storage: "/qdrant/storage", self.server.snapshots: "/qdrant/snapshots"}
        volumes |= {folder: "/replica:ro" for at, folder in self.mounted.items() if str(at) == self.env.get("RESTORE_FROM")}
        for folder in volumes:  # the access point's work, and Fargate's
            images.run("chown", "-R", "1000:1000", folder)
        self.log.touch()
        self.before = len(self.events(*RESTORE_IS_OVER))
        given = [*(f"-v={a}:{b}" for a, b in volumes.items()), *(f"--env={k}={v}" for k, v in self.inside().items())]
        self.id = images.docker("run", "-d", "--network=host", "--label", images.LABEL, *AS_ON_FARGATE, *given,
                                images.build(SUITE).tag).stdout.strip()
        self.process = self.server.process = subprocess.Popen(["docker", "wait", self.id], stdout=subprocess.DEVNULL)
        with open(self.log, "ab") as log:
            self.follower = subprocess.Popen(["docker", "logs", "-f", self.id], stdout=log, stderr=log)
        self.server.log = self.log
        return self

    def start(self):
        self.begin()
        try:
            self.server.wait_until_ready()
        except AssertionError as e:
            raise AssertionError(images.docker("logs", self.id, check=False).stdout) from e
        return self

    def health(self, **_):
        done = images.docker("exec", self.id, "qdrant-entrypoint", "health", check=False)
        return done.returncode, done.stdout

    def stop(self):
        images.docker("stop", "-t", "60", self.id)
        self.process.wait(60)

    def end(self):
        if self.id:
            images.docker("rm", "-f", "-v", self.id, check=False)
            self.process.wait(60)
            self.follower.wait(60)

    def shell(self, lines, **values):
        """By ECS Exec, which opens it as root with the task's capabilities: none. (exit code, what was said)"""
        code, said, typed = 0, "", [f"--env={k}={v}" for k, v in values.items()]
        for line in lines.splitlines():
            images.run("chmod", "-R", "o+rX", self.efs)  # EFS asks as whom the access point has it, here the file's rights decide
            done = images.docker("exec", "-u", "0", *typed, self.id, "bash", "-euo", "pipefail", "-c", f"exec 2>&1\n{line}",
                                 check=False, timeout=300)
            code, said = done.returncode, said + done.stdout
            if code != 0:
                break
        return code, said


class ByNode(Bare):
    """The nodes are processes of this machine. What their containers' shell has beside the host: the disk of one, and EFS as a task has it."""

    def run(self, always, block):
        return self.command(always, block, "rw") if block.at == "container" else super().run(always, block)

    def volumes(self, values, efs):
        disk = str(values["QDRANT__STORAGE__STORAGE_PATH"])
        return super().volumes(values, efs) + ([f"{disk}:{disk}:ro"] if efs == "rw" else [])


class WithShell(Bare):
    """The node is a container. In its shell are the variables of the task, and those of the page that are typed there."""

    def task(self, efs, key="e2e-key", **env):
        t = InContainer(self.kind, self.tmp / f"task{len(self.tasks)}", efs, self.mounted, key=key, NODE_NAME="qdrant-0",
                        RESTORE_ON_EMPTY="latest", **env)
        t.env |= {k: v for k, v in self.aws_env().items() if k.startswith("AWS")}
        self.tasks.append(t)
        return t

    def shell(self, block):
        typed = {name: self.values()[name] for name in ("COLLECTION", "BEFORE", "SNAPSHOT")}
        return self.now.shell(block.text, **typed, DRILL_DIR="/tmp/drill-by-hand")


class GameDay(Bare, runbook_scenes.WayBackAfterACut):
    """Every node is a container, and what the page says is all that is done."""

    def task(self, efs, **env):
        """As ECS starts it in its Region: Qdrant gets the key at the start, the replicator fetches it by itself."""
        region = SECOND if len(self.tasks) == 1 else FIRST
        secret = self.boto("secretsmanager", region).get_secret_value(SecretId=SECRET)
        env |= {"AK_ARN": secret["ARN"], "NODE_NAME": "qdrant-0", "RESTORE_ON_EMPTY": "latest"}
        t = InContainer(self.kind, self.tmp / f"task{len(self.tasks)}", efs, self.mounted, key=secret["SecretString"], **env)
        t.env |= {k: v for k, v in self.aws_env().items() if k.startswith("AWS")} | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        self.tasks.append(t)
        return t

    def prepare(self):
        self.boto("secretsmanager").replicate_secret_to_regions(SecretId=SECRET, AddReplicaRegions=[{"Region": SECOND}])
        runbook_scenes.LostRegion.prepare(self)

    def go_on(self):
        """The second Region has served for a while when the first one is there again."""
        self.the_second_region_goes_on()
        self.aws.advance(3600)
