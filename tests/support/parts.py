"""Small real programs that stand for parts in tests of supervision."""

from __future__ import annotations

import sys
from pathlib import Path

from infra.processes.command import Command
from infra.processes.plan import PartSpec
from infra.processes.supervisor import Part

SERVE = """
import http.server, signal, subprocess, sys
name, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    def bye(*_):
        open(folder + "/order", "a").write(name + "\\n")
        sys.exit(0)
    signal.signal(signal.SIGTERM, bye)
if "with-child" in sys.argv:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    open(folder + "/grandchild", "w").write(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
open(folder + "/starts", "a").write(name + "\\n")
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def server_command(name: str, port: int, folder: Path, *words: str) -> Command:
    return Command(name, (sys.executable, "-c", SERVE, name, str(port), str(folder), *words))


def once(name: str, code: str, needs: tuple[str, ...] = ()) -> Part:
    """A part with one thing to do."""
    return Part(
        PartSpec(name, needs=needs),
        command=lambda _failures: Command(name, (sys.executable, "-c", code)),
        once=True,
    )
