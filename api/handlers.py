"""Where the job handlers live: the modules each worker imports so that they register; and which
of their jobs beat promises again and again."""

from __future__ import annotations

from typing import Final

from infra.queue import Periodic

HANDLER_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "worker-live": ("transcode.live.job",),
    "worker-work": (
        "vod.jobs",
        "vod.packages",
        "vod.chunked.jobs",
        "vod.acts.jobs",
        "vod.intake_jobs",
        "vod.forms.jobs",
        "vod.stills.jobs",
        "catalog.play_jobs",
        "catalog.search.job",
        "catalog.sharing.jobs",
        "catalog.returns.jobs",
    ),
}

PERIODIC: Final = (
    Periodic("settle", "catalog", every_seconds=60.0),
    Periodic("plays", "catalog", every_seconds=120.0),
    Periodic("search", "catalog", every_seconds=60.0),
    Periodic("webhooks", "catalog", every_seconds=60.0),
    Periodic("sharing", "catalog", every_seconds=3600.0),
    Periodic("packages", "catalog", every_seconds=3600.0),
    Periodic("uploads", "catalog", every_seconds=300.0),
)
