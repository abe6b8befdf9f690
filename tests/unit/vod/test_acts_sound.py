"""What is heard: frames do not depend on how the samples come in, kinds are told apart, stretches
are laid where they belong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import acts_sounds
from bench.acts_tunes import RATE, ensemble
from vod.acts import kinds
from vod.acts.grid import CELL_TICKS, CELLS_PER_SECOND, FRAMES_PER_CELL
from vod.acts.kinds import KINDS, likelihoods, runs_of, smooth
from vod.acts.observing import Programme
from vod.acts.picture import FRAME_BYTES, HEIGHT, WIDTH, PictureReader
from vod.acts.sound import Heard, SoundReader
from vod.acts.stretches import MOST_TICKS, Slot, runs

Sound = NDArray[np.float32]


def heard(sound: Sound, cuts: list[int] | None = None) -> Heard:
    """The sound read in pieces cut at these bytes."""
    data = (sound * 32767).astype("<i2").tobytes()
    reader = SoundReader()
    edges = [0, *(cuts or []), len(data)]
    for first, last in pairwise(edges):
        reader.feed(data[first:last])
    return reader.finish()


def test_frames_are_the_same_however_the_samples_come() -> None:
    dice = np.random.default_rng(1)
    sound = (dice.standard_normal(41 * RATE + 77) * 0.1).astype(np.float32)
    whole = heard(sound)
    cuts = sorted(dice.integers(0, 2 * len(sound), 40).tolist())
    pieces = heard(sound, cuts)
    assert np.allclose(whole.frames, pieces.frames, atol=1e-3)
    assert np.array_equal(whole.peaks, pieces.peaks)
    assert len(whole.frames) % FRAMES_PER_CELL == 0
    assert len(whole.frames) == 42 * CELLS_PER_SECOND * FRAMES_PER_CELL - 3 * 8


def test_peaks_are_the_highest_samples_of_each_tenth() -> None:
    sound = np.zeros(RATE, np.float32)
    sound[RATE // 10 * 3 + 5] = -0.5
    sound[RATE // 10 * 7] = 1.0
    peaks = heard(sound).peaks.tolist()
    assert peaks == [0, 0, 0, 127, 0, 0, 0, 255, 0, 0]


def test_loudness_in_decibel() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)).astype(np.float32)
    assert heard(tone).frames[8:64, 0].mean() == pytest.approx(-9.03, abs=0.1)


def test_kinds_of_generated_sounds() -> None:
    dice = np.random.default_rng(4)
    parts = {
        "music": acts_sounds.level(ensemble(dice, 30), -18),
        "applause": acts_sounds.applause(dice, 12),
        "silence": acts_sounds.silence(6),
    }
    whole = np.concatenate(list(parts.values()))
    whole = whole + acts_sounds.room(dice, len(whole))
    path = smooth(likelihoods(heard(whole).frames))
    at = 0
    for kind, sound in parts.items():
        cells = len(sound) * CELLS_PER_SECOND // RATE
        # A second at either end belongs to both.
        mine = [KINDS[k] for k in path[at + 4 : at + cells - 4]]
        alike = {"music", "song"} if kind == "music" else {kind}
        assert sum(k in alike for k in mine) >= 0.95 * len(mine), (kind, mine)
        at += cells


def test_a_long_programme_is_heard_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(8)
    parts = [acts_sounds.level(ensemble(dice, 25), -18), acts_sounds.applause(dice, 10)] * 2
    frames = heard(np.concatenate(parts)).frames
    whole = likelihoods(frames)
    monkeypatch.setattr(kinds, "_BLOCK", 30 * CELLS_PER_SECOND)
    assert np.allclose(likelihoods(frames), whole, atol=0.02)


def test_a_host_is_speech() -> None:
    if "espeak-ng" in acts_sounds.missing():
        pytest.skip("espeak-ng is not installed")
    dice = np.random.default_rng(5)
    host = acts_sounds.Speaker(dice, "held")
    spoken = acts_sounds.announcement(dice, host, 20)
    tune = acts_sounds.level(ensemble(dice, 20), -18)
    whole = np.concatenate([spoken, tune])
    path = smooth(likelihoods(heard(whole + acts_sounds.room(dice, len(whole))).frames))
    words = len(spoken) * CELLS_PER_SECOND // RATE
    assert np.mean(path[4 : words - 4] == KINDS.index("speech")) > 0.95
    assert np.mean(path[words + 4 : -4] == KINDS.index("speech")) < 0.05


def test_runs_of_kinds() -> None:
    assert runs_of(np.array([1, 1, 2, 0, 0])) == [(0, 2, 1), (2, 3, 2), (3, 5, 0)]
    assert runs_of(np.zeros(0, np.int8)) == []


def test_pictures_black_still_and_cut() -> None:
    dice = np.random.default_rng(6)
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    scenes = [dice.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) // 4 * 2 for _ in range(2)]
    frames = [black] * 8 + [scenes[0]] * 12 + [scenes[1]] * 12
    data = b"".join(frame.tobytes() for frame in frames)
    reader = PictureReader()
    for at in range(0, len(data), FRAME_BYTES * 3 // 2):
        reader.feed(data[at : at + FRAME_BYTES * 3 // 2])
    seen = reader.finish()
    assert len(seen.rows) == 32
    assert seen.cuts == [8, 20]
    assert seen.rows[:8, 0].max() == 0
    assert [n for n in range(32) if seen.rows[n, 2] > 1] == [8, 20]


def test_a_programme_with_a_hole_in_it() -> None:
    tone = (0.5 * np.sin(np.arange(10 * RATE) * 0.2)).astype(np.float32)
    made = Programme()
    made.add(0, heard(tone), None)
    made.add(30 * 90_000, heard(tone), None)
    whole = made.observed()
    assert len(whole.loud) == 40 * CELLS_PER_SECOND
    assert whole.heard.tolist() == [True] * 40 + [False] * 80 + [True] * 40
    assert whole.loud[50:110].max() < -90
    peaks = made.peaks()
    assert len(peaks) == 400
    assert peaks[100:300].max() == 0
    assert peaks[300] > 120


def test_a_programme_of_nothing_has_no_length() -> None:
    made = Programme()
    assert made.cells == 0
    made.add(30 * 90_000, None, None)
    made.add(60 * 90_000, heard(np.zeros(0, np.float32)), None)
    assert made.cells == 0
    made.add(90 * 90_000, heard(np.zeros(RATE, np.float32)), None)
    assert made.cells == len(made.observed().loud) == 91 * CELLS_PER_SECOND


def slot(msn: int, start: float, *, seconds: float = 2, breaks: bool = False) -> Slot:
    return Slot(msn, round(start * 90_000), round((start + seconds) * 90_000), breaks)


def test_stretches_end_at_every_break_and_are_never_long() -> None:
    slots = [slot(n, 2 * n) for n in range(5)]
    slots += [slot(5, 10, breaks=True), slot(6, 12)]
    slots += [slot(8, 16)]  # One is missing.
    slots += [slot(9, 30)]  # Time is missing.
    assert [[s.msn for s in run] for run in runs(slots)] == [[0, 1, 2, 3, 4], [5, 6], [8], [9]]
    many = [slot(n, 2 * n) for n in range(700)]
    lengths = [run[-1].end - run[0].start for run in runs(many)]
    assert max(lengths) <= MOST_TICKS
    assert sum(lengths) == 1400 * 90_000
    assert CELL_TICKS * CELLS_PER_SECOND == 90_000
