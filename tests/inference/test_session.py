"""Sessions: threads and batches, and results that do not depend on either."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deepscan.detectors import SPECS
from deepscan.errors import ScoreError, WeightsError
from deepscan.faces.clips import Clip
from deepscan.inference.detector import Detector
from deepscan.inference.session import Session, return_freed_memory, side_by_side
from deepscan.limits import thread_count
from tests.fixtures.doubles import brightness_net


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity mask")
def test_threads_come_from_the_affinity_mask() -> None:
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, mask)
    assert thread_count() == len(mask)
    assert thread_count(jobs=10_000) == 1
    assert thread_count(7) == 7


@pytest.mark.parametrize(("threads", "shared"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 1)), (8, (2, 4))])
def test_networks_side_by_side_never_take_more_threads_than_there_are(
    threads: int, shared: tuple[int, int]
) -> None:
    assert side_by_side(threads) == shared


def conv_net(path: Path) -> Path:
    """A small network of operators whose sums could depend on threads: convolutions, a mean, a product."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(0, 0.05, (64, 3, 7, 7)),
        "w2": rng.normal(0, 0.05, (96, 64, 3, 3)),
        "w3": rng.normal(0, 0.3, (96, 1)),
        "b3": np.zeros(1),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "w1"], ["c1"], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c2"], ["g"]),
        helper.make_node("Flatten", ["g"], ["v"]),
        helper.make_node("Gemm", ["v", "w3", "b3"], ["l"]),
        helper.make_node("Flatten", ["l"], ["p"], axis=0),
        helper.make_node("Sigmoid", ["p"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ("batch", 256, 256, 3))],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("c2", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_results_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    path = conv_net(tmp_path / "net.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    runs = [
        Session(path, device="cpu", threads=threads).run(pixels, ["probability", "c2"])
        for threads in (1, 2, 3)
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(runs[0]["c2"], other["c2"])
        np.testing.assert_array_equal(runs[0]["probability"], other["probability"])


def test_outputs_come_by_name(tmp_path: Path) -> None:
    session = Session(conv_net(tmp_path / "net.onnx"), device="cpu")
    assert session.outputs == ("probability", "c2")
    assert session.device == "cpu"
    assert set(session.run(np.zeros((1, 256, 256, 3), np.uint8), ["c2"])) == {"c2"}
    with pytest.raises(WeightsError, match="has no output evidence"):
        session.run(np.zeros((1, 256, 256, 3), np.uint8), ["evidence"])
    with pytest.raises(WeightsError, match="cannot run on pixels of shape"):
        session.run(np.zeros((1, 9, 9, 3), np.uint8), ["probability"])


def test_a_file_that_is_no_network_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"broken\.onnx: ONNX Runtime cannot load this model"):
        Session(path, device="cpu")


@pytest.mark.parametrize("name", ["gml", "sola"])
def test_a_detector_scores_each_clip_for_itself(tmp_path: Path, name: str) -> None:
    spec = SPECS[name]
    detector = Detector(spec, Session(brightness_net(tmp_path / "net.onnx", name), device="cpu"))
    shape = (spec.frames, spec.size_px, spec.size_px, 3)
    times_s = tuple(0.5 + i for i in range(spec.frames))
    clips = [Clip(4, np.full(shape, value, np.uint8), times_s) for value in (0, 255, 128)]
    scores = detector.score(clips)
    assert [round(score.probability, 2) for score in scores] == [0.0, 1.0, 0.51]
    assert {(s.track_id, s.start_s, s.end_s) for s in scores} == {(4, 0.5, 0.5 + spec.frames - 1)}
    assert detector.score(clips[::-1]) == scores[::-1]


def test_clips_of_several_lengths_are_answered_in_the_order_given(tmp_path: Path) -> None:
    path = brightness_net(tmp_path / "net.onnx", "gml", any_length=True)
    assert not Session(brightness_net(tmp_path / "whole.onnx", "gml"), device="cpu").any_length
    session = Session(path, device="cpu", batch=4)
    assert session.any_length
    detector = Detector(SPECS["gml"], session)
    lengths, values = (8, 8, 1, 8, 3, 3), (0, 255, 128, 128, 255, 0)
    clips = [
        Clip(1, np.full((length, 224, 224, 3), value, np.uint8), tuple(map(float, range(length))))
        for length, value in zip(lengths, values, strict=True)
    ]
    scores = detector.score(clips)
    assert [round(score.probability, 2) for score in scores] == [0.0, 1.0, 0.51, 0.51, 1.0, 0.0]
    assert [score.end_s for score in scores] == [length - 1 for length in lengths]


def test_what_is_not_a_probability_is_an_error(tmp_path: Path) -> None:
    net = brightness_net(tmp_path / "net.onnx", "sola", gain=float("nan"))
    detector = Detector(SPECS["sola"], Session(net, device="cpu"))
    with pytest.raises(ScoreError, match=r"sola: returned nan for the face of track 2 at 1\.50 s"):
        detector.score([Clip(2, np.zeros((1, 256, 256, 3), np.uint8), (1.5,))])


def test_batches_are_bound_and_filled_up_and_change_no_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU, with the CPU's memory."""
    path = conv_net(tmp_path / "net.onnx")
    pixels = np.random.default_rng(1).integers(0, 256, (7, 256, 256, 3)).astype(np.uint8)
    one_by_one = Session(path, device="cpu")
    session = Session(path, device="cpu", batch=7)
    shapes = []
    bound = session._bound
    assert bound is not None and one_by_one._bound is None
    run = bound.run

    def recorded(filled: NDArray[np.uint8], names: Sequence[str]) -> list[NDArray[Any]]:
        shapes.append(len(filled))
        return run(filled, names)

    monkeypatch.setattr(bound, "run", recorded)
    # the same shape twice, so that its place holds the other clip's pixels before
    for clips in (pixels[:1], pixels[1:2], pixels[:3], pixels[3:6], pixels):
        found = session.run(clips, ["c2"])["c2"]
        assert len(found) == len(clips)
        for place, clip in enumerate(clips):
            alone = one_by_one.run(clip[None], ["c2"])["c2"][0]
            np.testing.assert_allclose(found[place], alone, rtol=1e-4, atol=1e-4 * abs(alone).max())
    assert shapes == [1, 1, 4, 4, 7]


def test_what_is_handed_out_outlives_the_next_run(tmp_path: Path) -> None:
    session = Session(conv_net(tmp_path / "net.onnx"), device="cpu", batch=2)
    first = session.run(np.zeros((1, 256, 256, 3), np.uint8), ["c2"])["c2"]
    before = first.copy()
    session.run(np.full((1, 256, 256, 3), 255, np.uint8), ["c2"])
    np.testing.assert_array_equal(first, before)


def test_a_detector_gives_a_network_as_many_clips_as_it_takes(tmp_path: Path) -> None:
    spec = SPECS["sola"]
    session = Session(brightness_net(tmp_path / "net.onnx", "sola"), device="cpu", batch=4)
    clips = [Clip(1, np.full((1, 256, 256, 3), 20 * n, np.uint8), (float(n),)) for n in range(11)]
    together = Detector(spec, session)
    alone = Detector(spec, Session(tmp_path / "net.onnx", device="cpu"))
    for one, other in zip(together.score(clips), alone.score(clips), strict=True):
        assert (one.track_id, one.start_s) == (other.track_id, other.start_s)
        assert one.probability == pytest.approx(other.probability, abs=1e-3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks the GNU C library")
def test_freed_memory_goes_back_to_the_system() -> None:
    # each too small for pages of its own
    held = [np.full(100_000, 1, np.uint8) for _ in range(1000)]
    between = held[::50]  # so that none of the rest goes back unasked
    held.clear()
    before = psutil.Process().memory_info().rss
    return_freed_memory()
    assert before - psutil.Process().memory_info().rss > 50e6
    assert all(one.all() for one in between)
