"""The commands on s3://, other readers on the segments there, and the test of exactly-once, over an S3 server on loopback.

Called by tests/fleet/run with the programs oubliette and exactly_once, both built with the feature `kafka`.
"""

import atexit
import csv
import datetime
import gzip
import http.client
import http.server
import json
import logging
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import boto3
import chdb
import duckdb
import fsspec.implementations.arrow
import polars
import pyarrow.csv
import pyarrow.fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
oubliette, exactly_once = sys.argv[1:]
work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
atexit.register(shutil.rmtree, work, True)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"
KEY, SECRET = "key", "secret"
os.environ.update(
    AWS_ENDPOINT_URL=endpoint, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
    AWS_DEFAULT_REGION="us-east-1", AWS_ALLOW_HTTP="true",
)
s3 = boto3.client("s3")
state = ["--state-dir", str(work / "state"), "--key-file", str(work / "key")]
NO_BYTE = "\x01"


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found}, expected {expected}")
    print(f"ok: {what}", flush=True)


def run(*arguments, expected=0, stdin=None, env=None):
    done = subprocess.run(
        [oubliette, *arguments], input=stdin, capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    if done.returncode != expected:
        sys.exit(f"{arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def start(*command, **options):
    """A process that ends with this one, whatever goes wrong."""
    process = subprocess.Popen(command, text=True, **options)
    atexit.register(lambda: (process.kill(), process.wait()))
    return process


def keys(bucket, prefix=""):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def versions(bucket, prefix):
    listed = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    return len(listed.get("Versions", [])) + len(listed.get("DeleteMarkers", []))


def log(days, lines):
    return "".join(
        f"203.0.113.{n % 250} - - [{days[n % len(days)]}/Nov/2026:10:{n // 60 % 60:02}:{n % 60:02} +0100] "
        f"\"GET /a?b='{n}',\\\"c HTTP/1.1\" 200 {n}\n"
        for n in range(lines)
    )


# An archive of three days, written to a disk and copied.
LINES = 60_000
for bucket in ("logs", "desk", "vaults", "nodes", "old", "new", "fleet"):
    s3.create_bucket(Bucket=bucket)
for bucket in ("logs", "desk", "vaults"):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
(work / "key").write_bytes(b"\7" * 32)
(work / "key").chmod(0o600)
(work / "input").write_text(log([21, 22, 23], LINES))
NOW = ["--now", "2026-11-23T12:00:00Z"]
run("filter", "--archive", str(work / "srv"), "--backfill", *NOW, *state, str(work / "input"))


def upload(directory, bucket, prefix):
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(directory)}")


upload(work / "srv", "logs", "fleet")
segments = [key for key in keys("logs", "fleet/archive/") if key.endswith(".log.zst")]
check("segments", len(segments), 3)

# verify: reads everything, and finds what was changed.
whole = json.loads(run("verify", "s3://logs/fleet", "--json", *state).stdout)
check("verify", (whole["segments"], whole["lines"], whole["vaults"], whole["findings"]), (3, LINES, 3, []))
check("verify, one segment", json.loads(run("verify", f"s3://logs/{segments[0]}", "--json", *state).stdout)["segments"], 1)
bytes_of = s3.get_object(Bucket="logs", Key=segments[0])["Body"].read()
s3.put_object(Bucket="logs", Key=segments[0], Body=bytes_of[:100] + bytes([bytes_of[100] ^ 1]) + bytes_of[101:])
check("verify, a byte changed", len(json.loads(run("verify", "s3://logs/fleet", "--json", *state, expected=1).stdout)["findings"]), 1)
s3.put_object(Bucket="logs", Key=segments[0], Body=bytes_of)

# Other readers find every line of every segment.
with open(work / "expected", "w", encoding="utf-8") as file:
    for key in segments:
        local = work / pathlib.Path(key).name
        s3.download_file("logs", key, str(work / "segment.zst"))
        file.write(subprocess.run(["zstdcat", str(work / "segment.zst")], capture_output=True, text=True, check=True).stdout)
expected = sorted((work / "expected").read_text(encoding="utf-8").splitlines(), key=lambda row: row.encode())
check("zstd", len(expected), LINES)
token = run("token", "203.0.113.7", *NOW, *state).stdout.strip()
hits = sum(token in row for row in expected)
check("lines of one token", hits > 0, True)


def statement(heading, number=1):
    """A statement of the documentation, for this server, these files and this token."""
    text = pathlib.Path("docs/fleet/search.md").read_text().split(f"## {heading}")[1].split("```sql")[number].split("```")[0]
    for old, new in {
        "http://rgw.example.net": endpoint, "'KEY'": f"'{KEY}'", "'SECRET'": f"'{SECRET}'",
        "ip_2epqfnspyfc4whwyd2jp92w06ftvdrr": token,
    }.items():
        text = text.replace(old, new)
    return text


text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
everything = statement("ClickHouse").replace(f"line LIKE '%{token}%' AND", "")
rows = chdb.query(everything, "ArrowTable").to_pylist()
check("ClickHouse", sorted((text(row["line"]) for row in rows), key=lambda row: row.encode()), expected)
check("ClickHouse, by token", len(chdb.query(statement("ClickHouse"), "ArrowTable").to_pylist()), hits)
# A cluster sends statements to its nodes by TCP, for which chDB opens no port: docs/fleet/search.md. So this
# statement is planned but not executed, in a process of its own, because chDB takes one configuration per
# process.
(work / "cluster.xml").write_text(
    "<clickhouse><remote_servers><default><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></default>"
    "</remote_servers></clickhouse>"
)
planned = """
import chdb, sys
print(chdb.connect(f":memory:?config-file={sys.argv[1]}").query("EXPLAIN " + sys.argv[2]))
"""
for named, expected_exit in [("line", 0), ("lines", 1)]:
    explained = subprocess.run(
        [sys.executable, "-c", planned, str(work / "cluster.xml"), statement("ClickHouse", 2).replace("SELECT line", f"SELECT {named}")],
        capture_output=True, text=True,
    )
    check(f"ClickHouse, s3Cluster, a column `{named}`: planned", explained.returncode, expected_exit)
check("ClickHouse, s3Cluster: the column that there is not", "UNKNOWN_IDENTIFIER" in explained.stderr, True)
system = pyarrow.fs.S3FileSystem(
    access_key=KEY, secret_key=SECRET, endpoint_override=f"{host}:{port}", scheme="http", region="us-east-1"
)


class Buckets(fsspec.implementations.arrow.ArrowFSWrapper):
    """DuckDB's own client is no wheel; it reads through that of pyarrow."""

    protocol = "s3"

    @classmethod
    def _strip_protocol(cls, path):
        return path.removeprefix("s3://")


duckdb.register_filesystem(Buckets(fs=system))
rows = duckdb.sql(statement("DuckDB").replace(f"WHERE line LIKE '%{token}%'", "")).fetchall()
check("DuckDB", sorted((row[2] for row in rows), key=lambda row: row.encode()), expected)
check("DuckDB, by token", len(duckdb.sql(statement("DuckDB")).fetchall()), hits)

options = {
    "aws_endpoint_url": endpoint, "aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_region": "us-east-1",
    "aws_allow_http": "true",
}
frame = polars.scan_csv(
    [f"s3://logs/{key}" for key in segments], has_header=False, separator=NO_BYTE, quote_char=None, new_columns=["line"],
    encoding="utf8", storage_options=options,
).collect()
check("Polars", sorted(frame["line"], key=lambda row: row.encode()), expected)

rows = []
for key in segments:
    with system.open_input_stream(f"logs/{key}", compression="zstd") as stream:
        rows += pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(column_names=["line"]),
            parse_options=pyarrow.csv.ParseOptions(delimiter=NO_BYTE, quote_char=False),
        )["line"].to_pylist()
check("pyarrow", sorted(rows, key=lambda row: row.encode()), expected)

# The lines of a person, by the clear identifier.
found = run("replay", "--archive", "s3://logs/fleet", "--ip", "203.0.113.7", *NOW, *state).stdout
check("replay", sorted(found.splitlines(), key=lambda row: row.encode()), [row for row in expected if token in row])

# Vaults are copied to a bucket of their own, once, and work there as well.
vaults = ["vaults", "--archive", str(work / "srv"), "s3://vaults/web1", *NOW, *state]
check("vaults", len(run(*vaults, "--json").stdout.splitlines()), 3)
check("vaults, again", run(*vaults, "--json").stdout, "")
check("vaults: for purge and lifecycle", len(keys("vaults", "web1/vault/expires=2027-11-")), 3)
whole = json.loads(run("verify", "s3://logs/fleet", "--vault", "s3://vaults/web1/vault", "--json", *state).stdout)
check("vaults: whole", (whole["vaults"], whole["findings"]), (3, []))

# Holds, then the purge: old versions and delete markers go too.
hold = ["--archive", "s3://logs/fleet", "--case", "2027/0815"]
run("hold", "add", *hold, "--until", "2026-11-29", *NOW, *state)
run("purge", "--archive", "s3://logs/fleet", "--confirm-clock", "--now", "2027-11-23T23:00:00Z", *state)
days = ["fleet/archive/expires=2027-11-22/", "fleet/archive/expires=2027-11-23/", "fleet/archive/expires=2027-11-24/"]
beside = [day.replace("archive", "vault") for day in days]
check("purge: versions left", sum(versions("logs", prefix) for prefix in [*days, *beside]), 0)
events = [json.loads(line) for line in run("ledger", "show", "--json", *state).stdout.splitlines()]
check("purge: in the ledger", sum(event["event"] == "purge-done" for event in events), 3)
check("verify after the purge", json.loads(run("verify", "s3://logs/fleet", "--json", *state).stdout)["findings"], [])

# A person's request with the archive in a bucket: her lines go, in old versions as well.
desk = ["--state-dir", str(work / "desk-state")]
run("init", *desk)
tickets = "".join(
    json.dumps({"time": "2026-11-23T10:00:00+01:00", "event": "ticket", "ticket": n, "from": f"{who}@example.org"}) + "\n"
    for n, who in enumerate(["jean", "anne", "jean", "paul"])
)
(work / "tickets").write_text(tickets)
run("filter", "--archive", str(work / "desk"), "--backfill", *NOW, *desk, str(work / "tickets"))
upload(work / "desk", "desk", "fleet")
identity = ["--identity", str(work / "desk-state/escrow/identity-1.txt"), "--now", "2026-11-30T10:00:00Z", *desk]
person = ["--archive", "s3://desk/fleet", "--email", "jean@example.org", *identity]
access = json.loads(run("subject", "access", *person, "--case", "DSR-1", "--from", "2026-11-23", "--to", "2026-11-24").stdout)
check("subject access", len(access["lines"]), 2)
erased = json.loads(run("subject", "erase", *person, "--case", "DSR-1", "--json").stdout)
check("subject erase", (erased["outcome"], erased["lines"]), ("erased", 2))
check("subject erase: her lines", run("replay", *person).stdout, "")
anne = ["--archive", "s3://desk/fleet", "--email", "anne@example.org", *identity]
check("subject erase: those of others", len(run("replay", *anne).stdout.splitlines()), 1)
hold = ["--archive", "s3://desk/fleet", "--case", "2026/4711"]
run("hold", "add", *hold, "--until", "2026-12-05", *identity[2:])
run("hold", "extract", *hold, "--email", "anne@example.org", *identity)
extracts = list((work / "desk-state/holds").rglob("*.age"))
check("hold extract", len(extracts) >= 1, True)
run("hold", "release", *hold, *identity[2:])
check("subject erase: versions left", [versions("desk", key) for key in keys("desk")], [1, 1])
check("subject erase: verify", json.loads(run("verify", "s3://desk/fleet", "--json", *desk).stdout)["findings"], [])

# Lifecycle rules that the server accepts.
rules = json.loads(run("lifecycle", "s3://logs/fleet", *NOW, *state).stdout)
s3.put_bucket_lifecycle_configuration(Bucket="logs", LifecycleConfiguration=rules)
check("lifecycle", len(s3.get_bucket_lifecycle_configuration(Bucket="logs")["Rules"]), len(rules["Rules"]))

# A batch from a bucket to a bucket.
for n in range(4):
    s3.put_object(Bucket="old", Key=f"{n}.log.gz", Body=gzip.compress(log([22], 1000).encode()))
listed = "".join(f"s3://old/{n}.log.gz\n" for n in range(4))
batch = ["batch", "--out", "s3://new/out", *NOW, *state]
manifest = run(*batch, stdin=listed).stdout
check("batch", [json.loads(line)["lines_out"] for line in manifest.splitlines()], [1000] * 4)
check("batch, again", [json.loads(line)["skipped"] for line in run(*batch, stdin=listed).stdout.splitlines()], [True] * 4)
(work / "manifest").write_text(manifest)
run("batch", "--check", str(work / "manifest"), stdin=listed)
s3.put_object(Bucket="old", Key="2.log.gz", Body=gzip.compress(log([22], 999).encode()))
check("batch, an object that changed", "F12" in run(*batch, stdin=listed, expected=2).stderr, True)
check("batch, check", "other bytes" in run("batch", "--check", str(work / "manifest"), stdin=listed, expected=1).stdout, True)


class Careless(http.server.BaseHTTPRequestHandler):
    """Passes requests on without their conditions."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("if-none-match", "host")}
        upstream = http.client.HTTPConnection(host, port)
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        payload = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on

    def log_message(self, *_):
        pass


careless = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Careless)
threading.Thread(target=careless.serve_forever, daemon=True).start()
archive = ["archive", "--kafka", "127.0.0.1:1", "--topic", "logs=connection", "--s3", "s3://fleet/probe"]
refused = run(*archive, *state, expected=2, env={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{careless.server_port}"})
check("a store that ignores conditions", "error[F04]" in refused.stderr, True)
check("a store that ignores conditions: nothing left", keys("fleet"), [])

# From a node to the bucket, as docs/fleet/kafka.md says: filter, rsyslog, Kafka, archive.
if os.geteuid() == 0 and not pathlib.Path("/usr/lib/x86_64-linux-gnu/rsyslog/omkafka.so").exists():
    subprocess.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends rsyslog rsyslog-kafka",
                   shell=True, check=True, stdout=subprocess.DEVNULL)
cluster = start(exactly_once, "cluster", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
brokers = cluster.stdout.readline().strip()
now = datetime.datetime.now(datetime.timezone.utc).strftime("%d/%b/%Y:%H:%M:%S +0000")
lines = "".join(f'203.0.113.{n % 250} - - [{now}] "GET /{n} HTTP/1.1" 200 5\n' for n in range(20_000))
(work / "node.log").write_text(lines)
run("filter", *state, "-o", str(work / "connection.log"), str(work / "node.log"))

# Two more nodes, each with an archive, vaults, and secrets of its own, wrapped to the custodian. Every line
# has two people.
custodian = work / "web1-state/escrow/identity-1.txt"
today = datetime.datetime.now(datetime.timezone.utc)
at = ["--now", today.strftime("%Y-%m-%dT%H:%M:%SZ")]
node_lines = {}
for node, client in (("web1", 7), ("web2", 8)):
    node_state = [*at, "--state-dir", str(work / f"{node}-state")]
    known = re.findall("age1[0-9a-z]+", custodian.read_text()) if custodian.exists() else []
    run("init", *node_state, *[word for recipient in known for word in ("--recipient", recipient)])
    (work / f"{node}.log").write_text("".join(
        f'198.51.100.{n % 200} - - [{now}] "GET /{node}-{n}?for=192.0.2.{n % 250} HTTP/1.1" 200 5\n' for n in range(2_000)
    ))
    run("filter", "--archive", str(work / node), "--node", node, "--tee", "-o", str(work / f"{node}.out"), *node_state, str(work / f"{node}.log"))
    run("vaults", "--archive", str(work / node), f"s3://nodes/{node}", *node_state)
    client = f"198.51.100.{client}"
    token_of_client = run("token", client, *node_state).stdout.strip()
    rows = [row for row in (work / f"{node}.out").read_text().splitlines() if token_of_client in row]
    node_lines[node] = (token_of_client, client, rows)
    with open(work / "connection.log", "a", encoding="utf-8") as all_lines:
        all_lines.write((work / f"{node}.out").read_text())
NODE_LINES = 24_000
recipe = pathlib.Path("docs/fleet/kafka.md").read_text().split("```")[1]
(work / "spool").mkdir()
for old, new in {
    '"kafka1:9092", "kafka2:9092"': ", ".join(f'"{broker}"' for broker in brokers.split(",")),
    "/var/log/oubliette": str(work), "/var/spool/rsyslog": str(work / "spool"),
}.items():
    if old not in recipe:
        sys.exit(f"the recipe does not say {old}")
    recipe = recipe.replace(old, new)
(work / "rsyslog.conf").write_text(f'global(workDirectory="{work}/spool")\n{recipe}')
rsyslog = start("/usr/sbin/rsyslogd", "-n", "-f", str(work / "rsyslog.conf"), "-i", str(work / "rsyslog.pid"))


def collect(prefix, more=0, silent=lambda: None):
    """The lines of a topic, once a worker has stored those of the nodes and as many more."""
    topic = ["--topic", "logs.connection=connection", "--group", prefix, "--s3", f"s3://fleet/{prefix}"]
    archive = ["archive", "--kafka", brokers, *topic, "--cut-after", "10s", *state]
    worker = start(oubliette, *archive, stdout=subprocess.PIPE)
    told = queue.SimpleQueue()
    threading.Thread(target=lambda: [told.put(line) for line in worker.stdout], daemon=True).start()
    stored, deadline = 0, time.monotonic() + 180
    while stored < NODE_LINES + more:
        try:
            stored += json.loads(told.get(timeout=30))["lines"]
        except queue.Empty:
            if time.monotonic() > deadline or worker.poll() is not None:
                sys.exit(f"{prefix}: {stored} lines stored of {NODE_LINES + more}, the worker's end: {worker.poll()}")
            silent()
    worker.terminate()
    check(f"{prefix}: the worker's end", worker.wait(), 0)
    found = []
    for key in keys("fleet", f"{prefix}/archive/"):
        s3.download_file("fleet", key, str(work / "segment.zst"))
        found += subprocess.run(["zstdcat", str(work / "segment.zst")], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(found)


def one_more():
    """A line, for rsyslog now and then leaves the last ones in the file of its queue until another comes."""
    global NODE_LINES
    with open(work / "connection.log", "r+", encoding="utf-8") as all_lines:
        line = all_lines.readline().replace("GET /", f"GET /more-{NODE_LINES}-")
        all_lines.seek(0, os.SEEK_END)
        all_lines.write(line)
    NODE_LINES += 1
    print(f"note: rsyslog waits for a line, and gets number {NODE_LINES}", flush=True)


arrived = collect("node", silent=one_more)
check("node to bucket: every line once", arrived, sorted((work / "connection.log").read_text().splitlines()))
rsyslog.terminate()
rsyslog.wait()
found = run("replay", "--archive", "s3://fleet/node", "--ip", "203.0.113.7", *state).stdout.splitlines()
token = run("token", "203.0.113.7", *state).stdout.strip()
check("node to bucket: by the clear identifier", (len(found), all(token in line for line in found)), (80, True))

# Originals of the lines that workers stored, from the vaults of the nodes.
asked = [word for who in node_lines.values() for word in ("--token", who[0])]
near = [(today + datetime.timedelta(days=days)).strftime("%Y-%m-%d") for days in (-1, 1)]
desk = [*at, "--state-dir", str(work / "custodian")]
case = ["--archive", "s3://fleet/node", "--from", near[0], "--to", near[1], "--case", "PV-2026/0815", *desk]
grounds = ["--reveal", "--basis", "60-1/3"]
shred = [["--shred-keys", str(work / f"{node}-state/shred")] for node in node_lines]
with_all = ["--identity", str(custodian), "--vault", "s3://nodes", *shred[0], *shred[1]]
in_clear = sorted(row.replace(token_of_client, client) for token_of_client, client, rows in node_lines.values() for row in rows)
check("reveal: lines of both", len(in_clear), 20)
revealed = run("replay", *case, *asked, *grounds, *with_all, "--json")
check("reveal: who is asked for in clear, bystanders as tokens", sorted(revealed.stdout.splitlines()), in_clear)
told = [json.loads(line) for line in revealed.stderr.splitlines()]
counts = next(line for line in told if "vaults" in line)
check("reveal: a vault of each node, and no other", (counts["vaults"], counts["revealed"]), (2, 20))
check("reveal: the ledger at hand is not that of a worker", [line["code"] for line in told if line.get("code")], ["P21"])
each = [word for node in node_lines for word in ("--vault", f"s3://nodes/{node}")]
again = run("replay", *case, *asked, *grounds, *with_all[:2], *each, *shred[0], *shred[1]).stdout
check("reveal: the same from each node's vaults", sorted(again.splitlines()), in_clear)
local = [word for node in node_lines for word in ("--vault", str(work / node / "vault"))]
again = run("replay", *case, *asked, *grounds, *with_all[:2], *local, *shred[0], *shred[1]).stdout
check("reveal: the same on the nodes", sorted(again.splitlines()), in_clear)
for what, lacks, code in [
    ("the H of a node", ["--identity", str(custodian), "--vault", "s3://nodes", *shred[0]], "P14"),
    ("the vaults of a node", ["--identity", str(custodian), "--vault", "s3://nodes/web1", *shred[0], *shred[1]], "P15"),
]:
    partly = run("replay", *case, *asked, *grounds, *lacks, expected=1)
    given = partly.stdout.splitlines()
    check(f"reveal without {what}: told", f"warning[{code}]" in partly.stderr, True)
    check(f"reveal without {what}: every line, those of the other node in clear", (len(given), sum(line in in_clear for line in given)), (20, 10))
for what, lacks, code in [
    ("every H", ["--identity", str(custodian), "--vault", "s3://nodes"], "P14"),
    ("an identity", ["--vault", "s3://nodes", *shred[0], *shred[1]], "P12"),
    ("all vaults", ["--identity", str(custodian), *shred[0], *shred[1]], "P15"),
]:
    refused = run("replay", *case, *asked, *grounds, *lacks, expected=2)
    told = refused.stderr + refused.stdout
    check(f"reveal without {what}: refused", (f"error[{code}]" in told, refused.stdout, "198.51.100" in told), (True, "", False))
events = [json.loads(line) for line in run("ledger", "show", "--json", *desk).stdout.splitlines()]
happened = [event["event"] for event in events if event["event"].startswith("access")]
check("reveal: announced before anything is opened, answered or refused", happened[:4], ["access", "access-done"] * 2)
check("reveal: refusals in the ledger", happened.count("access-refused"), 3)
opened = next(event["about"]["opened"] for event in events if event["event"] == "access-done")
check("reveal: what was opened in the ledger", [name.split("/")[-1].split("-")[0] for name in opened], ["web1", "web2"])
everybody = run("replay", *case, "--token", node_lines["web1"][0], "--reveal-all", *grounds[1:], *with_all).stdout
check("reveal all: both people of a line", sum(re.search(r"^198\.51\.100\.7 .*for=192\.0\.2\.\d+ ", row) is not None for row in everybody.splitlines()), 10)
# Its ledger cannot prove what workers stored.
run("replay", *case, *asked, *grounds, *with_all, "--bundle", str(work / "bundle"), expected=1)
with open(work / "bundle/lines.csv", newline="", encoding="utf-8") as table:
    check("reveal: bundle", sorted(row["line_revealed"] for row in csv.DictReader(table)), in_clear)
answer = json.loads(run("subject", "access", *case, "--token", node_lines["web2"][0], *with_all).stdout)
check("reveal: subject access", sorted(row["line"] for row in answer["lines"]), sorted(row for row in in_clear if "/web2-" in row))
people = run("subject", "affected", *case[:6], "--list", "--json", *desk).stdout.splitlines()
check("subject affected: by tokens", sum(json.loads(row)["lines"] for row in people), NODE_LINES + 4_000)
page = json.loads(run("report", "--archive", "s3://fleet/node", "--json", "--out", "-", *desk).stdout)
check("report", sum(kept["lines"] for kept in page["kept"]), NODE_LINES)

# The same from the sidecar, with a required output, so that a record is acknowledged once the brokers have
# it.
listed = ", ".join(f'"{broker}"' for broker in brokers.split(","))
(work / "serve.toml").write_text(
    f"""
[serve]
archive = "{work}/sidecar"
[serve.metrics]
listen = "none"
[[serve.input]]
type = "unix"
path = "{work}/in.sock"
[[serve.output]]
type = "kafka"
name = "fleet"
brokers = [{listed}]
topic = "logs.connection"
required = true
"""
)
sidecar = start(oubliette, "serve", "--config", str(work / "serve.toml"), *state, stderr=subprocess.PIPE)
deadline = time.monotonic() + 30
while not (work / "in.sock").exists():
    if sidecar.poll() is not None or time.monotonic() > deadline:
        sys.exit(f"serve does not listen: {sidecar.stderr.read()}")
    time.sleep(0.05)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(str(work / "in.sock"))
    connection.sendall("".join(line.replace("GET /", "GET /sidecar-") + "\n" for line in lines.splitlines()[:5_000]).encode())
arrived = collect("sidecar", 5_000)
check("sidecar to bucket: every line once", len({line for line in arrived if "/sidecar-" in line}), 5_000)
check("sidecar to bucket: nothing twice", len(arrived), NODE_LINES + 5_000)
check("sidecar to bucket: nothing in clear", sum("203.0.113." in line for line in arrived), 0)
sidecar.terminate()
check("sidecar to bucket: the sidecar's end", sidecar.wait(), 0)
cluster.stdin.close()
cluster.wait()

# Every record exactly once.
subprocess.run([exactly_once], check=True, env={**os.environ, "FLEET_BUCKET": "fleet"})
server.stop()
print("all good")
