"""What a picture's file says of itself: EXIF for cameras and phones, XMP for archives. Pure.

A JPEG is a chain of segments; these two stand right behind its first (JPEG: B.1.1.3; EXIF 2.32,
4.5.4; XMP, part 3, 1.1.3). They are put there without touching the picture.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

SOFTWARE: Final = "Xitai"
_START: Final = b"\xff\xd8"
_APP0, _APP1 = b"\xff\xe0", b"\xff\xe1"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_SEGMENT_MAX: Final = 0xFFFF - 2
_EXIF_IFD: Final = 0x8769
# EXIF 2.32, tables 4 and 7; XP… are Windows', the only ones there that know any script.
_DESCRIPTION, _SOFTWARE, _DATE, _ARTIST, _COPYRIGHT = 0x010E, 0x0131, 0x0132, 0x013B, 0x8298
_XP_TITLE, _XP_AUTHOR = 0x9C9B, 0x9C9D
_ORIGINAL, _DIGITIZED = 0x9003, 0x9004
_OFFSET, _OFFSET_ORIGINAL, _OFFSET_DIGITIZED = 0x9010, 0x9011, 0x9012
_SUBSEC, _SUBSEC_ORIGINAL = 0x9290, 0x9291


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What is told of a still."""

    title: str
    source: str
    """The programme it is of, by name."""
    address: str
    """Where that can be watched."""
    identifier: str
    """Of the programme."""
    creator: str
    """The centre whose it is."""
    at: dt.datetime | None
    """When the camera saw it; with its own offset from UTC."""


def with_facts(jpeg: bytes, facts: PictureFacts) -> bytes:
    """The same picture with these facts in it. Raises ValueError for what is no JPEG."""
    if not jpeg.startswith(_START):
        raise ValueError("no JPEG: it begins with another marker")
    told = _segment(exif_of(facts)) + _segment(_XMP + xmp_of(facts))
    at = len(_START)
    if jpeg[at : at + 2] == _APP0:
        # JFIF wants to be first; readers of EXIF do not mind it.
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg[:at] + told + jpeg[at:]


def _segment(data: bytes) -> bytes:
    if len(data) > _SEGMENT_MAX:
        raise ValueError(f"{len(data)} bytes in one segment, at most {_SEGMENT_MAX}")
    return _APP1 + (len(data) + 2).to_bytes(2, "big") + data


def exif_of(facts: PictureFacts) -> bytes:
    """The EXIF block, its header included."""
    # Not at the top: most of what imports this never writes a picture.
    from PIL import Image

    exif = Image.Exif()
    # As bytes: text would be taken for ASCII, and readers know UTF-8 when they see it.
    described = f"{facts.title} ({facts.source}) {facts.address}"
    exif[_DESCRIPTION] = described.encode()
    exif[_SOFTWARE] = SOFTWARE
    exif[_ARTIST] = exif[_COPYRIGHT] = facts.creator.encode()
    exif[_XP_TITLE] = _utf16(facts.title)
    exif[_XP_AUTHOR] = _utf16(facts.creator)
    if facts.at is not None:
        when, offset = facts.at.strftime("%Y:%m:%d %H:%M:%S"), _offset(facts.at)
        exif[_DATE] = when
        times = exif.get_ifd(_EXIF_IFD)
        times[_ORIGINAL] = times[_DIGITIZED] = when
        times[_OFFSET] = times[_OFFSET_ORIGINAL] = times[_OFFSET_DIGITIZED] = offset
        times[_SUBSEC] = times[_SUBSEC_ORIGINAL] = f"{facts.at.microsecond // 1000:03d}"
    return b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def _offset(at: dt.datetime) -> str:
    text = at.strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def xmp_of(facts: PictureFacts) -> bytes:
    """The XMP packet (RDF/XML)."""
    when = ""
    if facts.at is not None:
        stamp = facts.at.isoformat(timespec="milliseconds")
        when = (
            f"<xmp:CreateDate>{stamp}</xmp:CreateDate>"
            f"<photoshop:DateCreated>{stamp}</photoshop:DateCreated>"
        )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">'
        f"<dc:title>{_in_any(facts.title)}</dc:title>"
        f"<dc:creator><rdf:Seq><rdf:li>{escape(facts.creator)}</rdf:li></rdf:Seq></dc:creator>"
        f"<dc:rights>{_in_any(facts.creator)}</dc:rights>"
        f"<dc:source>{escape(facts.address)}</dc:source>"
        f"<dc:identifier>{escape(facts.identifier)}</dc:identifier>"
        f"<photoshop:Source>{escape(facts.source)}</photoshop:Source>"
        f"<photoshop:Credit>{escape(facts.creator)}</photoshop:Credit>"
        f"<xmp:CreatorTool>{SOFTWARE}</xmp:CreatorTool>{when}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def _in_any(text: str) -> str:
    return f'<rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt>'
