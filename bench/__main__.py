"""`make bench`: every measurement, one after the other; a line that does not hold fails it all."""

from __future__ import annotations

import os
import subprocess
import sys
import time

STEPS: tuple[tuple[str, list[str], dict[str, str]], ...] = (
    ("RTMP core", ["-m", "bench.rtmp_core"], {}),
    ("ingest beside nginx-rtmp", ["-m", "bench.ingest"], {}),
    ("edge beside nginx", ["-m", "bench.edge"], {}),
    ("live latency in a browser", ["-m", "bench.latency"], {}),
    ("replay after 1 and 60 minutes", ["-m", "bench.replay"], {}),
    ("cost of a live minute beside FFmpeg", ["-m", "bench.cost"], {}),
    ("a ten-year return of forty centres", ["-m", "bench.returns"], {}),
    ("search in a million records", ["-m", "bench.search"], {}),
    ("a year's matrix of forty centres", ["-m", "bench.matrix"], {}),
    ("beacons a second, web killed -9", ["-m", "bench.beacons"], {}),
    ("smart cuts beside smartcut 1.7", ["-m", "bench.smartcut"], {}),
    ("the storyboard of two hours", ["-m", "bench.storyboard"], {}),
    ("acts of galas, two hours analysed", ["-m", "bench.acts"], {}),
    ("uploads in chunks beside one FFmpeg", ["-m", "bench.chunked"], {}),
    ("stills of reels with planted faults", ["-m", "bench.stills"], {}),
    (
        "ten minutes in which every part is killed",
        ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/faults/test_nothing_lost.py"],
        {"SOAK_SECONDS": "600"},
    ),
)


def main() -> int:
    failed = []
    for title, words, environment in STEPS:
        print(f"\n=== {title}", flush=True)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, *words], env={**os.environ, **environment}, check=False
        )
        print(f"    ({time.monotonic() - began:.0f} s)", flush=True)
        if done.returncode:
            failed.append(title)
    print("\nAll of it held." if not failed else f"\nDid not hold: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
