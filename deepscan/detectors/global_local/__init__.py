"""Global-local: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

import numpy as np

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Map, Sampling

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
    fast_rank=3,
)

GRID = 7
STARTS = (0, 2, 3, 5)  # rows and columns at which the 4 x 4 patches of 2 x 2 cells begin


def share_of_frames(patches: Map) -> Map:
    """Numbers of the chosen patches ``(T, 5)`` -> share of frames that chose each cell ``(7, 7)``."""
    chosen = np.zeros((len(patches), GRID, GRID), np.float32)
    for frame, numbers in enumerate(patches.astype(int)):
        for number in numbers:
            row, column = STARTS[number // len(STARTS)], STARTS[number % len(STARTS)]
            chosen[frame, row : row + 2, column : column + 2] = 1.0
    share: Map = chosen.mean(axis=0)
    return share


VIEWS = (
    EvidenceView(
        "patches",
        "Chosen patches",
        "How often each part of the face lay in one of the five patches that the network's attention chose, "
        "over the 12 frames of the clip: clear never, bright always. It shows where the network looked, not "
        "what it found there.",
        read=share_of_frames,
        unit=True,
    ),
)
