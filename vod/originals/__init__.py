"""Uploaded originals, read in a sandbox: their packet tables, and excerpts of them.

``confined`` runs ``reader`` as a program of its own; what the two share imports next to nothing,
for it is started for every chunk.
"""
