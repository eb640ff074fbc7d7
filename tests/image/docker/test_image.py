"""docker/Dockerfile, really built on Debian 12 and 13, and its image really run. See tests/lib/image.py."""
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from harness import takes_minutes, wait_for
from image import LABEL, OFTEN, READ_ONLY, STOP_SECONDS, Container, docker, needs_docker, run

PROGRAMS = ("qdrant-entrypoint", "qdrant-replicator", "qdrant-efs")
DOC = "/usr/local/share/doc/qdrant-efs"
OURS = {*(f"/usr/local/bin/{p}" for p in PROGRAMS), f"{DOC}/LICENSE", f"{DOC}/sbom.spdx.json"}

pytestmark = needs_docker


def check_on_the_host(efs, snapshot):
    """With nothing but coreutils and zstd, as somebody who mounts the EFS elsewhere."""
    sums = next(efs.rglob(f"{snapshot['name']}*.sha256"))
    run("sha256sum", "-c", sums.name, cwd=sums.parent)
    data = sums.with_suffix("")
    plain = subprocess.run(["zstd", "-dc", data], stdout=subprocess.PIPE, check=True).stdout
    assert hashlib.sha256(plain).hexdigest() == snapshot["checksum"]


# --- every way to start it

ALONE, UNDER = (), ("--init",)
WAYS = [(0, (), ALONE), (1000, READ_ONLY, UNDER),
        *(pytest.param(*way, marks=takes_minutes) for way in itertools.product((0, 1000), ((), READ_ONLY), (ALONE, UNDER))
          if way not in [(0, (), ALONE), (1000, READ_ONLY, UNDER)])]


@pytest.mark.parametrize("user, root, init", WAYS)
def test_a_snapshot_arrives_on_efs_it_is_healthy_and_a_stop_ends_with_qdrants_code(image, tmp_path, user, root, init):
    c = Container(image, tmp_path, user, root + init + OFTEN, {"QDRANT_INIT_FILE_PATH": "/tmp/.qdrant-initialized"})
    snapshot = c.snapshot()
    wait_for(lambda: snapshot["name"] in c.backups(), 60)
    assert c.exec("qdrant-efs", "verify").returncode == 0
    check_on_the_host(c.efs, snapshot)
    assert {f.stat().st_uid for f in c.efs.rglob("*")} == {user}
    wait_for(lambda: c.health_status() == "healthy", 60)
    assert c.stop() == 0, c.logs()
    assert c.events("stopped"), c.logs()  # the replicator's last word


@takes_minutes
def test_with_the_unprivileged_official_image_it_runs_as_that_images_user(builds, tmp_path):
    """Its USER_ID=1000 is an argument of its build; a variable of that name changes nothing."""
    unprivileged = builds["bookworm"].result()
    c = Container(unprivileged, tmp_path, None, env={"USER_ID": "4711"})
    snapshot = c.snapshot()
    wait_for(lambda: snapshot["name"] in c.backups(), 60)
    assert {f.stat().st_uid for f in (*c.efs.rglob("*"), *(tmp_path / "storage").rglob("*"))} == {1000}
    assert c.stop() == 0, c.logs()


def test_a_task_that_lost_its_disk_lets_nobody_in_and_is_unhealthy_until_all_points_are_back(image, tmp_path):
    first = Container(image, tmp_path / "first")
    snapshot = first.snapshot()
    wait_for(lambda: snapshot["name"] in first.backups(), 60)
    scroll = ("POST", "/collections/c/points/scroll", {"limit": 1000, "with_payload": True, "with_vector": True})
    had = first.result(*scroll)
    first.stop()
    efs = tmp_path / "second/efs"
    (efs / "test-cpu").mkdir(parents=True)  # without the tree EFS counts as not mounted
    second = Container(image, tmp_path / "second", options=OFTEN, efs=efs, ready=False,
                       env={"RESTORE_ON_EMPTY": "latest", "RESTORE_FROM": "/efs/mounted-late"})
    wait_for(lambda: second.health_status() == "unhealthy", 60)
    said = second.health()[1]
    assert "restore: not done" in said and "/efs/mounted-late" in said and not second.pids("qdrant"), said
    shutil.copytree(first.efs, efs / "on-its-way")
    (efs / "on-its-way").rename(efs / "mounted-late")
    wait_for(lambda: second.health_status() == "healthy", 120)
    second.wait_until_ready()
    assert second.result(*scroll) == had and had["points"]
    assert second.events("boot_restored")[0]["snapshot"] + ".snapshot" == snapshot["name"]
    assert second.stop() == 0


# --- how it ends

@pytest.mark.parametrize("init", [(), ("--init",)], ids=["as PID 1", "under --init"])
def test_a_qdrant_that_is_killed_gives_the_container_its_exit_code(image, tmp_path, init):
    c = Container(image, tmp_path, options=init)
    os.kill(c.pids("qdrant")[0], signal.SIGKILL)
    wait_for(lambda: not c.state()["Running"], STOP_SECONDS)
    assert c.state()["ExitCode"] == 137


@pytest.mark.parametrize("init", [(), ("--init",)], ids=["as PID 1", "under --init"])
def test_a_qdrant_that_hangs_in_a_stop_is_killed_within_the_grace_and_the_code_tells(image, tmp_path, init):
    c = Container(image, tmp_path, options=init, env={"STOP_GRACE_SECONDS": "2"})
    os.kill(c.pids("qdrant")[0], signal.SIGSTOP)
    assert c.stop(60) == 137
    assert c.events("qdrant_killed"), c.logs()  # by us: Docker would have killed PID 1, which says nothing then


def test_control_c_ends_it_just_as_well(image, tmp_path):
    c = Container(image, tmp_path)
    docker("kill", "-s", "INT", c.id)
    wait_for(lambda: not c.state()["Running"], STOP_SECONDS)
    assert c.state()["ExitCode"] == 0, c.logs()


# --- its health

def test_it_is_unhealthy_while_qdrant_hangs_and_healthy_again_after(image, tmp_path):
    c = Container(image, tmp_path, options=OFTEN)
    wait_for(lambda: c.health_status() == "healthy", 60)
    qdrant = c.pids("qdrant")[0]
    os.kill(qdrant, signal.SIGSTOP)
    wait_for(lambda: c.health_status() == "unhealthy", 60)
    assert c.health()[1].startswith("qdrant: not ready")
    os.kill(qdrant, signal.SIGCONT)
    wait_for(lambda: c.health_status() == "healthy", 60)


def test_a_replicator_that_hangs_counts_with_health_strict_alone(image, tmp_path):
    c = Container(image, tmp_path)
    os.kill(c.pids("qdrant-replicator")[0], signal.SIGSTOP)
    assert c.health("-e", "HEALTH_STRICT=0")[0] == 0
    code, said = c.health("-e", "HEALTH_STRICT=1")
    assert code == 1 and said.startswith("qdrant: ready") and "replicator" in said


# --- when something is missing

def test_without_efs_root_it_warns_and_qdrant_runs_alone(image, tmp_path):
    c = Container(image, tmp_path, env={"EFS_ROOT": None})
    c.snapshot()
    assert [e["level"] for e in c.events("no_backups")] == ["warn"] and "EFS_ROOT" in c.logs()
    assert not c.pids("qdrant-replicator")
    assert c.stop() == 0


def test_with_a_wrong_retention_qdrant_runs_and_the_log_shouts(image, tmp_path):
    c = Container(image, tmp_path, env={"RETENTION": "daily=soon"})
    wait_for(lambda: c.events("no_backups"))
    assert [e["level"] for e in c.events("no_backups")] == ["error"]
    assert "RETENTION" in c.events("wrong_setting")[0]["message"]
    c.snapshot()
    assert not c.pids("qdrant-replicator") and list(c.efs.iterdir()) == []
    assert c.stop() == 0


# --- what it is made of

def test_arguments_are_qdrants(image):
    done = docker("run", "--rm", "--label", LABEL, image.tag, "--version")
    assert "\nqdrant " in "\n" + done.stdout


def test_it_is_configured_as_the_official_image_but_for_its_entrypoint(each_image):
    base, ours = (both["Config"] for both in each_image.both)
    assert ours["Entrypoint"] == ["qdrant-entrypoint"] and not ours["Cmd"]
    for key in ("User", "Env", "WorkingDir", "ExposedPorts", "Volumes"):
        assert ours.get(key) == base.get(key), key
    assert ours["StopSignal"] == "SIGTERM"
    assert ours["Healthcheck"]["Test"] == ["CMD", "qdrant-entrypoint", "health"]


def test_its_labels_tell_of_this_image_and_not_of_the_official_one(image):
    base, ours = ({k.removeprefix("org.opencontainers.image."): v for k, v in both["Config"]["Labels"].items()}
                  for both in image.both)
    assert base["vendor"] and base["source"]
    assert ours["title"] == "Qdrant with backups on EFS" and ours["base.name"] == image.base
    assert "qdrant-efs " + ours["version"] == image.sh(image.tag, "qdrant-efs --version").strip()
    assert (ours["revision"], ours["source"]) == ("", "")  # nobody has given them
    assert ours["vendor"] != base["vendor"]


def test_it_is_the_official_image_and_one_layer_of_less_than_50_mb(each_image):
    base, ours = (both["RootFS"]["Layers"] for both in each_image.both)
    assert ours[:-1] == base
    assert each_image.both[1]["Size"] - each_image.both[0]["Size"] < 50e6


def test_only_our_programs_and_their_libraries_were_added(each_image):
    before, after = each_image.files
    assert set(before) <= set(after)
    new = {path for path, what in after.items() if path not in before and not what[0].startswith("d")}
    query = "dpkg-query -W -f '${binary:Package}\\n'"
    packages = set(each_image.sh(each_image.tag, query).split()) - set(each_image.sh(each_image.base, query).split())
    assert packages and all(p.startswith("lib") and "-dev" not in p for p in packages), packages
    # A folder that a package names with /lib in front is found below /usr.
    owned = each_image.sh(each_image.tag, f"dpkg-query -L {' '.join(packages)} | sed 's,^/lib/,/usr/lib/,'").split("\n")
    strange = {p for p in new - OURS - set(owned) if not p.startswith("/var/lib/dpkg/info/lib")}
    assert OURS <= new and strange == set()


def test_nothing_that_was_there_changed_but_the_lists_of_what_is_installed(each_image):
    before, after = each_image.files
    # A folder's size and time change with what is put into it.
    changed = {p for p in before if before[p][0] != after[p][0] or
               (before[p] != after[p] and not before[p][0].startswith("d"))}
    assert changed == {"/etc/ld.so.cache", "/var/lib/dpkg/status"}


def test_there_is_no_compiler_and_no_package_list_in_it(each_image):
    paths = {pathlib.PurePath(p) for p in each_image.files[1]}
    programs = {p.name for p in paths if p.parent.name in ("bin", "sbin")}
    assert "qdrant-efs" in programs
    assert not programs & {"gcc", "cc", "clang", "ld", "as", "make", "pkg-config", "dpkg-shlibdeps"}
    assert not any(p.suffix in (".c", ".h", ".o", ".a") for p in paths)
    lists = {p.name for p in paths if p.parent == pathlib.PurePath("/var/lib/apt/lists")}
    assert lists <= {"partial", "auxfiles"}


def test_the_programs_are_stripped_position_independent_and_bound_at_start(each_image, tmp_path):
    made = docker("create", "--label", LABEL, each_image.tag).stdout.strip()
    docker("cp", f"{made}:/usr/local/bin/.", tmp_path)
    docker("rm", made)
    assert {p.name for p in tmp_path.iterdir()} == set(PROGRAMS)
    for program in tmp_path.iterdir():
        elf = run("readelf", "-hSldW", program).stdout
        assert "(Position-Independent Executable file)" in elf
        assert ".symtab" not in elf and ".debug_" not in elf
        assert "GNU_RELRO" in elf and "NOW" in elf
        assert program.stat().st_mode & 0o7777 == 0o755


# --- its bill of materials

@pytest.fixture(scope="session")
def sbom(each_image, tmp_path_factory):
    file = tmp_path_factory.mktemp("sbom") / "sbom.spdx.json"
    file.write_text(each_image.sh(each_image.tag, f"cat {DOC}/sbom.spdx.json"))
    return file


def test_its_bill_of_materials_is_valid_spdx(sbom):
    parse = pytest.importorskip("spdx_tools.spdx.parser.parse_anything", reason="spdx-tools is not installed")
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
    found = validate_full_spdx_document(parse.parse_file(str(sbom)), "SPDX-2.3")
    assert [(m.context.spdx_id, m.validation_message) for m in found] == []


def test_its_bill_of_materials_lists_every_package_with_its_licence(each_image, sbom):
    debs = [p for p in json.loads(sbom.read_text())["packages"] if "externalRefs" in p]
    query = "dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n'"
    told = {(p["name"], p["versionInfo"], re.search(r"\?arch=(\w+)&", p["externalRefs"][0]["referenceLocator"])[1])
            for p in debs}
    assert told == {tuple(line.split()) for line in each_image.sh(each_image.tag, query).splitlines()}
    there = each_image.sh(each_image.tag, "ls /usr/share/doc/*/copyright").split()
    told = {p["licenseComments"] for p in debs if "licenseComments" in p}
    assert told == set(there) and len(told) > len(debs) / 2


def test_its_bill_of_materials_has_the_programs_and_every_library_that_they_load(each_image, sbom):
    packages = json.loads(sbom.read_text())["packages"]
    sums = each_image.sh(each_image.tag, "sha256sum /usr/local/bin/*").splitlines()
    ours = {p["packageFileName"]: p["checksums"][0]["checksumValue"] for p in packages if "checksums" in p}
    assert ours == {path: digest for digest, path in map(str.split, sums)} and len(ours) == len(PROGRAMS)
    loaded = each_image.sh(each_image.tag, f"for p in {' '.join(PROGRAMS)}; do LD_TRACE_LOADED_OBJECTS=1 $p; done")
    assert loaded.count("libc.so.6 => /") == len(PROGRAMS) and "not found" not in loaded
    paths = " ".join(sorted(set(re.findall(r"=> (/\S+)", loaded))))
    # dpkg knows a library by the path that its package had, with /usr in front or without.
    owners = each_image.sh(each_image.tag, f"for f in $(realpath {paths}); do"
                           " dpkg-query -S $f 2>/dev/null || dpkg-query -S ${f#/usr} || echo $f: none; done")
    assert {line.split(":")[0] for line in owners.splitlines()} <= {p["name"] for p in packages}
