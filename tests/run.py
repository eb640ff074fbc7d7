#!/usr/bin/env python3
"""Runs every suite and prints `N passed, N failed, N skipped` as the last line.

run.py [FOLDER OR FILE...] [-k NAME and other pytest flags]. Without arguments: the unit tests, and each folder of
tests below product/, image/ and environment/, or file of a large one (SUITES="system e2e": these; FAST=1: the quick ones), a few of them side by side (JOBS;
much of a test is waiting). Each suite's output is printed when it is done.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET

build = pathlib.Path(os.environ["BUILD_DIR"])
here = pathlib.Path(__file__).resolve().parent
# They begin first, so that none of them is what all wait for at the end; those that compute between those that wait.
LONGEST = ("packages.packages", "boot.boot", "nfs", "docker", "schedule.schedule", "system.resources", "arm64", "cluster", "schedule.day", "runbook.hands.1", "restore",
           "entrypoint", "runbook.runbook", "schedule.bad_input", "aws", "runbook.hands.2", "schedule", "e2e", "system.watch",
           "runbook.hands.3", "drill", "runbook.bad_day", "offsite", "templates", "system", "boot", "contract")
PARTS = {"runbook.hands": 3, "schedule.bad_input": 2}  # as many jobs for a file
FAST = ("product/status", "product/replica", "product/contract/test_life.py", "product/system/test_settings.py",
        "product/system/test_efs_facts.py")  # what FAST=1 runs, beside the unit tests
SPLIT = ("schedule", "system", "boot", "drill", "offsite", "runbook", "restore", "entrypoint", "contract", "e2e", "templates", "deploy", "packages")  # a job for each file
SUITE_SECONDS = 3600 if os.environ.get("LONG") or os.environ.get("QDRANT_BIN") else 1500  # a suite may take; then it is killed, and has failed
total = {"passed": 0, "failed": 0, "skipped": 0}
# Each suite has a folder of its own for what its tests write: pytest's default lies in one that the suites would share,
# and a pytest that begins there deletes what it takes for an old one's.
written = pathlib.Path(tempfile.mkdtemp(prefix="pytest-"))
failures = []  # "suite: test", said once more at the end: a long log's end is what people see


def unit(test):
    """A cmocka program. One that dies counts as a failure, whatever it printed before."""
    run = subprocess.run([test], capture_output=True, text=True)
    text = run.stdout + run.stderr
    passed = text.count("[       OK ]")
    failed = len(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\w+)$", text, re.M)))
    if (run.returncode != 0 or passed == 0) and failed == 0:
        failed = 1
    if failed:
        names = sorted(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M))) or [f"ended with {run.returncode}"]
        failures.extend(f"{test.name}: {name}" for name in names)
    shown = text if failed else "".join(f"skipped: {name}\n" for name in skipped)
    return test.name, shown, {"passed": passed, "failed": failed, "skipped": len(skipped)}


def suite(name, args, part=""):
    report = build / f"report-{name}.xml"
    report.unlink(missing_ok=True)
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        run = subprocess.Popen([sys.executable, "-m", "pytest", "-c", here / "pytest.ini", f"--junitxml={report}",
                                f"--basetemp={written / name}", *args],
                               stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "PART": part})
        late = threading.Timer(SUITE_SECONDS, run.kill)  # nothing that hangs holds up the rest for ever
        late.start()
        _, status, used = os.wait4(run.pid, 0)
        late.cancel()
        run.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    if report.exists():
        root = ET.parse(report).getroot()
        failures.extend(f"{name}: {case.get('name')}" for case in root.iter("testcase")
                        if case.find("failure") is not None or case.find("error") is not None)
        for s in root.iter("testsuite"):
            n, f, e, skipped = (int(s.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
            counts["passed"] += n - f - e - skipped
            counts["failed"] += f + e
            counts["skipped"] += skipped
    if run.returncode not in (0, 5) and counts["failed"] == 0:  # 5: no test was chosen
        counts["failed"] = 1
        failures.append(f"{name}: pytest ended with {run.returncode}" + (f", killed after {SUITE_SECONDS} s" if run.returncode == -9 else ""))
    took = f"{time.monotonic() - begin:.0f} s, processor {used.ru_utime + used.ru_stime:.0f} s"  # without what ran in containers
    return f"{name} ({took})", text, counts


def show(result):
    name, text, counts = result
    if text:
        print(f"----- {name}\n{text.rstrip()}")
    print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()), flush=True)
    for what, n in counts.items():
        total[what] += n


def order(job):
    """Where it stands in LONGEST, by its own name or by the beginning of it."""
    name = job[0]
    return next((i for i, long in enumerate(LONGEST) if name == long or name.startswith(f"{long}.")), len(LONGEST)), name


args = sys.argv[1:]
if args:
    show(suite("chosen", args if any(not a.startswith("-") and pathlib.Path(a).exists() for a in args) else [*args, here]))
else:
    units = sorted(p for p in (build / "unit").rglob("test_*") if not p.suffix)
    only = os.environ.get("SUITES", "").split()
    folders = sorted(p for p in {f.parent for f in here.glob("*/*/test_*.py")} if not only or p.name in only)
    jobs = [(f"{p.parent.name}.{p.stem[5:]}" if p.is_file() else p.name, p)
            for f in folders for p in (sorted(f.glob("test_*.py")) if f.name in SPLIT else [f])]
    if os.environ.get("FAST"):
        jobs = [(p.stem if p.is_file() else p.name, p) for p in (here / name for name in FAST)]
    jobs = [(name, p, "") if parts == 1 else (f"{name}.{i + 1}", p, f"{i}/{parts}")
            for name, p in jobs for parts in [PARTS.get(name, 1)] for i in range(parts)]
    jobs.sort(key=order)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", 3 * os.cpu_count() + 1))) as pool:
        begun = [pool.submit(suite, name, [p], part) for name, p, part in jobs] + [pool.submit(unit, test) for test in units]
        for done in concurrent.futures.as_completed(begun):
            show(done.result())
if not failures:
    shutil.rmtree(written, ignore_errors=True)
for failure in failures:
    print(f"FAILED: {failure}")
print(", ".join(f"{n} {what}" for what, n in total.items()))
sys.exit(total["failed"] > 0)
