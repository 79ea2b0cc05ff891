"""Decoded pictures go as soon as they are handed on, and do not wait for the garbage collector."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from av.video.frame import VideoFrame

from deepscan import media

pytestmark = pytest.mark.slow


def test_reading_a_file_leaves_no_pictures_behind(clip: Path) -> None:
    info = media.probe(clip)
    gc.collect()
    gc.disable()
    try:
        before = _pictures()
        count = sum(1 for _ in media.frames(clip, info, media.plan(info), media.Coverage(info.duration_s)))
        assert count > 20
        assert _pictures() - before <= 1  # the one whose display matrix was read
    finally:
        gc.enable()


def _pictures() -> int:
    return sum(type(thing) is VideoFrame for thing in gc.get_objects())
