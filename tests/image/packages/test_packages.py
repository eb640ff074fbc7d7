"""`make deb` and `make portable`: the same bytes from two builds, nothing that lintian finds, and programs that run where
nothing of this tree and none of its libraries is."""
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import ssl
import subprocess
import tarfile
import threading

import image as images
import pytest
from harness import BUILD, DATA, ROOT, Certificate, takes_minutes

PACKAGING = ROOT / "deploy/packaging"
PROGRAMS = ("qdrant-efs", "qdrant-entrypoint", "qdrant-replicator")
RELEASE = platform.freedesktop_os_release()
SUITE = RELEASE.get("VERSION_CODENAME")
# Where one file of the S3 service's authority is on another distribution.
AMAZON_LINUX = "etc/pki/tls/certs/ca-bundle.crt"
missing = next((c for c in ("dpkg-buildpackage", "dh") if not shutil.which(c)), None)
pytestmark = [pytest.mark.skipif(RELEASE.get("ID") != "debian", reason="needs Debian: builds its packages"),
              pytest.mark.skipif(bool(missing), reason=f"builds Debian packages: {missing} is not installed")]
bare_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("busybox"),
                               reason="changes its root: needs root, and busybox-static")


def version():
    return re.search(r'VERSION "(.*)"', (ROOT / "common/base/version.h").read_text())[1]


def script(name, *arguments, **env):
    done = subprocess.run([PACKAGING / name, *arguments], capture_output=True, text=True, env=os.environ | env)
    assert done.returncode == 0, done.stdout + done.stderr


def build(work, **env):
    """A folder with all packages."""
    (work / "tmp").mkdir()
    script("deb.sh", work / "out", TMPDIR=str(work / "tmp"), **env)
    assert list((work / "tmp").iterdir()) == []
    script("portable.sh", next((work / "out").glob("qdrant-efs_*.deb")), work / "out", TMPDIR=str(work / "tmp"), **env)
    assert list((work / "tmp").iterdir()) == []
    return work / "out"


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    return [build(tmp_path_factory.mktemp("one"), TZ="UTC")]


@pytest.fixture(scope="module")
def debs(builds):
    return sorted(builds[0].glob("*.deb"))


@takes_minutes
def test_two_builds_are_the_same_bytes(builds, tmp_path_factory):
    """Built in another place, at another time, in another place of the Earth."""
    builds.append(build(tmp_path_factory.mktemp("another-with-a-longer-name"), TZ="Asia/Tokyo", LC_ALL="C", HOME="/nowhere"))
    names = [sorted(f.name for f in folder.iterdir()) for folder in builds]
    arch = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
    assert names[0] == names[1] == sorted([*(f"{p}_{version()}_{arch}.deb" for p in PROGRAMS),
                                           f"qdrant-efs-{version()}-linux-{platform.machine()}.tar.gz"])
    assert [n for n in names[0] if (builds[0] / n).read_bytes() != (builds[1] / n).read_bytes()] == []


def test_source_date_epoch_is_the_time_of_what_is_in_them(builds, tmp_path):
    deb = next(builds[0].glob("qdrant-efs_*.deb"))
    script("portable.sh", deb, tmp_path, SOURCE_DATE_EPOCH="1234567890")
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as tar:
        assert {m.mtime for m in tar} == {1234567890} and {(m.uid, m.gid) for m in tar} == {(0, 0)}


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_finds_nothing(debs):
    done = subprocess.run(["lintian", "--allow-root", "--pedantic", "--display-info", "--fail-on=error,warning,info,pedantic", *debs],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_would_find_something(debs, tmp_path):
    subprocess.run(["dpkg-deb", "-R", debs[0], tmp_path / "x"], check=True)
    (next((tmp_path / "x/usr/share/doc").iterdir()) / "copyright").unlink()
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tmp_path / "x", tmp_path], check=True, capture_output=True)
    done = subprocess.run(["lintian", "--allow-root", next(tmp_path.glob("*.deb"))], capture_output=True, text=True)
    assert "no-copyright-file" in done.stdout


def test_each_package_has_its_program_its_manual_page_and_its_licence(debs):
    for deb, program in zip(debs, PROGRAMS):
        listed = {line.split()[-1] for line in subprocess.check_output(["dpkg-deb", "-c", deb], text=True).splitlines()}
        assert {f"./usr/bin/{program}", f"./usr/share/man/man8/{program}.8.gz", f"./usr/share/doc/{program}/copyright"} <= listed
        assert [f for f in listed if f.startswith("./usr/bin/") and f != "./usr/bin/"] == [f"./usr/bin/{program}"]


def test_the_packages_are_built_with_the_libraries_that_the_makefile_names():
    names = re.search(r"^DEPS  *=(.*?[^\\])$", (ROOT / "Makefile").read_text(), re.M | re.S)[1]
    wanted = set(re.findall(r"lib[a-z0-9.+-]*-dev", names)) - {"libcmocka-dev"}
    control = (PACKAGING / "debian/control").read_text()
    assert set(re.findall(r"lib[a-z0-9.+-]*-dev", control)) == wanted


def test_a_changelog_that_tells_another_version_is_refused(tmp_path):
    for name in ("common", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    header = tmp_path / "common/base/version.h"
    header.write_text(header.read_text().replace(version(), "9.9.9"))
    done = subprocess.run([tmp_path / "deploy/packaging/deb.sh", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 1 and "changelog does not begin with version 9.9.9" in done.stderr


@pytest.fixture
def old_tree(tmp_path):
    """An EFS of before, for another pair of eyes."""
    with tarfile.open(DATA / "released.tar.gz") as tar:
        tar.extractall(tmp_path / "old", filter="tar")
    return next(p.parent for p in (tmp_path / "old").iterdir() if p.is_dir())


BARE = """
set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /packages/*.deb >/dev/null
dpkg --verify qdrant-efs qdrant-replicator qdrant-entrypoint | grep -v /usr/share/ || true
for p in qdrant-efs qdrant-replicator; do $p --version; done
mkdir -p /efs && qdrant-replicator --once
qdrant-efs ls && qdrant-efs verify
qdrant-entrypoint health || test $? = 1
QDRANT_BIN=/bin/sh REPLICATOR_BIN=/bin/true qdrant-entrypoint -c 'exit 7' || echo entrypoint: $?
apt-get purge -y -qq qdrant-efs qdrant-replicator qdrant-entrypoint >/dev/null
test ! -e /usr/bin/qdrant-efs
"""


@takes_minutes
@images.needs_docker
def test_installed_on_a_bare_debian_they_run_and_are_removed(debs, real_tree):
    env = {"EFS_ROOT": "/efs", "EFS_ALLOW_LOCAL": "1", "SNAPSHOTS_DIR": "/snapshots", "SNAPSHOT_INTERVAL": "0", "LOG_FORMAT": "text",
           "QDRANT_URL": "http://127.0.0.1:1"}
    done = images.docker("run", "--rm", "--label", images.LABEL, f"-v={debs[0].parent}:/packages:ro", f"-v={real_tree.snapshots}:/snapshots",
                         *(f"--env={k}={v}" for k, v in env.items()), images.debian(SUITE), "sh", "-c", BARE)
    assert f"qdrant-efs {version()}\nqdrant-replicator {version()}\n" in done.stdout
    assert re.search(r"[1-9]\d* verified, 0 defective", done.stdout), done.stdout
    assert "qdrant: " in done.stdout and "entrypoint: 7\n" in done.stdout


# --- the archive for any distribution

@pytest.fixture
def bare(builds, tmp_path):
    """A root that has busybox and the archive, as its page says to put it there, and no C library."""
    root = tmp_path / "root"
    for folder in ("bin", "opt", "usr/local/bin", "etc", "tmp", "efs"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for name in ("sh", "readlink", "dirname", "env"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    with tarfile.open(next(builds[0].glob("*.tar.gz"))) as tar:
        tar.extractall(root / "opt", filter="tar")
    top, = (root / "opt").iterdir()
    (root / "usr/local/bin/qdrant-efs").symlink_to(f"/opt/{top.name}/bin/qdrant-efs")
    return root


def inside(root, *command, **env):
    return subprocess.run(["/usr/sbin/chroot", root, *command], capture_output=True, text=True,
                          env={"PATH": "/usr/local/bin:/bin", "EFS_ROOT": "/efs", "EFS_ALLOW_LOCAL": "1"} | env)


@bare_root
def test_where_there_is_no_c_library_it_reads_an_old_tree(bare, old_tree):
    assert not list(bare.glob("lib*")) and not (bare / "usr/lib").exists()
    shutil.copytree(old_tree, bare / "efs", dirs_exist_ok=True)
    assert inside(bare, "qdrant-efs", "--version").stdout == f"qdrant-efs {version()}\n"
    tree, = (p.name for p in (bare / "efs").iterdir() if p.is_dir())
    of_tree = dict(zip(("TIER", "CPU_ARCH"), tree.rsplit("-", 1)))
    here = subprocess.run([BUILD / "qdrant-efs", "ls", "--json"], env=os.environ | of_tree | {"EFS_ROOT": str(bare / "efs")},
                          capture_output=True, text=True)
    there = inside(bare, "qdrant-efs", "ls", "--json", **of_tree)
    assert there.returncode == here.returncode == 0
    told = [[{k: b[k] for k in ("collection", "frequency", "snapshot", "sha256", "state")} for b in json.loads(done.stdout)] for done in (here, there)]
    assert told[0] == told[1] != []
    deep = inside(bare, "qdrant-efs", "verify", "--deep", **of_tree)
    assert deep.returncode == 0 and ", 0 defective" in deep.stdout, deep.stdout + deep.stderr


@bare_root
def test_what_it_starts_is_not_given_its_libraries(bare):
    done = inside(bare, "sh", "-c", "exec env LD_LIBRARY_PATH=/nowhere qdrant-efs --version")
    assert done.stdout == f"qdrant-efs {version()}\n", done.stderr
    start = next(bare.glob("opt/*/bin/qdrant-efs")).read_text()
    assert "LD_" not in start and "export" not in start


class S3(http.server.BaseHTTPRequestHandler):
    """An empty bucket, and who asked for it."""

    def do_GET(self):
        self.server.asked.append(self.headers["Authorization"])
        body = (b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>backups</Name>'
                b"<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def s3(tmp_path):
    certificate = Certificate(tmp_path / "tls")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), S3)
    server.asked, server.ca = [], certificate.ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def asks_s3(root, server, **env):
    """By name, so that names are looked up there, too."""
    return inside(root, "qdrant-efs", "restore", "--from-s3", "--dry-run", SNAPSHOT_S3_BUCKET_NAME="backups", AWS_REGION="eu-west-1",
                  AWS_ACCESS_KEY_ID="AKIDTEST", AWS_SECRET_ACCESS_KEY="sekret", SNAPSHOT_S3_ENDPOINT=f"https://localhost:{server.server_address[1]}",
                  QDRANT_URL="http://127.0.0.1:1", **env)


@bare_root
@pytest.mark.parametrize("where", [AMAZON_LINUX, "etc/ssl/certs/ca-certificates.crt", "etc/ssl/ca-bundle.pem", "own.pem"])
def test_s3_is_reached_with_the_authorities_of_any_distribution_and_not_without(bare, s3, where):
    refused = asks_s3(bare, s3)
    assert refused.returncode == 1 and "certificate" in refused.stderr and s3.asked == [], refused.stderr
    path = bare / where
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(s3.ca, path)
    done = asks_s3(bare, s3, **({"SSL_CERT_FILE": "/own.pem"} if where == "own.pem" else {}))
    assert s3.asked and "AKIDTEST" in s3.asked[0] and "certificate" not in done.stderr, done.stderr


@bare_root
def test_a_file_of_authorities_that_is_named_and_not_there_is_told(bare, s3):
    path = bare / AMAZON_LINUX
    path.parent.mkdir(parents=True)
    shutil.copy(s3.ca, path)
    done = asks_s3(bare, s3, SSL_CERT_FILE="/nowhere.pem")
    assert done.returncode == 1 and "/nowhere.pem" in done.stderr and s3.asked == []


def test_every_library_in_it_has_its_licence_and_its_source(builds):
    with tarfile.open(next(builds[0].glob("*.tar.gz"))) as tar:
        names = {pathlib.PurePath(n).relative_to(tar.getnames()[0]) for n in tar.getnames()}
        top = tar.getnames()[0]
        packages = tar.extractfile(f"{top}/lib/PACKAGES").read().decode().splitlines()
    licences = {p.name for p in names if p.parent.name == "licenses"}
    listed = {line.split()[0] for line in packages[1:]}
    assert len(listed) > 10 and licences == listed | {"qdrant-efs"}
    assert all(re.fullmatch(r"\S+ \S+, of the source \S+ \S+", line) for line in packages[1:])
    libraries = {p.name for p in names if p.parent.name == "lib"} - {"PACKAGES"}
    assert {"libc.so.6", "libcurl.so.4"} <= libraries
