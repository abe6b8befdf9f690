"""The rules of counting plays as numbers, and who is a known robot. Pure.

Sources: COUNTER R5 (double-click, robots, excessive use), and what grant reports count by.
"""

from __future__ import annotations

from functools import lru_cache

from crawlerdetect import CrawlerDetect

EFFECTIVE_MS = 3_000
"""An effective play is watched longer than this …"""
EFFECTIVE_BELOW_PERMILLE = 3_000
"""… at less than this speed."""
SAME_START_SECONDS = 30
"""Starts of one item by one viewer this close are one (COUNTER R5)."""
COMPLETE_PERMILLE = 900
"""A play that saw this much of the item saw it to the end."""

ACTS_A_MINUTE = 60
ACTS_A_DAY = 10_000
"""Viewing acts (page views and starts) of one client beyond these are excluded. A client is who
sent a viewer's id; without one, an address with a browser in an hour."""
CROWD_ACTS_A_MINUTE = 600
"""So many acts come from one address and browser at most, whatever ids they carry: a hall of
phones behind one address stays below, a script that makes up an id for every play does not."""

PRESENT_SECONDS = 30
"""A viewer is watching now if heard of within this time (three heartbeats)."""
SILENCE_SECONDS = 600
"""A player not heard of for longer than this was not watching in between."""

LATE_MAX_MS = 24 * 3_600_000
"""An event kept back longer than this (a phone without network) is dated this much back."""

EXCLUSIONS = ("robot", "rate", "double_click")
"""Why something does not count; kept and shown beside what does."""

_AGENTS_KNOWN = 4_096

_detect = CrawlerDetect()


@lru_cache(maxsize=_AGENTS_KNOWN)
def is_robot(user_agent: str) -> bool:
    """Whether a user agent is on the list of known crawlers and scripts.

    A browser without a window is a browser: what drives it says its own name, or nobody knows,
    and then the rates tell.
    """
    return bool(_detect.is_crawler(user_agent.replace("HeadlessChrome/", "Chrome/")))
