"""An app whose Qdrant on Fargate gets its backups by one construct: `cdk synth --app "python3 example.py"`, or run it by itself."""
import os

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2, aws_ecr as ecr, aws_ecs as ecs, aws_secretsmanager as secretsmanager, aws_sns as sns
from qdrant_backups import CONTAINER, SERVICE, QdrantBackups

app = cdk.App()
stack = cdk.Stack(app, "Qdrant", env=cdk.Environment(account=os.environ.get("CDK_DEFAULT_ACCOUNT", "123456789012"), region="eu-central-1"))

# What an app has already.
vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
key = secretsmanager.Secret(stack, "ApiKey", generate_secret_string=secretsmanager.SecretStringGenerator(exclude_punctuation=True, password_length=48))
task = ecs.FargateTaskDefinition(stack, "Task", cpu=2048, memory_limit_mib=8192, ephemeral_storage_gib=50)
container = task.add_container(
    "qdrant", image=ecs.ContainerImage.from_ecr_repository(ecr.Repository.from_repository_name(stack, "Images", "qdrant-efs"), "1"),
    port_mappings=[ecs.PortMapping(container_port=6333, name="rest"), ecs.PortMapping(container_port=6334, name="grpc")],
    ulimits=[ecs.Ulimit(name=ecs.UlimitName.NOFILE, soft_limit=262144, hard_limit=262144)],
    logging=ecs.LogDrivers.aws_logs(stream_prefix="qdrant", mode=ecs.AwsLogDriverMode.NON_BLOCKING),
    **CONTAINER)
service = ecs.FargateService(stack, "Service", cluster=ecs.Cluster(stack, "Cluster", vpc=vpc), task_definition=task, **SERVICE)

# Its backups.
backups = QdrantBackups(
    stack, "Backups", vpc=vpc, task_definition=task, container=container, api_key=key, node_name="qdrant-0",
    replica_region="eu-west-1", replica_file_system_id="fs-0123456789abcdef0",
    alarm_topic=sns.Topic(stack, "Alarms"))
backups.attach(service)

app.synth()
