"""Supervision: starts the parts in order, keeps them running, stops them, leaves nothing behind."""
