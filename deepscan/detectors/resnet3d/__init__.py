"""3D ResNet: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Sampling

SPEC = DetectorSpec(
    name="resnet3d",
    title="3D ResNet",
    paper="Ghosh, DeepFake Detection for Synthetic Videos by Exploiting Spatio-Temporal Information",
    frames=16,
    sampling=Sampling.CONSECUTIVE,
    crop=CropRule.LONG_SIDE,
    scale=1.3,
    hold_first=True,
    size_px=112,
    mean=(0.4345, 0.4051, 0.3775),
    std=(0.2768, 0.2713, 0.2737),
    evidence=("activation",),
    fast_rank=2,
)

VIEWS = (
    EvidenceView(
        "activation",
        "Class activation",
        "Which parts of the clip pushed the score towards forged. The network's last map has 4 x 4 places "
        "and one moment for all 16 frames, so the picture is only the middle one of them. Coloured up to the "
        "clip's strongest place; what speaks against a forgery is left clear.",
        signed=True,
    ),
)
