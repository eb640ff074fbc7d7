"""Containers with the entrypoint in them."""
import pytest
from running import ENTRYPOINT, Container, can_be_pid_1


@pytest.fixture
def containers(tmp_path):
    """Makes as many as a test wants."""
    made = []

    def make(as_pid_1=False):
        if as_pid_1 and not can_be_pid_1():
            pytest.skip("needs the right to make a PID namespace (CAP_SYS_ADMIN)")
        root = tmp_path / f"container{len(made)}"
        root.mkdir()
        made.append(Container(root, as_pid_1))
        return made[-1]

    assert ENTRYPOINT.exists(), f"{ENTRYPOINT} is not built"
    yield make
    for c in made:
        c.clean_up()


@pytest.fixture
def container(containers):
    """As it runs under an init or with pidMode task: not PID 1."""
    return containers()


@pytest.fixture(params=["not PID 1", "PID 1"])
def anywhere(request, containers):
    """Once under an init, once as PID 1 of a namespace of its own."""
    return containers(as_pid_1=request.param == "PID 1")
