"""Backups for a Qdrant on Fargate that a CDK app has already: the file system, the way to it, rights, settings, alarms.

    backups = QdrantBackups(stack, "Backups", vpc=vpc, task_definition=task, container=container, api_key=key, node_name="qdrant-0")
    backups.attach(service)

The container runs the image of `make image`; what it has to be made with is CONTAINER and SERVICE. README.md beside this has all of it.
"""
from typing import Mapping, Optional

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

STOP_SECONDS = 120  # Fargate's longest

# What only the maker of a container can say: task.add_container("qdrant", …, **CONTAINER).
CONTAINER = {
    "user": "1000:1000",
    "readonly_root_filesystem": True,
    "stop_timeout": Duration.seconds(STOP_SECONDS),
    # A restart in place keeps the disk; a new task starts with an empty one. 64: a wrong setting, which stays so.
    "enable_restart_policy": True,
    "restart_ignored_exit_codes": [64],
    "restart_attempt_period": Duration.seconds(60),
    # ECS kills what it calls unhealthy, with its disk: ten minutes of silence are death, not 90 s of busy CPUs.
    "health_check": ecs.HealthCheck(command=["CMD", "qdrant-entrypoint", "health"], interval=Duration.seconds(60),
                                    timeout=Duration.seconds(15), retries=10, start_period=Duration.seconds(300)),
}
# The same of a service. Stop first: two tasks of one name would serve two different states, and back up both as one node.
SERVICE = {
    "desired_count": 1,
    "min_healthy_percent": 0,
    "max_healthy_percent": 100,
    "availability_zone_rebalancing": ecs.AvailabilityZoneRebalancing.DISABLED,
    "circuit_breaker": ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
}


class QdrantBackups(Construct):
    """`file_system`: where the backups are, made unless one is given. `access_point`, `alarms` {name: Alarm}: what was made."""

    def __init__(
        self, scope: Construct, construct_id: str, *,
        vpc: ec2.IVpc,
        task_definition: ecs.FargateTaskDefinition,
        container: ecs.ContainerDefinition,
        api_key: secretsmanager.ISecret,
        api_key_json_key: str = "",
        node_name: str = "qdrant-0",
        tier: str = "prod",
        arm64: bool = False,
        rpo: Optional[Duration] = None,
        drills: bool = True,
        local_volumes: bool = True,
        settings: Optional[Mapping[str, str]] = None,
        file_system: Optional[efs.IFileSystem] = None,
        encryption_key: Optional[kms.IKey] = None,
        vpc_subnets: Optional[ec2.SubnetSelection] = None,
        aws_backup: bool = True,
        replica_region: str = "",
        replica_file_system_id: str = "",
        bucket: Optional[s3.IBucket] = None,
        metrics_namespace: str = "Qdrant/Backups",
        alarm_topic: Optional[sns.ITopic] = None,
    ) -> None:
        """
        :param api_key: Qdrant's API key. Qdrant gets it at its start, the replicator reads it again when it was rotated.
        :param api_key_json_key: the member of the secret that is the key, if the secret is JSON.
        :param node_name: a name that outlives the tasks. Nodes of one tier need a name each, and a metrics_namespace.
        :param tier: the environment. With the processor it names the tree on the file system.
        :param arm64: the task definition is for Graviton; a construct cannot ask it.
        :param rpo: how old the newest backup of a collection may be; 30 minutes.
        :param drills: restore backups for proof, daily.
        :param local_volumes: give the container volumes for Qdrant's storage, snapshots and /tmp. False if it has them.
        :param settings: more settings, or others in place of ours: see docs/settings.md.
        :param file_system: an existing one, with its mount targets, policy and replication your own.
        :param encryption_key: of the file system that is made; AWS's own without it.
        :param vpc_subnets: where its mount targets are; a private one in each zone without it.
        :param aws_backup: have AWS Backup copy the file system that is made. Replication carries deletions, too.
        :param replica_region: replicate to this Region; to a file system that EFS makes there, unless the next one is given.
        :param replica_file_system_id: one that is there, and not protected against it. With it there is an alarm for a replication that is behind.
        :param bucket: copy each backup there, too.
        :param alarm_topic: who is told of alarms.
        """
        super().__init__(scope, construct_id)
        if file_system and (replica_region or encryption_key):
            raise ValueError("replication and key of an existing file system are its own: leave out replica_region and encryption_key")
        if replica_file_system_id and not replica_region:
            raise ValueError("replica_file_system_id needs its replica_region")
        self.task_definition, self.container = task_definition, container
        self._namespace, self._tier, self._topic = metrics_namespace, tier, alarm_topic
        self._machine = "aarch64" if arm64 else "x86_64"
        rpo = rpo or Duration.minutes(30)

        self.file_system = file_system or self._new_file_system(vpc, vpc_subnets, encryption_key, aws_backup, replica_region, replica_file_system_id)
        # All on the file system is this user's, whoever the container runs as.
        self.access_point = efs.AccessPoint(
            self, "AccessPoint", file_system=self.file_system, path="/qdrant", posix_user=efs.PosixUser(uid="1000", gid="1000"),
            create_acl=efs.Acl(owner_uid="1000", owner_gid="1000", permissions="0750"))

        self._mount(local_volumes)
        self._set({
            "EFS_ROOT": "/efs", "TIER": tier, "CPU_ARCH": self._machine, "NODE_NAME": node_name,
            "AK_ARN": api_key.secret_arn, **({"AK_JSON_KEY": api_key_json_key} if api_key_json_key else {}),
            "RPO_SECONDS": str(rpo.to_seconds()), "DRILL_SCHEDULE": "daily" if drills else "never",
            "EMF_NAMESPACE": metrics_namespace, "STOP_GRACE_SECONDS": str(STOP_SECONDS - 10),
            "HEALTH_START_SECONDS": "3600", "HEALTH_TIMEOUT_SECONDS": "10",
            "QDRANT_INIT_FILE_PATH": "/tmp/.qdrant-initialized", "RESTORE_ON_EMPTY": "latest",
            **({"SNAPSHOT_S3_BUCKET_NAME": bucket.bucket_name} if bucket else {})} | dict(settings or {}))
        container.add_secret("QDRANT__SERVICE__API_KEY", ecs.Secret.from_secrets_manager(api_key, api_key_json_key or None))

        self._grant_task(api_key, bucket)
        self.alarms = {}
        self._add_alarms(rpo, drills, bucket, replica_file_system_id)

    # --- for others

    def attach(self, service: ecs.FargateService) -> None:
        """Let the service's tasks reach the file system, start them when it can be mounted, and tell when none runs."""
        self.file_system.connections.allow_default_port_from(service, "backups")
        service.node.add_dependency(self.file_system.mount_targets_available)
        self._alarm("NodeMissing", "No task of the node is running.", cloudwatch.Metric(
            namespace="AWS/ECS", metric_name="CPUUtilization", statistic="SampleCount", period=Duration.minutes(1),
            dimensions_map={"ClusterName": service.cluster.cluster_name, "ServiceName": service.service_name}),
            evaluation_periods=10, comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD, threshold=1,
            missing=cloudwatch.TreatMissingData.BREACHING)

    def grant_read(self, grantee: iam.IGrantable) -> iam.Grant:
        """To mount the backups and read them, for people: qdrant-efs ls, verify, restore."""
        return self._grant(grantee, "elasticfilesystem:ClientMount")

    def metric(self, name: str, statistic: str, period: Duration) -> cloudwatch.Metric:
        """One of the replicator's: see docs/status.md."""
        return cloudwatch.Metric(namespace=self._namespace, metric_name=name, statistic=statistic, period=period,
                                 dimensions_map={"Tier": self._tier, "CpuArch": self._machine})

    # --- the parts

    def _new_file_system(self, vpc, subnets, key, aws_backup, region, replica_id) -> efs.FileSystem:
        files = efs.FileSystem(
            self, "FileSystem", vpc=vpc, vpc_subnets=subnets, encrypted=True, kms_key=key,
            performance_mode=efs.PerformanceMode.GENERAL_PURPOSE,
            throughput_mode=efs.ThroughputMode.ELASTIC,  # bursting starves a small file system after its first large backup
            # Retention takes daily backups away at day 35: older than 90 days are the monthly ones, which nobody reads.
            lifecycle_policy=efs.LifecyclePolicy.AFTER_14_DAYS, transition_to_archive_policy=efs.LifecyclePolicy.AFTER_90_DAYS,
            enable_automatic_backups=aws_backup,
            replication_configuration=efs.ReplicationConfiguration.regional_file_system(region) if region else None,
            replication_overwrite_protection=efs.ReplicationOverwriteProtection.ENABLED,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            # With any policy, who is not allowed by IAM is refused; CDK's own for that would allow root access to all.
            allow_anonymous_access=True, file_system_policy=self._file_system_policy())
        if replica_id:
            # ReplicationConfiguration.existing_file_system takes an imported one for one of this stack's Region, whatever its ARN says.
            there = efs.CfnFileSystem.ReplicationDestinationProperty(region=region, file_system_id=replica_id)
            files.node.default_child.replication_configuration = efs.CfnFileSystem.ReplicationConfigurationProperty(destinations=[there])
        return files

    @staticmethod
    def _file_system_policy() -> iam.PolicyDocument:
        def deny(sid, conditions):
            return iam.PolicyStatement(
                sid=sid, effect=iam.Effect.DENY, principals=[iam.AnyPrincipal()], conditions=conditions,
                actions=["elasticfilesystem:Client*"])
        return iam.PolicyDocument(statements=[
            deny("OnlyWithTls", {"Bool": {"aws:SecureTransport": "false"}}),
            deny("OnlyByAnAccessPoint", {"Null": {"elasticfilesystem:AccessPointArn": "true"}})])

    def _mount(self, local_volumes: bool) -> None:
        def mount(volume, path):
            self.container.add_mount_points(ecs.MountPoint(source_volume=volume, container_path=path, read_only=False))
        if local_volumes:  # what a restart of the container in its task must not lose
            for volume, path in (("storage", "/qdrant/storage"), ("snapshots", "/qdrant/snapshots"), ("tmp", "/tmp")):
                self.task_definition.add_volume(name=volume)
                mount(volume, path)
        self.task_definition.add_volume(name="efs", efs_volume_configuration=ecs.EfsVolumeConfiguration(
            file_system_id=self.file_system.file_system_id, transit_encryption="ENABLED",
            authorization_config=ecs.AuthorizationConfig(access_point_id=self.access_point.access_point_id, iam="ENABLED")))
        mount("efs", "/efs")

    def _set(self, variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            self.container.add_environment(name, value)

    def _grant(self, grantee: iam.IGrantable, *what: str) -> iam.Grant:
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=list(what), resource_arns=[self.file_system.file_system_arn],
            conditions={"StringEquals": {"elasticfilesystem:AccessPointArn": self.access_point.access_point_arn}})

    def _grant_task(self, api_key: secretsmanager.ISecret, bucket: Optional[s3.IBucket]) -> None:
        role = self.task_definition.task_role
        self._grant(role, "elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
        # qdrant-efs replica --file-system
        iam.Grant.add_to_principal(grantee=role, actions=["elasticfilesystem:DescribeReplicationConfigurations"],
                                   resource_arns=[self.file_system.file_system_arn])
        api_key.grant_read(role)
        if bucket:  # no deletion: that is the lifecycle rules'
            tree = f"{self._tier}-{self._machine}/*"
            bucket.grant_put(role, tree)
            bucket.grant_read(role, tree)

    def _add_alarms(self, rpo: Duration, drills: bool, bucket: Optional[s3.IBucket], replica_id: str) -> None:
        above, below = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD, cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        breaching, not_breaching = cloudwatch.TreatMissingData.BREACHING, cloudwatch.TreatMissingData.NOT_BREACHING
        five, fifteen, hour, day = Duration.minutes(5), Duration.minutes(15), Duration.hours(1), Duration.days(1)
        self._alarm("BackupTooOld", "The newest backup of a collection is older than it may be, or nothing is reported. See /status of the node and its log.",
                    self.metric("OldestBackupAgeSeconds", "Maximum", five), evaluation_periods=3, datapoints=2, comparison=above,
                    threshold=rpo.to_seconds(), missing=breaching)
        self._alarm("SnapshotFailed", "A snapshot was not made, did not match its checksum, or could not be put on EFS. The log says which and why.",
                    self.metric("SnapshotError", "Sum", fifteen), evaluation_periods=1, comparison=above, threshold=0, missing=not_breaching)
        self._alarm("ReplicatorUnhealthy", "The replicator says that it is not well, or says nothing. The metric's line in the log has a Reason.",
                    self.metric("Unhealthy", "Maximum", five), evaluation_periods=3, comparison=above, threshold=0, missing=breaching)
        if drills:
            self._alarm("DrillFailed", "A backup could not be restored. Treat it as a lost backup until you know better.",
                        self.metric("DrillFailed", "Maximum", five), evaluation_periods=1, comparison=above, threshold=0,
                        missing=cloudwatch.TreatMissingData.IGNORE)  # a failure stands until a drill is good
            self._alarm("DrillOverdue", "For two days no restore has proven the backups.",
                        self.metric("DrillFailed", "SampleCount", day), evaluation_periods=2, comparison=below, threshold=1, missing=breaching)
        if bucket:
            # What S3 refuses for good is tried again once a day: two hours of any 50 tell it from what passes by itself.
            self._alarm("S3Failed", "Copies do not get to S3, at two times of a day. EFS has the backups.",
                        self.metric("S3Errors", "Sum", hour), evaluation_periods=50, datapoints=2, comparison=above, threshold=0, missing=not_breaching)
        if replica_id:
            self._alarm("ReplicationBehind", "What was written to EFS has not reached the second Region in time. Also while the first sync lasts.",
                        cloudwatch.Metric(namespace="AWS/EFS", metric_name="TimeSinceLastSync", statistic="Maximum", period=five, dimensions_map={
                            "FileSystemId": self.file_system.file_system_id, "DestinationFileSystemId": replica_id}),
                        evaluation_periods=3, comparison=above, threshold=1800, missing=breaching)

    def _alarm(self, name, description, metric, *, evaluation_periods, comparison, threshold, missing, datapoints=None) -> None:
        alarm = cloudwatch.Alarm(self, name, alarm_description=description, metric=metric, evaluation_periods=evaluation_periods,
                                 datapoints_to_alarm=datapoints, comparison_operator=comparison, threshold=threshold, treat_missing_data=missing)
        if self._topic:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
            alarm.add_ok_action(actions.SnsAction(self._topic))
        self.alarms[name] = alarm
