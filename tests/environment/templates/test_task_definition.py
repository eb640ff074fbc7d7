"""docker/fargate: the task definition without CloudFormation, its image, and ECS's own idea of both."""
import json
import os
import re
import subprocess

import botocore.session
import pytest
from botocore.validate import ParamValidator
from rules import MARGIN
from templates import DOCKER, PRIMARY, RENDER, SECOND, Template, as_api, render


def complaints(definition):
    shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    return ParamValidator().validate(definition, shape).generate_report()


def test_ecs_takes_the_task_definition():
    assert complaints(render()) == ""


@pytest.mark.parametrize("path", [PRIMARY, SECOND], ids=lambda p: p.stem)
def test_ecs_takes_the_templates_task_definition(path):
    definition = as_api(Template(path).task)
    definition["ephemeralStorage"]["sizeInGiB"] = 50  # a parameter there
    assert complaints(definition) == ""


def test_a_word_that_ecs_does_not_know_is_found():
    definition = render()
    definition["containerDefinitions"][0]["stopTimeOut"] = 120
    assert "stopTimeOut" in complaints(definition)


def test_it_is_the_templates_but_for_what_a_parameter_says():
    ours, theirs = render(), as_api(Template(PRIMARY).task)
    mine, container = (d["containerDefinitions"][0] for d in (ours, theirs))
    for key in ("name", "essential", "user", "readonlyRootFilesystem", "linuxParameters", "stopTimeout", "restartPolicy",
                "healthCheck", "portMappings", "ulimits"):
        assert mine[key] == container[key], key
    # But for what the parameter EnableExec adds.
    assert mine["mountPoints"] == [m for m in container["mountPoints"] if not m["sourceVolume"].startswith("exec-")]
    assert [v["name"] for v in ours["volumes"]] == [v["name"] for v in theirs["volumes"] if not v["name"].startswith("exec-")]
    assert mine["logConfiguration"]["options"]["mode"] == container["logConfiguration"]["options"]["mode"] == "non-blocking"
    env, fixed = ({v["name"]: v["value"] for v in c["environment"]} for c in (mine, container))
    assert all(env[n] == fixed[n] for n in env if n in fixed and not re.match(r"<|\{", fixed[n]) and env[n][0] != "<"), env
    assert set(env) <= set(fixed)


def test_a_stop_fits_and_a_restore_is_waited_for():
    c = render()["containerDefinitions"][0]
    env = {v["name"]: v["value"] for v in c["environment"]}
    assert int(env["STOP_GRACE_SECONDS"]) + MARGIN <= c["stopTimeout"] <= 120
    assert int(env["HEALTH_START_SECONDS"]) > 300


def test_efs_is_mounted_by_tls_iam_and_an_access_point():
    efs = next(v["efsVolumeConfiguration"] for v in render()["volumes"] if v["name"] == "efs")
    assert efs["transitEncryption"] == "ENABLED" and "rootDirectory" not in efs
    assert efs["authorizationConfig"] == {"accessPointId": "<ACCESS_POINT_ID>", "iam": "ENABLED"}


def test_the_health_check_is_the_images():
    dockerfile = (DOCKER / "Dockerfile").read_text()
    command = json.loads(re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile, re.M)[1])
    assert render()["containerDefinitions"][0]["healthCheck"]["command"] == ["CMD", *command]


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_one_word_makes_it_for_either_processor(architecture):
    definition = render(ARCHITECTURE=architecture)
    assert definition["runtimePlatform"]["cpuArchitecture"] == architecture
    assert "CPU_ARCH" not in json.dumps(definition).replace("cpuArch", "")  # the machine's own name is right


def test_a_value_that_is_not_set_is_named():
    env = {"PATH": os.environ["PATH"], "ACCESS_POINT_ID": "fsap-1"}
    done = subprocess.run([RENDER], capture_output=True, text=True, env=env)
    assert done.returncode != 0 and re.search(r"[A-Z_]+ is not set", done.stderr) and done.stdout == ""


def test_no_value_breaks_out_of_its_text():
    nasty = 'a", "privileged": true, "x": "${IMAGE}\\'
    assert render(NODE_NAME=nasty)["family"] == f"qdrant-{nasty}"
