"""What a replicator says of itself on its status port."""
import json
import urllib.request
from urllib.error import HTTPError


def get(port, path):
    """The status code and the body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as r:
            return r.status, r.read().decode()
    except HTTPError as e:
        return e.code, e.read().decode()


def reasons(port):
    """Why it is not healthy, by code."""
    return {r["code"]: r for r in json.loads(get(port, "/health")[1])["reasons"]}
