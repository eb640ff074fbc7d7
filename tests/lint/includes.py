#!/usr/bin/env python3
"""Who may include whom: fails on an edge between folders that is not in the table, on a circle of folders or headers, and on a
library below PID 1, and on a comment, or docs/architecture.md, that names a file that is not there. Run from the root of the tree."""
import pathlib
import re
import sys

BASE = "common/base"
# A folder's files include headers of their own folder and of these.
ALLOWED = {
    BASE: "",
    "common": BASE,
    "aws": "common",
    "aws/s3": "aws",
    "qdrant": "common aws",
    "efs/data": "common",
    "efs/repo": "common efs/data qdrant",
    "efs/verify": "common efs/repo qdrant",
    "efs/restore": "common efs/data efs/repo efs/verify qdrant aws aws/s3",
    "efs/drill": "common efs/repo efs/restore qdrant",
    "efs/replica": "efs/repo efs/restore",
    "efs/cli": "common efs/repo efs/verify efs/restore efs/drill efs/replica qdrant aws",
    "replicator/core": "common efs/repo efs/restore qdrant",
    "replicator/status": "common aws efs/repo replicator/core",
    "replicator/publish": "common aws/s3 efs/repo efs/restore efs/verify qdrant replicator/core replicator/status",
    "replicator/snapshot": "common efs/repo efs/restore qdrant replicator/core replicator/status replicator/publish",
    "replicator/restore": "common efs/repo efs/restore efs/drill qdrant replicator/core replicator/status",
    "replicator/cluster": "common efs/repo qdrant replicator/core replicator/status",
    "replicator/drill": "common efs/repo efs/drill qdrant replicator/core replicator/status",
    "replicator": "common efs/drill qdrant replicator/core replicator/status replicator/publish replicator/snapshot replicator/restore replicator/drill replicator/cluster",
    "entrypoint": "",
}
C_LIBRARY = re.compile(r"(sys|linux|netinet|arpa)/\w+\.h|(assert|ctype|dirent|errno|fcntl|ftw|grp|inttypes|limits|math|netdb|poll|pthread|pwd|sched|"
                       r"signal|spawn|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|syslog|time|unistd|wchar)\.h")


NAMED = re.compile(r'(?<![\w/.<"])((?:[a-z0-9_]+/)*[a-z0-9_]+\.[ch])\b(?![>"])')
ELSEWHERE = {"sysexits.h", "linux/magic.h", "include/linux/sched.h"}  # of the system, which a comment may name


def circle(edges):
    """One circle of the graph as a list, or None."""
    done = set()

    def walk(node, path):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        done.add(node)
        return next(filter(None, (walk(n, path + [node]) for n in sorted(edges.get(node, ())))), None)

    return next(filter(None, (walk(n, []) for n in sorted(edges))), None)


def main():
    said, headers, folders = [], {}, {}
    for folder in ALLOWED:
        for path in sorted(pathlib.Path(folder).glob("*.[ch]")):
            text = path.read_text()
            said += [f"{path}: a comment names {name}, and there is no such file" for name in NAMED.findall(text)
                     if name not in ELSEWHERE and not list(pathlib.Path().glob(name if "/" in name else f"*/**/{name}"))]
            ours = re.findall(r'^#include "([^"]+)"', text, re.M)
            if path.suffix == ".h":
                headers[str(path)] = set(ours)
            for header in ours:
                of = header.rpartition("/")[0]
                if of != folder:
                    folders.setdefault(folder, set()).add(of)
                if of not in {folder, BASE, *ALLOWED[folder].split()}:
                    said.append(f"{path}: {folder} may not include {header}")
            if folder in (BASE, "entrypoint"):
                said += [f"{path}: <{h}> is not of the C library, and PID 1 is to run without any other"
                         for h in re.findall(r"^#include <([^>]+)>", text, re.M) if not C_LIBRARY.fullmatch(h)]
    page = pathlib.Path("docs/architecture.md").read_text()
    said += [f"docs/architecture.md names {name}, and there is no such file" for name in re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_.]+)+)/?`", page)
             if name.partition("/")[0] in {f.partition("/")[0] for f in ALLOWED} and
             not any(pathlib.Path(name + end).exists() for end in ("", ".c", ".h"))]
    for what, edges in (("folders", folders), ("headers", headers)):
        found = circle(edges)
        if found:
            said.append(f"a circle of {what}: " + " -> ".join(found))
    print("\n".join(said))
    sys.exit(bool(said))


main()
