"""What a worker keeps, and what a legal request reads of an archive in object storage; every answer is checked.

    target/tools/fleet/bin/python benches/fleet.py OUBLIETTE EXACTLY_ONCE [MB of the archive]

Both programs are built with the feature `kafka`; tests/fleet/run does that, and makes the environment of Python. Servers run on
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


def worker(cut_bytes):
    """Lines a second of one worker, and a second of its processor time: filter, compression, PUT. Its memory."""
    cluster = subprocess.Popen([exactly_once, "cluster", str(RECORDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    brokers = cluster.stdout.readline().strip()
    command = [
        oubliette, "archive", "--kafka", brokers, "--topic", "logs=connection", "--s3", f"s3://logs/worker-{cut_bytes}", "--cut-bytes", cut_bytes,
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
    sizes = [item["Size"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="logs", Prefix=f"worker-{cut_bytes}/")
             for item in page.get("Contents", [])]
    seconds = usage.ru_utime + usage.ru_stime
    print(f"worker: {RECORDS} lines, {len(told)} segments cut at {cut_bytes}, {sum(sizes) / 1e6:.1f} MB, the longest {max(sizes) / 1e6:.2f} MB")
    # Until the last cut by size; what is left is cut by age.
    full = [(when, lines) for when, lines in told if lines <= RECORDS * 9 // 10]
    if len(full) > 1:
        (begun, before), (ended, after) = full[0], full[-1]
        print(f"worker: {(after - before) / (ended - begun):,.0f} lines/s of wall time")
    print(
        f"worker: {RECORDS / seconds:,.0f} lines/s of processor time, {usage.ru_utime:.2f} s user, {usage.ru_stime:.2f} s system; "
        f"at most {usage.ru_maxrss / 1024:.0f} MiB resident"
    )


def address(client):
    """Of each client, spread as subscribers are: 200,000 of them in 65,536 networks."""
    place = client * 40503 % (1 << 24)
    return f"10.{place & 255}.{place >> 8 & 255}.{place >> 16}"


def generate(days, lines):
    """Access lines, 200,000 clients by a law like Zipf's, over as many days from 1 October on, at most 60."""
    return f"""BEGIN {{
        srand(7)
        for (n = 0; n < {lines}; n++) {{
            place = int(exp(rand() * log(200000))) * 40503 % 16777216
            second = int(n * {days} * 86400 / {lines})
            day = 1 + int(second / 86400); second %= 86400
            month = day > 31 ? "Nov" : "Oct"; if (day > 31) day -= 31
            printf "10.%d.%d.%d - - [%02d/%s/2026:%02d:%02d:%02d +0100] \\"GET /shop/%d/item-%d?session=%d HTTP/1.1\\" %d %d \\"-\\" \\"Mozilla/5.0 (X11; Linux x86_64) agent/%d\\"\\n",
                place % 256, place / 256 % 256, place / 65536, day, month, second / 3600, second / 60 % 60, second % 60,
                rand() * 1e6, rand() * 1e5, rand() * 1e9, rand() < 0.9 ? 200 : 404, rand() * 5e4, rand() * 40
        }}
    }}"""


def legal_request():
    """What is read for the lines of one address, on one day and on all; and where the bytes go."""
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
    # One line in 25,000, so that one frame in four has some; one in 250,000; and one in 1.8 million, a subscriber as most are.
    for client in (2_000, 20_000, 150_000):
        for period in (["--from", "2026-10-20", "--to", "2026-10-20"], []):
            Counting.requests = Counting.payload = 0
            begun = time.monotonic()
            done = subprocess.run(
                [oubliette, "replay", "--archive", "s3://logs/legal", "--ip", address(client), *period, "--json", *state],
                env=environment, capture_output=True, text=True, check=True,
            )
            seconds = time.monotonic() - begun
            told = map(json.loads, done.stderr.splitlines())
            found, counts = done.stdout.count("\n"), next(line for line in told if "frames_read" in line)
            if found == 0 and not period:
                sys.exit("legal request: nothing found")
            share = lambda part: part / total * 100
            print(
                f"legal request, client {client:,}, {'one day of ' if period else ''}{days} days: {lines} lines in {total / 1e6:,.0f} MB, {found} found, "
                f"{Counting.payload / 1e6:,.1f} MB read in {Counting.requests} requests, {share(Counting.payload):.2f} %: "
                f"{share(Counting.payload - counts['bytes_read']):.2f} % footers, {share(counts['bytes_read']):.2f} % in "
                f"{counts['frames_read']} of {counts['frames']} frames; {seconds:.1f} s"
            )
            if period:
                compare(address(client), found)


def compare(whose, found):
    """A whole pass over what the store has of the day, as another engine would make it, says how many there are."""
    token = subprocess.run([oubliette, "token", whose, *state], capture_output=True, text=True, check=True).stdout.strip()
    there = 0
    for item in s3.list_objects_v2(Bucket="logs", Prefix="legal/archive/expires=2027-10-21/")["Contents"]:
        s3.download_file("logs", item["Key"], str(work / "segment.zst"))
        there += int(subprocess.run(f"zstdcat {work}/segment.zst | grep -c {token}", shell=True, capture_output=True, text=True).stdout)
    if there != found:
        sys.exit(f"legal request: {found} found, {there} there")


print(f"date: {time.strftime('%Y-%m-%d')}; cores: {os.cpu_count()}; load before: {os.getloadavg()[0]:.1f}")
for cut in ("512KiB", "64MiB"):
    worker(cut)
if archive_mb:
    legal_request()
server.stop()
