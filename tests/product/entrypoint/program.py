"""A program for Qdrant's or the replicator's place that writes down what it gets.

    program.py RECORD [SIGNAL=CODE[@SECONDS]]...

Every signal is appended to RECORD; those with a rule end the program with CODE, SECONDS later, in which it
goes on recording. Runs with -I -S, so only modules that start fast.
"""
import os
import signal
import sys
import time

SIGNALS = ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2")


def main(path, rules):
    ends = {}
    for rule in rules:
        name, end = rule.split("=")
        code, _, delay = end.partition("@")
        ends["SIG" + name] = int(code), float(delay or 0)
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = [getattr(signal, "SIG" + name) for name in SIGNALS]
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    os.write(out, f"started {os.getpid()} {time.monotonic()}\n".encode())
    code, until = None, None
    while True:
        left = 3600 if until is None else max(0, until - time.monotonic())
        info = signal.sigtimedwait(numbers, left)
        if info is None:
            sys.exit(code)
        name = signal.Signals(info.si_signo).name
        os.write(out, f"{name[3:]} {os.getpid()} {time.monotonic()}\n".encode())
        if until is None and name in ends:
            code, delay = ends[name]
            until = time.monotonic() + delay


main(sys.argv[1], sys.argv[2:])
