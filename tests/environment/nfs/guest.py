"""Runs the scenarios inside the guest, each in a process of its own with a time limit, and writes one line of
JSON for each to the folder shared with the host. Started by init.sh."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.environ["NFS_TESTS"], "lib"))

import nfs_lab
from nfs_scenarios import SCENARIOS

WORK = pathlib.Path("/run/work")
LIMIT = 60  # seconds for one scenario
RESERVE = 5  # seconds at the end for what comes after a scenario
started = time.monotonic()


def scenario_process(name):
    """In the child: run it, and tell the outcome through the exit code and a file."""
    os.setsid()
    out = os.open(WORK / f"{name}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    nfs_lab.began = time.monotonic()
    lab = nfs_lab.Lab(name)
    outcome, reason = "passed", ""
    try:
        SCENARIOS[name](lab)
    except nfs_lab.Skip as why:
        outcome, reason = "skipped", str(why)
    except BaseException as why:
        outcome, reason = "failed", f"{type(why).__name__}: {why}"
        traceback.print_exc()
        lab.describe()
    (nfs_lab.ROOT / f"{name}.outcome").write_text(json.dumps({"outcome": outcome, "reason": reason}))
    sys.stdout.flush()
    os._exit(0)


def run(name, limit):
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        scenario_process(name)
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() - began > limit:
            with open(WORK / f"{name}.out", "a") as out:
                out.write(nfs_lab.processes(pid))
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    outcome = nfs_lab.ROOT / f"{name}.outcome"
    result = json.loads(outcome.read_text()) if outcome.exists() else {
        "outcome": "failed", "reason": f"not finished after {limit:.0f} s"}
    result |= {"name": name, "seconds": round(time.monotonic() - began, 1)}
    try:
        nfs_lab.clean_up(name, pid)
    except Exception as why:  # the next scenario shows whether that matters
        print(f"after {name}: {why}", flush=True)
    return result


def main():
    nfs_lab.start_server()
    if "--shell" in sys.argv:
        lab = nfs_lab.Lab("shell")
        task = lab.task()
        print(f"EFS is mounted on {task.efs}, exported from {lab.export}; leave the shell to power off")
        subprocess.run(["/bin/bash", "-i"], cwd=task.efs, env=dict(task.env, PS1="nfs# "))
        return
    total = float(os.environ["NFS_SECONDS"])
    with open(WORK / "results.jsonl", "a") as results:
        for name in (WORK / "names").read_text().split():
            left = total - RESERVE - (time.monotonic() - started) - 10
            result = run(name, min(LIMIT, left)) if left > 1 else {
                "name": name, "outcome": "failed", "reason": f"no time left of {total:.0f} s", "seconds": 0}
            results.write(json.dumps(result) + "\n")
            results.flush()
            print(f"{time.monotonic() - started:6.1f} s  {result['outcome']}  {name}", flush=True)


main()
