"""A feed becomes registered segments: probe, ladder, FFmpeg, packager, live job."""
