"""GenD: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Sampling

SPEC = DetectorSpec(
    name="gend",
    title="GenD",
    paper=(
        'Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks", WACV 2026, '
        "with CLIP ViT-B/16 as its encoder"
    ),
    frames=1,
    sampling=Sampling.SINGLE,
    crop=CropRule.ALIGNED,
    scale=1.3,
    hold_first=False,
    size_px=224,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    evidence=("rollout",),
    fast_rank=0,
)

VIEWS = (
    EvidenceView(
        output="rollout",
        title="Attention rollout",
        caption=(
            "How much each patch of 16 px reaches the encoder's class token through all layers (attention "
            "rollout, Abnar and Zuidema, 2020); it says where the network looked, not what it found there; "
            "colours scaled within the clip."
        ),
    ),
)
