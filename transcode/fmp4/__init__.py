"""Fragmented MP4 (ISO/IEC 14496-12): reading FFmpeg's pipe and writing our own fragments."""
