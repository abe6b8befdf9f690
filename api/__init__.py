"""The faces: command line, JSON API, pages, HLS edge."""
