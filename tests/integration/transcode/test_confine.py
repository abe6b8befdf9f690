"""What a confined program can still do: its work, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from transcode import sandbox_check
from transcode.sandbox import EVERYTHING, Limits, View, launcher, measures, view_of

_TRY = """
import os, socket, sys
def told(name, work):
    try:
        work()
        print(name, "yes")
    except OSError as error:
        print(name, error.__class__.__name__)
told("tcp", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2))
told("unix", lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[2]))
told("pair", lambda: socket.socketpair())
told("read", lambda: open(sys.argv[3]).read())
told("other", lambda: open(sys.argv[4]).read())
told("passwd", lambda: open("/etc/passwd").read())
told("write", lambda: open(sys.argv[5] + "/new", "w").write("x"))
told("elsewhere", lambda: open(sys.argv[6] + "/new", "w").write("x"))
told("kill", lambda: os.kill(os.getppid(), 0))
told("environment", lambda: open(f"/proc/{os.getppid()}/environ", "rb").read())
told("symlink", lambda: os.symlink(sys.argv[4], sys.argv[5] + "/link"))
told("link", lambda: os.link(sys.argv[3], sys.argv[5] + "/hard"))
told("pipe", lambda: os.mkfifo(sys.argv[5] + "/pipe"))
told("folder", lambda: os.makedirs(sys.argv[5] + "/a/b"))
told("rename", lambda: os.rename(sys.argv[5] + "/new", sys.argv[5] + "/named"))
print("names", ",".join(sorted(os.environ)))
status = open("/proc/self/status").read()
print("caps", next(l.split()[1] for l in status.splitlines() if l.startswith("CapEff")))
print("nnp", next(l.split()[1] for l in status.splitlines() if l.startswith("NoNewPrivs")))
"""


def held() -> set[str]:
    script = Path(sys.modules["transcode.sandbox"].__file__ or "").with_name("confine.py")
    said = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "check"], capture_output=True, text=True
    )
    return set(said.stdout.split())


def tried(folder: Path, view: View, bent: Path | None = None) -> dict[str, str]:
    """What the program could do. ``bent``: another script in the place of ours."""
    prefix = launcher(Limits(), view)
    if bent is not None:
        prefix[3] = str(bent)
    for name in ("mine", "out", "elsewhere"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "mine" / "file").write_text("mine")
    (folder / "other").write_text("somebody else's")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(str(folder / "sock"))
        unix.listen()
        done = subprocess.run(
            [*prefix, sys.executable, "-I", "-c", _TRY,
             str(tcp.getsockname()[1]), str(folder / "sock"), str(folder / "mine" / "file"),
             str(folder / "other"), str(folder / "out"), str(folder / "elsewhere")],
            capture_output=True, text=True, check=True,
            env={**os.environ, "XITAI_DATABASE_URL": "postgresql://x:secret@db", "LC_ALL": "C"},
        )  # fmt: skip
    return dict(line.split() for line in done.stdout.splitlines())


def test_no_network_for_anybody(tmp_path: Path) -> None:
    if "sockets" not in held():
        pytest.skip("this kernel filters no calls")
    told = tried(tmp_path, EVERYTHING)
    # Neither the network nor the sockets of our own database in the file system.
    assert {told[name] for name in ("tcp", "unix", "pair")} == {"PermissionError"}
    assert told["nnp"] == "1"
    assert told["read"] == told["write"] == told["other"] == "yes"
    # No signals to whoever runs as the same user.
    assert told["kill"] == "PermissionError"


def test_a_program_is_told_no_passwords(tmp_path: Path) -> None:
    names = set(tried(tmp_path, EVERYTHING)["names"].split(","))
    assert {"PATH", "LC_ALL"} <= names
    assert not {name for name in names if name.startswith("XITAI")}


@pytest.mark.parametrize("measure", ["sockets", "files"])
def test_what_it_leaves_behind_leads_nowhere(tmp_path: Path, measure: str) -> None:
    """We read what it wrote: through a link of its making that would be any file of ours. The
    calls are refused, and so are the kinds of files, each for itself."""
    if measure not in held():
        pytest.skip("this kernel has no such measure")
    script = Path(sys.modules["transcode.sandbox"].__file__ or "").with_name("confine.py")
    other = {"sockets": "_confine_files(reads, writes)", "files": "_forbid_calls()"}[measure]
    bent = tmp_path / "confine.py"
    bent.write_text(script.read_text().replace(f"    {other}\n", "", 1))
    view = EVERYTHING if measure == "sockets" else View(writes=(tmp_path / "out",))
    told = tried(tmp_path, view, bent)
    assert "yes" not in {told[name] for name in ("symlink", "link", "pipe")}
    assert {told[name] for name in ("write", "folder", "rename")} == {"yes"}


def test_one_file_in_and_one_folder_out(tmp_path: Path) -> None:
    if "files" not in held():
        pytest.skip("this kernel has no Landlock")
    view = View(reads=(tmp_path / "mine" / "file", Path(sys.prefix)), writes=(tmp_path / "out",))
    told = tried(tmp_path, view)
    assert told["read"] == told["write"] == "yes"
    for name in ("other", "passwd", "elsewhere", "environment"):
        assert told[name] == "PermissionError", name
    if os.geteuid() == 0:
        # Of root's rights those over files alone, and Landlock bounds these.
        assert int(told["caps"], 16) & ~0b110 == 0


def test_without_namespaces_it_still_has_no_network(tmp_path: Path) -> None:
    """As in a container that forbids them: the calls themselves are refused."""
    script = Path(sys.modules["transcode.sandbox"].__file__ or "").with_name("confine.py")
    code = script.read_text().replace("_libc.unshare(kind)", "-1")
    bent = tmp_path / "confine.py"
    bent.write_text(code)
    said = subprocess.run(
        [sys.executable, "-I", "-S", str(bent), "check"], capture_output=True, text=True, check=True
    )
    assert "namespace" not in said.stdout.split()
    assert "sockets" in said.stdout.split() or "sockets" not in held()


def test_bubblewrap_where_there_is_no_landlock(tmp_path: Path) -> None:
    """A stub stands for it: we begin anew inside, with the file system read-only but for ours."""
    script = Path(sys.modules["transcode.sandbox"].__file__ or "").with_name("confine.py")
    bent = tmp_path / "confine.py"
    bent.write_text(script.read_text().replace("_CREATE_RULESET, None", "-1, None"))
    stub = tmp_path / "bwrap"
    stub.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/said\n'
        'while [ "$1" != "--" ]; do shift; done; shift; exec "$@"\n'
    )
    stub.chmod(0o755)
    argv = launcher(Limits(), View(writes=(tmp_path,)))
    argv[argv.index(str(script))] = str(bent)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*argv, "echo", "done"], env={**os.environ, "PATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout == "done\n"
    said = (tmp_path / "said").read_text()
    assert "--unshare-net --ro-bind / /" in said
    assert f"--bind {tmp_path} {tmp_path}" in said


def test_what_ffmpeg_may_see_follows_from_its_command() -> None:
    argv = [
        "/opt/ffmpeg", "-i", "file:/in/a.mp4", "-i", "/in/b.mp4", "-filter_complex",
        "drawtext=fontfile=/etc/hostname:text=x,metadata=print:file=/stats/x.txt", "-f", "hls",
        "-hls_segment_filename", "/out/seg/%d.m4s", "file:/out/a.m3u8", "-f", "null", "/dev/null",
    ]  # fmt: skip
    open_view = view_of(argv)
    assert open_view.reads is None
    assert open_view.writes == (Path("/out"), Path("/out/seg"), Path("/stats"))
    closed = view_of(argv, [Path("/font.ttf")])
    assert closed.reads is not None
    assert {Path("/in/a.mp4"), Path("/in/b.mp4"), Path("/font.ttf")} <= set(closed.reads)
    assert Path("/in") not in closed.reads


def test_the_doctor_says_what_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def levels(*names: str) -> list[str]:
        monkeypatch.setattr(sandbox_check, "measures", lambda: frozenset(names))
        return [finding.level for finding in sandbox_check.sandbox_findings("zh")]

    assert levels("namespace", "sockets", "files") == ["ok"]
    assert levels("sockets", "bwrap") == ["ok"]
    assert levels("files") == levels("sockets") == ["weak"]
    assert levels() == ["weak", "weak"]
    assert measures() == held()
