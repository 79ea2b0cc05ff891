"""Retouched skin is smoother than it was, edges are steeper; training alone forges with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepscan.training.synthesis.generators import load_generators
from deepscan.training.synthesis.retouching import RETOUCHERS, Retoucher, steepen
from tests.fixtures import make


def stepped(contrast: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Left half dark, right half lighter by ``contrast``, with a faint texture of 4 levels."""
    image = np.full((64, 64, 3), 90, np.uint8)
    image[:, 32:] += np.uint8(contrast)
    image += np.random.default_rng(0).integers(0, 5, (64, 64, 1), np.uint8)
    return image


@pytest.mark.parametrize("retoucher", RETOUCHERS)
def test_skin_grows_smooth_and_edges_steep(retoucher: Retoucher) -> None:
    before = stepped(100)
    after = retoucher.regenerate(before)
    assert (after.shape, after.dtype) == (before.shape, np.uint8)
    skin = slice(8, 24)
    assert after[8:-8, skin].std() < before[8:-8, skin].std()
    rows = after[8:-8].mean((0, 2)), before[8:-8].mean((0, 2))
    assert np.ptp(rows[0][28:36]) > np.ptp(rows[1][28:36]) + 5
    assert np.abs(rows[0] - rows[1])[skin].max() < 2, "away from the edge the tone stays"


def test_no_gain_steepens_nothing() -> None:
    image = make.portrait()
    np.testing.assert_array_equal(steepen(image, 1.2, 0.0), image)


def test_validation_forges_without_them(tmp_path: Path) -> None:
    assert load_generators(tmp_path, "train") == list(RETOUCHERS)
    assert load_generators(tmp_path, "val") == []
