"""What a worker keeps, and what a legal request reads of an archive in object storage; every answer is checked.

    target/tools/fleet/bin/python benches/fleet.py OUBLIETTE EXACTLY_ONCE [MB of the archive]

Both programs are built with the feature `kafka`; tests/fleet does that, and makes the environment of Python. Servers run on
loopback: moto for S3, librdkafka's mock cluster for Kafka.
"""

import atexit
import http.client
import http.server
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
oubliette, exactly_once = sys.argv[1:3]
archive_mb = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
RECORDS = 3_000_000
work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
atexit.register(shutil.rmtree, work, True)
(work / "key").write_bytes(b"\7" * 32)
(work / "key").chmod(0o600)
state = ["--state-dir", str(work / "state"), "--key-file", str(work / "key")]
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ.update(
    AWS_ENDPOINT_URL=f"http://{host}:{port}", AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1",
    AWS_DEFAULT_REGION="us-east-1", AWS_ALLOW_HTTP="true",
)
s3 = boto3.client("s3")
s3.create_bucket(Bucket="logs")


class Counting(http.server.BaseHTTPRequestHandler):
    """Passes requests on and counts what comes back."""

    protocol_version = "HTTP/1.1"
    requests = payload = 0

    def pass_on(self):
        upstream = http.client.HTTPConnection(host, port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        # Signed for this address, and not checked by moto.
        upstream.request(self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))), headers)
        answer = upstream.getresponse()
        body = answer.read()
        Counting.requests += 1
        Counting.payload += len(body)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection") and (name.lower() != "content-length" or self.command == "HEAD"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = pass_on

    def log_message(self, *_):
        pass


def worker():
    """Lines a second of one worker, and a second of its processor time: filter, compression, PUT."""
    cluster = subprocess.Popen([exactly_once, "cluster", str(RECORDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    brokers = cluster.stdout.readline().strip()
    command = [
        oubliette, "archive", "--kafka", brokers, "--topic", "logs=connection", "--s3", "s3://logs/worker", "--cut-bytes", "512KiB",
        "--cut-after", "10s", *state,
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stored, told = 0, []
    for line in running.stdout:
        stored += json.loads(line)["lines"]
        told.append((time.monotonic(), stored))
        if stored >= RECORDS:
            break
    running.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(running.pid, 0)
    cluster.stdin.close()
    cluster.wait()
    if status != 0 or stored != RECORDS:
        sys.exit(f"worker: status {status}, {stored} lines of {RECORDS}")
    # Until the last cut by size; what is left is cut by age.
    full = [(when, lines) for when, lines in told if lines <= RECORDS * 9 // 10]
    (begun, before), (ended, after) = full[0], full[-1]
    seconds = usage.ru_utime + usage.ru_stime
    print(f"worker: {RECORDS} lines, {len(told)} segments")
    print(f"worker: {(after - before) / (ended - begun):,.0f} lines/s of wall time, {RECORDS / seconds:,.0f} lines/s of processor time")


def generate(days, lines):
    """Access lines, 200,000 clients by a law like Zipf's, over as many days from 1 October on, at most 60."""
    return f"""BEGIN {{
        srand(7)
        for (n = 0; n < {lines}; n++) {{
            client = int(exp(rand() * log(200000)))
            second = int(n * {days} * 86400 / {lines})
            day = 1 + int(second / 86400); second %= 86400
            month = day > 31 ? "Nov" : "Oct"; if (day > 31) day -= 31
            printf "198.%d.%d.%d - - [%02d/%s/2026:%02d:%02d:%02d +0100] \\"GET /shop/%d/item-%d?session=%d HTTP/1.1\\" %d %d \\"-\\" \\"Mozilla/5.0 (X11; Linux x86_64) agent/%d\\"\\n",
                18 + client % 2, client / 2 % 256, client / 512 % 256, day, month, second / 3600, second / 60 % 60, second % 60,
                rand() * 1e6, rand() * 1e5, rand() * 1e9, rand() < 0.9 ? 200 : 404, rand() * 5e4, rand() * 40
        }}
    }}"""


def legal_request():
    """What is read for the lines of one address on one day."""
    days, bytes_a_line = 60, 37
    lines = archive_mb * 1_000_000 // bytes_a_line
    source = subprocess.Popen(["awk", generate(days, lines)], stdout=subprocess.PIPE)
    command = [oubliette, "filter", "--archive", str(work / "srv"), "--backfill", "--now", "2026-11-30T12:00:00Z", "--sync", "none", *state]
    subprocess.run(command, stdin=source.stdout, check=True, stderr=subprocess.DEVNULL)
    source.wait()
    total = 0
    for path in sorted((work / "srv").rglob("*.log.zst")):
        with open(path, "rb") as segment:  # In one PUT, as a worker stores it.
            s3.put_object(Bucket="logs", Key=f"legal/{path.relative_to(work / 'srv')}", Body=segment)
        total += path.stat().st_size
        path.unlink()
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}"}
    # A client in the middle of the law: client 2,000 has about one line in 25,000.
    address = "198.18.232.3"
    for period in (["--from", "2026-10-20", "--to", "2026-10-20"], []):
        Counting.requests = Counting.payload = 0
        begun = time.monotonic()
        answer = subprocess.run(
            [oubliette, "replay", "--archive", "s3://logs/legal", "--ip", address, *period, *state],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout
        seconds = time.monotonic() - begun
        found = answer.count("\n")
        if found == 0:
            sys.exit("legal request: nothing found")
        share = Counting.payload / total * 100
        print(
            f"legal request, {'one day of ' if period else ''}{days} days: {lines} lines in {total / 1e6:,.0f} MB, {found} found, "
            f"{Counting.payload / 1e6:,.1f} MB read in {Counting.requests} requests, {share:.2f} %, {seconds:.1f} s"
        )
        # A whole pass over what the store has, as another engine would make it, says how many there are.
        if period:
            token = subprocess.run([oubliette, "token", address, *state], capture_output=True, text=True, check=True).stdout.strip()
            day = [item["Key"] for item in s3.list_objects_v2(Bucket="logs", Prefix="legal/archive/expires=2027-10-21/")["Contents"]]
            there = 0
            for key in day:
                s3.download_file("logs", key, str(work / "segment.zst"))
                there += int(subprocess.run(f"zstdcat {work}/segment.zst | grep -c {token}", shell=True, capture_output=True, text=True).stdout)
            if there != found:
                sys.exit(f"legal request: {found} found, {there} there")


print(f"date: {time.strftime('%Y-%m-%d')}; cores: {os.cpu_count()}; load before: {os.getloadavg()[0]:.1f}")
worker()
if archive_mb:
    legal_request()
server.stop()
