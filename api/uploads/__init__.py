"""Resumable uploads (tus 1.0.0): our rules in front, tuspyserver's protocol behind, our disk below.

    request ─▶ gate (who, which row, which headers) ─▶ tuspyserver's routes ─▶ disk (bytes, offsets)

docs/uploads.md tells the whole way of a file; docs/adr/0007 why the library is wrapped like this.
"""
