"""The HLS edge: playlists, parts and segments for viewers, before FastAPI and its middleware."""
