"""FFmpeg as a worker: its arguments, its progress, its life."""
