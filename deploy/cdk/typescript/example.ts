/** An app whose Qdrant on Fargate gets its backups by one construct: `tsc && cdk synth --app "node example.js"`, or run it by itself. */
import * as cdk from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { CONTAINER, QdrantBackups, SERVICE } from './qdrant-backups';

const app = new cdk.App();
const stack = new cdk.Stack(app, 'Qdrant', { env: { account: '123456789012', region: 'eu-central-1' } });

// What an app has already.
const vpc = new ec2.Vpc(stack, 'Vpc', { maxAzs: 2 });
const apiKey = new secretsmanager.Secret(stack, 'ApiKey', { generateSecretString: { excludePunctuation: true, passwordLength: 48 } });
const taskDefinition = new ecs.FargateTaskDefinition(stack, 'Task', { cpu: 2048, memoryLimitMiB: 8192, ephemeralStorageGiB: 50 });
const container = taskDefinition.addContainer('qdrant', {
  image: ecs.ContainerImage.fromEcrRepository(ecr.Repository.fromRepositoryName(stack, 'Images', 'qdrant-efs'), '1'),
  portMappings: [{ containerPort: 6333, name: 'rest' }, { containerPort: 6334, name: 'grpc' }],
  ulimits: [{ name: ecs.UlimitName.NOFILE, softLimit: 262144, hardLimit: 262144 }],
  logging: ecs.LogDrivers.awsLogs({ streamPrefix: 'qdrant', mode: ecs.AwsLogDriverMode.NON_BLOCKING }),
  ...CONTAINER,
});
const service = new ecs.FargateService(stack, 'Service', { cluster: new ecs.Cluster(stack, 'Cluster', { vpc }), taskDefinition, ...SERVICE });

// Its backups.
const backups = new QdrantBackups(stack, 'Backups', {
  vpc,
  taskDefinition,
  container,
  apiKey,
  nodeName: 'qdrant-0',
  replicaRegion: 'eu-west-1',
  replicaFileSystemId: 'fs-0123456789abcdef0',
  alarmTopic: new sns.Topic(stack, 'Alarms'),
});
backups.attach(service);

app.synth();
