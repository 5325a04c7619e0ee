"""Secrets from AWS on a worker, and where they must not be seen."""

from .machine import Machine
from .region import Region

READ = """
import boto3, json, sys, urllib.request
base = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
role = urllib.request.urlopen(base).read().decode()
keys = json.load(urllib.request.urlopen(base + role))
client = boto3.client(
    "secretsmanager", region_name="us-east-1", endpoint_url=sys.argv[1], aws_access_key_id=keys["AccessKeyId"],
    aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["Token"],
)
print(client.get_secret_value(SecretId="annex/token")["SecretString"])
"""


def test_the_worker_reaches_the_aws_api(region: Region, worker: Machine) -> None:
    region.imds.attach_role()
    region.aws.secret("annex/token", "a-token")
    assert worker.run(["python3", "-c", READ, region.aws.url]).stdout == "a-token\n"
    assert region.aws.requests == ["secretsmanager.GetSecretValue 200"]
