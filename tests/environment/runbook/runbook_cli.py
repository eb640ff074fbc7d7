"""The real `aws` command without its seconds of start: a process that has loaded it forks for each call.

`aws_into(folder)` puts an `aws` into the folder. Run as a program, this is that process: it gets each caller's arguments, environment, folder and
the three files of its standard streams, and answers with the exit code.
"""
import atexit
import functools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

CLIENT = """#!{python} -IS
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect({address!r})
socket.send_fds(s, [b"x"], [0, 1, 2])
s.sendall(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode())
s.shutdown(socket.SHUT_WR)
os._exit(int(s.recv(9) or 255))
"""


@functools.cache
def start():
    """The process's address, for as long as this one lives."""
    short = pathlib.Path(tempfile.mkdtemp(prefix="aws-"))  # a socket's path is 108 characters at most
    address = str(short / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(8)
    process = subprocess.Popen([sys.executable, __file__, str(listening.fileno())], pass_fds=[listening.fileno()])
    listening.close()

    def end():
        process.kill()
        process.wait()
        shutil.rmtree(short)
    atexit.register(end)
    return address


def aws_into(folder):
    aws = folder / "aws"
    aws.write_text(CLIENT.format(python=os.path.realpath(sys.executable), address=start()))
    aws.chmod(0o755)


def answer(connection):
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    text = b"".join(iter(lambda: connection.recv(65536), b""))
    arguments, environment, folder = json.loads(text)
    for own, theirs in enumerate(files):
        os.dup2(theirs, own)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    own = {"AWS_DATA_PATH": os.environ["AWS_DATA_PATH"]}  # which the program has given itself
    os.environ.clear()
    os.environ.update(environment | own)
    os.chdir(folder)
    import awscli.clidriver
    code = awscli.clidriver.create_clidriver().main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())


def warm():
    """What each would load, and read, and check of what it has loaded."""
    import awscli.clidriver
    import awscli.handlers  # noqa: F401
    from awscli.botocore import hooks, loaders
    loaders.JSONFileLoader.load_file = functools.cache(loaders.JSONFileLoader.load_file)
    loaders.JSONFileLoader.__hash__, loaders.JSONFileLoader.__eq__ = lambda self: 0, lambda self, other: True
    hooks.BaseEventHooks._verify_accept_kwargs = lambda self, func: None
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    for service in ("cloudformation", "cloudwatch", "ecs", "efs", "logs", "secretsmanager", "s3"):
        awscli.clidriver.create_clidriver().session.create_client(
            service, region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")


def serve(listening):
    warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            try:
                answer(connection)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        connection.close()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
