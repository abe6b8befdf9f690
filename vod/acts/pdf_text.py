"""Prints the text of a PDF: a program of its own, run under limits, because a PDF somebody sends
may be made to take all time and memory there is.

    pdf_text.py FILE PAGES CHARACTERS

Exit codes: 0, the text as UTF-8 on stdout; 3 no PDF, or damaged; 4 locked by a password;
5 more pages than PAGES.
"""

from __future__ import annotations

import logging
import sys
import warnings

BROKEN, LOCKED, LONG = 3, 4, 5


def main(path: str, pages: int, characters: int) -> int:
    """Read the file and print."""
    from pypdf import PdfReader

    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        return LOCKED
    if len(reader.pages) > pages:
        return LONG
    left = characters
    for page in reader.pages:
        text = page.extract_text()[:left]
        sys.stdout.buffer.write((text + "\n").encode("utf-8", "replace"))
        left -= len(text)
    return 0


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")
    try:
        sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    except Exception:  # noqa: BLE001 - the outermost shell: whatever pypdf stumbles over is the file
        sys.exit(BROKEN)
