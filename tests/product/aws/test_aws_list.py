"""A bucket's objects by prefix, a page at a time."""
import time

import pytest
from aws_front import BAD, Reply, error
from conftest import BUCKET
from test_aws_s3 import ODD


def put(aws, *keys):
    for key in keys:
        aws.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())


def listed(aws, *args):
    lines = aws.run("--bucket", BUCKET, "list", *args)
    assert not [x for x in lines if "error" in x], lines
    return lines


def test_all_of_a_prefix_come_in_order_whatever_the_pages(aws, front):
    put(aws, *(f"a/{i:02}" for i in range(10)), "b/1", "a")
    front.page = 3
    lines = listed(aws, "a/")
    assert [x["key"] for x in lines] == [f"a/{i:02}" for i in range(10)]
    assert front.count("ListObjectsV2") == 4
    assert {x["size"] for x in lines} == {4} and all(abs(x["modified"] - time.time()) < 100 for x in lines)
    assert listed(aws, "c/") == []


def test_folders_are_told_once_and_not_what_is_in_them(aws, front):
    put(aws, "prod-x/daily/a/1", "prod-x/daily/a/2", "prod-x/daily/ü +&b/1", "prod-x/daily/file")
    front.page = 2
    assert sorted(x["key"] for x in listed(aws, "prod-x/daily/", "folders")) == \
        ["prod-x/daily/a/", "prod-x/daily/file", "prod-x/daily/ü +&b/"]


def test_a_key_may_be_any_text(aws, front):
    for key in ODD:
        aws.put(b"x", key)
    front.page = 5
    assert sorted(x["key"] for x in listed(aws, "")) == sorted(ODD)
    for key in ODD:
        assert key in [x["key"] for x in listed(aws, key)]


@pytest.mark.parametrize("reply,says,code", [
    (error(403, "AccessDenied"), "s3:ListBucket", "EACCES"), (error(404, "NoSuchBucket"), "correct its name", "ENOENT"),
    (error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "us-west-2"}), "us-west-2", "EPROTO"),
    (error(400, "AuthorizationHeaderMalformed", more="<Region>us-west-2</Region>"), "AWS_REGION", "EPROTO"),
    (error(400, "ExpiredToken"), "renew them: eval", "EPROTO")])
def test_a_refusal_says_what_to_do(aws, front, reply, says, code):
    front.fail("ListObjectsV2", reply, times=9)
    out = aws.one("--bucket", BUCKET, "list", "")
    assert says in out["error"] and out["code"] == code and f"s3://{BUCKET}" in out["error"]


@pytest.mark.parametrize("name", [n for n in BAD if n not in ("a gigabyte", "never ending")])
def test_a_reply_that_is_not_s3s_is_an_error(aws, front, name):
    front.fail("ListObjectsV2", lambda request: BAD[name](), times=9)
    assert aws.one("--bucket", BUCKET, "list", "")["code"] in ("EPROTO", "ETIMEDOUT")


def page(inner):
    return Reply(200, b"<ListBucketResult>" + inner + b"</ListBucketResult>", {"Content-Type": "application/xml"})


@pytest.mark.parametrize("inner", [
    b"<IsTruncated>true</IsTruncated>",
    b"<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>",
    b"<Contents><Key>a</Key><Size>many</Size></Contents>", b"<Contents><Size>1</Size></Contents>",
    b"<Contents><Key>a</Key><Size>99999999999999999999999</Size></Contents>"],
    ids=["no token", "the same token", "no number", "no key", "too large"])
def test_a_listing_that_makes_no_sense_ends(aws, front, inner):
    front.fail("ListObjectsV2", lambda request: page(inner), times=99)
    assert aws.one("--bucket", BUCKET, "list", "")["code"] == "EPROTO"
    assert front.count("ListObjectsV2") <= 2


def test_a_key_of_control_characters_comes_through_and_one_with_a_nul_is_left_out(aws, front):
    keys = b"".join(b"<Contents><Key>%s</Key><Size>1</Size></Contents>" % k for k in (b"a%01b%0Ac", b"a%00b", b"a+%2B"))
    front.fail("ListObjectsV2", page(b"<EncodingType>url</EncodingType>" + keys))
    assert [x["key"] for x in listed(aws, "")] == ["a\x01b\nc", "a +"]


def test_a_page_that_is_lost_is_asked_for_again(aws, front):
    put(aws, *(f"a/{i}" for i in range(6)))
    front.page = 2
    front.fail("ListObjectsV2", Reply(drop=True), times=2)
    assert len(listed(aws, "")) == 6
