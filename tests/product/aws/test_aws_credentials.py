"""Keys from the environment and from the container's own address: chosen, renewed, kept, refused."""
import json
import time

import pytest
from aws_front import KeysServer, Reply

NONE = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


@pytest.fixture
def keys(front):
    with KeysServer(front=front) as server:
        yield server
    assert not server.broken


def relative(keys):
    return ["--relative-host", keys.url], NONE | {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0815"}


def full(keys, **more):
    return NONE | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/v1/credentials"} | more


def test_those_in_the_environment_come_first(aws, keys):
    flags, env = relative(keys)
    env |= {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert aws.one(*flags, "keys", 1, 0, 1, env=env) == {"id": "AKID", "secret": "s", "token": "t", "expires": 0}
    assert not keys.requests


def test_the_relative_address_is_asked_and_the_answer_kept(aws, keys):
    flags, env = relative(keys)
    got = aws.run(*flags, "keys", 5, 0, 1, env=env)
    assert [k["id"] for k in got] == ["ASIA1"] * 5 and got[0]["token"] == "token1"
    assert [r.target for r in keys.requests] == ["/v2/credentials/0815"]


def test_the_full_address_is_shown_the_token_of_the_file_as_it_is_now(aws, keys, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    keys.life = 2
    env = full(keys, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token), AWS_CONTAINER_AUTHORIZATION_TOKEN="unused")
    p = aws.start("keys", 2, 3000, 1, env=env)
    p.stdout.readline()
    token.write_text("second")
    assert aws.end(p)[0]["id"] == "ASIA2"
    assert [r.headers["Authorization"] for r in keys.requests] == ["first", "second"]


def test_the_full_address_is_shown_the_token_of_the_variable(aws, keys):
    keys.token = "Bearer-of-keys"
    assert aws.one("keys", 1, 0, 1, env=full(keys, AWS_CONTAINER_AUTHORIZATION_TOKEN="Bearer-of-keys"))["id"] == "ASIA1"
    assert "HTTP status 401" in aws.one("keys", 1, 0, 1, env=full(keys))["error"]


@pytest.mark.parametrize("token", ["two\nlines", "", "with space"])
def test_a_token_that_is_no_header_is_not_sent(aws, keys, tmp_path, token):
    (tmp_path / "token").write_text(token)
    out = aws.one("keys", 1, 0, 1, env=full(keys, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token")))
    assert str(tmp_path / "token") in out["error"] and not keys.requests


def test_where_they_come_from_is_told_without_the_path_that_gives_them(aws, keys):
    flags, env = relative(keys)
    for answer in (Reply(404), Reply(200, b"junk"), Reply(drop=True)):
        keys.answer = lambda request, answer=answer: answer
        out = aws.one(*flags, "keys", 1, 0, 1, env=env)
        assert str(keys.port) in out["error"] and "0815" not in out["error"]


@pytest.mark.parametrize("url,allowed", [
    ("http://10.0.0.1/x", False), ("http://169.254.169.254/x", False), ("http://example.com/x", False),
    ("http://127.0.0.1.evil.example/x", False), ("http://[fd00:ec2::24]/x", False), ("http://localhost:1@evil.example/", False),
    ("http://2130706434/x", True), ("http://localhost:1/x", True), ("http://[::1]:1/x", True),
    ("https://127.0.0.1:1/x", True),
])
def test_plain_http_goes_only_to_this_machine_and_awss_own_addresses(aws, url, allowed):
    out = aws.one("keys", 1, 0, 1, env=NONE | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url})
    assert out["code"] == ("ECONNREFUSED" if allowed else "EINVAL"), out


@pytest.mark.parametrize("env,says", [
    (NONE, "task role"),
    ({"AWS_SECRET_ACCESS_KEY": None}, "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"),
    ({"AWS_ACCESS_KEY_ID": None}, "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not"),
    ({"AWS_SESSION_TOKEN": "a\nb: c"}, "control characters"),
    (NONE | {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@evil.example/"}, "no path"),
])
def test_what_is_missing_or_wrong_is_told_with_what_to_set(aws, env, says):
    out = aws.one("keys", 1, 0, 1, env=env)
    assert says in out["error"], out


@pytest.mark.parametrize("elsewhere", [{"AWS_PROFILE": "ops"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}, {}],
                         ids=["a profile", "a web identity", "nothing"])
def test_where_only_the_aws_command_finds_keys_the_error_is_the_line_that_hands_them_over(aws, elsewhere):
    said = aws.one("keys", 1, 0, 1, env=NONE | elsewhere)["error"]
    assert 'eval "$(aws configure export-credentials --format env)"' in said, said


def test_they_are_renewed_before_they_expire(aws, keys):
    keys.life = 305 + 12  # 5 minutes before that, which is not sooner than 15 s from now
    flags, env = relative(keys)
    got = aws.run(*flags, "keys", 3, 8800, 1, env=env)
    assert [k["id"] for k in got] == ["ASIA1", "ASIA1", "ASIA2"]


def test_old_ones_serve_to_their_end_when_there_are_no_new_ones(aws, keys):
    keys.life = 20  # to be renewed from second 15 on
    flags, env = relative(keys)
    p = aws.start(*flags, "keys", 3, 8500, 1, env=env)
    first = json.loads(p.stdout.readline())
    keys.answer = lambda request: Reply(500, b"broken")
    rest = aws.end(p)
    assert first["id"] == "ASIA1" and rest[0]["id"] == "ASIA1"
    assert rest[1].get("id") == "ASIA1"  # second 17: asked again in vain
    assert len(keys.requests) == 2


def test_after_their_end_there_are_none(aws, keys):
    keys.life = 2
    flags, env = relative(keys)
    p = aws.start(*flags, "keys", 2, 3000, 1, env=env)
    p.stdout.readline()
    keys.answer = lambda request: Reply(500, b"broken")
    assert aws.end(p)[0]["error"].endswith("that ECS may assume?")


def test_an_agent_that_is_late_is_asked_again(aws, keys):
    late, answer = [Reply(drop=True), Reply(503)], keys.answer
    keys.answer = lambda request: late.pop() if late else answer(request)
    flags, env = relative(keys)
    assert aws.one(*flags, "keys", 1, 0, 1, env=env)["id"] == "ASIA1"


def test_many_threads_ask_once(aws, keys):
    answer = keys.answer
    keys.answer = lambda request: (time.sleep(0.3), answer(request))[1]
    flags, env = relative(keys)
    got = aws.run(*flags, "keys", 20, 5, 8, env=env)
    assert len(got) == 160 and {k["id"] for k in got} == {"ASIA1"} and len(keys.requests) == 1


def test_refused_ones_are_replaced_and_unchanged_ones_told(aws, keys):
    flags, env = relative(keys)
    assert [(k["id"], k["refused"]) for k in aws.run(*flags, "keys", 2, 0, 1, "refuse", env=env)] == [
        ("ASIA1", 0), ("ASIA2", 0)]
    keys.same = True
    assert aws.one(*flags, "keys", 1, 0, 1, "refuse", env=env)["refused"] == 1
    assert aws.one("keys", 1, 0, 1, "refuse")["refused"] == 1


@pytest.mark.parametrize("change", [
    {"Expiration": "soon"}, {"Expiration": None}, {"Expiration": "2020-01-01T00:00:00Z"}, {"SecretAccessKey": ""},
    {"AccessKeyId": 7}, {"Token": "x" * 9000}, {"Token": "a\nHost: evil"}])
def test_an_answer_with_a_wrong_field_is_not_used(aws, keys, change):
    answer = keys.answer
    keys.answer = lambda request: Reply(200, json.dumps(json.loads(answer(request).body) | change).encode())
    flags, env = relative(keys)
    out = aws.one(*flags, "keys", 1, 0, 1, env=env)
    assert out["code"] == "EAGAIN" and "secret1" not in out["error"]


def test_expired_ones_are_renewed_in_the_middle_of_an_upload(aws, keys, front):
    flags, env = relative(keys)
    front.fail("CreateMultipartUpload", lambda request: front.expired.add("token1"))  # and goes on
    data = b"x" * 2500
    out = aws.put(data, "key", *flags, "--part-size", "1000", env=env)
    assert out.get("sent") == 3, out
    assert aws.object("key") == data and len(keys.given) == 2
    assert [r.what for r in front.requests if r.status == 400] == ["UploadPart"]
