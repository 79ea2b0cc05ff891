"""GML close-up: GML's anomaly branch on one frame, and how it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.export import save_weights
from deepscan.training.nets.gml import Gml
from deepscan.training.nets.gml_close import GmlClose, GmlCloseOutput
from deepscan.training.start import start_from


def test_it_says_of_a_frame_what_gmls_anomaly_branch_says_of_a_clip_of_that_frame(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gml = Gml().eval()
    save_weights(gml, tmp_path / "gml.safetensors")
    start_from(gml, tmp_path / "gml.safetensors")  # as rounded to float16 as the other will be
    close = GmlClose().eval()
    start_from(close, tmp_path / "gml.safetensors")
    frames = torch.rand(2, 3, 96, 96) * 2 - 1
    with torch.no_grad():
        one, other = close(frames), gml(frames[:, None])
    torch.testing.assert_close(one.logits, other.anomaly_logits)
    anomaly = close.evidence(one)
    assert list(anomaly) == list(SPECS["gml_close"].evidence)
    torch.testing.assert_close(anomaly["anomaly"], gml.evidence(other)["anomaly"][:, 0])
    assert anomaly["anomaly"].shape == (2, 6, 6)


def test_nothing_of_gml_after_its_fifth_block_is_left() -> None:
    names = {name.split(".")[0] for name, _ in GmlClose().named_children()}
    assert names == {"conv1", "bn1", "conv2", "bn2", "blocks", "anomaly", "anomaly_fc"}
    assert len(GmlClose().blocks) == 5


def test_the_loss_is_that_of_the_anomaly_branch() -> None:
    label = torch.tensor([0, 1, 0])
    logits, clues = torch.randn(3, 2), torch.randn(3, 728, 2, 2)
    found = GmlClose().loss(GmlCloseOutput(logits, clues), label, None, None)
    genuine = (clues[0].abs().mean() + clues[2].abs().mean()) / 2
    torch.testing.assert_close(found, F.cross_entropy(logits, label) + genuine)


def test_a_file_that_is_neither_a_gml_nor_an_xception_is_named(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "strange.safetensors")
    with pytest.raises(UsageError, match="or a gml or an ImageNet Xception, as safetensors"):
        start_from(GmlClose(), tmp_path / "strange.safetensors")
