"""Runs a command in a network of its own that has nothing but the loopback device: `python offline.py COMMAND ...`.

Linux only; needs root or unprivileged user namespaces. Exit code 77, and one line on stderr, if the kernel refuses.
What it does not do: it hides no files and no processes.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
REFUSED = 77


def enter_empty_network() -> None:
    """Moves this process (and what it starts) into a new network namespace and brings its loopback device up.

    Raises OSError if the kernel does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if flags & CLONE_NEWUSER:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags_now = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags_now | IFF_UP))


def main() -> int:
    if len(sys.argv) < 2:
        print("offline: no command given", file=sys.stderr)
        return 2
    try:
        enter_empty_network()
    except OSError as error:
        print(f"offline: the kernel refuses a network namespace: {error}", file=sys.stderr)
        return REFUSED
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
