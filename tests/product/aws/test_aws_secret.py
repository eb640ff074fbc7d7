"""Secrets Manager: what comes is fit for a header, and what does not fit is told in one line without the value."""
import json

import pytest
from aws_front import Reply, json_error

NO_SUCH = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:absent-AbCdEf"


def secret(aws, value, name="key"):
    kind = {"SecretBinary": value} if isinstance(value, bytes) else {"SecretString": value}
    return aws.secrets.create_secret(Name=name, **kind)["ARN"]


def reply_with(value):
    return Reply(200, json.dumps({"ARN": "a", "Name": "n", "SecretString": value}).encode())


def test_a_string_comes_without_the_space_around_it(aws, front):
    assert aws.one("secret", secret(aws, " \t\nthe key: ünï&<>\"\\ \r\n")) == {"value": "the key: ünï&<>\"\\"}
    asked = front.last("GetSecretValue")
    assert asked.method == "POST" and asked.target == "/" and asked.headers["Content-Type"] == "application/x-amz-json-1.1"


def test_one_member_of_a_json_secret_comes(aws):
    arn = secret(aws, json.dumps({"other": "wrong", "api_key": " right ", "API_KEY": "wrong"}))
    assert aws.one("secret", arn, "api_key") == {"value": "right"}


def test_a_rotated_secret_is_seen_by_the_next_question(aws):
    arn = secret(aws, "old")
    p = aws.start("secret", arn, "", "2")
    assert json.loads(p.stdout.readline()) == {"value": "old"}
    aws.secrets.put_secret_value(SecretId=arn, SecretString="new")
    p.stdin.write("\n")
    assert aws.end(p) == [{"value": "new"}]


@pytest.mark.parametrize("value,key,says", [
    (b"\x00\x01", None, "is binary"),
    ("   ", None, "is empty"),
    ("a" * 1025, None, "longer than 1 KiB"),
    ("top\nsecret", None, "line break"),
    ("top\rsecret", None, "line break"),
    ("top\x1bsecret", None, "control character"),
    ("top\x00secret", None, "NUL"),
    ("topsecret", "api_key", "is not a JSON object"),
    ('"topsecret"', "api_key", "is not a JSON object"),
    ('{"api_key": "topsecret"', "api_key", "is not a JSON object"),
    ('{"k": "topsecret"}', "api_key", 'no member "api_key"'),
    ('{"api_key": {"x": "topsecret"}}', "api_key", "is no string"),
    ('{"api_key": 5}', "api_key", "is no string"),
    ('{"api_key": ""}', "api_key", "is empty"),
    ('{"api_key": "top\\u0000secret"}', "api_key", "NUL"),
    ('{"api_key": "top\\nsecret"}', "api_key", "line break"),
])
def test_what_cannot_be_a_key_is_told_without_its_value(aws, front, value, key, says):
    if isinstance(value, bytes) or value.strip():
        arn = secret(aws, value)
    else:
        arn = secret(aws, "x")
        front.fail("GetSecretValue", reply_with(value))
    out = aws.one("secret", arn, *([key] if key else []))
    assert says in out["error"] and out["code"] in ("EINVAL", "ENOENT")
    assert "secret" not in out["error"].replace("secretsmanager", "").replace("secret:", "").replace("secret arn", "")
    assert "\n" not in out["error"] and "aaaa" not in out["error"]


def test_as_much_as_1_kib_is_a_key(aws):
    assert aws.one("secret", secret(aws, "k" * 1024)) == {"value": "k" * 1024}


def test_a_secret_that_is_not_there_is_told_by_its_arn(aws):
    out = aws.one("secret", NO_SUCH)
    assert out["code"] == "ENOENT" and NO_SUCH in out["error"] and "ResourceNotFoundException" in out["error"]


@pytest.mark.parametrize("code,errno,advice", [
    ("AccessDeniedException", "EACCES", "task role needs secretsmanager:GetSecretValue"),
    ("com.amazon.coral.service#AccessDeniedException", "EACCES", "task role needs secretsmanager:GetSecretValue"),
    ("DecryptionFailure", "EACCES", "kms:Decrypt"),
    ("InvalidRequestException", "EINVAL", "marked for deletion"),
])
def test_a_refusal_says_what_to_do(aws, front, code, errno, advice):
    front.fail("GetSecretValue", json_error(400, code), times=99)
    out = aws.one("secret", NO_SUCH)
    assert out["code"] == errno and advice in out["error"] and code.split("#")[-1] in out["error"]
    assert front.count("GetSecretValue") == 1


@pytest.mark.parametrize("reply", [json_error(400, "ThrottlingException"), json_error(500, "InternalServiceError"),
                                   Reply(503, b"<html>busy</html>"), Reply(drop=True)],
                         ids=["throttled", "internal", "html 503", "broken"])
def test_what_passes_is_tried_three_times(aws, front, reply):
    arn = secret(aws, "value")
    front.fail("GetSecretValue", reply, times=2)
    assert aws.one("secret", arn) == {"value": "value"}
    front.fail("GetSecretValue", reply, times=99)
    front.requests.clear()
    assert "error" in aws.one("secret", arn)
    assert front.count("GetSecretValue") == 3


@pytest.mark.parametrize("ahead", [-86400 * 3, 7200])
def test_with_a_wrong_clock_it_is_signed_by_the_clock_of_the_reply(aws, front, ahead):
    arn = secret(aws, "value")
    front.ahead = ahead
    assert aws.one("secret", arn) == {"value": "value"}
    assert [r.status for r in front.requests] == [403, 200]


def test_without_a_right_the_wrong_clock_is_not_tried_for_ever(aws, front):
    front.fail("GetSecretValue", json_error(403, "InvalidSignatureException", "Signature expired: no"), times=99)
    assert "Signature expired" in aws.one("secret", NO_SUCH)["error"]
    assert front.count("GetSecretValue") <= 2


@pytest.mark.parametrize("arn,says", [
    ("name-alone", "is not the ARN of a secret"),
    ("arn:aws:s3:::bucket", "is not the ARN of a secret"),
    ("arn:aws:secretsmanager:evil.example/:1:secret:x", "is not the ARN of a secret"),
    ("arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf:api_key::", "behind the secret's name"),
])
def test_what_is_no_arn_is_not_asked_for(aws, front, arn, says):
    out = aws.one("secret", arn)
    assert says in out["error"] and out["code"] == "EINVAL" and not front.requests


def test_the_region_is_that_of_the_arn(aws, front):
    front.fail("GetSecretValue", reply_with("v"))
    assert aws.one("secret", NO_SUCH.replace("eu-west-1", "us-gov-east-1"), env={"AWS_REGION": "ap-south-1"}) == {"value": "v"}
    assert "/us-gov-east-1/secretsmanager/aws4_request" in front.last("GetSecretValue").headers["Authorization"]


def test_an_endpoint_of_its_own_comes_before_the_one_for_all_services(aws, front):
    front.fail("GetSecretValue", reply_with("v"))
    env = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": front.url + "/", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    assert aws.one("secret", NO_SUCH, env=env) == {"value": "v"}


@pytest.mark.parametrize("url", ["ftp://x", "http://", "nothing", "http://u:p@h", "http://h/path", "http://h/?q=1"])
def test_an_endpoint_that_cannot_be_is_told_by_the_variables_name(aws, front, url):
    out = aws.one("secret", NO_SUCH, env={"AWS_ENDPOINT_URL": url})
    assert "AWS_ENDPOINT_URL" in out["error"] and out["code"] == "EINVAL"


@pytest.mark.parametrize("url,refused", [("http://secrets.internal:80", True), ("http://127.example.org", True), ("http://localhost:1", False)])
def test_a_secret_comes_over_plain_http_from_this_machine_alone(aws, front, url, refused):
    out = aws.one("secret", NO_SUCH, env={"AWS_ENDPOINT_URL_SECRETS_MANAGER": url})
    assert ("would send the secret as it is" in out["error"]) == refused
    assert not refused or (url.split(":")[1] in out["error"] and out["code"] == "EINVAL")
