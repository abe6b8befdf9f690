"""What the pages of acts show: plain frozen data. Times are ticks where they may be changed,
milliseconds where they are only shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from api.pages.view import JobRow

Analysis = Literal["none", "running", "done", "failed"]


@dataclass(frozen=True)
class Head:
    """Which programme, and where its other pages are."""

    id: str
    title: str
    centre: str
    state: str
    back: str
    """The page it belongs to: a broadcast's screen, a work's page."""
    length_ms: int
    broadcast_id: str | None


@dataclass(frozen=True)
class ActRow:
    """An act as the plain form shows it."""

    id: str
    entry_id: str
    title: str
    start: str
    end: str
    sureness: str = ""
    because: str = ""
    clip_id: str | None = None
    clip_ready: bool = False


@dataclass(frozen=True)
class EntryRow:
    """A line of the programme list, in the form and on the watch page."""

    title: str
    genre: str = ""
    performers: str = ""
    about: str = ""
    length: str = ""
    id: str = ""


@dataclass(frozen=True)
class MarkRow:
    id: str
    label: str
    at_ms: int


@dataclass(frozen=True)
class ClipRow:
    """A clip of an act, with the job that makes it."""

    act_id: str
    number: int
    title: str
    clip_id: str
    ready: bool
    current: bool
    """It shows just what the act now is."""
    job: JobRow | None


@dataclass(frozen=True)
class AnalysisView:
    state: Analysis
    job: JobRow | None = None
    proposed: int = 0


@dataclass(frozen=True)
class ActsBrief:
    """How far a programme's acts are, for what is to be done tonight."""

    analysis: Analysis
    proposed: int
    confirmed: int
    entries: int


@dataclass(frozen=True)
class ActsView:
    """The timeline's page."""

    head: Head
    version: str
    acts: tuple[ActRow, ...]
    entries: tuple[EntryRow, ...]
    marks: tuple[MarkRow, ...]
    clips: tuple[ClipRow, ...]
    analysis: AnalysisView
    confirmed: bool
    """A person has saved the list as it is."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the script needs, as JSON."""


@dataclass(frozen=True)
class ListView:
    """The programme list's page."""

    head: Head
    version: str
    rows: tuple[EntryRow, ...]
    fresh: bool = False
    """The rows were read from what was pasted or sent, and are not saved yet."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """Row, from 1 → what is wrong with it."""
    left_out: tuple[str, ...] = ()
    """Lines of what was pasted or sent that were taken for no entry."""
    general: str = ""
    pasted: str = ""
    read_error: str = ""


@dataclass(frozen=True)
class MarksView:
    """The marks at the live desk."""

    programme_id: str
    marks: tuple[MarkRow, ...] = ()
    """The newest first."""
    entries: tuple[EntryRow, ...] = ()
    next_id: str = ""
    """The line whose turn it is: after the one marked last."""
    pressed: MarkRow | None = None
    error: str = ""
    may: bool = True
