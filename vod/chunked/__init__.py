"""An uploaded recording becomes a work: planned, transcoded in chunks by any worker, joined.

    begin ─▶ job "chunks" ─ scan, plan ─▶ jobs "chunk" × n ─▶ joined in order, as a prefix
                  ▲ waits, mirrors progress          │
                  └──────────── all joined ◀─────────┘ ─▶ poster, work ready, resources

The packets of the original are read once, without decoding them (``scan``). From that table alone
the plan (``plan``, pure) knows every picture, every segment and every chunk before anything is
encoded, so segment numbers and times are those of one run over the whole file. A chunk owns the
pictures shown in its time; it decodes from an earlier key frame. What a lost worker costs is one
chunk: nothing of it stands anywhere until its rows are written.

The original's own clock in interval rows is ``catalog.resources.timeline_of_upload(work id)``, in
ticks of 1/90 000 s from its first picture (of sound alone: its first sample): the same ticks as
on the work's air list.
"""

from vod.chunked.begin import begin
from vod.chunked.steer import cancel, part_lines, whole_of

__all__ = ["begin", "cancel", "part_lines", "whole_of"]
