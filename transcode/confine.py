"""Confines itself, then becomes a program: limits, no network, few files, no way back up.

    confine.py [NAME=VALUE…] -- PROGRAM [ARGUMENT…]
    confine.py check

Run as a script with nothing but the standard library (see ``transcode.sandbox``). What a kernel or
a container does not allow is left out rather than refused: every measure stands on its own, and
``check`` says which of them hold, for ``xitai doctor``.

- The network: a network namespace of its own without any interface (as root, else inside a user
  namespace), and a seccomp filter under which no socket can be made at all, which also holds where
  namespaces are forbidden, and keeps it off the sockets of our own database in the file system.
- Files: Landlock (Linux 5.13): only named files are read, only named folders written in. What is
  written there are files and folders: a link would lead whoever reads it to any file of ours.
- Rights: no_new_privs; of root's capabilities those alone that let it open files; no signals.
- The environment: a program on footage is told its language and its folders, and no passwords.
- bubblewrap, where Landlock is missing and it is on PATH: the file system read-only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import signal
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

NICENESS: Final = 10
"""Work on footage can wait; what is on air cannot."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_LAST = 1, 2, 63

_LIMITS: Final = {
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "fsize": resource.RLIMIT_FSIZE,
    "nofile": resource.RLIMIT_NOFILE,
    "data": resource.RLIMIT_DATA,
}

# Landlock (uapi/linux/landlock.h); the syscalls have the same numbers everywhere.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READING: Final = _EXECUTE | _READ_FILE | _READ_DIR
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REMOVING: Final = 1 << 4 | 1 << 5
_TRUNCATE: Final = 1 << 14
_IOCTL_DEV: Final = 1 << 15
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_WRITING: Final = _WRITE_FILE | _TRUNCATE | _MAKE_DIR | _MAKE_REG | _REMOVING
"""No links, pipes, sockets or devices."""
# Rights known to ABI 1, 2, 3 … ; later ones add nothing to files.
_KNOWN: Final = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
_NET_ABI, _SCOPE_ABI = 4, 6

_SYSTEM: Final = (
    "/usr", "/lib", "/lib64", "/lib32", "/bin", "/opt", "/nix/store",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/alternatives",
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm",
    "/sys/devices/system", "/sys/fs/cgroup",
)  # fmt: skip
"""What programs need of the system they run on; no user's files, no settings, no keys."""

_ENVIRONMENT: Final = frozenset(
    ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS",
     "OPENBLAS_NUM_THREADS", "FONTCONFIG_FILE", "FONTCONFIG_PATH")
)  # fmt: skip
"""What a program is told of ours (and LC_…); the database's and the storage's passwords are not
among it."""

_FORBIDDEN: Final = {
    # socket, connect, accept, sendto, bind, listen, socketpair, accept4, ptrace, process_vm_readv,
    # process_vm_writev, bpf, perf_event_open, userfaultfd, io_uring_setup, keyctl, mount, setns,
    # add_key, request_key, kill, tkill, rt_sigqueueinfo, pidfd_send_signal, pidfd_open,
    # pidfd_getfd, linkat, symlinkat, mknodat, open_by_handle_at; x86: link, symlink, mknod
    "x86_64": (
        0xC000003E,
        (41, 42, 43, 44, 49, 50, 53, 288, 101, 310, 311, 321, 298, 323, 425, 250, 165, 308,
         248, 249, 62, 200, 129, 424, 434, 438, 265, 266, 259, 304, 86, 88, 133),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 203, 202, 206, 200, 201, 199, 242, 117, 270, 271, 280, 241, 282, 425, 219, 40, 268,
         217, 218, 129, 130, 138, 424, 434, 438, 37, 36, 33, 265),
    ),
}  # fmt: skip
"""Machine → (its audit number, syscalls that footage never needs)."""
_X32: Final = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def main(argv: list[str]) -> None:
    """Confine this process, then become the program."""
    if argv == ["check"]:
        sys.stdout.write(" ".join(_check()) + "\n")
        return
    split = argv.index("--")
    words = [word.partition("=")[::2] for word in argv[:split]]
    program = argv[split + 1 :]
    known = dict(words)
    reads = [value for name, value in words if name == "read"] if "reads" in known else None
    writes = [value for name, value in words if name == "write"] if "writes" in known else None
    wrapped = "wrapped" in known
    _forget_environment()
    confining = reads is not None or writes is not None
    if confining and not wrapped and not _landlock_abi() and (found := shutil.which("bwrap")):
        _become_wrapped(found, argv, writes)
    for name, kind in _LIMITS.items():
        if name in known:
            _limit(kind, int(known[name]))
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(NICENESS)
    _leave_network()
    # After the namespace: a change of credentials clears it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if not wrapped and os.getppid() != int(known["parent"]):
        sys.exit(1)  # It died before the line above.
    _drop_rights()
    _confine_files(reads, writes)
    _forbid_calls()
    os.execvp(program[0], program)


def harmless(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a program on footage is told."""
    return {
        name: value
        for name, value in environment.items()
        if name in _ENVIRONMENT or name.startswith("LC_")
    }


def _forget_environment() -> None:
    for name in os.environ.keys() - harmless(os.environ).keys():
        del os.environ[name]


def _limit(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (value, value))


def _become_wrapped(bwrap: str, argv: list[str], writes: list[str] | None) -> NoReturn:
    """Begin anew inside bubblewrap. Its own monitor is our parent's child then, and takes the
    program with it."""
    binds = [word for path in writes or () for word in ("--bind", path, path)]
    root = "--bind" if writes is None else "--ro-bind"
    os.execv(
        bwrap,
        [bwrap, "--die-with-parent", "--unshare-net", root, "/", "/", "--dev-bind", "/dev", "/dev",
         *binds, "--", sys.executable, "-I", "-S", __file__, "wrapped=", *argv],
    )  # fmt: skip


# --- the network -----------------------------------------------------------------------------


def _leave_network() -> bool:
    """An empty network namespace of our own; False where neither root nor a user may have one."""
    kinds = (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET)
    return any(int(_libc.unshare(kind)) == 0 for kind in kinds)


def _forbid_calls() -> bool:
    """A seccomp filter: the syscalls above answer EACCES, a foreign kind of syscall kills."""
    found = _FORBIDDEN.get(platform.machine())
    if found is None:
        return False
    audit, calls = found

    def op(code: int, jump_true: int, jump_false: int, value: int) -> bytes:
        return struct.pack("HBBI", code, jump_true, jump_false, value)

    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000 | 13
    last = len(calls) + 1  # lines from the first comparison to "refuse", less one
    code = [
        op(load, 0, 0, 4),  # seccomp_data.arch
        op(equal, 1, 0, audit),
        op(answer, 0, 0, kill),
        op(load, 0, 0, 0),  # seccomp_data.nr
        op(at_least, last, 0, _X32),
    ]
    code += [op(equal, last - 1 - place, 0, call) for place, call in enumerate(calls)]
    code += [op(answer, 0, 0, allow), op(answer, 0, 0, refuse)]
    lines = ctypes.create_string_buffer(b"".join(code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(lines))
    buffer = ctypes.create_string_buffer(program)
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(buffer), 0, 0) == 0)


# --- rights ----------------------------------------------------------------------------------


def _drop_rights() -> None:
    """Nothing that is started may gain rights; root keeps those over files alone."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        for capability in range(_CAP_LAST + 1):
            if capability not in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
                _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


# --- files -----------------------------------------------------------------------------------


def _landlock_abi() -> int:
    """The kernel's version of Landlock, 0 without it."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _RULESET_VERSION)))


def _confine_files(reads: list[str] | None, writes: list[str] | None) -> bool:
    """Landlock: of the file system what is named, and the system's own programs."""
    abi = _landlock_abi()
    if not abi:
        return False
    known = _KNOWN[min(abi, len(_KNOWN) - 1)]
    handled = (known & _READING if reads is not None else 0) | (
        known & ~_READING if writes is not None else 0
    )
    attributes = struct.pack("QQQ", handled, 3 if abi >= _NET_ABI else 0, 3)
    size = 24 if abi >= _SCOPE_ABI else 16 if abi >= _NET_ABI else 8
    if size == 8 and not handled:
        return False  # nothing asked for: an empty set of rules is an error
    rules = _libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if rules < 0:
        return False
    python = (sys.prefix, sys.base_prefix, os.path.dirname(sys.executable))
    _allow(rules, (*_SYSTEM, *python, *(reads or ())), handled & _READING)
    _allow(rules, writes or (), handled & (_READING | _WRITING))
    _allow(rules, ("/dev/null",), handled & _OF_FILES)
    return bool(_libc.syscall(_RESTRICT_SELF, rules, 0) == 0)


def _allow(rules: int, paths: Iterable[str], rights: int) -> None:
    for path in dict.fromkeys(paths):
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            kept = rights if os.path.isdir(path) else rights & _OF_FILES
            if kept:
                rule = struct.pack("=Qi", kept, fd)
                _libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)


# --- what holds ------------------------------------------------------------------------------


def _check() -> list[str]:
    """The names of the measures that hold here, tried on ourselves."""
    held = []
    if _leave_network():
        held.append("namespace")
    _drop_rights()
    if _landlock_abi() and _confine_files([], []) and _refused("/etc/passwd"):
        held.append("files")
    elif shutil.which("bwrap"):
        held.append("bwrap")
    if _forbid_calls() and _libc.socket(2, 1, 0) < 0:
        held.append("sockets")
    return held


def _refused(path: str) -> bool:
    try:
        with open(path, "rb"):
            return False
    except PermissionError:
        return True


if __name__ == "__main__":
    main(sys.argv[1:])
