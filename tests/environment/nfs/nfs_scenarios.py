"""What happens to backups on a real NFSv4.1 mount. Each function is one test; its name says what holds.

They run inside the guest (nfs_lab.py says with what); the host imports this file for the names alone.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import nfs_lab
from harness import BUILD
from nfs_lab import MiB, check, equal, events_in, gone, hangs_in_kernel, sha256_of, until

SCENARIOS = {}
# In Qdrant's place: runs until TERM, and then ends with an exit code that nobody else has.
QDRANT = ("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def good(ended):
    """The program did what it was asked to."""
    equal(ended.returncode, 0, f"exit code of {ended.args[0]}, which said\n{ended.stderr}")


def published_by_itself(lab, replicator, backups=1):
    """The daemon was left alone, and all is on EFS in the end."""
    until(lambda: len(lab.published()) == backups, "all is published", 40)
    equal(replicator.poll(), None, "exit code of the replicator, which should still run")


def published_and_swept(lab):
    """By the successor of one that left a partial file."""
    until(lab.published, "the next one has published it")
    until(lambda: not lab.partials(), "and has swept the partial file", 5)


# -- what is right when nothing is wrong -------------------------------------------------------------------

@scenario
def the_mount_is_nfs_4_1_with_the_options_of_efs(lab):
    task = lab.task()
    line = next(l for l in open("/proc/mounts") if l.split()[1] == str(task.efs)).split()
    equal(line[2], "nfs4", "file system")
    wanted = {"vers=4.1", "rsize=1048576", "wsize=1048576", "hard", "timeo=600", "retrans=2", "noresvport"}
    equal(wanted - set(line[3].split(",")), set(), "options that the mount lacks")
    with open(task.efs / "f", "wb") as f:
        check(nfs_lab.libc.fallocate(f.fileno(), 0, 0, 4096) != 0, "fallocate works, so this is not like EFS")


@scenario
def real_snapshots_are_published_whole_and_verified(lab):
    task = lab.task()
    shutil.copytree(nfs_lab.SNAPSHOTS, task.snapshots, dirs_exist_ok=True)
    good(task.once())
    names = [p.name.removesuffix(".snapshot") for p in task.snapshots.rglob("*.snapshot")]
    check(len(names) >= 4, "the real snapshots are there")
    task.right(*names)
    for data in task.efs.rglob("*.snapshot.zst"):  # what people have without our programs
        subprocess.run(["sha256sum", "--quiet", "-c", data.name + ".sha256"], cwd=data.parent, check=True)
        subprocess.run(["zstd", "-q", "-d", data, "-o", lab.root / "plain"], check=True)
        source = next(task.snapshots.rglob(data.name.removesuffix(".zst")))
        check((lab.root / "plain").read_bytes() == source.read_bytes(), f"{data.name} holds the right bytes")
        (lab.root / "plain").unlink()
    before = {p: p.stat().st_mtime_ns for p in lab.stored("*")}
    good(task.once())
    equal({p: p.stat().st_mtime_ns for p in lab.stored("*")}, before, "files and times after a second --once")


@scenario
def only_operations_that_nfs_4_1_has_are_used_and_the_manifest_comes_last(lab):
    if not shutil.which("strace"):
        raise nfs_lab.Skip("strace is not there (Debian package strace)")
    task = lab.task()
    names = [task.make("docs", f"0{i}-59-23", size=MiB, seed=i) for i in range(3)]
    trace = lab.root / "trace"
    commands = [("qdrant-replicator", "--once"), ("qdrant-efs", "verify"), ("qdrant-efs", "ls"),
                ("qdrant-efs", "prune")]
    for command in commands:
        retention = "15min=1,hourly=1,daily=1,monthly=1" if "prune" in command else ""
        good(subprocess.run(["strace", "-f", "-y", "-s", "300", "-A", "-o", trace, "-e",
                             "trace=%file,%desc", BUILD / command[0], *command[1:]],
                            env=task.env | {"RETENTION": retention}, capture_output=True, text=True))
    on_efs = [l for l in trace.read_text(errors="replace").splitlines() if str(task.efs) in l]
    check(any("write(" in l for l in on_efs), "the trace shows the writes")
    for wrong in (r"fallocate\(", r"copy_file_range\(", r"O_TMPFILE", r"RENAME_(NOREPLACE|EXCHANGE|WHITEOUT)",
                  r"FICLONE", r"SEEK_(HOLE|DATA)", r"setxattr\(", r"MAP_SHARED", r"\bflock\(",
                  r"F_(OFD_)?SETLK"):
        equal([l for l in on_efs if re.search(wrong, l)], [], f"calls on EFS that match {wrong}")
    order_of_durability(on_efs, names)


def order_of_durability(calls, names):
    """Each file is synced under its partial name before it gets its final one; data, .sha256, manifest."""
    synced, placed = set(), []
    for call in calls:
        done = re.search(r"= 0$", call)
        if m := re.search(r"(?:fsync|fdatasync)\(\d+<([^>]*)>", call):
            synced.add(os.path.basename(m[1]))
        elif done and (m := re.search(r"\b(?:rename|link)(?:at2?)?\((.*)\)", call)):
            source, final = re.findall(r'"([^"]*)"', m[1])
            check(os.path.basename(source) in synced, f"{final} got its name before its bytes were synced")
            placed.append(os.path.basename(final))
    for name in names:
        kinds = [f.removeprefix(name) for f in placed if f.startswith(name)]
        equal(kinds, [".snapshot.zst", ".snapshot.zst.sha256", ".json"], f"order of the files of {name}")


@scenario
def pruning_what_a_reader_has_open_leaves_no_silly_renames_behind(lab):
    task = lab.task()
    names = [task.make("docs", f"1{i}-{m}-23", size=MiB, seed=i) for i in range(3) for m in (20, 40)]
    good(task.once())
    # The kernel renames a deleted file that is open to .nfsXXXX, until it is closed.
    readers = [open(task.efs / p.relative_to(lab.export), "rb") for p in lab.stored("*.zst")]
    good(task.efs_tool("prune", RETENTION="15min=1,hourly=1,daily=1,monthly=1"))
    check(lab.stored(".nfs*"), "a pruned file was open, so that this scenario means something")
    kept = {b["snapshot"] for b in task.verified()}
    check(kept < set(names), "something was pruned, and a .nfsXXXX is no backup")
    for f in readers:
        f.close()
    lab.nothing_half_done()


@scenario
def sizes_and_times_of_a_published_backup_are_right_through_another_mount(lab):
    a, b = lab.task("task-a"), lab.task("task-b")
    name = a.make(size=4 * MiB)
    good(a.once())
    b.right_as_in(a, name)
    for at_server in lab.stored("*"):
        with open(b.efs / at_server.relative_to(lab.export), "rb") as f:
            seen = os.fstat(f.fileno())
        equal(seen.st_size, at_server.stat().st_size, f"size of {at_server.name}")
        equal(seen.st_mtime_ns, at_server.stat().st_mtime_ns, f"time of {at_server.name}")


@scenario
def a_new_backup_is_listed_at_once_where_its_absence_was_cached(lab):
    a, b = lab.task("task-a"), lab.task("task-b")
    names = []
    for collection, time_of_day in (("docs", "06-10-00"), ("docs", "06-20-00"), ("images", "06-10-00")):
        equal(b.listed(), sorted(names), f"backups before {collection} {time_of_day}")
        names.append(a.make(collection, time_of_day, size=MiB))
        good(a.once())
    b.right_as_in(a, *names)


# -- EFS hangs ---------------------------------------------------------------------------------------------

def hung(lab, pid):
    """EFS stops answering in the middle of a copy."""
    lab.hold_in_mid_copy(pid)
    nfs_lab.stop_server()
    os.kill(pid, signal.SIGCONT)
    until(lambda: hangs_in_kernel(pid), "a thread of the replicator hangs on EFS")


@scenario
def while_efs_hangs_file_events_are_taken_and_term_is_answered(lab):
    task = lab.task()
    names = [task.make()]
    p = task.start(COMPRESSION="none")
    hung(lab, p.pid)
    os.kill(p.pid, signal.SIGSTOP)
    names.append(task.make("other", size=MiB))
    check(nfs_lab.unread_file_events(p.pid) > 0, "file events wait for a process that is stopped")
    os.kill(p.pid, signal.SIGCONT)
    for turn in range(3):  # each shows that the turn of the loop before it has come to its end
        until(lambda: nfs_lab.unread_file_events(p.pid) == 0, "the replicator has taken them", 5)
        names.append(task.make(f"other-{turn}", size=MiB))
    check(hangs_in_kernel(p.pid) and not lab.published(), "EFS still hangs")
    p.terminate()
    until(lambda: task.events("stopped"), "the replicator has answered TERM", 10)
    equal(lab.published(), [], "manifests on EFS")
    nfs_lab.start_server()
    until(lambda: p.poll() is not None, "its process is gone")
    good(task.once())  # the next start mends all
    task.right(*names)


def stops_in_time(lab, new_pids):
    task = lab.task()
    name = task.make()
    grace = 8
    p, replicator = task.entrypoint(*QDRANT, new_pids=new_pids, COMPRESSION="none",
                                    STOP_GRACE_SECONDS=str(grace))
    entrypoint = nfs_lab.stat_of(replicator)[1]
    hung(lab, replicator)
    began = time.monotonic()
    os.kill(entrypoint, signal.SIGTERM)
    if new_pids:
        until(lambda: task.events("replicator_killed"), "the entrypoint gives up the replicator", grace + 4)
    else:
        until(lambda: p.poll() is not None, "the container has ended", grace + 4)
    seconds = time.monotonic() - began
    check(seconds < grace, f"the stop took {seconds:.1f} s of {grace}")
    check(task.events("qdrant_ended"), "Qdrant has ended before that")
    equal(lab.published(), [], "manifests on EFS")
    nfs_lab.start_server()
    until(lambda: p.poll() is not None, "the container has ended")
    equal(p.returncode, 7, "exit code")
    until(lambda: gone(replicator), "what is left of the replicator is gone")
    if new_pids:
        task.entrypoint(*QDRANT, new_pids=True, COMPRESSION="none")
        published_and_swept(lab)
    else:
        good(task.once())
    task.right(name)


@scenario
def while_efs_hangs_the_container_stops_in_time_with_qdrants_exit_code(lab):
    # PID 1 cannot end before all processes of its container have, and one of them that waits uninterruptibly
    # in fsync(2) does not: pid_namespaces(7). What can be done in time is; the rest ends with the outage.
    stops_in_time(lab, new_pids=True)


@scenario
def while_efs_hangs_the_entrypoint_stops_in_time_also_where_it_is_not_pid_1(lab):
    stops_in_time(lab, new_pids=False)


def goes_on_by_itself(lab, fault, repair):
    task = lab.task()
    names = [task.make(), task.make("other", size=8 * MiB)]
    p = task.start(COMPRESSION="none")
    lab.hold_in_mid_copy(p.pid)
    fault()
    os.kill(p.pid, signal.SIGCONT)
    until(lambda: hangs_in_kernel(p.pid), "a thread of the replicator hangs on EFS")
    equal(lab.published(), [], "manifests on EFS while it hangs")
    repair()
    published_by_itself(lab, p, len(names))
    equal(events_in(task.log_text(), level="error"), [], "errors: a hard mount hides the outage")
    task.right(*names)


@scenario
def a_server_that_comes_back_in_mid_copy_lets_the_copy_go_on_to_the_right_end(lab):
    goes_on_by_itself(lab, nfs_lab.stop_server, nfs_lab.start_server)


@scenario
def a_network_that_swallows_all_packets_for_a_while_costs_nothing_but_time(lab):
    goes_on_by_itself(lab, lambda: nfs_lab.network("loss 100%"), nfs_lab.network_good)


@scenario
def a_replicator_that_starts_while_efs_hangs_answers_term_and_publishes_later(lab):
    task = lab.task()
    name = task.make(size=MiB)
    nfs_lab.stop_server()
    p = task.start()
    until(lambda: hangs_in_kernel(p.pid), "a thread of the replicator hangs on EFS")
    second = task.popen(BUILD / "qdrant-replicator")
    until(lambda: len(task.events("started")) == 2, "a second one has started")
    until(lambda: hangs_in_kernel(second.pid), "it hangs as well")
    second.terminate()
    until(lambda: task.events("stopped"), "it has answered TERM", 10)
    nfs_lab.start_server()
    published_by_itself(lab, p)
    until(lambda: second.poll() is not None, "the second one is gone")
    task.right(name)


# -- EFS refuses -------------------------------------------------------------------------------------------

@scenario
def a_full_disk_behind_efs_is_named_and_the_snapshot_is_published_once_there_is_room(lab):
    lab.resize("8m")
    task = lab.task()
    name = task.make(size=20 * MiB)
    p = task.start(COMPRESSION="none")
    failed = until(lambda: task.events("publish_failed"), "the failure is reported")[0]
    check("No space left on device" in failed["message"], f"clear error: {failed}")
    equal(failed["level"], "error", "level of that event")
    until(lambda: not lab.partials(), "the partial file is removed", 5)
    equal([p.name for p in lab.stored("*.snapshot*") + lab.published()], [], "half-published files")
    check((task.snapshots / "docs" / f"{name}.snapshot").exists(), "the local snapshot stays")
    lab.resize("64m")
    published_by_itself(lab, p)
    task.right(name)


@scenario
def a_disk_that_is_full_when_the_manifest_comes_leaves_no_backup_until_there_is_room(lab):
    lab.resize("16m")
    task = lab.task()
    first = task.make(size=MiB)
    good(task.once(COMPRESSION="none"))
    second = task.make("docs", "07-59-50", size=MiB, seed=2)
    blocks = -(-(task.snapshots / "docs" / f"{second}.snapshot").stat().st_size // 4096)
    leave_free(lab, blocks + 1)  # for the data and the .sha256
    p = task.start(COMPRESSION="none")
    failed = until(lambda: task.events("publish_failed"), "the failure is reported")[0]
    check("No space left on device" in failed["message"], f"clear error: {failed}")
    equal(task.listed(), [first], "complete backups")
    until(lambda: not lab.partials(), "the partial file is removed", 5)
    (lab.export / "filler").unlink()
    published_by_itself(lab, p, 2)
    task.right(first, second)


def leave_free(lab, blocks):
    st = os.statvfs(lab.export)
    with open(lab.export / "filler", "wb") as f:
        for _ in range(st.f_bfree - blocks):
            f.write(b"\1" * st.f_frsize)
    equal(os.statvfs(lab.export).f_bfree, blocks, "blocks that are free")


def refused(lab, fault, *wanted):
    """EFS refuses a copy half way; returns the task, its replicator, and the name."""
    task = lab.task()
    name = task.make()
    p = task.start(COMPRESSION="none")
    lab.hold_in_mid_copy(p.pid)
    fault()
    os.kill(p.pid, signal.SIGCONT)
    failed = until(lambda: task.events("publish_failed"), "the failure is reported")[0]
    check(any(w in failed["message"] for w in wanted), f"clear error: {failed}")
    equal(lab.published(), [], "manifests on EFS")
    return task, p, name


@scenario
def file_handles_that_go_stale_fail_the_copy_and_the_next_try_publishes(lab):
    # Held a moment too late, it has written all and finds no folder for the name.
    task, p, name = refused(lab, lab.replace, "Stale file handle", "No such file or directory")
    published_by_itself(lab, p)
    task.right(name)


@scenario
def an_export_that_is_withdrawn_fails_the_copy_and_once_it_is_back_the_next_try_publishes(lab):
    task, p, name = refused(lab, lambda: nfs_lab.unexport(lab.export), "Permission denied")
    nfs_lab.export(lab.export)
    published_by_itself(lab, p)
    # What could not be deleted while EFS refused goes at the latest when the next process publishes.
    p.terminate()
    until(lambda: p.poll() is not None, "the replicator has stopped")
    task.right_once_more(name)


@scenario
def a_tree_that_another_client_removes_under_a_copy_is_made_anew(lab):
    task = lab.task()
    name = task.make()
    p = task.start(COMPRESSION="none")
    lab.hold_in_mid_copy(p.pid)
    for tree in lab.export.iterdir():
        shutil.rmtree(tree)
    os.kill(p.pid, signal.SIGCONT)
    until(lambda: task.events("publish_failed"), "the failure is reported")
    published_by_itself(lab, p)
    task.right(name)


@scenario
def a_read_only_replica_is_listed_and_verified_and_publishing_to_it_fails_with_one_error(lab):
    writer = lab.task("task-a")
    names = [writer.make("docs", f"0{i}-59-23", size=MiB, seed=i) for i in range(2)]
    good(writer.once())
    replica = lab.task("replica", options="ro")
    equal(replica.listed(), sorted(names), "complete backups")
    replica.right_as_in(writer, *names)
    before = {p: p.stat().st_mtime_ns for p in lab.export.rglob("*")}
    for collection in ("docs", "new"):
        name = replica.make(collection, "09-00-00", size=MiB)
        said = replica.once()
        check(said.returncode not in (0, 64), f"exit code {said.returncode}")
        errors = events_in(said.stderr, level="error")
        events = [e["event"] for e in errors]
        check("publish_failed" in events and len(events) == len(set(events)), f"said once:\n{said.stderr}")
        for e in errors:
            check("Read-only file system" in e["message"] or e["event"] == "not_safe", f"the cause: {e}")
        equal(len(said.stderr.splitlines()), len(events_in(said.stderr)), "lines that are log events")
        for f in (replica.snapshots / collection).glob(f"{name}*"):
            f.unlink()  # so that each run has one
    equal({p: p.stat().st_mtime_ns for p in lab.export.rglob("*")}, before, "files on EFS and their times")


# -- two tasks, and dead ones ------------------------------------------------------------------------------

def both_publish_the_same(lab, meanwhile, compression=("zstd:1", "zstd:1")):
    """Two tasks with the same snapshots: a deployment starts the new one before the old one has stopped."""
    a, b = lab.task("task-a"), lab.task("task-b")
    for task in (a, b):
        names = [task.make(c, f"{h:02}-{m:02}-23", size=MiB, seed=h * 60 + m)
                 for c in ("docs", "images") for h in (6, 9) for m in (5, 20)]
    nfs_lab.network("delay 3ms")
    running = [task.popen(BUILD / "qdrant-replicator", "--once", COMPRESSION=c)
               for task, c in zip((a, b), compression)]
    while any(p.poll() is None for p in running):
        meanwhile()
        time.sleep(0.02)
    meanwhile()
    nfs_lab.network_good()
    for task, p in zip((a, b), running):
        equal(p.returncode, 0, f"exit code of {task.name}, which said\n{task.log_text()}")
    return a, b, names


@scenario
def two_tasks_that_publish_the_same_snapshots_leave_one_backup_of_each_and_overwrite_nothing(lab):
    first = {}

    def watch():
        for manifest in lab.published():
            if manifest not in first:
                data = manifest.with_name(manifest.stem + ".snapshot.zst")
                first[manifest] = [(f, f.stat().st_ino) for f in (manifest, data)]

    a, b, names = both_publish_the_same(lab, watch)
    told = [e["message"] for task in (a, b) for e in task.events("published")]
    equal([n for n in names if sum(n in m for m in told) != 1], [], "snapshots not published just once")
    equal([f.name for files in first.values() for f, inode in files if f.stat().st_ino != inode], [],
          "files of a published backup that were replaced")
    a.right(*names)


@scenario
def a_task_paused_between_data_and_manifest_finds_no_other_tasks_files_mixed_with_its_own(lab):
    # The other one compresses differently, as when a deployment changes COMPRESSION: other bytes, same name.
    a, b = lab.task("task-a"), lab.task("task-b")
    names = [t.make(size=MiB) for t in (a, b)]
    nfs_lab.network("delay 30ms")  # makes room for the pause
    p = a.popen(BUILD / "qdrant-replicator", "--once", COMPRESSION="zstd:1")
    until(lambda: lab.stored("*.zst"), "the data of task-a has its final name")
    nfs_lab.pause(p.pid)
    nfs_lab.network_good()
    equal(lab.published(), [], "manifests on EFS")
    said = b.once(COMPRESSION="zstd:5")  # it may finish the backup, or leave it to task-a and say so
    check(said.returncode == 0 or events_in(said.stderr, "not_safe"), f"task-b said\n{said.stderr}")
    p.send_signal(signal.SIGCONT)
    until(lambda: p.poll() is not None, "task-a has ended")
    equal(p.returncode, 0, f"exit code of task-a, which said\n{a.log_text()}")
    good(b.once(COMPRESSION="zstd:5"))
    a.right(names[0])


@scenario
def a_task_that_looked_before_another_published_makes_no_second_backup_of_the_same_snapshot(lab):
    a, b = lab.task("task-a"), lab.task("task-b")
    equal(b.listed(), [], "backups before")
    names = [a.make("docs", f"06-{m}-23", size=MiB, seed=m) for m in (10, 20)]
    b.make("docs", "06-20-23", size=MiB, seed=20)
    good(a.once())
    good(b.once())
    a.right(*names)


@scenario
def a_reader_never_sees_a_manifest_whose_data_does_not_match(lab):
    reader, seen, wrong = lab.task("reader"), set(), []

    def read():
        for path in reader.efs.rglob("*.json"):
            manifest = json.loads(path.read_text())
            try:
                ok = sha256_of(path.with_name(manifest["data"])) == manifest["stored_sha256"]
                why = "other bytes"
            except OSError as error:
                ok, why = False, str(error)
            if not ok:
                wrong.append(f"{path.name}: {why}")
            seen.add(path.name)

    _, _, names = both_publish_the_same(lab, read, ("zstd:1", "zstd:5"))
    equal(wrong, [], "manifests whose data did not match")
    equal(len(seen), len(names), "manifests that the reader saw")


@scenario
def a_replicator_killed_in_mid_copy_is_mended_by_the_next(lab):
    task = lab.task()
    name = task.make()
    nfs_lab.network("delay 20ms")  # already now, since --once begins to copy at once
    p = task.popen(BUILD / "qdrant-replicator", "--once", COMPRESSION="none")
    lab.hold_in_mid_copy(p.pid)
    p.kill()
    p.wait(20)
    check(lab.partials() and not lab.published(), "a partial file is left behind, and no manifest")
    good(task.once(COMPRESSION="none"))
    task.right(name)


@scenario
def a_container_that_restarts_with_the_same_pids_mends_what_it_left(lab):
    task = lab.task()
    name = task.make()
    p, replicator = task.entrypoint(*QDRANT, new_pids=True, COMPRESSION="none")
    # The next container has the same host name and process ids, but another pid namespace: this one lives on,
    # or its number would often be given out again.
    with open(f"/proc/{replicator}/ns/pid"):
        lab.hold_in_mid_copy(replicator)
        p.kill()
        p.wait(20)
        until(lambda: gone(replicator), "the container is gone")
        left = lab.partials()
        check(left and not lab.published(), "a partial file is left behind, and no manifest")
        for partial in left:
            os.utime(partial, (time.time() - 3600,) * 2)  # an hour later
        task.entrypoint(*QDRANT, new_pids=True, COMPRESSION="none")
        published_and_swept(lab)
    equal(task.events("publish_failed"), [], "failures of the second container")
    task.right(name)
