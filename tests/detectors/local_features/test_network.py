"""Local features against its paper: what one location sees, what it is taught, any size of input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from deepscan.detectors.local_features.network import (
    LAMBDA_CLS,
    LAMBDA_FACE,
    LAMBDA_FORGED,
    MASK_THRESHOLD,
    LocalFeatures,
    LocalFeaturesOutput,
    receptive_field_centres,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def net() -> LocalFeatures:
    torch.manual_seed(0)
    return LocalFeatures().eval()


def seen_rows_and_columns(net: LocalFeatures, row: int, column: int, size: int) -> tuple[Tensor, Tensor]:
    """Input rows and columns that a change would carry to one location of the last map."""
    seen = torch.zeros(size, size, dtype=torch.bool)
    for seed in range(4):  # one draw may leave a corner pixel without gradient (max pool, ReLU)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, 3, size, size, generator=generator).requires_grad_()
        net.features(x)[0, :, row, column].sum().backward()
        assert x.grad is not None
        seen |= x.grad[0].abs().sum(dim=0) > 0
    return seen.any(dim=1).nonzero()[:, 0], seen.any(dim=0).nonzero()[:, 0]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (8, 8)])
def test_receptive_field_is_33_around_its_centre(net: LocalFeatures, row: int, column: int) -> None:
    rows, columns = seen_rows_and_columns(net, row, column, size=49)
    centres = receptive_field_centres(49)
    for seen, centre in ((rows, centres[row]), (columns, centres[column])):
        assert len(seen) == 33
        assert seen[0] == centre - 16 and seen[-1] == centre + 16


def test_about_a_million_parameters_in_eight_convolutions(net: LocalFeatures) -> None:
    assert sum(p.numel() for p in net.parameters()) == 1_008_806
    convolutions = [m for m in net.features.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 8
    assert all(m.stride == (1, 1) and m.padding == (0, 0) for m in convolutions)


@pytest.mark.parametrize(("height", "width"), [(33, 33), (34, 47), (64, 50), (128, 128)])
def test_any_size(net: LocalFeatures, height: int, width: int) -> None:
    with torch.no_grad():
        output = net(torch.zeros(2, 3, height, width))
    shape = (2, len(receptive_field_centres(height)), len(receptive_field_centres(width)))
    assert net.evidence(output)["forged_pixels"].shape == shape
    assert net.probability(output).shape == (2,)
    assert tuple(net.evidence(output)) == net.spec.evidence


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 33 px, not 32"):
        receptive_field_centres(32)


def slow_cross_entropy(logits: Tensor, label: int) -> float:
    """-log of the softmax probability of one class out of two."""
    real, fake = float(logits[0]), float(logits[1])
    chosen = fake if label else real
    return math.log(math.exp(real) + math.exp(fake)) - chosen


def slow_segmentation(logits: Tensor, mask: Tensor) -> float:
    """L^seg: mean over batch and locations, label read at pixel (2 i + 16, 2 j + 16)."""
    total = [
        slow_cross_entropy(logits[b, :, i, j], int(mask[b, 2 * i + 16, 2 * j + 16] > MASK_THRESHOLD))
        for b in range(logits.shape[0])
        for i in range(logits.shape[2])
        for j in range(logits.shape[3])
    ]
    return sum(total) / len(total)


def slow_classification(logits: Tensor, labels: Tensor) -> float:
    return sum(slow_cross_entropy(x, int(y)) for x, y in zip(logits, labels, strict=True)) / len(labels)


def random_case() -> tuple[LocalFeaturesOutput, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    maps = [torch.randn(2, 2, 4, 6, generator=generator) for _ in range(2)]
    output = LocalFeaturesOutput(torch.randn(2, 2, generator=generator), maps[0], maps[1])
    forged, face = torch.rand(2, 2, 40, 44, generator=generator)
    return output, torch.tensor([0, 1]), forged * 0.3, face


def test_joint_loss_with_both_masks(net: LocalFeatures) -> None:
    output, label, forged, face = random_case()
    expected = (
        LAMBDA_CLS * slow_classification(output.image, label)
        + LAMBDA_FORGED * slow_segmentation(output.forged, forged)
        + LAMBDA_FACE * slow_segmentation(output.face, face)
    )
    assert pytest.approx(1.0) == LAMBDA_CLS + LAMBDA_FORGED + LAMBDA_FACE
    assert net.loss(output, label, forged, face).item() == pytest.approx(expected, rel=1e-5)


def test_face_mask_of_forged_images_stands_in_for_the_forged_mask(net: LocalFeatures) -> None:
    output, label, _, face = random_case()
    stand_in = face * torch.tensor([0.0, 1.0])[:, None, None]
    expected = net.loss(output, label, stand_in, face)
    assert torch.equal(net.loss(output, label, None, face), expected)


def test_weights_still_sum_to_one_without_masks(net: LocalFeatures) -> None:
    output, label, forged, _ = random_case()
    classification = slow_classification(output.image, label)
    assert net.loss(output, label, None, None).item() == pytest.approx(classification, rel=1e-5)
    both = LAMBDA_CLS * classification + LAMBDA_FORGED * slow_segmentation(output.forged, forged)
    expected = both / (LAMBDA_CLS + LAMBDA_FORGED)
    assert net.loss(output, label, forged, None).item() == pytest.approx(expected, rel=1e-5)


def test_bf16_autocast_trains_in_float32_losses(net: LocalFeatures) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = net(torch.rand(2, 3, 40, 40))
        mask = torch.ones(2, 40, 40)
        loss = net.loss(output, torch.tensor([0, 1]), mask, mask)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
