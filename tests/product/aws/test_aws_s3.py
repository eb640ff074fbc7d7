"""Objects in S3: whole or not there, never overwritten, and an upload that broke off goes on."""
import base64
import hashlib
import os
import signal
import threading
import time

import pytest
from aws_front import Reply, error
from conftest import BUCKET
from harness import patience

PARTS = ["--part-size", "1000"]
DATA = bytes(range(256)) * 14  # 3,584 bytes: four parts, the last one shorter


def meta(aws, key):
    return aws.s3.head_object(Bucket=BUCKET, Key=key)


# ---- one request


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_up_to_a_part_is_one_request(aws, front, size):
    out = aws.put(DATA[:size], "dir/key", *PARTS)
    assert front.done() == ["PutObject"] and out["existed"] is False
    assert aws.object("dir/key") == DATA[:size]
    assert meta(aws, "dir/key")["Metadata"] == {"sha256": hashlib.sha256(DATA[:size]).hexdigest()}
    sent = front.last("PutObject")
    assert sent.headers["If-None-Match"] == "*" and "x-amz-checksum-sha256" in sent.headers
    assert sent.headers["Content-Type"] == "application/octet-stream" and "Expect" not in sent.headers


@pytest.mark.parametrize("flags", [[], PARTS], ids=["one request", "parts"])
def test_the_same_object_again_is_there_already(aws, front, flags):
    aws.put(DATA, "key", *flags)
    front.requests.clear()
    out = aws.put(DATA, "key", *flags)
    assert out["existed"] is True and out["etag"] and front.count("UploadPart") == 0
    assert not aws.uploads()


@pytest.mark.parametrize("flags", [[], PARTS], ids=["one request", "parts"])
@pytest.mark.parametrize("other", [b"x" * len(DATA), b"short", None], ids=["same size", "other size", "no label"])
def test_another_object_of_that_name_is_a_conflict_and_stays(aws, front, flags, other):
    if other is None:
        aws.s3.put_object(Bucket=BUCKET, Key="key", Body=DATA)  # the same bytes, but nobody says so
    else:
        aws.put(other, "key")
    before = aws.object("key")
    out = aws.put(DATA, "key", *flags)
    assert out["code"] == "EEXIST" and f"s3://{BUCKET}/key" in out["error"] and "move one away" in out["error"]
    assert aws.object("key") == before and not aws.uploads()


@pytest.mark.parametrize("flags", [[], PARTS], ids=["one request", "parts"])
def test_a_lost_reply_is_no_conflict_with_oneself(aws, front, flags):
    front.lose_reply("CompleteMultipartUpload" if flags else "PutObject")
    assert aws.put(DATA, "key", *flags).get("code") is None
    assert aws.object("key") == DATA and not aws.uploads()


@pytest.mark.parametrize("flags", [[], PARTS], ids=["one request", "parts"])
@pytest.mark.parametrize("data,says", [(DATA + b"more", "not what its SHA-256 says"), (DATA[:-1] + b"?", "not what its SHA-256 says")])
def test_what_is_not_what_its_sha256_says_does_not_come_into_being(aws, front, flags, data, says):
    args = aws.put_args(data, "key", *flags)
    args[args.index("--sha256") + 1] = hashlib.sha256(DATA).hexdigest()
    out = aws.one(*args)
    assert out["code"] == "EBADMSG" and says in out["error"]
    assert "Contents" not in aws.s3.list_objects_v2(Bucket=BUCKET) and not aws.uploads()


ODD = ["a b", "a+b", "100%", "%41", "%2F", "eq=ual&am?p#h", "emoji 🎉/ünï", "'quote'()*!", "a//b///c", "tilde~-._", "a/./b/../c",
       '"<&>"', "back\\slash", "{}[]^`|", "/begins", "ends/", "k" * 1024, "prod-x86_64/daily/docs/docs-1.snapshot.zst", ":@,;$"]


@pytest.mark.parametrize("flags", [[], PARTS], ids=["one request", "parts"])
@pytest.mark.parametrize("key", ODD, ids=range(len(ODD)))
def test_a_key_may_be_any_text(aws, front, flags, key):
    assert "error" not in aws.put(DATA[:1500], key, *flags)
    assert [o["Key"] for o in aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
    assert aws.get(key)[1] == DATA[:1500]


@pytest.mark.parametrize("key", ["", "k" * 1025, "a\nb", "\x7f", b"\xff".decode("utf-8", "surrogateescape")])
def test_a_key_that_cannot_be_is_refused(aws, front, key):
    assert aws.put(DATA, key)["code"] == "EINVAL" and not front.requests


# ---- how it is kept


@pytest.mark.parametrize("flags,what", [([], "PutObject"), (PARTS, "CreateMultipartUpload")], ids=["one request", "parts"])
def test_storage_class_key_lock_and_owner_are_sent(aws, front, flags, what):
    seen = {}

    def look(request):  # moto's bucket has no Object Lock, and another owner
        seen.update(request.headers)
        for name in [n for n in seen if "lock" in n or "owner" in n]:
            del request.headers[name]
    front.fail(what, look)
    front.fail("HeadObject", look)
    out = aws.put(DATA, "key", *flags, "--storage-class", "GLACIER_IR", "--kms-key", "arn:aws:kms:eu-west-1:1:key/k", "--lock",
                  "COMPLIANCE", "--until", 1900000000, "--owner", "123456789012")
    assert "error" not in out, out
    assert {k: v for k, v in seen.items() if k.startswith("x-amz-") and "sha256" not in k and "checksum" not in k} == {
        "x-amz-storage-class": "GLACIER_IR", "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-west-1:1:key/k", "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": "2030-03-17T17:46:40Z", "x-amz-expected-bucket-owner": "123456789012"}
    head = meta(aws, "key")
    assert head["StorageClass"] == "GLACIER_IR" and head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == "arn:aws:kms:eu-west-1:1:key/k"


def test_kms_without_a_key_is_the_accounts_own(aws, front):
    aws.put(DATA, "key", "--kms", "yes")
    sent = front.last("PutObject").headers
    assert sent["x-amz-server-side-encryption"] == "aws:kms" and "x-amz-server-side-encryption-aws-kms-key-id" not in sent


# ---- parts


def test_parts_are_sent_with_checksums_and_put_together(aws, front):
    out = aws.put(DATA, "key", *PARTS)
    assert (out["sent"], out["kept"], out["resumed"]) == (4, 0, False) and aws.object("key") == DATA
    assert front.done() == ["HeadObject", "ListMultipartUploads", "CreateMultipartUpload", *["UploadPart"] * 4,
                            "CompleteMultipartUpload"]
    assert front.last("CreateMultipartUpload").headers["x-amz-checksum-algorithm"] == "SHA256"
    end = front.last("CompleteMultipartUpload")
    assert end.headers["If-None-Match"] == "*" and end.body.count(b"<ChecksumSHA256>") == 4
    assert end.headers["x-amz-mp-object-size"] == str(len(DATA))
    assert meta(aws, "key")["Metadata"] == {"sha256": hashlib.sha256(DATA).hexdigest()}


def killed_upload(aws, front, data, key, after, *flags):
    """An upload whose process was killed with `after` parts done, and the next one on its way."""
    killed, go_on = threading.Event(), threading.Event()

    def hold(request):
        if request.query["partNumber"] != str(after + 1):
            front.fail("UploadPart", hold)
            return None
        killed.set()
        go_on.wait(20)
        return Reply(drop=True)
    front.fail("UploadPart", hold)
    p = aws.start(*aws.put_args(data, key, *(flags or PARTS)))
    assert killed.wait(20)
    p.send_signal(signal.SIGKILL)
    p.wait()
    go_on.set()
    front.requests.clear()


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("page", [None, 1])
def test_an_upload_that_was_killed_goes_on_where_it_stopped(aws, front, after, page):
    killed_upload(aws, front, DATA, "key=1+2 é", after)
    front.page = page
    out = aws.put(DATA, "key=1+2 é", *PARTS)
    assert (out["resumed"], out["kept"], out["sent"]) == (True, after, 4 - after), out
    assert aws.object("key=1+2 é") == DATA and not aws.uploads()
    assert front.count("CreateMultipartUpload") == 0 and front.count("ListParts") == (after if page else 1)


@pytest.mark.parametrize("what", ["ListParts", "ListMultipartUploads"])
def test_a_listing_that_is_none_is_no_end_but_a_new_beginning(aws, front, what):
    killed_upload(aws, front, DATA, "key", 2)
    front.fail(what, Reply(200, b"<Other><Part/></Other>"))
    out = aws.put(DATA, "key", *PARTS)
    assert (out["resumed"], out["sent"]) == (False, 4) and aws.object("key") == DATA


def test_an_upload_that_was_killed_before_its_end_only_needs_that(aws, front):
    front.fail("CompleteMultipartUpload", error(403, "AccessDenied"))
    assert aws.put(DATA, "key", *PARTS)["code"] == "EACCES"
    out = aws.put(DATA, "key", *PARTS)
    assert (out["kept"], out["sent"]) == (4, 0) and aws.object("key") == DATA


def test_of_several_uploads_the_newest_of_the_very_key_goes_on(aws, front):
    killed_upload(aws, front, DATA, "key", 1)
    old = aws.uploads()[0]["UploadId"]
    aws.s3.create_multipart_upload(Bucket=BUCKET, Key="key2")  # begins like it
    new = aws.s3.create_multipart_upload(Bucket=BUCKET, Key="key", Metadata={"sha256": hashlib.sha256(DATA).hexdigest()})
    aws.s3.upload_part(Bucket=BUCKET, Key="key", UploadId=new["UploadId"], PartNumber=2, Body=DATA[1000:2000])
    front.sums[new["UploadId"], "2"] = base64.b64encode(hashlib.sha256(DATA[1000:2000]).digest()).decode()
    front.initiated = {old: "2026-11-24T08:00:00.000Z", new["UploadId"]: "2026-11-25T08:00:00.000Z"}
    out = aws.put(DATA, "key", *PARTS)
    assert (out["resumed"], out["kept"], out["sent"]) == (True, 1, 3) and aws.object("key") == DATA
    assert {u["UploadId"] for u in aws.uploads()} & {old, new["UploadId"]} == {old}


def test_an_upload_of_another_part_size_is_aborted_and_begun_anew(aws, front):
    killed_upload(aws, front, DATA, "key", 2, "--part-size", "900")
    out = aws.put(DATA, "key", *PARTS)
    assert (out["resumed"], out["sent"]) == (False, 4) and aws.object("key") == DATA and not aws.uploads()


def test_an_upload_without_our_checksums_is_aborted_and_begun_anew(aws, front):
    killed_upload(aws, front, DATA, "key", 2)
    front.sums.clear()
    out = aws.put(DATA, "key", *PARTS)
    assert (out["resumed"], out["sent"]) == (False, 4) and aws.object("key") == DATA and not aws.uploads()


def test_an_upload_of_other_content_is_aborted_and_begun_anew(aws, front):
    killed_upload(aws, front, b"x" * len(DATA), "key", 2)
    out = aws.put(DATA, "key", *PARTS)
    assert (out["resumed"], out["sent"]) == (False, 4) and aws.object("key") == DATA and not aws.uploads()
    assert meta(aws, "key")["Metadata"] == {"sha256": hashlib.sha256(DATA).hexdigest()}


def test_an_upload_that_only_begins_like_ours_is_aborted_and_the_next_try_is_ours(aws, front):
    killed_upload(aws, front, DATA[:1000] + b"x" * (len(DATA) - 1000), "key", 2)
    assert aws.put(DATA, "key", *PARTS)["code"] == "EAGAIN"
    assert aws.put(DATA, "key", *PARTS)["sent"] == 4
    assert aws.object("key") == DATA and not aws.uploads()


def test_an_upload_that_says_other_content_of_itself_is_told(aws, front):
    killed_upload(aws, front, DATA[:1000] + b"x" * (len(DATA) - 1000), "key", 1)  # its only part is ours too
    out = aws.put(DATA, "key", *PARTS)
    assert out["code"] == "EEXIST" and hashlib.sha256(DATA[:1000] + b"x" * (len(DATA) - 1000)).hexdigest() in out["error"]


def test_a_role_that_may_not_list_uploads_begins_anew(aws, front):
    killed_upload(aws, front, DATA, "key", 2)
    front.fail("ListMultipartUploads", error(403, "AccessDenied"))
    assert aws.put(DATA, "key", *PARTS)["sent"] == 4 and aws.object("key") == DATA


def test_a_role_that_may_only_write_writes(aws, front):
    front.fail("HeadObject", Reply(403), times=9)
    front.fail("ListMultipartUploads", error(403, "AccessDenied"), times=9)
    assert aws.put(DATA, "key", *PARTS)["sent"] == 4 and aws.object("key") == DATA
    out = aws.put(DATA[:10], "key", *PARTS)
    assert out["code"] == "EEXIST" and "s3:GetObject" in out["error"]


def test_two_writers_of_one_object_both_find_it_done(aws, front):
    first, second = (aws.start(*aws.put_args(DATA, "key", *PARTS)) for _ in range(2))
    results = aws.end(first) + aws.end(second)
    again = [r for r in results if r.get("code") == "EAGAIN"]
    assert len(results) == 2 and len(again) < 2 and not [r for r in results if "error" in r and r not in again], results
    assert aws.object("key") == DATA
    assert aws.put(DATA, "key", *PARTS)["existed"] is True


def test_a_second_writer_that_ends_first_is_seen(aws, front):
    def other(request):  # between our parts
        if request.query["partNumber"] != "3":
            front.fail("UploadPart", other)
            return None
        aws.s3.put_object(Bucket=BUCKET, Key="key", Body=DATA, Metadata={"sha256": hashlib.sha256(DATA).hexdigest()})
        aws.s3.abort_multipart_upload(Bucket=BUCKET, Key="key", UploadId=request.query["uploadId"])
        return None
    front.fail("UploadPart", other)
    assert aws.put(DATA, "key", *PARTS)["existed"] is True


def test_a_second_writer_with_other_content_is_a_conflict(aws, front):
    front.fail("CompleteMultipartUpload", lambda r: aws.s3.put_object(Bucket=BUCKET, Key="key", Body=b"other") and None)
    out = aws.put(DATA, "key", *PARTS)
    assert out["code"] == "EEXIST" and aws.object("key") == b"other" and not aws.uploads()


def test_memory_is_that_of_one_part(aws):
    data = os.urandom(1 << 20) * 48
    aws.put(data[:1000], "small")
    small = aws.peak()
    assert aws.put(data, "key", "--part-size", 4 << 20)["sent"] == 12 and aws.object("key") == data
    assert small is None or aws.peak() - small < 8


# ---- what passes, and what does not

PASSING = {"SlowDown": error(503, "SlowDown"), "InternalError": error(500, "InternalError"), "RequestTimeout": error(400, "RequestTimeout"),
           "html": Reply(502, b"<html>Bad gateway</html>"), "broken": Reply(drop=True), "conflict": error(409, "ConditionalRequestConflict")}


@pytest.mark.parametrize("what", ["HeadObject", "ListMultipartUploads", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize("how", PASSING)
def test_what_passes_is_tried_again(aws, front, what, how):
    if what == "HeadObject" and how in ("RequestTimeout", "conflict"):
        how = "SlowDown"  # replies to HEAD have no body to name those in
    front.fail(what, PASSING[how], times=2)
    out = aws.put(DATA, "key", *PARTS)
    assert "error" not in out and aws.object("key") == DATA, out
    assert front.count(what) == (3 if what != "UploadPart" else 6)


@pytest.mark.parametrize("what", ["PutObject", "GetObject"])
@pytest.mark.parametrize("how", ["SlowDown", "html"])
def test_what_does_not_pass_ends_after_three_tries(aws, front, what, how):
    aws.s3.put_object(Bucket=BUCKET, Key="there", Body=DATA)
    front.fail(what, PASSING[how], times=99)
    out = aws.put(DATA, "key") if what == "PutObject" else aws.get("there")[0]
    assert f"s3://{BUCKET}/" in out["error"] and ("SlowDown" in out["error"] or "502" in out["error"])
    assert front.count(what) == 3


def test_an_error_in_a_reply_of_200_is_an_error(aws, front):
    front.fail("CompleteMultipartUpload", error(200, "InternalError", "We encountered an internal error."))
    assert aws.put(DATA, "key", *PARTS)["sent"] == 4 and front.count("CompleteMultipartUpload") == 2
    front.fail("CompleteMultipartUpload", error(200, "InvalidPart", "One or more parts could not be found"), times=9)
    out = aws.put(DATA, "other", *PARTS)
    assert "InvalidPart" in out["error"] and "One or more parts" in out["error"]


@pytest.mark.parametrize("reply,says,errno", [
    (error(403, "AccessDenied"), "task role needs s3:PutObject", "EACCES"),
    (error(404, "NoSuchBucket"), "create the bucket", "ENOENT"),
    (error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "us-east-2"}), "in Region us-east-2, not eu-west-1", "EPROTO"),
    (error(400, "AuthorizationHeaderMalformed", more="<Region>us-west-2</Region>"), "in Region us-west-2", "EPROTO"),
    (error(400, "InvalidStorageClass"), "storage class", "EPROTO"),
    (error(400, "KMS.NotFoundException"), "kms:GenerateDataKey", "EPROTO"),
    (error(403, "SignatureDoesNotMatch"), "keys", "EACCES"),
    (Reply(403, b"<html>hotel</html>"), "HTTP status 403", "EACCES"),
    (error(400, "Made<up", "with \x1b[31m colour"), "HTTP status 400", "EPROTO"),
])
def test_a_refusal_says_what_to_do(aws, front, reply, says, errno):
    front.fail("PutObject", reply, times=99)
    out = aws.put(DATA, "key")
    assert out["code"] == errno and says in out["error"] and f"PutObject s3://{BUCKET}/key" in out["error"], out
    assert front.count("PutObject") == 1 and "hotel" not in out["error"]


@pytest.mark.parametrize("body", [
    b'<!DOCTYPE Error [<!ENTITY x SYSTEM "file:///etc/hostname">]><Error><Code>AccessDenied</Code><Message>&x;</Message></Error>',
    b'<!DOCTYPE Error [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><Error><Code>&b;</Code></Error>'])
def test_a_document_type_is_not_read(aws, front, body):
    front.fail("PutObject", Reply(400, body), times=9)
    assert "HTTP status 400, and no reason" in aws.put(DATA, "key")["error"]


def test_with_a_wrong_clock_it_is_signed_by_the_clock_of_the_reply(aws, front):
    front.ahead = -7200
    assert aws.put(DATA, "key", *PARTS)["sent"] == 4
    assert [r.status for r in front.requests].count(403) == 1


def test_asked_to_stop_it_stops_and_can_go_on(aws, front):
    def stop(request):
        if request.query["partNumber"] == "2":
            aws.running[-1].send_signal(signal.SIGTERM)
            time.sleep(3)
    front.fail("UploadPart", stop, times=2)
    begin = time.monotonic()
    assert aws.put(DATA, "key", *PARTS)["code"] == "ECANCELED"
    assert time.monotonic() - begin < 2.5 * patience()
    assert aws.put(DATA, "key", *PARTS)["kept"] == 1 and aws.object("key") == DATA


@pytest.mark.parametrize("name", ["ab", "UPPER", "under_score", "a..b", "-a-", "x" * 64, "evil.example/", "a@b"])
def test_what_is_no_name_of_a_bucket_is_told(aws, front, name):
    assert "no name of a bucket" in aws.one("--bucket", name, "get", "k", aws.tmp / "o")["error"] and not front.requests


# ---- where


def test_without_an_endpoint_the_bucket_is_in_the_host_name_and_with_a_dot_in_the_path(aws):
    hosts = {}
    for name in ("backups", "back.ups"):
        out = aws.one("--bucket", name, "--region", "cn-north-1", "--patience", 1, "get", "a b", aws.tmp / "o",
                      env={"AWS_ENDPOINT_URL": None, "https_proxy": "http://127.0.0.1:1"})
        hosts[name] = out["error"]
    assert "https://backups.s3.cn-north-1.amazonaws.com.cn/a%20b:" in hosts["backups"]
    assert "https://s3.cn-north-1.amazonaws.com.cn/back.ups/a%20b:" in hosts["back.ups"]


def test_an_endpoint_that_is_given_comes_before_those_of_variables(aws, front):
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2"}
    assert "error" not in aws.put(DATA, "key", "--endpoint", front.url, env=env)
    assert "error" not in aws.put(DATA, "key", env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": front.url})


# ---- reading


def test_what_was_put_comes_back(aws, front):
    aws.put(DATA, "key", *PARTS)
    assert aws.get("key") == ({"there": True, "size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}, DATA)


def test_what_is_not_there_is_told_apart_from_an_error(aws, front):
    assert aws.get("nothing")[0]["there"] is False


def test_a_connection_that_breaks_is_taken_up_where_it_broke(aws, front):
    data = os.urandom(3 << 20)
    aws.put(data, "key")

    def cut(request):
        whole = front.forward(request)
        return Reply(whole.status, whole.body[:1 << 20], whole.headers, announce=len(whole.body))
    front.fail("GetObject", cut, times=2)
    assert aws.get("key")[1] == data
    assert [r.headers.get("Range") for r in front.requests if r.what == "GetObject"] == [None, "bytes=1048576-", "bytes=2097152-"]


def test_an_object_that_changes_meanwhile_is_not_mixed(aws, front):
    aws.put(DATA, "key")

    def cut_and_change(request):
        whole = front.forward(request)
        aws.s3.put_object(Bucket=BUCKET, Key="key", Body=b"y" * len(DATA))
        return Reply(200, whole.body[:100], whole.headers, announce=len(whole.body))
    front.fail("GetObject", cut_and_change)
    assert aws.get("key")[0]["code"] == "EAGAIN"


def test_a_server_that_knows_no_ranges_does_not_double_the_begin(aws, front):
    aws.put(DATA, "key")

    def whole_again(request):
        del request.headers["Range"]
        return front.forward(request)
    front.fail("GetObject", lambda r: Reply(200, DATA[:100], announce=len(DATA)))
    front.fail("GetObject", whole_again)
    out, got = aws.get("key")
    assert "more than there should be" in out["error"] and len(got) <= len(DATA)


def test_bytes_that_are_not_what_the_object_says_are_an_error(aws, front):
    aws.s3.put_object(Bucket=BUCKET, Key="key", Body=DATA, Metadata={"sha256": "0" * 64})
    assert aws.get("key")[0]["code"] == "EBADMSG"
