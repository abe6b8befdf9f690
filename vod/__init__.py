"""Segments become things to watch again: replay, compaction, clips."""
