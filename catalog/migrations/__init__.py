"""Alembic migrations; written with `python -m catalog.revise`."""
