"""Task metadata: taken when they are there, and never waited for."""
import json
import time

import pytest
from aws_front import Reply, Server, black_hole
from harness import patience

TASK = {
    "Cluster": "arn:aws:ecs:eu-west-1:123456789012:cluster/main", "Family": "qdrant", "Revision": "7",
    "TaskARN": "arn:aws:ecs:eu-west-1:123456789012:task/main/0123456789abcdef", "AvailabilityZone": "eu-west-1b",
    "LaunchType": "FARGATE", "Limits": {"CPU": 1, "Memory": 2048}, "Containers": [{"DockerId": "x"}, {"Family": "other"}],
    "SomethingNew": {"Family": "wrong"}}


def ask(aws, url):
    return aws.one("ecs", env={"ECS_CONTAINER_METADATA_URI_V4": url})


def test_a_task_knows_itself(aws):
    with Server(lambda request: Reply(200, json.dumps(TASK).encode())) as s:
        assert ask(aws, s.url + "/v4/abc-1") == {
            "on_ecs": True, "arn": TASK["TaskARN"], "cluster": TASK["Cluster"], "family": "qdrant", "revision": "7",
            "zone": "eu-west-1b", "region": "eu-west-1"}
        assert s.requests[0].target == "/v4/abc-1/task"


@pytest.mark.parametrize("url", [None, ""])
def test_without_the_variable_it_is_no_task(aws, url):
    assert ask(aws, url)["on_ecs"] is False


def test_metadata_that_are_late_come_with_the_next_question(aws):
    late = [Reply(404, b"not yet")]
    with Server(lambda request: late.pop() if late else Reply(200, json.dumps(TASK).encode())) as s:
        assert ask(aws, s.url)["code"] == "EAGAIN"
        assert ask(aws, s.url)["family"] == "qdrant"


@pytest.mark.parametrize("change,field,expected", [
    ({"Family": "x" * 300}, "family", ""), ({"Revision": 7}, "revision", ""), ({"AvailabilityZone": None}, "zone", ""),
    ({"Family": "a\x1b[31mb\n"}, "family", "a?[31mb?"), ({"Cluster": "main"}, "cluster", "main")])
def test_a_field_that_cannot_be_used_is_left_out_and_the_rest_taken(aws, change, field, expected):
    with Server(lambda request: Reply(200, json.dumps(TASK | change).encode())) as s:
        got = ask(aws, s.url)
    assert got[field] == expected and got["arn"] == TASK["TaskARN"]


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b'{"TaskARN": "x"}', b'{"TaskARN": 5}', b"\xff\xfe\x00"])
def test_garbage_is_no_task(aws, body):
    with Server(lambda request: Reply(200, body)) as s:
        assert ask(aws, s.url)["code"] == "EPROTO"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://10.0.0.1/v4", "http://example.com/v4",
                                 "http://169.254.170.2.evil.example/", "http://[2001:db8::1]/", "junk", "http://127.0.0.1/?x"])
def test_only_this_machine_and_its_link_are_asked(aws, url):
    begin = time.monotonic()
    assert ask(aws, url)["code"] == "EINVAL"
    assert time.monotonic() - begin < 1


def test_nobody_there_costs_a_second_at_most(aws):
    with black_hole() as url:
        begin = time.monotonic()
        assert ask(aws, url)["code"] == "ETIMEDOUT"
        assert time.monotonic() - begin < 2.5 * patience()


# --- protection against deployments and scale-in

def agent(answer, asked):
    """The agent's endpoint, as strict as it is: another path, method or body is refused."""
    def reply(request):
        body = json.loads(request.body)
        asked.append(body)
        if request.method != "PUT" or not request.target.endswith("/task-protection/v1/state") or request.headers.get("Content-Type") != "application/json":
            return Reply(404, b"404 page not found")
        if set(body) - {"ProtectionEnabled", "ExpiresInMinutes"} or not isinstance(body["ProtectionEnabled"], bool) or not 1 <= body.get("ExpiresInMinutes", 120) <= 2880:
            return Reply(400, json.dumps({"error": {"Code": "InvalidParameterException", "Message": "no"}}).encode())
        return answer(body)
    return reply


def granted(body):
    return Reply(200, json.dumps({"protection": {"ProtectionEnabled": body["ProtectionEnabled"], "ExpirationDate": "2026-11-24T09:00:00Z", "TaskArn": TASK["TaskARN"]}}).encode())


def protect(aws, url, minutes):
    return aws.one("protect", minutes, env={"ECS_AGENT_URI": url})


def test_a_task_is_protected_for_a_while_and_then_no_more(aws):
    asked = []
    with Server(agent(granted, asked)) as s:
        assert protect(aws, s.url + "/api/abc", "30") == {} and protect(aws, s.url + "/api/abc", "0") == {}
        assert s.requests[0].target == "/api/abc/task-protection/v1/state"
    assert asked == [{"ProtectionEnabled": True, "ExpiresInMinutes": 30}, {"ProtectionEnabled": False}]


@pytest.mark.parametrize("status, body, said", [
    (400, {"error": {"Arn": "a", "Code": "AccessDeniedException", "Message": "not authorized to perform: ecs:UpdateTaskProtection"}}, "give the task role ecs:UpdateTaskProtection"),
    (200, {"failure": {"Arn": "a", "Reason": "DEPLOYMENT_BLOCKED"}}, "DEPLOYMENT_BLOCKED"),
    (400, {"error": {"Code": "ResourceNotFoundException", "Message": "the task is of no service"}}, "of no service"),
    (200, {"protection": {"ProtectionEnabled": False}}, "does not protect"), (500, [], "HTTP status 500"), (200, None, "does not protect")])
def test_what_ecs_refuses_is_told(aws, status, body, said):
    with Server(agent(lambda _: Reply(status, json.dumps(body).encode()), [])) as s:
        out = protect(aws, s.url, "30")
    assert out["code"] == "EPERM" and said in out["error"], out


def test_only_the_hosts_agent_is_told(aws):
    assert protect(aws, "http://10.0.0.1/api", "30")["code"] == "EINVAL"
