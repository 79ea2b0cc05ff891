"""Global-local: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors.recipe import CELEB, FF, USUAL, DetectorRecipe, Published, Rounding, Tap

RECIPE = DetectorRecipe(
    network="GlobalLocal",
    paper=replace(
        USUAL,
        optimizer="sgd",
        momentum=0.9,
        rate=1e-2,
        schedule="cosine",
        epochs=30,
        source="section 3.1",
        open=(
            "rate (1e-2 or 1e-3)",
            "momentum",
            "schedule",
            "batch size",
            "duration",
            "augmentation (none here)",
        ),
    ),
    roundings=(Rounding(112, ("attention", "global_time", "fused_time", "trunk/conv1", "trunk/layer1")),),
    public_weights="a torchvision ResNet-34",
    tap=Tap("trunk", 512, teacher_block=12, teacher_channels=1024),
    published=(
        # Zhao et al.: accuracy per video. LQ is c40, HQ is c23.
        Published(FF, "* c40", "accuracy", "file", 0.8353, "FaceForensics++ c40", "Table 1"),
        Published(FF, "* c23", "accuracy", "file", 0.9533, "FaceForensics++ c23", "Table 1"),
        Published("DFDC", "*", "accuracy", "file", 0.9767, "DFDC", "Table 1"),
        Published(CELEB, "*", "accuracy", "file", 0.9918, "Celeb-DF", "Table 1"),
        Published(CELEB, "*", "accuracy", "file", 0.8883, "FaceForensics++", "Table 2"),
        Published("DFDC", "*", "accuracy", "file", 0.6925, "FaceForensics++", "Table 2"),
    ),
    stills_on_cpu=True,
)
