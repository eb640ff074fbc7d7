/**
 * Backups for a Qdrant on Fargate that a CDK app has already: the file system, the way to it, rights, settings, alarms.
 *
 *     const backups = new QdrantBackups(stack, 'Backups', { vpc, taskDefinition, container, apiKey, nodeName: 'qdrant-0' });
 *     backups.attach(service);
 *
 * The container runs the image of `make image`; what it has to be made with is CONTAINER and SERVICE. README.md above this has
 * all of it. The same in Python is ../python/qdrant_backups.py: both give the same template.
 */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as efs from 'aws-cdk-lib/aws-efs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

const STOP_SECONDS = 120; // Fargate's longest

/** What only the maker of a container can say: task.addContainer('qdrant', { …, ...CONTAINER }). */
export const CONTAINER = {
  user: '1000:1000',
  readonlyRootFilesystem: true,
  stopTimeout: Duration.seconds(STOP_SECONDS),
  // A restart in place keeps the disk; a new task starts with an empty one. 64: a wrong setting, which stays so.
  enableRestartPolicy: true,
  restartIgnoredExitCodes: [64],
  restartAttemptPeriod: Duration.seconds(60),
  // ECS kills what it calls unhealthy, with its disk: ten minutes of silence are death, not 90 s of busy CPUs.
  healthCheck: {
    command: ['CMD', 'qdrant-entrypoint', 'health'],
    interval: Duration.seconds(60),
    timeout: Duration.seconds(15),
    retries: 10,
    startPeriod: Duration.seconds(300),
  },
};

/** The same of a service. Stop first: two tasks of one name would serve two different states, and back up both as one node. */
export const SERVICE = {
  desiredCount: 1,
  minHealthyPercent: 0,
  maxHealthyPercent: 100,
  availabilityZoneRebalancing: ecs.AvailabilityZoneRebalancing.DISABLED,
  circuitBreaker: { enable: true, rollback: true },
};

export interface QdrantBackupsProps {
  readonly vpc: ec2.IVpc;
  readonly taskDefinition: ecs.FargateTaskDefinition;
  readonly container: ecs.ContainerDefinition;
  /** Qdrant's API key. Qdrant gets it at its start, the replicator reads it again when it was rotated. */
  readonly apiKey: secretsmanager.ISecret;
  /** The member of the secret that is the key, if the secret is JSON. */
  readonly apiKeyJsonKey?: string;
  /** A name that outlives the tasks. Nodes of one tier need a name each, and a metricsNamespace. @default qdrant-0 */
  readonly nodeName?: string;
  /** The environment. With the processor it names the tree on the file system. @default prod */
  readonly tier?: string;
  /** The task definition is for Graviton; a construct cannot ask it. @default false */
  readonly arm64?: boolean;
  /** How old the newest backup of a collection may be. @default 30 minutes */
  readonly rpo?: Duration;
  /** Restore backups for proof, daily. @default true */
  readonly drills?: boolean;
  /** Give the container volumes for Qdrant's storage, snapshots and /tmp. False if it has them. @default true */
  readonly localVolumes?: boolean;
  /** More settings, or others in place of ours: see docs/settings.md. */
  readonly settings?: Record<string, string>;
  /** An existing one, with its mount targets, policy and replication your own. @default a new one */
  readonly fileSystem?: efs.IFileSystem;
  /** Of the file system that is made. @default AWS's own */
  readonly encryptionKey?: kms.IKey;
  /** Where its mount targets are. @default a private one in each zone */
  readonly vpcSubnets?: ec2.SubnetSelection;
  /** Have AWS Backup copy the file system that is made. Replication carries deletions, too. @default true */
  readonly awsBackup?: boolean;
  /** Replicate to this Region; to a file system that EFS makes there, unless the next one is given. */
  readonly replicaRegion?: string;
  /** One that is there, and not protected against it. With it there is an alarm for a replication that is behind. */
  readonly replicaFileSystemId?: string;
  /** Copy each backup there, too. */
  readonly bucket?: s3.IBucket;
  /** @default Qdrant/Backups */
  readonly metricsNamespace?: string;
  /** Who is told of alarms. */
  readonly alarmTopic?: sns.ITopic;
}

interface AlarmProps {
  readonly evaluationPeriods: number;
  readonly datapoints?: number;
  readonly comparison: cloudwatch.ComparisonOperator;
  readonly threshold: number;
  readonly missing: cloudwatch.TreatMissingData;
}

export class QdrantBackups extends Construct {
  /** Where the backups are: made unless one was given. */
  public readonly fileSystem: efs.IFileSystem;
  public readonly accessPoint: efs.AccessPoint;
  /** What was made, by name. */
  public readonly alarms: Record<string, cloudwatch.Alarm> = {};
  private readonly machine: string;
  private readonly tier: string;
  private readonly namespace: string;

  constructor(scope: Construct, id: string, private readonly props: QdrantBackupsProps) {
    super(scope, id);
    if (props.fileSystem && (props.replicaRegion || props.encryptionKey)) {
      throw new Error('replication and key of an existing file system are its own: leave out replicaRegion and encryptionKey');
    }
    if (props.replicaFileSystemId && !props.replicaRegion) {
      throw new Error('replicaFileSystemId needs its replicaRegion');
    }
    this.machine = props.arm64 ? 'aarch64' : 'x86_64';
    this.tier = props.tier ?? 'prod';
    this.namespace = props.metricsNamespace ?? 'Qdrant/Backups';
    const rpo = props.rpo ?? Duration.minutes(30);
    const drills = props.drills ?? true;

    this.fileSystem = props.fileSystem ?? this.newFileSystem();
    // All on the file system is this user's, whoever the container runs as.
    this.accessPoint = new efs.AccessPoint(this, 'AccessPoint', {
      fileSystem: this.fileSystem,
      path: '/qdrant',
      posixUser: { uid: '1000', gid: '1000' },
      createAcl: { ownerUid: '1000', ownerGid: '1000', permissions: '0750' },
    });

    this.mount();
    this.set({
      EFS_ROOT: '/efs',
      TIER: this.tier,
      CPU_ARCH: this.machine,
      NODE_NAME: props.nodeName ?? 'qdrant-0',
      AK_ARN: props.apiKey.secretArn,
      ...(props.apiKeyJsonKey ? { AK_JSON_KEY: props.apiKeyJsonKey } : {}),
      RPO_SECONDS: String(rpo.toSeconds()),
      DRILL_SCHEDULE: drills ? 'daily' : 'never',
      EMF_NAMESPACE: this.namespace,
      STOP_GRACE_SECONDS: String(STOP_SECONDS - 10),
      HEALTH_START_SECONDS: '3600',
      HEALTH_TIMEOUT_SECONDS: '10',
      QDRANT_INIT_FILE_PATH: '/tmp/.qdrant-initialized',
      RESTORE_ON_EMPTY: 'latest',
      ...(props.bucket ? { SNAPSHOT_S3_BUCKET_NAME: props.bucket.bucketName } : {}),
      ...props.settings,
    });
    props.container.addSecret('QDRANT__SERVICE__API_KEY', ecs.Secret.fromSecretsManager(props.apiKey, props.apiKeyJsonKey || undefined));

    this.grantTask();
    this.addAlarms(rpo, drills);
  }

  // --- for others

  /** Let the service's tasks reach the file system, start them when it can be mounted, and tell when none runs. */
  public attach(service: ecs.FargateService): void {
    this.fileSystem.connections.allowDefaultPortFrom(service, 'backups');
    service.node.addDependency(this.fileSystem.mountTargetsAvailable);
    this.alarm('NodeMissing', 'No task of the node is running.', new cloudwatch.Metric({
      namespace: 'AWS/ECS',
      metricName: 'CPUUtilization',
      statistic: 'SampleCount',
      period: Duration.minutes(1),
      dimensionsMap: { ClusterName: service.cluster.clusterName, ServiceName: service.serviceName },
    }), {
      evaluationPeriods: 10,
      comparison: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      threshold: 1,
      missing: cloudwatch.TreatMissingData.BREACHING,
    });
  }

  /** To mount the backups and read them, for people: qdrant-efs ls, verify, restore. */
  public grantRead(grantee: iam.IGrantable): iam.Grant {
    return this.grant(grantee, 'elasticfilesystem:ClientMount');
  }

  /** One of the replicator's: see docs/status.md. */
  public metric(name: string, statistic: string, period: Duration): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: this.namespace,
      metricName: name,
      statistic,
      period,
      dimensionsMap: { Tier: this.tier, CpuArch: this.machine },
    });
  }

  // --- the parts

  private newFileSystem(): efs.FileSystem {
    const { vpc, vpcSubnets, encryptionKey, replicaRegion, replicaFileSystemId } = this.props;
    const files = new efs.FileSystem(this, 'FileSystem', {
      vpc,
      vpcSubnets,
      encrypted: true,
      kmsKey: encryptionKey,
      performanceMode: efs.PerformanceMode.GENERAL_PURPOSE,
      throughputMode: efs.ThroughputMode.ELASTIC, // bursting starves a small file system after its first large backup
      // Retention takes daily backups away at day 35: older than 90 days are the monthly ones, which nobody reads.
      lifecyclePolicy: efs.LifecyclePolicy.AFTER_14_DAYS,
      transitionToArchivePolicy: efs.LifecyclePolicy.AFTER_90_DAYS,
      enableAutomaticBackups: this.props.awsBackup ?? true,
      replicationConfiguration: replicaRegion ? efs.ReplicationConfiguration.regionalFileSystem(replicaRegion) : undefined,
      replicationOverwriteProtection: efs.ReplicationOverwriteProtection.ENABLED,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      // With any policy, who is not allowed by IAM is refused; CDK's own for that would allow root access to all.
      allowAnonymousAccess: true,
      fileSystemPolicy: QdrantBackups.fileSystemPolicy(),
    });
    if (replicaFileSystemId) {
      // ReplicationConfiguration.existingFileSystem takes an imported one for one of this stack's Region, whatever its ARN says.
      (files.node.defaultChild as efs.CfnFileSystem).replicationConfiguration = {
        destinations: [{ region: replicaRegion, fileSystemId: replicaFileSystemId }],
      };
    }
    return files;
  }

  private static fileSystemPolicy(): iam.PolicyDocument {
    const deny = (sid: string, conditions: Record<string, Record<string, string>>) => new iam.PolicyStatement({
      sid,
      effect: iam.Effect.DENY,
      principals: [new iam.AnyPrincipal()],
      conditions,
      actions: ['elasticfilesystem:Client*'],
    });
    return new iam.PolicyDocument({
      statements: [
        deny('OnlyWithTls', { Bool: { 'aws:SecureTransport': 'false' } }),
        deny('OnlyByAnAccessPoint', { Null: { 'elasticfilesystem:AccessPointArn': 'true' } }),
      ],
    });
  }

  private mount(): void {
    const { taskDefinition, container } = this.props;
    const at = (sourceVolume: string, containerPath: string) => container.addMountPoints({ sourceVolume, containerPath, readOnly: false });
    if (this.props.localVolumes ?? true) { // what a restart of the container in its task must not lose
      for (const [name, path] of [['storage', '/qdrant/storage'], ['snapshots', '/qdrant/snapshots'], ['tmp', '/tmp']]) {
        taskDefinition.addVolume({ name });
        at(name, path);
      }
    }
    taskDefinition.addVolume({
      name: 'efs',
      efsVolumeConfiguration: {
        fileSystemId: this.fileSystem.fileSystemId,
        transitEncryption: 'ENABLED',
        authorizationConfig: { accessPointId: this.accessPoint.accessPointId, iam: 'ENABLED' },
      },
    });
    at('efs', '/efs');
  }

  private set(variables: Record<string, string>): void {
    for (const [name, value] of Object.entries(variables)) {
      this.props.container.addEnvironment(name, value);
    }
  }

  private grant(grantee: iam.IGrantable, ...what: string[]): iam.Grant {
    return iam.Grant.addToPrincipal({
      grantee,
      actions: what,
      resourceArns: [this.fileSystem.fileSystemArn],
      conditions: { StringEquals: { 'elasticfilesystem:AccessPointArn': this.accessPoint.accessPointArn } },
    });
  }

  private grantTask(): void {
    const role = this.props.taskDefinition.taskRole;
    this.grant(role, 'elasticfilesystem:ClientMount', 'elasticfilesystem:ClientWrite');
    // qdrant-efs replica --file-system
    iam.Grant.addToPrincipal({
      grantee: role,
      actions: ['elasticfilesystem:DescribeReplicationConfigurations'],
      resourceArns: [this.fileSystem.fileSystemArn],
    });
    this.props.apiKey.grantRead(role);
    if (this.props.bucket) { // no deletion: that is the lifecycle rules'
      const tree = `${this.tier}-${this.machine}/*`;
      this.props.bucket.grantPut(role, tree);
      this.props.bucket.grantRead(role, tree);
    }
  }

  private addAlarms(rpo: Duration, drills: boolean): void {
    const { GREATER_THAN_THRESHOLD: above, LESS_THAN_THRESHOLD: below } = cloudwatch.ComparisonOperator;
    const { BREACHING: breaching, NOT_BREACHING: notBreaching, IGNORE: ignore } = cloudwatch.TreatMissingData;
    const five = Duration.minutes(5);
    this.alarm('BackupTooOld', 'The newest backup of a collection is older than it may be, or nothing is reported. See /status of the node and its log.',
      this.metric('OldestBackupAgeSeconds', 'Maximum', five),
      { evaluationPeriods: 3, datapoints: 2, comparison: above, threshold: rpo.toSeconds(), missing: breaching });
    this.alarm('SnapshotFailed', 'A snapshot was not made, did not match its checksum, or could not be put on EFS. The log says which and why.',
      this.metric('SnapshotError', 'Sum', Duration.minutes(15)),
      { evaluationPeriods: 1, comparison: above, threshold: 0, missing: notBreaching });
    this.alarm('ReplicatorUnhealthy', "The replicator says that it is not well, or says nothing. The metric's line in the log has a Reason.",
      this.metric('Unhealthy', 'Maximum', five),
      { evaluationPeriods: 3, comparison: above, threshold: 0, missing: breaching });
    if (drills) {
      this.alarm('DrillFailed', 'A backup could not be restored. Treat it as a lost backup until you know better.',
        this.metric('DrillFailed', 'Maximum', five),
        { evaluationPeriods: 1, comparison: above, threshold: 0, missing: ignore }); // a failure stands until a drill is good
      this.alarm('DrillOverdue', 'For two days no restore has proven the backups.',
        this.metric('DrillFailed', 'SampleCount', Duration.days(1)),
        { evaluationPeriods: 2, comparison: below, threshold: 1, missing: breaching });
    }
    if (this.props.bucket) {
      // What S3 refuses for good is tried again once a day: two hours of any 50 tell it from what passes by itself.
      this.alarm('S3Failed', 'Copies do not get to S3, at two times of a day. EFS has the backups.',
        this.metric('S3Errors', 'Sum', Duration.hours(1)),
        { evaluationPeriods: 50, datapoints: 2, comparison: above, threshold: 0, missing: notBreaching });
    }
    if (this.props.replicaFileSystemId) {
      this.alarm('ReplicationBehind', 'What was written to EFS has not reached the second Region in time. Also while the first sync lasts.',
        new cloudwatch.Metric({
          namespace: 'AWS/EFS',
          metricName: 'TimeSinceLastSync',
          statistic: 'Maximum',
          period: five,
          dimensionsMap: { FileSystemId: this.fileSystem.fileSystemId, DestinationFileSystemId: this.props.replicaFileSystemId },
        }),
        { evaluationPeriods: 3, comparison: above, threshold: 1800, missing: breaching });
    }
  }

  private alarm(name: string, alarmDescription: string, metric: cloudwatch.Metric, props: AlarmProps): void {
    const alarm = new cloudwatch.Alarm(this, name, {
      alarmDescription,
      metric,
      evaluationPeriods: props.evaluationPeriods,
      datapointsToAlarm: props.datapoints,
      comparisonOperator: props.comparison,
      threshold: props.threshold,
      treatMissingData: props.missing,
    });
    if (this.props.alarmTopic) {
      alarm.addAlarmAction(new actions.SnsAction(this.props.alarmTopic));
      alarm.addOkAction(new actions.SnsAction(this.props.alarmTopic));
    }
    this.alarms[name] = alarm;
  }
}
