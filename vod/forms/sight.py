"""What moves and stands out in small pictures of a shot, and where the shots are cut. No I/O.

A picture is (rows, columns, BGR) of bytes, a few hundred columns wide. Three cues are laid over
each other: motion against the camera's own (dense optical flow less a similarity transform of the
background), the colours that have been seen moving (so that a dancer who stands still is not lost),
and spectral-residual saliency. OpenCV's wheel ships neither face nor person models, and we load
none: a cue that needs one is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vod.forms.subject import Seen

SMALL_WIDTH: Final = 320
"""Columns of the pictures looked at."""
LOOKS_A_SECOND: Final = 8

Picture = NDArray[np.uint8]
Map = NDArray[np.float32]

# --- cuts ------------------------------------------------------------------------------------

_THUMB: Final = (48, 27)
_CUT_STEP: Final = 10.0
"""Grey levels that thumbnails of two shots differ by, at least …"""
_CUT_OVER_USUAL: Final = 3.0
"""… and so many times what they usually do around there."""
_CUT_LIKENESS: Final = 0.6
"""Correlation above which it is the same picture in another light."""
_USUAL_FRAMES: Final = 12


class Cuts:
    """Finds the frames that begin a shot. A flash or a change of the light is none."""

    def __init__(self) -> None:
        self._last: Map | None = None
        self._steps: list[float] = []
        self._likeness: list[float] = []

    def feed(self, picture: Picture) -> None:
        """The next frame of all."""
        thumb = cv2.resize(picture, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        step, likeness = 0.0, 1.0
        if self._last is not None:
            step = float(np.abs(thumb - self._last).mean())
            likeness = _correlation(thumb, self._last)
        self._last = thumb
        self._steps.append(step)
        self._likeness.append(likeness)

    @property
    def maybe(self) -> bool:
        """Whether the last frame looks like another shot than the one before, by itself."""
        return self._steps[-1] >= _CUT_STEP and self._likeness[-1] <= _CUT_LIKENESS

    def found(self) -> list[int]:
        """Indices of first frames of shots but the first one's."""
        steps = np.array(self._steps)
        cuts = []
        for index in np.flatnonzero(steps >= _CUT_STEP):
            if self._likeness[index] > _CUT_LIKENESS:
                continue
            near = [*steps[max(0, index - 2) : index], *steps[index + 1 : index + 3]]
            around = [
                *steps[max(0, index - _USUAL_FRAMES) : index],
                *steps[index + 1 : index + 1 + _USUAL_FRAMES],
            ]
            usual = float(np.median(around)) if around else 0.0
            single = steps[index] >= 2 * max(near, default=0.0)
            if single and steps[index] >= _CUT_STEP + _CUT_OVER_USUAL * usual:
                cuts.append(int(index))
        return cuts


def _correlation(one: Map, other: Map) -> float:
    a, b = one - one.mean(), other - other.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / power if power > 1e-6 else 1.0


# --- sightings -------------------------------------------------------------------------------

_STILL: Final = 0.35
"""Motion below this is the estimate's own error. Columns of a 320 wide picture, per look."""
_FULL_MOTION: Final = 2.5
_NOISE: Final = 7.0
"""Grey levels that a camera's noise and a coarse encoder make out of nothing."""
_UNCHANGED: Final = 3
_DRIFT: Final = 0.4
_LAID_OVER: Final = 0.9
_COLOUR_BINS: Final = 12
_COLOUR_KEPT: Final = 0.97
"""Of what is known of colours, so much is left at the next look: half is gone in 3 s."""
_SURE_COLOUR: Final = 5.0
"""Powers of two by which a colour has to be likelier to count in full."""
_COLOUR_WEIGHT: Final = 0.6
_SALIENCY_WEIGHT: Final = 0.12
_TOP, _BOTTOM, _RIM_WEIGHT = 0.07, 0.08, 0.3
_BLUR: Final = 0.018
"""Of the picture's width: standard deviation that joins a body's parts."""
_PEAK_SHARE: Final = 0.3
"""A blob ends where importance falls to this share of its highest."""
_LEAST_AREA: Final = 0.0015
_BODY_AREA: Final = 0.02
"""Of the picture: from here on a blob is large enough to be somebody."""
_EDGE_DOUBT: Final = 0.3
"""How much less a blob at the picture's very edge is believed."""
_TURNED: Final = 0.12
"""Where the camera's own motion explains less than this share of points, nothing is certain."""


@dataclass(frozen=True, slots=True)
class _Blob:
    centre: float
    width: float
    confidence: float


class Sight:
    """Looks at pictures of one film in order; :meth:`cut` forgets what was seen before."""

    def __init__(self, upright: bool = False) -> None:
        self._upright = upright
        """The crop moves up and down, not sideways."""
        self._last: Picture | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._moving = np.zeros((_COLOUR_BINS,) * 3, np.float32)
        self._resting = np.zeros((_COLOUR_BINS,) * 3, np.float32)

    def cut(self) -> None:
        """What comes next is another shot."""
        self._last = None
        self._moving[:] = 0
        self._resting[:] = 0

    def look(self, picture: Picture, at: int) -> list[Seen]:
        """What may be the subject in the picture shown at ``at`` (ticks)."""
        saliency = spectral_residual(picture)
        motion = None if self._last is None else self._motion(self._last, picture)
        self._last = picture
        importance = _SALIENCY_WEIGHT * saliency
        if motion is not None:
            importance = importance + motion + _COLOUR_WEIGHT * self._colour(picture, motion)
        importance = importance * _by_row(len(picture))
        smooth = cv2.GaussianBlur(importance, (0, 0), _BLUR * picture.shape[1])
        if self._upright:
            smooth = np.ascontiguousarray(smooth.T)
        return [
            Seen(at, blob.centre, blob.width, blob.confidence)
            for blob in _blobs(np.asarray(smooth, np.float32), known=motion is not None)
        ]

    def _motion(self, before: Picture, now: Picture) -> Map:
        """Motion against the background's from 0 to 1, where things are now."""
        # From now to before, so that what moved is found where it is and not where it was.
        grey, past = _grey(now), _grey(before)
        camera = _camera(grey, past)
        flow = self._flow.calc(grey, past, np.zeros((*grey.shape, 2), np.float32))
        rows, columns = grey.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        back_x = (camera[0, 0] * x + camera[0, 1] * y + camera[0, 2]).astype(np.float32)
        back_y = (camera[1, 0] * x + camera[1, 1] * y + camera[1, 2]).astype(np.float32)
        pace = np.hypot(flow[..., 0] - (back_x - x), flow[..., 1] - (back_y - y))
        # What is left over everywhere is the camera's, badly told.
        pace = (pace - np.median(pace)) * (SMALL_WIDTH / columns)
        moved = np.clip((pace - _STILL) / (_FULL_MOTION - _STILL), 0, 1)
        # Thin limbs swing further than flow can follow: there, the picture itself is another.
        there = cv2.remap(before, back_x, back_y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
        changed = _change(np.asarray(there, np.uint8), now)
        # A logo laid over a moving picture stands still on it: it is no part of the stage.
        fixed = cv2.absdiff(before, now).max(axis=2) < _UNCHANGED
        drift = np.hypot(back_x - x, back_y - y) > _DRIFT
        laid_over = cv2.blur((fixed & drift).astype(np.float32), (9, 9)) > _LAID_OVER
        return np.where(laid_over, 0, np.maximum(moved, changed)).astype(np.float32)

    def _colour(self, picture: Picture, motion: Map) -> Map:
        """How much likelier each pixel's colour is among what moves than among what rests."""
        lab = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)
        bins = (lab.astype(np.int32) * _COLOUR_BINS) // 256
        flat = np.ravel_multi_index(
            (bins[..., 0], bins[..., 1], bins[..., 2]), self._moving.shape
        ).ravel()
        size = self._moving.size
        moved = np.bincount(flat, motion.ravel(), size).reshape(self._moving.shape)
        rested = np.bincount(flat, 1 - motion.ravel(), size).reshape(self._moving.shape)
        self._moving = (_COLOUR_KEPT * self._moving + moved).astype(np.float32)
        self._resting = (_COLOUR_KEPT * self._resting + rested).astype(np.float32)
        likely = (self._moving + 1) / (self._moving.sum() + self._moving.size)
        usual = (self._resting + 1) / (self._resting.sum() + self._resting.size)
        gain = np.clip(np.log2(likely / usual) / _SURE_COLOUR, 0, 1)
        return np.asarray(gain.ravel()[flat].reshape(motion.shape), np.float32)


def _camera(before: Picture, now: Picture) -> NDArray[np.float64]:
    """The 2×3 similarity transform the background made between two pictures."""
    still = np.eye(2, 3)
    corners: Any = cv2.goodFeaturesToTrack(before, 160, 0.01, 7)
    if corners is None or len(corners) < 8:
        return still
    points = np.asarray(corners, np.float32)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        before, now, points, np.zeros_like(points), winSize=(15, 15), maxLevel=3
    )
    good = found.ravel() == 1
    if good.sum() < 8:
        return still
    matrix, inside = cv2.estimateAffinePartial2D(
        points[good], there[good], method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    found_it = np.asarray(matrix, np.float64)
    # What it could not tell, it leaves empty.
    return found_it if found_it.shape == (2, 3) and np.mean(inside) >= _TURNED else still


def _grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _change(there: Picture, now: Picture) -> Map:
    """How much a picture differs from what was expected, from 0 to 1: in units of what an error
    of half a pixel would make at its edges, and without what the light did all round."""
    step = now.astype(np.float32) - there
    step -= cv2.blur(step, (61, 61))
    slope_x = cv2.Sobel(there, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(there, cv2.CV_32F, 0, 1, scale=0.125)
    slope = cv2.blur(np.abs(slope_x) + np.abs(slope_y), (5, 5))
    excess = cv2.blur(np.abs(step), (3, 3)) / (slope + _NOISE)
    return np.asarray(np.clip((excess.max(axis=2) - 1.2) / 2.5, 0, 1), np.float32)


def _by_row(rows: int) -> Map:
    """At the top are lamps and logos, at the bottom heads of the audience and running text."""
    at = (np.arange(rows, dtype=np.float32) + 0.5) / rows
    weight = np.where((at < _TOP) | (at > 1 - _BOTTOM), _RIM_WEIGHT, 1.0)
    return np.asarray(weight, np.float32)[:, None]


def spectral_residual(picture: Picture) -> Map:
    """Saliency from 0 to 1 (Hou and Zhang, "Saliency detection: a spectral residual approach",
    CVPR 2007)."""
    grey = _grey(picture)
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    spectrum = np.fft.fft2(small)
    size = np.log(np.abs(spectrum) + 1e-6).astype(np.float32)
    residual = size - cv2.blur(size, (3, 3))
    back = np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))
    found = cv2.GaussianBlur((np.abs(back) ** 2).astype(np.float32), (0, 0), 2.5)
    top = float(found.max())
    if top > 0:
        found = np.asarray(found, np.float32) / top
    large = cv2.resize(np.asarray(found, np.float32), (grey.shape[1], grey.shape[0]))
    return np.asarray(large, np.float32)


def _blobs(importance: Map, *, known: bool) -> list[_Blob]:
    """The lumps of an importance map, surest first. Columns are the axis."""
    total = float(importance.sum())
    left = importance.copy()
    found = []
    for _ in range(5):
        _, highest, _, peak = cv2.minMaxLoc(left)
        if highest < 0.06 or total <= 0:
            break
        inside = (left >= _PEAK_SHARE * highest).astype(np.uint8)
        _, labels = cv2.connectedComponents(inside)
        mine = labels == labels[peak[1], peak[0]]
        # Its skirts are no second blob.
        skirt = cv2.dilate(mine.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        mass = np.where(mine, left, 0.0).sum(axis=0)
        left[skirt] = 0
        area = float(mine.sum()) / mine.size
        if area >= _LEAST_AREA:
            found.append(_blob(mass, area, highest, total))
    best = sorted(found, key=lambda blob: -blob.confidence)
    return best if known else [_doubtful(blob) for blob in best[:1]]


def _blob(mass: NDArray[np.floating], area: float, highest: float, total: float) -> _Blob:
    columns = len(mass)
    running = np.cumsum(mass) / mass.sum()
    first, middle, last = (
        (int(np.searchsorted(running, share)) + 0.5) / columns for share in (0.04, 0.5, 0.96)
    )
    centre = ((first + last) / 2 + middle) / 2
    share = float(mass.sum()) / total
    size = min(1.0, (area / _BODY_AREA) ** 0.5)
    trust = 1 - _EDGE_DOUBT * abs(2 * centre - 1) ** 2
    confidence = min(1.0, highest) ** 0.5 * share**0.5 * size * trust
    return _Blob(float(centre), float(last - first), float(min(1.0, confidence)))


def _doubtful(blob: _Blob) -> _Blob:
    """Nothing has moved yet."""
    return _Blob(blob.centre, blob.width, 0.25 * blob.confidence)
