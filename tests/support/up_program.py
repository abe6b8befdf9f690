"""`xitai up` with the real embedded servers and small stand-ins for the other parts.

    python -m tests.support.up_program FOLDER [WORD…]

Words: `stubborn` (one part ignores SIGTERM), `hopeless` (one part never starts), `with-child`
(one part has a child in a session of its own).
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.instance import split_address
from infra.processes.checks import http_ok
from infra.processes.command import Command
from infra.processes.plan import PartSpec
from infra.processes.supervisor import Part
from infra.processes.up import embedded_names, run_up
from infra.settings import Settings
from tests.support.parts import once, server_command


def main(folder: Path, words: list[str]) -> int:
    def make_parts(settings: Settings) -> list[Part]:
        servers = embedded_names(settings)

        def server(name: str, address: str, stage: int, *more: str) -> Part:
            port = split_address(address)[1]
            return Part(
                PartSpec(name, needs=("migrate",), stop_stage=stage, stop_seconds=1.0),
                command=lambda _failures: server_command(name, port, folder, *more),
                is_ready=http_ok(address),
            )

        parts = [
            once("migrate", "print('migrating')", needs=servers),
            server("ingest", settings.ingest_http, 0, *words),
            server("web", settings.http, 1),
        ]
        if "hopeless" in words:
            spec = PartSpec("hopeless")
            command = Command("hopeless", (sys.executable, "-c", "raise SystemExit('no luck')"))
            parts.append(Part(spec, lambda _failures: command, is_ready=lambda: False))
        return parts

    settings = Settings(data=folder / "data", http="127.0.0.1:0", rtmp="127.0.0.1:0")
    return run_up(settings, make_parts=make_parts, greeting=lambda _settings: "a greeting")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
