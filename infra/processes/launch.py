"""Starts one program so that it cannot outlive us, and not as root where it refuses to be.

A script of its own (``python -I -S launch.py …``), not a ``preexec_fn``: code between fork and
exec in a process that has threads may deadlock.

    launch.py [--userns UID] [--setuid UID:GID] PARENT_PID DEATH_SIGNAL -- PROGRAM [ARGUMENT…]

``--userns`` runs the program in a user namespace in which our own user is called UID: it is then
not root for its own checks, and yet owns our files, also under a home folder of mode 0700.
``--setuid`` becomes that user, for kernels that give no namespaces.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000


def _write(path: str, text: str) -> None:
    with open(path, "w") as f:
        f.write(text)


def enter_user_namespace(libc: ctypes.CDLL, uid: int) -> None:
    """Become ``uid`` in a new user namespace; files stay owned by who we were outside."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare(CLONE_NEWUSER): {os.strerror(code)}")
    # user_namespaces(7): one line of our own ids may be written without privilege, the group's
    # only after setgroups is denied.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {outer_uid} 1")
    _write("/proc/self/gid_map", f"{uid} {outer_gid} 1")


def main(argv: list[str]) -> None:
    split = argv.index("--")
    options, program = argv[:split], argv[split + 1 :]
    libc = ctypes.CDLL(None, use_errno=True)
    while options[0].startswith("--"):
        name, value = options[0], options[1]
        options = options[2:]
        if name == "--userns":
            enter_user_namespace(libc, int(value))
        elif name == "--setuid":
            uid, gid = (int(part) for part in value.split(":"))
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
    parent, death_signal = int(options[0]), int(options[1])
    # After the change of user, which clears it (prctl(2)).
    libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if parent and os.getppid() != parent:
        sys.exit(1)  # It died before the line above.
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
