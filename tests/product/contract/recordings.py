"""What was recorded on a real Qdrant 1.18.2, read for comparison: rest.txt and inotify-events.txt."""
import json
import re
from itertools import groupby

from harness import DATA

NAME = re.compile(r"(?:(?<=-)\d{10,20}-)?\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d")
HEX64 = re.compile(r"[0-9a-f]{64}")


# REST

def conversation():
    """[(method, path, body, status, reply)] in the recorded order; what has no request line is not in it."""
    out = []
    for block in (DATA / "rest.txt").read_text().split("### ")[1:]:
        request, reply, status = block.split("\n")[:3]
        method, path, body = (request.split(" ", 2) + [""])[:3]
        out.append((method, path, json.loads(body) if body else None, int(status.removeprefix("HTTP ")),
                    json.loads(reply)))
    return out


def plain_replies():
    """The recorded replies without a key, of /healthz, /livez, /readyz, and of /metrics: [(status, text)]."""
    lines = (DATA / "rest.txt").read_text().split("Must provide")[1].split("\n")
    lines[0] = "Must provide" + lines[0]
    metrics = [line for line in lines[8:] if line and not line.startswith("HTTP")]
    return [(int(lines[i + 1].removeprefix("HTTP ")), lines[i]) for i in (0, 2, 4, 6)], metrics


# Values that differ from run to run: their names and types are compared, not they themselves.
VOLATILE = {"time", "operation_id", "segments_count", "indexed_vectors_count", "default_segment_number"}


def mask(value, key=None):
    if isinstance(value, dict):
        masked = {k: mask(v, k) for k, v in value.items()}
        if "creation_time" in value:
            masked["size"] = type(value["size"]).__name__
            masked["creation_time"] = mask_time(value["creation_time"])
        return masked
    if isinstance(value, list):
        return [mask(v) for v in value]
    if key in VOLATILE:
        return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)
    if isinstance(value, str):
        return mask_text(value)
    return value


def mask_time(text):
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$", "TIME", text)


def mask_text(text):
    text = HEX64.sub("SHA256", NAME.sub("NAME", text))
    # The server prints this map in no fixed order.
    return re.sub(r"\[\{(.*)}]", lambda m: f"[{sorted(m[1].split(', '))}]", text)


# File events

def _lines():
    return (DATA / "inotify-events.txt").read_text().split("\n")[:-1]


def events_of(stem):
    """The recorded events of all files whose path has `stem` in it."""
    return [line for line in _lines() if stem in line]


def events_between(first, last):
    lines = _lines()
    start = next(i for i, line in enumerate(lines) if first in line)
    end = next(i for i, line in enumerate(lines) if i >= start and last in line)
    return lines[start:end + 1]


def normalise(events):
    """Names without peer, time and random letters; repeated lines folded; without what is inside of folders
    in tmp/ (a recorder's watch there comes too late to be relied on) and the end of watched folders."""
    out = []
    for line in events:
        if line.startswith("DELETE_SELF") or re.search(r" snapshots/tmp/(?!upload/)[^/]+/", line):
            continue
        line = NAME.sub("NAME", line)
        line = re.sub(r"snapshot-(temp-)?\w{6}(\.tar)?$", r"snapshot-\1XXXXXX\2", line)
        out.append(re.sub(r"/\.tmp\w{6}$", "/.tmpXXXXXX", line))
    return [line for line, _ in groupby(out)]
