"""Where a service is, in each partition, with FIPS and with IPv6: as botocore's rules have it, which are AWS's own."""
import functools
import itertools

import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.loaders import Loader

REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-5", "cn-north-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1",
           "eusc-de-east-1"]
SERVICES = {"s3": "s3", "secretsmanager": "secretsmanager", "elasticfilesystem": "efs"}  # ours: botocore's
# China has no FIPS: S3's rules refuse it, those of the others make up a name.
CASES = [(s, r, fips, dual) for s, r, fips, dual in itertools.product(SERVICES, REGIONS, (False, True), (False, True)) if not (fips and r.startswith("cn-"))]


@functools.cache
def rules(service):
    loader = Loader()
    return EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions"))


def test_a_service_is_where_the_sdks_look_for_it(aws):
    wrong = []
    for service, region, fips, dual in CASES:
        known = {"UseGlobalEndpoint": False, "Accelerate": False, "DisableMultiRegionAccessPoints": False} if service == "s3" else {}
        url = rules(SERVICES[service]).resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual, **known).url
        flags = {"AWS_USE_FIPS_ENDPOINT": str(fips).lower(), "AWS_USE_DUALSTACK_ENDPOINT": str(dual)}
        host = aws.one("host", service, region, env=flags)["host"]
        if url != f"https://{host}":
            wrong.append((service, region, fips, dual, url, host))
    assert wrong == [] and len(CASES) > 100


def test_the_rules_know_what_is_refused():
    with pytest.raises(EndpointProviderError):
        rules("s3").resolve_endpoint(Region="cn-north-1", UseFIPS=True, UseDualStack=False)
