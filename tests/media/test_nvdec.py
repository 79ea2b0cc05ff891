"""Decoding on a GPU, where there is none: who decodes instead, and the colours of what a GPU hands out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan import media
from deepscan.inference import devices
from deepscan.media import Coverage, nvdec
from deepscan.media.container import open_container
from deepscan.media.rgb import Turn, upright_rgb


def pictures(path: Path, *, nvdec: bool) -> tuple[list[NDArray[np.uint8]], Coverage]:
    info = media.probe(path)
    coverage = Coverage(info.duration_s)
    frames = media.frames(path, info, media.plan(info), coverage, nvdec=nvdec)
    return [frame.rgb for frame in frames], coverage


@pytest.mark.skipif(devices.gpu_count() > 0, reason="here a GPU would decode")
def test_without_a_gpu_the_cpu_decodes_and_the_report_says_so(clip: Path) -> None:
    expected, quiet = pictures(clip, nvdec=False)
    found, coverage = pictures(clip, nvdec=True)
    assert coverage.warnings == [*quiet.warnings, nvdec.NO_NVDEC]
    assert coverage.complete
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("known", [True, False])
def test_what_a_gpu_decodes_carries_a_warning(
    clip: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """A double: the CPU decodes, and says that it is a GPU."""

    class Decoder:
        is_hwaccel = known

    class Stream:
        codec_context = Decoder()

    asked: list[Any] = []

    def opened(path: Path, hwaccel: Any = None, *, hidden: bool) -> Any:
        asked.append(hwaccel)
        return open_container(path)

    monkeypatch.setattr(nvdec, "hwdevices_available", lambda: ["cuda"])
    monkeypatch.setattr(nvdec, "open_container", opened)
    monkeypatch.setattr(nvdec, "picture_stream", lambda container, path, number: Stream())
    found, coverage = pictures(clip, nvdec=True)
    assert [type(hwaccel).__name__ for hwaccel in asked] == ["HWAccel"]
    assert coverage.warnings == [nvdec.HIDES_DAMAGE if known else nvdec.NOT_THIS]
    np.testing.assert_array_equal(found, pictures(clip, nvdec=False)[0])


@pytest.mark.parametrize(("of_cpu", "of_gpu"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_a_gpus_frames_have_the_cpus_colours(clip: Path, of_cpu: str, of_gpu: str) -> None:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0)).reformat(format=of_cpu)
    handed_out = frame.reformat(format=of_gpu)
    np.testing.assert_array_equal(upright_rgb(handed_out, Turn()), upright_rgb(frame, Turn()))
