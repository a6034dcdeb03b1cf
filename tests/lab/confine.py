"""Runs a program under the system call filter of a systemd unit, as systemd would: `python -m tests.lab.confine UNIT PROGRAM...`.

The unit's groups are spelled out by systemd-analyze; what is not allowed gets EPERM (SystemCallErrorNumber=EPERM). x86-64 only.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

_HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM = 0x7FFF0000, 0x00050000 | 1
_AUDIT_ARCH_X86_64 = 0xC000003E


def expand(word: str) -> set[str]:
    """The system calls of a name or of a group such as @chown."""
    if not word.startswith("@"):
        return {word}
    argv = ["systemd-analyze", "syscall-filter", word]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    found: set[str] = set()
    for line in lines:
        if line.strip() and not line.strip().startswith("#"):
            found |= expand(line.strip())
    return found


def allowed_calls(unit: str) -> set[str]:
    """What a unit's SystemCallFilter lines leave, read in order; `@default` is always allowed."""
    allowed = expand("@default")
    for line in unit.splitlines():
        if line.startswith("SystemCallFilter="):
            value = line.partition("=")[2]
            calls = {call for word in value.lstrip("~").split() for call in expand(word)}
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def make_filter(names: set[str]) -> bytes:
    """The BPF program: an array of struct sock_filter."""
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", _HEADER.read_text()))
    code = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH_X86_64), (_RETURN, 0, 0, _EPERM), (_LOAD, 0, 0, 0)]
    for number in sorted(int(numbers[name]) for name in names if name in numbers):
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    code.append((_RETURN, 0, 0, _EPERM))
    return b"".join(struct.pack("HBBI", *item) for item in code)


def install(program: bytes) -> None:
    """Confine this process and all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    install(make_filter(allowed_calls(Path(sys.argv[1]).read_text())))
    os.execvp(sys.argv[2], sys.argv[2:])
