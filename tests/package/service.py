"""Starts what ExecStart of a unit says, as its user, with a notification socket, as systemd would; sends it two lines and ends it.

Usage: service.py UNIT [TRACE]. Prints how it ended. Every wait has a deadline.
"""

import os
import pwd
import signal
import socket
import subprocess
import sys

PATIENCE_SECONDS = 60
# If there is a second argument, the system calls are written to that file.
TRACER = ["strace", "-f", "-qq", "-o", sys.argv[2]] if len(sys.argv) > 2 else []
LINE = b"<38>1 2026-11-26T10:00:00+01:00 web1 sshd 4242 - - Failed password for root from 203.0.113.7 port 57424 ssh2"
# systemd names the process that it watches, whose id is known only once it runs.
AS_THE_ONE_WATCHED = ["sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"]


def settings(path):
    """`Key=value` of a unit; the last one of a key counts."""
    with open(path) as unit:
        pairs = (line.rstrip("\n").split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
        return {key: value for key, value in pairs}


def notified(server, wanted):
    """Waits for a notification with the line `wanted`; the lines of all until then."""
    server.settimeout(PATIENCE_SECONDS)
    lines = []
    while wanted not in lines:
        lines += server.recv(4096).decode().splitlines()
    return lines


def main_process(pid):
    """The service itself: what a tracer, if there is one, has started."""
    if not TRACER:
        return pid
    return int(open(f"/proc/{pid}/task/{pid}/children").read().split()[0])


def main():
    unit = settings(sys.argv[1])
    owner = pwd.getpwnam(unit["User"])
    notify = "/run/notify"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if os.path.exists(notify):
        os.unlink(notify)
    server.bind(notify)
    os.chmod(notify, 0o666)
    watchdog = int(unit["WatchdogSec"].removesuffix("s"))
    # A tenth of what the unit says, so that two of them are seen soon.
    environment = {"NOTIFY_SOCKET": notify, "WATCHDOG_USEC": str(watchdog * 100_000), "PATH": "/usr/bin"}
    assert unit["Type"] == "notify", unit["Type"]
    service = subprocess.Popen(
        TRACER + AS_THE_ONE_WATCHED + unit["ExecStart"].split(),
        env=environment,
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        umask=int(unit["UMask"], 8),
        stderr=open("/run/service.log", "wb"),
    )
    try:
        notified(server, "READY=1")
        notified(server, "WATCHDOG=1")
        with socket.create_connection(("127.0.0.1", 5514)) as stream:
            stream.sendall(b"%d %s" % (len(LINE), LINE))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.sendto(LINE, ("127.0.0.1", 5514))
        notified(server, "WATCHDOG=1")
        os.kill(main_process(service.pid), signal.SIGHUP)
        reloading = notified(server, "READY=1")
        assert "RELOADING=1" in reloading, reloading
        os.kill(main_process(service.pid), signal.SIGTERM)
        notified(server, "STOPPING=1")
        print("ended with", service.wait(PATIENCE_SECONDS))
    except BaseException:
        service.kill()
        sys.stderr.write(open("/run/service.log").read())
        raise


if __name__ == "__main__":
    main()
