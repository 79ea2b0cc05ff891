"""What training, rounding and comparing need to know of a detector; each states it in its ``recipe.py``.

A scan imports none of this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "constant"]
Metric = Literal["auc", "accuracy"]
Level = Literal["file", "frame"]

FF, CELEB = "FaceForensics++", "Celeb-DF v2"
"""Corpora as ``training.data.corpora`` names them."""


@dataclass(frozen=True)
class Recipe:
    """Settings that a recipe fixes; each can be overridden by its own option.

    Attributes:
        optimizer: ``adamw``, ``adam`` or ``sgd``.
        rate: highest learning rate.
        weight_decay: of the optimizer.
        momentum: of ``sgd``.
        schedule: ``cosine`` falls to zero after the warm-up; ``constant`` stays.
        warmup: steps over which the rate rises.
        pairs: of real and fake in a batch; half of the batch size.
        steps: optimizer steps in all; 0 where ``epochs`` says it.
        epochs: passes over the training samples; 0 where ``steps`` says it.
        corpus_fraction: share of batches with the corpus' own forgeries, where it has any.
        clean: no degradation.
        brightened: brightness changes alone, as the only degradation; goes with ``clean``.
        jittered: boxes are moved and mirrored at random.
        source: where the paper says so; empty where it says nothing.
        open: what the paper does not say.
    """

    optimizer: Optimizer = "adamw"
    rate: float = 2e-4
    weight_decay: float = 1e-4
    momentum: float = 0.0
    schedule: Schedule = "cosine"
    warmup: int = 100
    pairs: int = 8
    steps: int = 1000
    epochs: int = 0
    corpus_fraction: float = 0.5
    clean: bool = False
    brightened: bool = False
    jittered: bool = True
    source: str = ""
    open: tuple[str, ...] = ()

    def changed(self, **options: Any) -> Recipe:
        """The recipe with other values for some of its fields; those that are None stay."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def total_steps(self, samples: int) -> int:
        """Optimizer steps, for a training side of ``samples`` clips or frames of both classes."""
        return self.steps or max(1, self.epochs * samples // (2 * self.pairs))


USUAL = Recipe(
    optimizer="adam",
    rate=1e-3,
    weight_decay=0.0,
    schedule="constant",
    warmup=0,
    pairs=8,
    steps=0,
    epochs=20,
    corpus_fraction=1.0,
    clean=True,
    jittered=False,
)
"""Where a paper is silent; the papers make no forgeries of their own, and degrade and move nothing unsaid."""


@dataclass(frozen=True)
class Rounding:
    """One way of rounding a detector to int8.

    Attributes:
        pairs: real and forged clips that its activation ranges are taken from.
        keep_float: submodules that are not rounded.
    """

    pairs: int
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tap:
    """Where student and teacher are compared in distillation: maps of the same height and width.

    Attributes:
        module: the student's module whose output is compared.
        channels: of that output.
        teacher_block: the teacher's block, from 1.
        teacher_channels: of that block's output.
    """

    module: str
    channels: int
    teacher_block: int
    teacher_channels: int


@dataclass(frozen=True)
class Published:
    """One figure of one paper.

    Attributes:
        corpus: the source as ``training.corpora`` names it.
        forgeries: pattern of the kinds of forgery that were tested on; reals are of the same compression.
        metric: AUC or accuracy.
        level: whether files or frames were counted.
        value: in [0, 1].
        trained_on: what the paper trained this one on.
        place: where in the paper.
    """

    corpus: str
    forgeries: str
    metric: Metric
    level: Level
    value: float
    trained_on: str
    place: str


@dataclass(frozen=True)
class DetectorRecipe:
    """Everything that training and export need to know of one detector beside its network.

    Attributes:
        network: the class in ``network.py``.
        paper: the paper's own recipe; None for one that is tuned and not fitted.
        roundings: ways of rounding it to int8, in the order in which they are tried: the first whose scores
            stay near enough is shipped. Ranges from few clips cut the rare large activation off, ranges from
            many are coarse, so each detector has its own number of pairs; what lies next to the pixels stays
            float.
        public_weights: the public checkpoint that it can start from, in words; empty where there is none.
        tap: where it learns from a teacher's maps; None where it cannot.
        published: figures of its paper.
        any_size: its ONNX takes any height and width.
        any_length: its ONNX takes clips of any length: a scan gives it photos and short tracks, too.
        stills_on_cpu: on a CPU ``train run`` fits it on single frames, which take a fraction of the time.
    """

    network: str
    paper: Recipe | None
    roundings: tuple[Rounding, ...] = (Rounding(24),)
    public_weights: str = ""
    tap: Tap | None = None
    published: tuple[Published, ...] = ()
    any_size: bool = False
    any_length: bool = False
    stills_on_cpu: bool = False
