"""Where the job handlers live: the modules each worker imports so that they register."""

from __future__ import annotations

from typing import Final

HANDLER_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "worker-live": ("transcode.live.job",),
    "worker-work": ("vod.jobs",),
}
