#!/usr/bin/env python3
"""Makes vectors.json: requests of every awkward kind, each signed by botocore, AWS's own implementation (PyPI).
test_sign.c reads them. Run it again only to add a request: what stands in vectors.json must not change."""
import datetime
import json
import pathlib

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2015, 8, 30, 12, 36, 0, tzinfo=datetime.timezone.utc)
HOST = "https://example.amazonaws.com"
FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=utf8")
TOKEN = "IQoJb3JpZ2luX2VjE/" + "a+b/" * 200 + "=="

# name: method, address, headers, body, service, token
REQUESTS = {
    "plain get": ("GET", "/", [], "", "service", ""),
    "plain post": ("POST", "/", [], "", "service", ""),
    "session token": ("GET", "/", [], "", "service", TOKEN),
    "form body": ("POST", "/", [FORM], "Param1=value1", "service", ""),
    "json body": ("POST", "/", [("Content-Type", "application/x-amz-json-1.1"),
                                ("X-Amz-Target", "secretsmanager.GetSecretValue")],
                  '{"SecretId":"arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf"}', "secretsmanager", TOKEN),
    "query out of order": ("GET", "/?Param2=value2&Param1=value1", [], "", "service", ""),
    "query ordered by name, then value": ("GET", "/?b=2&a-b=1&a=2&a=1&a%2Bb=3&A=0", [], "", "service", ""),
    "query name without a value": ("GET", "/?Param1=value1&Param2=", [], "", "service", ""),
    "query encoded": ("GET", "/?%E1%88%B4=bar&x=%2B%20%2F%25", [], "", "service", ""),
    "query unreserved": ("GET", "/?-._~0123456789ABCxyz=-._~0123456789ABCxyz", [], "", "service", ""),
    "header repeated": ("GET", "/", [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
                        "", "service", ""),
    "header with spaces": ("GET", "/", [("My-Header1", "  value1 "), ("My-Header2", ' "a   b   c"  ')], "", "service", ""),
    "header names that begin alike": ("GET", "/", [("X-Amz-Meta", "1"), ("X-Amz-Meta-A", "2"), ("x-amz-meta-", "3")],
                                      "", "service", ""),
    "path with dot segments": ("GET", "/a/./b/../../c/", [], "", "service", ""),
    "path above the root": ("GET", "/../../x/..", [], "", "service", ""),
    "path with empty segments": ("GET", "//a///b//", [], "", "service", ""),
    "path encoded is encoded again": ("GET", "/%E1%88%B4/a%20b/%25", [], "", "service", ""),
    "path unreserved": ("GET", "/-._~0123456789ABCxyz", [], "", "service", ""),
    "efs api": ("GET", "/2015-02-01/file-systems/replication-configurations?FileSystemId=fs-0123", [], "",
                "elasticfilesystem", TOKEN),
    "s3 get": ("GET", "/test.txt", [("Range", "bytes=0-9")], "", "s3", ""),
    "s3 put": ("PUT", "/a%20b/%2B%25/%F0%9F%8E%89%3D", [
        ("If-None-Match", "*"), ("x-amz-checksum-sha256", "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="),
        ("x-amz-meta-sha256", "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"),
        ("x-amz-storage-class", "GLACIER_IR")], "hello world", "s3", TOKEN),
    "s3 keeps dots and slashes": ("GET", "/bucket//a/../b/./c//", [], "", "s3", ""),
    "s3 valueless parameter": ("POST", "/key?uploads=", [], "", "s3", TOKEN),
    "s3 part": ("PUT", "/key?partNumber=10&uploadId=abc%2Fdef%3D%3D", [], "x" * 1000, "s3", TOKEN),
    "s3 list": ("GET", "/?uploads=&prefix=prod-x86_64%2Fdaily%2Fdocs&encoding-type=url&key-marker=", [], "", "s3", ""),
}


def sign(name):
    method, address, headers, body, service, token = REQUESTS[name]
    request = AWSRequest(method=method, url=HOST + address, data=body.encode())
    for header, value in headers:
        request.headers[header] = value  # adds
    signer = (botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth)(
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token or None), service, "us-east-1")
    request.context["payload_signing_enabled"] = True
    signer.add_auth(request)
    path, _, query = address.partition("?")
    return {"name": name, "method": method, "host": "example.amazonaws.com", "path": path, "query": query,
            "headers": [f"{h}: {v}" for h, v in headers], "body": body, "service": service, "region": "us-east-1",
            "time": int(NOW.timestamp()), "id": "AKIDEXAMPLE", "secret": signer.credentials.secret_key, "token": token,
            "canonical": canonical(signer, request), "authorization": request.headers["Authorization"]}


def canonical(signer, request):
    del request.headers["Authorization"]
    text = signer.canonical_request(request)
    signer._inject_signature_to_request(request, signer.signature(signer.string_to_sign(request, text), request))
    return text


if __name__ == "__main__":
    botocore.auth.get_current_datetime = lambda: NOW
    out = pathlib.Path(__file__).with_name("vectors.json")
    out.write_text(json.dumps([sign(name) for name in REQUESTS], indent=1, ensure_ascii=False) + "\n")
