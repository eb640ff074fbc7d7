"""Whether whoever follows the page may do so: by the policies of ops.yaml, or by the rights of whoever deploys a stack."""
from templates import OPS, Template, as_list

# CloudFormation does the rest with the rights of whoever changes the stack. A replication and a file system are changed by them, too:
# who may end those may lose every backup.
DEPLOYER = {"cloudformation:UpdateStack", "cloudformation:CreateStack", "cloudformation:DeleteStack",
            "elasticfilesystem:DeleteReplicationConfiguration", "elasticfilesystem:UpdateFileSystemProtection",
            "elasticfilesystem:DeleteFileSystem", "elasticfilesystem:DeleteMountTarget"}
# S3's right is named otherwise than its operation, which moto answers without our looking.
LOOKED_AT = {"cloudformation", "elasticfilesystem", "logs", "ecs", "secretsmanager", "cloudwatch", "monitoring"}


def granted():
    return {a for _, s in Template(OPS).statements() if s["Effect"] == "Allow" for a in as_list(s["Action"])}


def missing(calls):
    """Of {(Region, service, operation)}."""
    wanted = {f"{'cloudwatch' if service == 'monitoring' else service}:{operation}" for _, service, operation in calls
              if service in LOOKED_AT and operation}
    return wanted - granted() - DEPLOYER
