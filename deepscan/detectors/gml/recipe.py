"""GML: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors.recipe import CELEB, USUAL, DetectorRecipe, Published, Rounding

RECIPE = DetectorRecipe(
    network="Gml",
    paper=replace(
        USUAL,
        optimizer="sgd",
        momentum=0.9,
        rate=1e-3,
        weight_decay=1e-6,
        pairs=8,
        steps=150_000,
        epochs=0,
        source="section 3",
        open=("momentum", "schedule", "augmentation (none here)"),
    ),
    roundings=(Rounding(112, ("anomaly", "conv1", "conv2", *(f"blocks.{block}" for block in range(3)))),),
    public_weights="an ImageNet Xception as safetensors",
    published=(
        # Zhang et al.
        Published("DeeperForensics", "*", "accuracy", "file", 0.858, "FaceForensics++ c23", "Table 1"),
        Published(CELEB, "*", "auc", "file", 0.999, "Celeb-DF", "Table 2"),
        Published(CELEB, "*", "auc", "file", 0.753, "FaceForensics++ c23", "Table 2"),
    ),
    any_length=True,
    stills_on_cpu=True,
)
