"""Measurements: what Xitai costs and how quick it is, beside a peer or plain FFmpeg."""
