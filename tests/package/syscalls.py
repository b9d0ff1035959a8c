"""Prints the system calls of a trace that a unit would not allow. Usage: syscalls.py UNIT TRACE; the trace is one of `strace -f`.

Prints their names, or nothing.
"""

import re
import subprocess
import sys


def members(name):
    """The calls of a group such as @system-service, those of the groups in it included."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
    inside = [line.strip() for line in listed.splitlines()[1:]]
    return set().union(*(members(line) for line in inside if line and not line.startswith("#")))


def allowed(unit):
    """What the SystemCallFilter lines leave."""
    calls = members("@default")
    for line in open(unit):
        if line.startswith("SystemCallFilter="):
            value = line.strip().partition("=")[2]
            named = set().union(*(members(name) for name in value.lstrip("~").split()))
            calls = calls - named if value.startswith("~") else calls | named
    return calls


def main():
    unit, trace = sys.argv[1:]
    made = set(re.findall(r"^(?:\d+ +)?(\w+)\(", open(trace, errors="replace").read(), re.M))
    assert "read" in made and "sendto" in made, made
    print(*sorted(made - allowed(unit)))


if __name__ == "__main__":
    main()
