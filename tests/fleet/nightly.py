"""Exactly once over real brokers and a real store; rules and holds that are executed.

Called by tests/fleet/nightly with the programs oubliette and exactly_once and the directory of Kafka. Ends what it started.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"  # Ceph 16 knows no others.

import boto3
import botocore.exceptions

oubliette, exactly_once, kafka = sys.argv[1:]
work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-nightly-"))
KEY, SECRET = "fleet", "fleet-secret"
NOW = ["--now", "2026-11-23T12:00:00Z"]
state = ["--state-dir", str(work / "state"), "--key-file", str(work / "key")]
(work / "key").write_bytes(b"\7" * 32)
(work / "key").chmod(0o600)
ends = contextlib.ExitStack()
ends.callback(shutil.rmtree, work, True)


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")
    print(f"ok: {what}", flush=True)


def until(what, seconds, happened):
    """Waits for something; how long it took."""
    begun = time.monotonic()
    while not happened():
        if time.monotonic() - begun > seconds:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.2)
    return time.monotonic() - begun


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def start(name, *command, **options):
    with open(work / f"{name}.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
    ends.callback(lambda: (process.kill(), process.wait()))
    return process


def run(*arguments, expected=0, stdin=None):
    done = subprocess.run([oubliette, *arguments], input=stdin, capture_output=True, text=True)
    if done.returncode != expected:
        sys.exit(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def java(name, memory, main, *arguments):
    (work / name).mkdir(exist_ok=True)
    return [
        "java", f"-Xmx{memory}m", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.nio=ALL-UNNAMED",
        f"-Dkafka.logs.dir={work / name}", f"-Dlog4j.configuration=file:{kafka}/config/log4j.properties",
        "-cp", f"{kafka}/libs/*", main, *arguments,
    ]


def kafka_up():
    """Three brokers; one topic, three replicas, of which two must have a record."""
    keeper = free_port()
    (work / "keeper.properties").write_text(f"dataDir={work}/keeper\nclientPort={keeper}\nmaxClientCnxns=0\n")
    start("keeper", *java("keeper", 256, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(work / "keeper.properties")))
    until("ZooKeeper", 60, lambda: answers(keeper))
    ports, brokers = [free_port() for _ in range(3)], []
    for number, port in enumerate(ports):
        (work / f"broker{number}.properties").write_text(
            f"broker.id={number}\nlisteners=PLAINTEXT://127.0.0.1:{port}\nadvertised.host.name=127.0.0.1\nadvertised.port={port}\n"
            f"log.dirs={work}/broker{number}/data\nzookeeper.connect=127.0.0.1:{keeper}\nunclean.leader.election.enable=false\n"
            "min.insync.replicas=2\ndefault.replication.factor=3\noffsets.topic.replication.factor=3\noffsets.topic.num.partitions=8\n"
            "auto.create.topics.enable=false\ngroup.min.session.timeout.ms=1000\n"
        )
        brokers.append(start(f"broker{number}", *java(f"broker{number}", 512, "kafka.Kafka", str(work / f"broker{number}.properties"))))
    until("Kafka", 120, lambda: all(answers(port) for port in ports))
    create = ["--create", "--zookeeper", f"127.0.0.1:{keeper}", "--topic", "logs", "--partitions", "16", "--replication-factor", "3"]
    topic = lambda: subprocess.run(
        java("admin", 128, "kafka.admin.TopicCommand", *create), capture_output=True, text=True
    ).returncode == 0
    until("the topic", 120, topic)
    return ",".join(f"127.0.0.1:{port}" for port in ports), brokers


def ceph_up():
    ceph = subprocess.Popen(
        ["tests/fleet/ceph", str(work / "ceph"), KEY, SECRET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ends.callback(lambda: (ceph.stdin.close(), ceph.wait()))
    endpoint = ceph.stdout.readline().strip()
    if not endpoint:
        sys.exit("Ceph does not start")
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1", AWS_ALLOW_HTTP="true",
    )
    return boto3.client("s3")


def versions(bucket, prefix=""):
    listed = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    return listed.get("Versions", []) + listed.get("DeleteMarkers", [])


with ends:
    s3 = ceph_up()
    s3.create_bucket(Bucket="fleet")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    brokers, processes = kafka_up()
    print("ok: three brokers, Ceph", flush=True)

    # A bucket with versions: Ceph 16 ignores the condition there, so workers refuse such a bucket.
    archive = ["archive", "--kafka", brokers, "--topic", "logs=connection"]
    told = run(*archive, "--s3", "s3://locked/probe", *state, expected=2).stderr
    check("a bucket of Ceph with versions is refused", "error[F04]" in told, True)
    check("a bucket of Ceph with versions: nothing left", versions("locked"), [])

    # Every record exactly once, while a broker is killed and workers abort and hang.
    test = subprocess.Popen(
        [exactly_once], stdout=subprocess.PIPE, text=True, env={**os.environ, "FLEET_BUCKET": "fleet", "FLEET_BROKERS": brokers}
    )
    ends.callback(lambda: (test.kill(), test.wait()))
    for line in test.stdout:
        print(line.strip(), flush=True)
        if line.strip() == "producing":
            time.sleep(2)  # In the middle of it, whatever is in the middle then.
            processes[2].send_signal(signal.SIGKILL)
            print("killed: a broker", flush=True)
    check("exactly once, a broker and workers killed", test.wait(), 0)

    # The lifecycle rules printed by oubliette are executed: a day of this gateway takes ten seconds. Rules
    # with a date in the past are due at once.
    lines = "".join(f"203.0.113.{n % 250} - - [23/Nov/2026:10:00:00 +0100] \"GET /{n} HTTP/1.1\" 200 5\n" for n in range(1000))
    run("filter", "--archive", str(work / "srv"), "--backfill", *NOW, *state, stdin=lines)
    for path in sorted((work / "srv/archive").rglob("*.log.zst")):
        for day in ("2025-01-02", "2027-11-24"):
            s3.upload_file(str(path), "fleet", f"net/archive/expires={day}/class=connection/{path.name}")
    rules = json.loads(run("lifecycle", "s3://fleet/net", "--now", "2025-01-01T12:00:00Z", *state).stdout)
    s3.put_bucket_lifecycle_configuration(Bucket="fleet", LifecycleConfiguration=rules)
    listed = lambda: [item["Key"] for item in s3.list_objects_v2(Bucket="fleet", Prefix="net/").get("Contents", [])]
    until("the lifecycle", 120, lambda: not any("2025-01-02" in key for key in listed()))
    check("lifecycle: what has not expired stays", len(listed()), 1)

    # A legal hold: the purge stops at it and reports it, and continues once it has ended.
    for path in sorted((work / "srv").rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), "locked", f"case/{path.relative_to(work / 'srv')}")
    key = next(version["Key"] for version in versions("locked", "case/archive/"))
    s3.put_object_legal_hold(Bucket="locked", Key=key, LegalHold={"Status": "ON"})
    purge = ["purge", "--archive", "s3://locked/case", "--confirm-clock", "--now", "2027-11-23T23:00:00Z", *state]
    check("a locked object stops a purge", "error[P02]" in run(*purge, expected=2).stderr, True)
    check("a locked object stays", len(versions("locked", key)), 1)
    with contextlib.suppress(botocore.exceptions.ClientError):
        s3.delete_object(Bucket="locked", Key=key, VersionId=versions("locked", key)[0]["VersionId"])
        sys.exit("the gateway removed a locked object")
    s3.put_object_legal_hold(Bucket="locked", Key=key, LegalHold={"Status": "OFF"})
    run(*purge)
    check("purged when the hold has ended", versions("locked", "case/"), [])
print("all good")
