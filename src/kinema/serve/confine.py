"""What Linux can take away from a process for good: programs, threads, sockets and files. Elsewhere nothing happens, and it says so."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable

# Source: linux/prctl.h, linux/seccomp.h, linux/audit.h, linux/bpf_common.h
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_LOAD, _JUMP_EQ, _JUMP_GE, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
# architecture -> its number in audit.h, and its system calls that start programs, processes and threads, open sockets or reach into others:
# socket, connect, clone, fork, vfork, execve, kill, ptrace, mount, unshare, keyctl, process_vm_*, perf_event_open, bpf, execveat,
# userfaultfd, io_uring_setup, clone3
_CALLS = {
    "x86_64": (0xC000003E, (41, 42, 56, 57, 58, 59, 62, 101, 165, 272, 250, 310, 311, 298, 321, 322, 323, 425, 435)),
    "aarch64": (0xC00000B7, (198, 203, 220, 221, 129, 117, 40, 97, 219, 270, 271, 241, 280, 281, 282, 425, 435)),
}
# Source: linux/landlock.h, version 1: execute, write, read a file, read a folder, remove and make things of all kinds
_LANDLOCK = {"create": 444, "add": 445, "restrict": 446}
_ALL_RIGHTS, _READ_FILE, _READ_FOLDER = (1 << 13) - 1, 1 << 2, 1 << 3


def refuse_calls() -> bool:
    """Whether this process, from now on, can start no program, process or thread, and open no socket."""
    arch, calls = _CALLS.get(platform.machine(), (0, ()))
    if sys.platform != "linux" or not calls or sys.maxsize < 2**32:
        return False

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    # the call's architecture and number are the second and the first word that a filter sees
    steps = [step(_LOAD, 4), step(_JUMP_EQ, arch, yes=1), step(_RETURN, _KILL), step(_LOAD, 0)]
    # numbers of a second table on the same processor (x32)
    steps += [step(_JUMP_GE, 0x40000000, no=1), step(_RETURN, _REFUSE)]
    for call in calls:
        steps += [step(_JUMP_EQ, call, no=1), step(_RETURN, _REFUSE)]
    steps.append(step(_RETURN, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(steps))
    program = ctypes.create_string_buffer(struct.pack("=H6xQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(_SET_SECCOMP, _FILTER, program, 0, 0) == 0


def refuse_files(*, but: Iterable[str]) -> bool:
    """Whether this process, from now on, can write no file, and read only those in ``but`` (files, and folders with all in them)."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = ctypes.create_string_buffer(struct.pack("=Q", _ALL_RIGHTS), 8)
    rules = libc.syscall(_LANDLOCK["create"], attributes, ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    for path in but:
        try:
            fd = os.open(path, os.O_PATH)
        except OSError:
            continue
        rights = _READ_FILE | _READ_FOLDER if os.path.isdir(path) else _READ_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd), 12)
        libc.syscall(_LANDLOCK["add"], rules, 1, rule, 0)
        os.close(fd)
    done = libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(_LANDLOCK["restrict"], rules, 0) == 0
    os.close(rules)
    return done
