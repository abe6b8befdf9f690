"""Stills: the few frames of a programme worth keeping as photographs, proposed for people to pick.

``look`` measures a frame, ``moments`` a stretch of them, ``judge`` says what is worth showing and
``choose`` picks a varied few: all pure. ``frames`` gets pictures out of registered footage,
``make`` puts it together, ``service`` and ``jobs`` promise and run it.
"""
