"""base-image.sh: which archives it takes from apt's sources, and how it refuses."""
import pathlib
import platform
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parent / "base-image.sh"
RELEASE = platform.freedesktop_os_release()
HOST = RELEASE.get("VERSION_CODENAME")
pytestmark = pytest.mark.skipif(RELEASE.get("ID") != "debian", reason="needs Debian: reads its apt sources")


def archives(folder, **files):
    (folder / "sources.list.d").mkdir(exist_ok=True)
    places = {"one_line": "sources.list", "more": "sources.list.d/x.list"}
    for name, text in files.items():
        (folder / places.get(name, f"sources.list.d/{name}.sources")).write_text(text)
    run = subprocess.run([SCRIPT, "--sources", "trixie"], env={"PATH": "/usr/bin:/bin", "APT_ETC": folder},
                         capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_the_one_line_format(tmp_path):
    assert archives(tmp_path, one_line=f"""
# deb http://comment.test/debian {HOST} main
deb-src http://source.test/debian {HOST} main
deb http://mirror.test/debian/ {HOST} main contrib # the archive
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://s.test/ {HOST}-security main
""", more=f"deb http://mirror.test/debian {HOST}-updates main\n") == [
        "http://mirror.test/debian trixie", "http://s.test trixie-security",
        "http://mirror.test/debian trixie-updates"]


def test_the_deb822_format(tmp_path):
    assert archives(tmp_path, debian=f"""# a comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: {HOST}
 {HOST}-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: {HOST}
Components: main""", security=f"""
Types: deb
URIs: http://s.test/debian
Suites: {HOST}-security
Components: main
""") == [
        "http://mirror.test/debian trixie", "http://mirror.test/debian trixie-updates",
        "http://s.test/debian trixie-security"]


def test_other_peoples_archives_are_left_out(tmp_path):
    assert archives(tmp_path, one_line=f"""
deb [signed-by=/etc/apt/keyrings/vendor.asc] http://vendor.test/apt {HOST} main
deb http://vendor.test/debian {HOST} stable
deb http://vendor.test/apt {HOST}-vendor main
deb http://backports.test/debian {HOST}-backports main
""", vendor=f"""Types: deb
URIs: http://vendor.test/more
Suites: {HOST}
Components: main
Signed-By: /etc/apt/keyrings/vendor.asc
""") == []


def test_wrong_use_is_told(tmp_path):
    run = subprocess.run([SCRIPT, "bookworm"], capture_output=True, text=True)
    assert run.returncode == 1 and "usage:" in run.stderr


def test_without_docker_it_says_so(tmp_path):
    (tmp_path / "sh").symlink_to("/bin/sh")
    run = subprocess.run([tmp_path / "sh", SCRIPT, "bookworm", "base:12"], env={"PATH": str(tmp_path)},
                         capture_output=True, text=True)
    assert run.returncode == 1 and "docker is not installed" in run.stderr
