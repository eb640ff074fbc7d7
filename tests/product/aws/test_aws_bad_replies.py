"""Whatever answers in AWS's place: an error in bounded time and memory, and one line that names what was asked."""
import time

import pytest
from aws_front import BAD, Server, black_hole

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"
NONE = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}

CLIENTS = {
    "secret": lambda aws, url: aws.start("--patience", 1, "secret", ARN, env={"AWS_ENDPOINT_URL": url}),
    "put": lambda aws, url: aws.start("--patience", 1, "--endpoint", url, *aws.put_args(b"small", "k")),
    "parts": lambda aws, url: aws.start("--patience", 1, "--endpoint", url, "--part-size", 2, *aws.put_args(b"large", "k")),
    "get": lambda aws, url: aws.start("--patience", 1, "--endpoint", url, "--bucket", "backups", "get", "k", aws.tmp / "o"),
    "keys": lambda aws, url: aws.start("--relative-host", url, "keys", 1, 0, 1,
                                       env=NONE | {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}),
    "ecs": lambda aws, url: aws.start("ecs", env={"ECS_CONTAINER_METADATA_URI_V4": url}),
}


def check(aws, client, url):
    begin = time.monotonic()
    out = aws.end(CLIENTS[client](aws, url))
    assert time.monotonic() - begin < 15
    assert aws.peak() is None or aws.peak() < 50
    assert len(out) == 1 and "\n" not in out[0]["error"]
    return out[0]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_reply_that_is_not_awss_is_an_error(aws, client, kind):
    with Server(lambda request: BAD[kind]()) as s:
        out = check(aws, client, s.url)
        assert s.requests
    assert "hotel" not in out["error"] and "half" not in out["error"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_port_that_says_nothing_at_all_is_an_error(aws, client):
    with black_hole() as url:
        out = check(aws, client, url)
    assert out["code"] == "ETIMEDOUT", out
    assert client in ("keys", "ecs") or "a NAT gateway or a VPC endpoint" in out["error"]
