"""HLS: the live head, the packager that cuts parts and segments, and the playlist writer."""
