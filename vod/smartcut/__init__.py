"""Smart cut: stretches of registered footage as one MP4, copied but for the groups of pictures at
the cuts.

One file has two faces. Read from its beginning it is a progressive MP4 with its index in front;
inside its ``mdat`` lie an init section and HLS segments, so that byte ranges of the same file are
the rendition. Nothing is written twice. docs/smart-cut.md tells the ideas.
"""

from __future__ import annotations

from vod.smartcut.cut import cut
from vod.smartcut.result import CutError, CutPiece, CutResult, Piece

__all__ = ["CutError", "CutPiece", "CutResult", "Piece", "cut"]
