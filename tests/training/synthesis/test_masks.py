"""Masks lie where the face's parts are, and stay float."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.training.synthesis.masks import REGIONS, elastic_field, feather, hull_mask, warp

SIZE = (256, 256)
Mesh = NDArray[np.float32]


@pytest.mark.parametrize("region", REGIONS)
def test_a_hull_covers_its_points_and_nothing_far_from_them(region: str, portrait_mesh: Mesh) -> None:
    mask = hull_mask(portrait_mesh, region, SIZE)
    assert (mask.dtype, mask.shape) == (np.float32, SIZE)
    assert set(np.unique(mask)) == {0.0, 1.0}
    points = np.round(portrait_mesh[list(REGIONS[region])]).astype(int)
    assert (mask[points[:, 1], points[:, 0]] == 1).all()
    rows, columns = np.nonzero(mask)
    low, high = points.min(0), points.max(0)
    assert (columns.min(), rows.min()) >= tuple(low) and (columns.max(), rows.max()) <= tuple(high)


def test_regions_hold_the_parts_they_are_named_for(portrait_mesh: Mesh) -> None:
    masks = {region: hull_mask(portrait_mesh, region, SIZE) for region in REGIONS}
    for region, mask in masks.items():
        assert (mask <= masks["face"]).mean() > 0.99, region

    def holds(region: str, point: int) -> bool:
        x, y = portrait_mesh[point].round().astype(int)
        return bool(masks[region][y, x])

    forehead, nose, upper_lip = 151, 4, 13
    assert holds("face", forehead) and not holds("no forehead", forehead)
    assert holds("mouth", upper_lip) and not holds("mouth", nose)
    assert holds("lower face", upper_lip) and not holds("eyes and nose", upper_lip)
    assert holds("eyes and nose", nose)


def disc(radius: int) -> NDArray[np.float32]:
    y, x = np.mgrid[:101, :101] - 50
    return (x**2 + y**2 <= radius**2).astype(np.float32)


def test_feathering_erodes_softens_and_keeps_the_peak() -> None:
    mask = disc(30)
    soft = feather(mask, erode_px=8, blur_px=5)
    assert soft.dtype == np.float32
    assert soft.min() >= 0 and soft.max() == pytest.approx(1.0)
    assert ((soft > 0) & (soft < 1)).sum() > 200
    assert soft[50, 50 + 28] == 0, "the edge moved inwards by more than the softening moves it out"
    assert feather(mask, 0, 5)[50, 50 + 28] > 0.3
    assert not feather(np.zeros((20, 20), np.float32), 2, 2).any()


def test_a_small_mask_that_blurring_flattens_is_brought_back_to_full_strength() -> None:
    assert feather(disc(3), erode_px=0, blur_px=12).max() == pytest.approx(1.0)


def test_elastic_fields_are_smooth_seeded_and_bounded() -> None:
    field = elastic_field(np.random.default_rng(3), (80, 120), 6.0)
    assert field.shape == (80, 120, 2)
    assert 2 < np.abs(field).max() < 9
    assert np.abs(np.diff(field, axis=0)).max() < 2
    np.testing.assert_array_equal(field, elastic_field(np.random.default_rng(3), (80, 120), 6.0))


def test_warping_moves_the_mask_by_the_field() -> None:
    mask = disc(20)
    field = np.zeros((101, 101, 2), np.float32)
    np.testing.assert_array_equal(warp(mask, field), mask)
    field[..., 0], field[..., 1] = 10, -5  # each pixel looks 10 to the right and 5 up
    np.testing.assert_array_equal(warp(mask, field)[20:70, 20:80], mask[15:65, 30:90])
