"""A viewer: the real watch page in a real Chromium, and what is on its screen."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.support.media import COLUMNS, read_picture
from tests.support.pages_server import chromium_path

ARGUMENTS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--mute-audio",
]

# Big enough for twelve pixels a block of the frame counter.
_WIDTH, _HEIGHT = COLUMNS * 12, 180

# Kept in the page from its first moment: hls.js may be rebuilt, and violations come early.
_NOTES = """
(() => {
  window.notes = { fatal: [], errors: {}, csp: [], players: 0 };
  document.addEventListener('securitypolicyviolation', (e) =>
    window.notes.csp.push(`${e.violatedDirective} ${e.blockedURI}`));
  let known = null;
  setInterval(() => {
    const hls = window.xitaiPlayer?.hls;
    if (!hls || hls === known) return;
    known = hls;
    window.notes.players++;
    hls.on('hlsError', (_, data) => {
      const name = `${data.type} ${data.details}`;
      window.notes.errors[name] = (window.notes.errors[name] || 0) + 1;
      if (data.fatal) window.notes.fatal.push(name);
    });
  }, 20);
})();
"""

_SCREEN = f"""() => {{
  const video = window.xitaiPlayer.video;
  const canvas = document.createElement('canvas');
  canvas.width = {_WIDTH}; canvas.height = {_HEIGHT};
  const pen = canvas.getContext('2d', {{ willReadFrequently: true }});
  pen.drawImage(video, 0, 0, {_WIDTH}, {_HEIGHT});
  const pixels = pen.getImageData(0, 0, {_WIDTH}, {_HEIGHT}).data;
  let green = '';
  for (let i = 1; i < pixels.length; i += 4) green += String.fromCharCode(pixels[i]);
  return btoa(green);
}}"""

_REFUSED_FOR_NOW = re.compile(r"Failed to load resource.*\b503\b")


class Viewer:
    """One page. ``complaints``: what it wrote on its console as errors or threw."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.add_init_script(_NOTES)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def grave_complaints(self) -> list[str]:
        """Without the 503 of a blocking reload given up on while nothing came in."""
        return [text for text in self.complaints if not _REFUSED_FOR_NOW.search(text)]

    def notes(self) -> dict[str, Any]:
        """fatal, errors (of hls.js), csp (violations), players (how many hls.js were made)."""
        found: dict[str, Any] = self.page.evaluate("window.notes")
        return found

    def stats(self) -> dict[str, Any]:
        """The player's own figures."""
        found: dict[str, Any] = self.page.evaluate("window.xitaiPlayer.stats()")
        return found

    def number(self) -> int | None:
        """The frame number on the screen; None when there is none to read."""
        luma = np.frombuffer(base64.b64decode(self.page.evaluate(_SCREEN)), np.uint8)
        return read_picture(luma.reshape(_HEIGHT, _WIDTH))[0]

    def wait_number(self, low: int, high: int, seconds: float) -> float:
        """Wait for a frame of ``low`` ≤ number < ``high``; how many seconds it took."""
        began = time.monotonic()
        seen: int | None = None
        while time.monotonic() - began < seconds:
            seen = self.number()
            if seen is not None and low <= seen < high:
                return time.monotonic() - began
            self.page.wait_for_timeout(100)
        raise AssertionError(
            f"no frame of {low} to {high} within {seconds} s; on screen {seen}, "
            f"{self.stats()}, {self.notes()}, {self.complaints[-5:]}"
        )

    def until(self, expression: str, seconds: float = 10.0) -> float:
        """Wait for an expression to hold; how many seconds it took."""
        began = time.monotonic()
        while not self.page.evaluate(expression):
            assert time.monotonic() - began < seconds, (
                f"not within {seconds} s: {expression}; {self.notes()}, {self.complaints[-5:]}"
            )
            self.page.wait_for_timeout(100)
        return time.monotonic() - began

    def seek(self, seconds: float) -> None:
        """Go to a place and wait until its picture is on the screen."""
        self.page.evaluate(f"window.xitaiPlayer.video.currentTime = {seconds}")
        self.until("!window.xitaiPlayer.video.seeking", 15)
        self.page.wait_for_timeout(150)

    def position(self) -> float:
        return float(self.page.evaluate("window.xitaiPlayer.video.currentTime"))


@contextmanager
def chromium_browser() -> Iterator[Browser]:
    """A Chromium that plays with sound off and without a gesture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        browser.close()
