"""The images, built once for all files here; see tests/lib/image.py."""
import concurrent.futures
import os

import image as images
import pytest
from harness import takes_minutes


@pytest.fixture(scope="session")
def builds():
    """Side by side: much of a build is waiting for a mirror. Debian 12 takes minutes of its own."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield {suite: pool.submit(images.build, suite) for suite in images.USER if suite == "trixie" or os.environ.get("LONG")}
    images.remove_containers()


@pytest.fixture(scope="session", params=["trixie", pytest.param("bookworm", marks=takes_minutes)])
def each_image(request, builds):
    """Of Debian 12 with user 1000, and of 13 with root."""
    return builds[request.param].result()


@pytest.fixture(scope="session")
def image(builds):
    """As the official one is published: of Debian 13, its user is root."""
    return builds["trixie"].result()
