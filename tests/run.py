#!/usr/bin/env python3
"""Runs every suite and prints `N passed, N failed, N skipped` as the last line."""
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

build = pathlib.Path(os.environ["BUILD_DIR"])
here = pathlib.Path(__file__).parent
passed = failed = skipped = 0

for test in sorted((build / "unit").glob("test_*")):
    if test.suffix:
        continue
    run = subprocess.run([test], capture_output=True, text=True)
    text = run.stdout + run.stderr
    ok, bad = text.count("[       OK ]"), text.count("[  FAILED  ] ")
    bad = len({l for l in text.splitlines() if l.startswith("[  FAILED  ]") and "test(s)" not in l})
    if run.returncode != 0 and bad == 0:
        bad = 1
    passed, failed = passed + ok, failed + bad
    print(f"{test.name}: {ok} passed, {bad} failed", flush=True)
    if bad:
        print(text)

report = build / "system.xml"
report.unlink(missing_ok=True)
subprocess.run([sys.executable, "-m", "pytest", "-c", here / "pytest.ini", f"--junitxml={report}", *(sys.argv[1:] or [here])])
if report.exists():
    for suite in ET.parse(report).getroot().iter("testsuite"):
        n, f, e, s = (int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
        passed, failed, skipped = passed + n - f - e - s, failed + f + e, skipped + s
else:
    failed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed > 0)
