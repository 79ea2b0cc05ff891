"""SOLA: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors.recipe import CELEB, FF, USUAL, DetectorRecipe, Published, Rounding, Tap

NOISE_BRANCH = (
    *("asrm", "conv1_1", "layer2/layer2.0/downsample/downsample.0"),
    *(
        f"layer{stage}/layer{stage}.{block}/conv{place}"
        for stage in (1, 2)
        for block in (0, 1)
        for place in (1, 2)
    ),
)
"""Its nodes, to the end of its second stage; the exporter numbers what both branches share."""
RECIPE = DetectorRecipe(
    network="Sola",
    paper=replace(
        USUAL, pairs=16, epochs=50, source="section 4.1", open=("schedule", "augmentation (none here)")
    ),
    roundings=(
        Rounding(
            48,
            (
                *(*NOISE_BRANCH, "conv1", "sola"),
                *(f"{module}.{stage}" for module in ("dcam", "lem") for stage in range(3)),
            ),
        ),
    ),
    public_weights="a torchvision ResNet-18",
    tap=Tap("lem.2", 256, teacher_block=11, teacher_channels=728),
    published=(
        # Fei et al.: AUC per frame.
        Published(FF, "Deepfakes *", "auc", "frame", 1.0, "the same forger, masks", "Table 1"),
        Published(FF, "Face2Face *", "auc", "frame", 0.9956, "the same forger, masks", "Table 1"),
        Published(FF, "FaceSwap *", "auc", "frame", 0.9998, "the same forger, masks", "Table 1"),
        Published(FF, "NeuralTextures *", "auc", "frame", 0.9976, "the same forger, masks", "Table 1"),
        Published(FF, "FaceShifter *", "auc", "frame", 0.9872, "FaceForensics++, masks", "Table 3"),
        Published(CELEB, "*", "auc", "frame", 0.7602, "Deepfakes c23, masks", "Table 4"),
        Published(CELEB, "*", "auc", "frame", 0.987, "Celeb-DF v2 and DFD, labels alone", "Table 6"),
        Published("DFD", "*", "auc", "frame", 0.9998, "Celeb-DF v2 and DFD, labels alone", "Table 6"),
        Published(FF, "* c0", "auc", "frame", 0.9984, "FaceForensics++ c0", "Table 8"),
        Published(FF, "* c23", "auc", "frame", 0.981, "FaceForensics++ c23", "Table 8"),
    ),
)
