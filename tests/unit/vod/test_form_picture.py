"""A form's shapes and pixels: sizes, where a crop lands between pixels, layers, cuts of shots."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.dancer import Dance, pictures
from vod.forms.geometry import plan
from vod.forms.paint import Canvas, Showing, layer_of, paint
from vod.forms.path import follow
from vod.forms.sight import Cuts, Sight
from vod.forms.subject import Seen

T = 90_000


@pytest.mark.parametrize(
    ("source", "form", "out", "raw", "crop"),
    [
        ((1280, 720), "vertical", (720, 1280), (1280, 720), 405 / 1280),
        ((1920, 1080), "vertical", (1080, 1920), (1920, 1080), 607.5 / 1920),
        ((1920, 1080), "square", (1080, 1080), (1920, 1080), 1080 / 1920),
        ((3840, 2160), "vertical", (1080, 1920), (3412, 1920), 1080 / 3412),
        ((3840, 2160), "square", (1080, 1080), (1920, 1080), 1080 / 1920),
        ((640, 360), "square", (720, 720), (640, 360), 360 / 640),
        ((1024, 576), "vertical", (720, 1280), (1024, 576), 324 / 1024),
        # Shot upright already: a square is cut out of its height.
        ((720, 1280), "square", (720, 720), (720, 1280), 720 / 1280),
        ((720, 1280), "vertical", (720, 1280), (720, 1280), 1.0),
        ((720, 720), "square", (720, 720), (720, 720), 1.0),
    ],
)
def test_sizes(
    source: tuple[int, int], form: str, out: tuple[int, int], raw: tuple[int, int], crop: float
) -> None:
    made = plan(*source, form)
    assert (made.out, made.raw) == (out, raw)
    assert made.crop == pytest.approx(crop, abs=1e-3)
    for centre in (0.0, made.crop / 2, 0.5, 1.0):
        left, top = made.corner(centre)
        assert left >= -1e-9
        assert top >= -1e-9
        assert left + out[0] / made.scale <= raw[0] + 1e-6
        assert top + out[1] / made.scale <= raw[1] + 1e-6


def test_a_crop_lands_between_pixels_in_luma_and_colour() -> None:
    made = plan(640, 360, "vertical")
    x = np.arange(640, dtype=np.float64)[None].repeat(360, 0)
    luma = np.rint(40 + x / 4).astype(np.uint8)
    # Colour is sited with every second luma sample.
    chroma = np.rint(60 + np.arange(0, 640, 2)[None].repeat(180, 0) / 5).astype(np.uint8)
    raw = luma.tobytes() + chroma.tobytes() + chroma.tobytes()
    canvas = Canvas(made)
    width, height = made.out
    for centre in (0.5, 0.5 + 0.3 / 640, 0.61234):
        canvas.crop(raw, centre)
        flat = np.frombuffer(bytes(canvas.data), np.uint8)
        seen = flat[: width * height].reshape(height, width)
        colour = flat[width * height : width * height * 5 // 4].reshape(height // 2, width // 2)
        left = centre * 640 - width / made.scale / 2
        at = left + (np.arange(width) + 0.5) / made.scale - 0.5
        assert abs(float((seen.mean(axis=0) - (40 + at / 4)).mean())) < 0.06
        assert abs(float((colour.mean(axis=0) - (60 + at[::2] / 5)).mean())) < 0.06


def test_layers_come_and_go_and_leave_the_rest_alone() -> None:
    made = plan(640, 360, "square")
    width, height = made.out
    grey = bytes([100]) * (640 * 360) + bytes([128]) * (640 * 360 // 2)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[101:201, 51:151] = (255, 255, 255, 255)
    layer = layer_of(rgba, 0, 0)
    showing = Showing(layer, T, 3 * T, T // 2)
    canvas = Canvas(made)

    def luma(at: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        canvas.crop(grey, 0.5)
        paint(canvas, [showing], at)
        return np.frombuffer(bytes(canvas.data), np.uint8)[: width * height].reshape(height, width)

    assert set(np.unique(luma(T - 1))) == {100}
    assert set(np.unique(luma(3 * T))) == {100}
    full = luma(2 * T)
    assert full[101:201, 51:151].min() >= 234
    assert set(np.unique(np.delete(full, range(99, 203), axis=0))) == {100}
    half = luma(T + T // 4)[150, 100]
    assert 160 <= half <= 175
    # One that is there from the start is there in the first frame.
    assert Showing(layer, 0, T, T // 2).opacity(0) == 1


def small(frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> cv2.typing.MatLike:
    return cv2.resize(frame, (320, 180), interpolation=cv2.INTER_AREA)


def watched(dance: Dance) -> tuple[list[int], list[Seen], list[float], list[int]]:
    """(times, sightings, places, cuts) of a dance, as the shell would have them."""
    sight, cuts = Sight(), Cuts()
    times, seen, places = [], [], []
    for number, (picture, place) in enumerate(pictures(dance)):
        at = round(number * T / dance.fps)
        looked = np.asarray(small(picture), np.uint8)
        cuts.feed(looked)
        if cuts.maybe:
            sight.cut()
        if number % 3 == 0:
            seen += sight.look(looked, at)
        times.append(at)
        places.append(place)
    return times, seen, places, cuts.found()


@pytest.mark.parametrize(
    "dance",
    [
        Dance(seconds=10, hidden=(4, 5)),
        Dance(seconds=10, at=lambda t: 0.62, shake=6),
        Dance(seconds=10, at=lambda t: 0.3 if t < 4 else min(0.75, 0.3 + 0.15 * (t - 4))),
        Dance(seconds=10, second_shot=5, at=lambda t: 0.25 + 0.02 * t),
    ],
    ids=["hidden", "in-place", "sets-out", "two-cameras"],
)
def test_the_dancer_is_found_among_lamps_moths_and_unrest(dance: Dance) -> None:
    times, seen, places, cuts = watched(dance)
    assert cuts == ([125] if dance.second_shot else [])
    path = follow(times, cuts, seen, 405 / 1280)
    half, at = path.crop / 2, np.array(places)
    held = np.abs(at - path.centres) <= half - dance.body / 2
    assert held.mean() >= 0.95


def test_what_was_shot_upright_is_followed_up_and_down() -> None:
    """A square out of an upright film; the dancer climbs."""
    sight, seen, times, places = Sight(upright=True), [], [], []
    dance = Dance(seconds=6, at=lambda t: 0.3 + 0.07 * t, distractors=False)
    for number, (picture, place) in enumerate(pictures(dance)):
        turned = np.ascontiguousarray(np.rot90(small(np.asarray(picture, np.uint8)), 3))
        if number % 3 == 0:
            seen += sight.look(np.asarray(turned, np.uint8), number * 3600)
        times.append(number * 3600)
        places.append(place)
    path = follow(times, [], seen, 360 / 640)
    held = np.abs(np.array(places) - path.centres) <= path.crop / 2 - dance.body / 2
    assert held.mean() >= 0.95


def test_a_flash_and_a_change_of_light_are_no_cuts() -> None:
    cuts = Cuts()
    for number, (picture, _) in enumerate(pictures(Dance(seconds=4))):
        lit = picture.astype(np.float32)
        if number in (30, 31):
            lit = lit * 0.3 + 180
        if number >= 60:
            lit = lit * 0.45
        cuts.feed(np.asarray(small(np.clip(lit, 0, 255).astype(np.uint8)), np.uint8))
    assert cuts.found() == []
