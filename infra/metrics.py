"""Prometheus metrics of all parts. Labels are small fixed sets: never a key, token or title.

`xitai up` gives every part one folder (``PROMETHEUS_MULTIPROC_DIR``): each process writes its
numbers into a memory-mapped file there, and whoever serves /metrics adds them up, those of
processes that ended included. Without the variable a process knows its own numbers only.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from infra.settings import Settings

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

# --- ingest ----------------------------------------------------------------------------------

takes_open = Gauge("xitai_takes_open", "Takes being received", multiprocess_mode="livesum")
ingest_bytes = Counter("xitai_ingest_bytes", "Bytes received from encoders")
ingest_tags = Counter("xitai_ingest_tags", "FLV tags appended to feed logs", ["kind"])
"""kind: video, audio, data."""
publishes = Counter("xitai_publishes", "Publish attempts of encoders", ["outcome"])
"""outcome: accepted, bad_key, busy, disk_full, bad_input, timeout."""
readers_open = Gauge("xitai_feed_readers", "Open feed server readers", multiprocess_mode="livesum")
readers_dropped = Counter("xitai_feed_readers_dropped", "Feed readers that were too slow")

# --- live transcode --------------------------------------------------------------------------

segments_registered = Counter("xitai_segments_registered", "Segments registered", ["rendition"])
part_publish_delay = Histogram(
    "xitai_part_publish_delay_seconds",
    "From the arrival of a part's last frame to its place in the playlist",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10),
)
live_restarts = Counter(
    "xitai_live_job_restarts", "FFmpeg sessions of live jobs begun again", ["why"]
)
"""why: stalled, exited, slow, take, upgrade."""
live_jobs = Gauge("xitai_live_jobs", "Live jobs at work", multiprocess_mode="livesum")

# --- edge and web ----------------------------------------------------------------------------

edge_requests = Counter("xitai_edge_requests", "Requests to the HLS edge", ["kind", "status"])
"""kind: multivariant, playlist, init, part, segment, file, poster; status: 2xx, 3xx, 4xx, 5xx."""
edge_held = Gauge(
    "xitai_edge_held_requests", "Blocking reloads being held", multiprocess_mode="livesum"
)
edge_bytes = Counter("xitai_edge_bytes", "Bytes of media and playlists sent", ["kind"])
play_events = Counter("xitai_play_events", "Player beacons", ["kind"])
"""kind: view, start, heartbeat, pause, seek, rate, stall, end, refused."""
jobs = Gauge(
    "xitai_jobs",
    "Job rows, as of the last look",
    ["queue", "state"],
    multiprocess_mode="mostrecent",
)


def observe_jobs(counts: Mapping[tuple[str, str], int]) -> None:
    """Set the job gauge from rows counted per (queue, state)."""
    for (queue, state), count in counts.items():
        jobs.labels(queue=queue, state=state).set(count)


# --- where they are kept and served ----------------------------------------------------------


def metrics_folder(settings: Settings) -> Path:
    return settings.run_dir / "metrics"


def clear_metrics(settings: Settings) -> Path:
    """Start from zero, as counters do when an instance starts. Returns the empty folder."""
    folder = metrics_folder(settings)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def render() -> tuple[bytes, str]:
    """Body and content type of /metrics."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder is None:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    forget_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


_LIVE_GAUGE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


def forget_dead(folder: Path) -> None:
    """Remove "live" gauges of processes that ended: what they held is no longer held.

    Counters of the dead stay, or totals would go backwards.
    """
    for path in folder.glob("gauge_live*_*.db"):
        found = _LIVE_GAUGE.fullmatch(path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            path.unlink(missing_ok=True)
