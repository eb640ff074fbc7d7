"""Signatures beside those of botocore, for requests that nobody thought of."""
import datetime
import json
import random

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 25, 23, 59, 59, tzinfo=datetime.timezone.utc)
LETTERS = "aZ09-._~/ +%&=?:@!$'()*,;é🎉\"<>\\^`{|}"


def text(r, n, alphabet=LETTERS):
    return "".join(r.choice(alphabet) for _ in range(r.randrange(n)))


def a_request(r):
    from urllib.parse import quote
    service = r.choice(["s3", "secretsmanager"])
    path = "/" + quote(text(r, 20), safe="/-._~")
    query = "&".join(f"{quote(text(r, 6) or 'x', safe='-._~')}={quote(text(r, 6), safe='-._~')}" for _ in range(r.randrange(5)))
    headers = [f"{r.choice(['X-Amz-Meta-A', 'x-amz-meta-b', 'Content-Type', 'Range'])}: {text(r, 9, 'ab  c,=;')}x"
               for _ in range(r.randrange(4))]
    return {"method": r.choice(["GET", "PUT", "POST", "DELETE"]), "host": "h.example:8443", "path": path, "query": query,
            "headers": headers, "body": text(r, 30), "service": service, "region": "ap-southeast-2",
            "time": int(NOW.timestamp()), "id": "AKID", "secret": text(r, 40) + "s", "token": text(r, 40, "aZ0+/=")}


def by_botocore(v):
    request = AWSRequest(method=v["method"], url=f"https://{v['host']}{v['path']}" + (f"?{v['query']}" if v["query"] else ""),
                         data=v["body"].encode())
    for line in v["headers"]:
        name, _, value = line.partition(": ")
        request.headers[name] = value
    signer = (botocore.auth.S3SigV4Auth if v["service"] == "s3" else botocore.auth.SigV4Auth)(
        Credentials(v["id"], v["secret"], v["token"] or None), v["service"], v["region"])
    signer.add_auth(request)
    return request.headers["Authorization"]


def test_any_request_gets_the_signature_that_botocore_gives_it(aws, monkeypatch):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
    r = random.Random(20261125)
    vectors = [a_request(r) for _ in range(500)]
    (aws.tmp / "v.json").write_text(json.dumps(vectors))
    results = aws.one("sign", aws.tmp / "v.json")
    assert len(results) == 500
    for v, lines in zip(vectors, results):
        ours = [line for line in lines if line.startswith("Authorization: ")]
        assert ours == ["Authorization: " + by_botocore(v)], v
