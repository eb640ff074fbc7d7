"""The images, built once for all files here; see tests/lib/image.py."""
import concurrent.futures

import image as images
import pytest


@pytest.fixture(scope="session")
def builds():
    """Both suites at once: much of a build is waiting for a mirror."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield {suite: pool.submit(images.build, suite) for suite in images.USER}
    images.remove_containers()


@pytest.fixture(scope="session", params=sorted(images.USER))
def each_image(request, builds):
    """Of Debian 12 with user 1000, and of 13 with root."""
    return builds[request.param].result()


@pytest.fixture(scope="session")
def image(builds):
    """As the official one is published: of Debian 13, its user is root."""
    return builds["trixie"].result()
