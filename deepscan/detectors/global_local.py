"""Global-local: what it looks at. The network is in ``training/nets/global_local.py``."""

from __future__ import annotations

from deepscan.detectors.base import CropRule, DetectorSpec, Sampling

SPEC = DetectorSpec(
    name="global_local",
    title="Global-local",
    paper=(
        "Zhao et al., Exploring Complementarity of Global and Local Spatiotemporal Information "
        "for Fake Face Video Detection"
    ),
    frames=12,
    sampling=Sampling.EVEN,
    crop=CropRule.ALIGNED,
    scale=1.3,
    hold_first=False,
    size_px=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    evidence=("patches",),
)
