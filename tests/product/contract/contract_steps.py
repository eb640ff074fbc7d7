"""What the tests do with a server, in words."""
import subprocess
import time

from harness import DATA

KEY = "contract-key"
CITIES = [("Berlin", [0.05, 0.61, 0.76, 0.74]), ("London", [0.19, 0.81, 0.75, 0.11]),
          ("Moscow", [0.36, 0.55, 0.47, 0.94]), ("New York", [0.18, 0.01, 0.85, 0.80]),
          ("Beijing", [0.24, 0.18, 0.22, 0.44])]


def make_collection(server, name, points=None):
    server.result("PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}})
    points = points or [{"id": i + 1, "vector": v, "payload": {"city": c}} for i, (c, v) in enumerate(CITIES)]
    server.result("PUT", f"/collections/{name}/points?wait=true", {"points": points})


def add_point(server, name, number, city="Bengaluru"):
    server.result("PUT", f"/collections/{name}/points?wait=true",
                  {"points": [{"id": number, "vector": [0.30, 0.05, 0.10, 0.40], "payload": {"city": city}}]})


def take_snapshot(server, name):
    return server.result("POST", f"/collections/{name}/snapshots?wait=true")


def points_of(server, name):
    scrolled = server.result("POST", f"/collections/{name}/points/scroll",
                             {"limit": 10000, "with_payload": True, "with_vector": True})
    return {p["id"]: (p["payload"], p["vector"]) for p in scrolled["points"]}


def upload(server, collection, data, file_name, query=""):
    """POST …/snapshots/upload as curl -F snapshot=@file sends it."""
    body = (b'--B\r\nContent-Disposition: form-data; name="snapshot"; filename="%s"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n%s\r\n--B--\r\n" % (file_name.encode(), data))
    return server.request("POST", f"/collections/{collection}/snapshots/upload{query}", body,
                          headers={"content-type": "multipart/form-data; boundary=B"})


def real_snapshot(*path):
    """The bytes of a snapshot that a real server made."""
    data = DATA.joinpath("snapshots", *path)
    return subprocess.run(["zstd", "-dc", f"{data}.zst"], stdout=subprocess.PIPE, check=True).stdout


def next_second():
    """Names of snapshots are made of whole seconds: two in one second are one."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)
