"""OAI-PMH 2.0 over the catalogue's shared records, on the `oaipmh` library's server.

What is given out: records whose licence says 全国 or 公开 (catalog.sharing.licences), once they
are published. One that was given out and is not any more (withdrawn, reopened for review, licence
narrowed or ended) stays in the lists as a deleted record, for good.

Lists go by (datestamp, id) and a resumption token names the last one given, so it needs no memory
here, and a record that changes meanwhile moves to the end of the list instead of being missed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from oaipmh import common, error, server
from oaipmh.datestamp import DatestampError
from oaipmh.metadata import MetadataRegistry
from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import Session

from catalog.centres import centres_within
from catalog.clock import china_date
from catalog.models import RESOURCE_KINDS, Centre, Genre, Resource
from catalog.records.dublin_core import dublin_core
from catalog.records.kinds import KINDS
from catalog.sharing.licences import shareable, shared_once

BATCH: Final = 100
"""Records in one answer."""
ARGUMENT_MAX: Final = 500
PREFIX: Final = "oai_dc"
FORMAT: Final = (
    PREFIX,
    "http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
    "http://www.openarchives.org/OAI/2.0/oai_dc/",
)
VERBS: Final = (
    "GetRecord", "Identify", "ListIdentifiers", "ListMetadataFormats", "ListRecords", "ListSets",
)  # fmt: skip
"""The library knows one verb more, which the protocol does not."""

Shared = Select[Resource, Centre, str]
"""Rows of what is given out: record, its centre, the name of its 门类 (or None)."""

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_AFTER: Final = re.compile(r"(-?\d{1,17})\.([0-9a-zA-Z]{1,32})")
_IN_A_TOKEN: Final = frozenset({"metadataPrefix", "set", "from_", "until", "after"})
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_SECOND: Final = dt.timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Repository:
    """What the repository says of itself."""

    name: str
    base_url: str
    """Of the pages; the protocol's own address is ``/oai`` below it."""
    namespace: str
    """Domain name in the records' identifiers: oai:NAMESPACE:id."""
    email: str

    @property
    def url(self) -> str:
        return f"{self.base_url}/oai"


def answer(
    session: Session,
    repository: Repository,
    arguments: Sequence[tuple[str, str]],
    now: dt.datetime,
) -> bytes:
    """The XML answer to one request, errors of the protocol included."""
    harvest = _Harvest(session, repository, china_date(now))
    given: bytes = _Server(harvest).answer(arguments)
    return given


class _Server(server.ServerBase):  # type: ignore[misc]
    """The library's server, stricter where the protocol is. One for each request."""

    def __init__(self, harvest: _Harvest) -> None:
        registry = MetadataRegistry()
        registry.registerWriter(PREFIX, server.oai_dc_writer)
        super().__init__(harvest, registry)
        self._asked: dict[str, str] = {}

    def answer(self, arguments: Sequence[tuple[str, str]]) -> Any:
        asked = dict(arguments)
        if len(asked) != len(arguments):
            return self._refusal(error.BadArgumentError("An argument was repeated."))
        if any(len(v) > ARGUMENT_MAX or _NOT_XML.search(k + v) for k, v in arguments):
            return self._refusal(error.BadArgumentError("An argument is too long or no text."))
        if asked.get("verb") not in VERBS:
            return self._refusal(error.BadVerbError("The verb is missing or unknown."))
        self._asked = asked
        return self.handleRequest(dict(asked))

    def handleException(self, kw: Mapping[str, Any], exc_info: Any) -> Any:
        found = exc_info[1]
        if isinstance(found, DatestampError):
            found = error.BadResumptionTokenError("The resumption token is not one of ours.")
        if isinstance(found, error.ErrorBase):
            return self._refusal(found)
        raise found

    def _refusal(self, why: Exception) -> Any:
        """The library leaves out what was asked; the protocol wants it back, except where the
        request itself was bad (section 3.2)."""
        tree = self._tree_server.handleException(why)
        if not isinstance(why, (error.BadVerbError, error.BadArgumentError)):
            request = tree.getroot().find(server.nsoai("request"))
            for name, value in self._asked.items():
                request.set(name, value)
        return server.etree.tostring(
            tree.getroot(), encoding="UTF-8", xml_declaration=True, pretty_print=True
        )


class _Harvest(common.ResumptionOAIPMH):  # type: ignore[misc]
    """What the library asks of a repository: rows as headers and records."""

    def __init__(self, session: Session, repository: Repository, today: dt.date) -> None:
        self._session = session
        self._repository = repository
        self._today = today
        self._paths: dict[str, list[str]] = {}

    # --- the verbs ---------------------------------------------------------------------------

    def identify(self) -> Any:
        earliest = self._session.scalar(select(func.min(Resource.changed_at)).where(shared_once()))
        return common.Identify(
            repositoryName=_text(self._repository.name),
            baseURL=self._repository.url,
            protocolVersion="2.0",
            adminEmails=[self._repository.email],
            earliestDatestamp=_naive(earliest or _EPOCH),
            deletedRecord="persistent",
            granularity="YYYY-MM-DDThh:mm:ssZ",
            compression=["identity"],
            toolkit_description=False,
        )

    def listMetadataFormats(self, identifier: str | None = None) -> list[tuple[str, str, str]]:
        if identifier is not None:
            self._row(identifier)
        return [FORMAT]

    def listSets(self, resumptionToken: str | None = None) -> tuple[list[Any], None]:
        if resumptionToken is not None:
            raise error.BadResumptionTokenError("The list of sets is given whole.")
        sets = [("centre", "文化馆"), ("kind", "种类")]
        sets += [
            (f"centre:{centre.id}", centre.name) for centre in centres_within(self._session, None)
        ]
        sets += [(f"kind:{kind}", KINDS[kind]) for kind in RESOURCE_KINDS]
        return [(spec, _text(name), None) for spec, name in sets], None

    def getRecord(self, metadataPrefix: str, identifier: str) -> tuple[Any, Any, None]:
        row = self._row(identifier)
        _check_prefix(metadataPrefix)
        return self._record(*row)

    def listIdentifiers(self, **asked: Any) -> tuple[list[Any], str | None]:
        rows, token = self._page(asked)
        return [self._header(resource, centre) for resource, centre, _ in rows], token

    def listRecords(self, **asked: Any) -> tuple[list[Any], str | None]:
        rows, token = self._page(asked)
        return [self._record(*row) for row in rows], token

    # --- rows --------------------------------------------------------------------------------

    def _page(self, asked: dict[str, Any]) -> tuple[list[Any], str | None]:
        """One batch, and the token of the next; an empty one ends a list of several batches."""
        wish, given, after = _wish(asked)
        _check_prefix(wish.get("metadataPrefix"))
        query = _shared()
        if (wanted := wish.get("set")) is not None:
            query = self._in_set(query, wanted)
        query = _between(query, wish.get("from_"), wish.get("until"))
        if after is not None:
            query = query.where(tuple_(Resource.changed_at, Resource.id) > after)
        query = query.order_by(Resource.changed_at, Resource.id).limit(BATCH + 1)
        rows: list[Any] = [tuple(row) for row in self._session.execute(query)]
        if after is not None and not rows:
            # All that were left have changed meanwhile: they come with the next harvest.
            raise error.BadResumptionTokenError("Nothing is left of this list.")
        if len(rows) <= BATCH:
            return rows, ("" if after is not None else None)
        last = rows[BATCH - 1][0]
        micros = (last.changed_at - _EPOCH) // _MICROSECOND
        resume = {**wish, "after": f"{micros}.{last.id}"}
        return rows[:BATCH], server.encodeResumptionToken(resume, given + BATCH)

    def _in_set(self, query: Shared, wanted: str) -> Shared:
        family, _, key = wanted.partition(":")
        if wanted in ("centre", "kind"):
            return query
        if family == "kind" and key in RESOURCE_KINDS:
            return query.where(Resource.kind == key)
        centre = self._session.get(Centre, key) if family == "centre" else None
        if centre is None:
            raise error.NoRecordsMatchError("There is no such set.")
        return query.where(Centre.path.startswith(centre.path, autoescape=True))

    def _row(self, identifier: str) -> tuple[Resource, Centre, str | None]:
        start = f"oai:{self._repository.namespace}:"
        row = None
        if identifier.startswith(start):
            key = identifier.removeprefix(start)
            row = self._session.execute(_shared().where(Resource.id == key)).one_or_none()
        if row is None:
            raise error.IdDoesNotExistError("There is no such record.")
        return row[0], row[1], row[2]

    def _record(self, resource: Resource, centre: Centre, genre: str | None) -> tuple[Any, ...]:
        header = self._header(resource, centre)
        if header.isDeleted():
            return header, None, None
        values = dublin_core(resource, centre, self._repository.base_url, genre=genre or "")
        clean = {name: [_text(value) for value in found] for name, found in values.items()}
        return header, common.Metadata(None, clean), None

    def _header(self, resource: Resource, centre: Centre) -> Any:
        return common.Header(
            None,
            f"oai:{self._repository.namespace}:{resource.id}",
            _naive(resource.changed_at),
            # Of a county's record also the prefecture's set and the province's: their subtrees.
            [*(f"centre:{key}" for key in centre.path.split("/") if key), f"kind:{resource.kind}"],
            not shareable(resource, self._today),
        )


def _shared() -> Shared:
    return (
        select(Resource, Centre, Genre.name)
        .join(Centre, Centre.id == Resource.centre_id)
        .outerjoin(Genre, Genre.id == Resource.genre_id)
        .where(shared_once())
    )


def _between(query: Shared, since: dt.datetime | None, until: dt.datetime | None) -> Shared:
    """Both ends belong to it, to the second, as datestamps are given."""
    if since is not None and until is not None and since > until:
        raise error.BadArgumentError("The argument from is later than until.")
    if since is not None:
        query = query.where(Resource.changed_at >= since.replace(tzinfo=dt.UTC))
    if until is not None and until.year < dt.MAXYEAR:  # by that year they mean: for ever
        query = query.where(Resource.changed_at < until.replace(tzinfo=dt.UTC) + _SECOND)
    return query


def _wish(asked: dict[str, Any]) -> tuple[dict[str, Any], int, tuple[dt.datetime, str] | None]:
    """What a list is asked for, how many of it were given already, and the last one of them."""
    token = asked.get("resumptionToken")
    if token is None:
        return asked, 0, None
    wish, given = server.decodeResumptionToken(token)
    last = _AFTER.fullmatch(str(wish.pop("after", "")))
    if last is None or given < 0 or set(wish) - _IN_A_TOKEN:
        raise error.BadResumptionTokenError("The resumption token is not one of ours.")
    try:
        at = _EPOCH + int(last[1]) * _MICROSECOND
    except OverflowError:
        raise error.BadResumptionTokenError("The resumption token is not one of ours.") from None
    return wish, given, (at, last[2])


def _check_prefix(prefix: str | None) -> None:
    if prefix != PREFIX:
        raise error.CannotDisseminateFormatError(f"Only {PREFIX} is given out.")


def _naive(at: dt.datetime) -> dt.datetime:
    """In UTC without saying so, as the library wants its times."""
    return at.astimezone(dt.UTC).replace(tzinfo=None)


def _text(value: str) -> str:
    """Text that XML can carry: one wrong character would spoil a whole harvest."""
    return _NOT_XML.sub("", value)
