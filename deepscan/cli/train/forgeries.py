"""Forgeries from cached faces and videos: ``train generators``, ``preview`` and ``synthetic-test-set``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepscan.cli.training_options import (
    Cache,
    Corpora,
    ValidateOn,
    ValidateShare,
    face_models,
    known_manipulations,
    need_extra,
)


def generators(
    cache: Cache,
    trunk: Annotated[
        Path | None,
        typer.Option(
            "--trunk",
            exists=True,
            dir_okay=False,
            help="ImageNet Xception (safetensors) for a perceptual loss: train generators on these faces. "
            "Without it the shipped generators are copied.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps per generator, with `--trunk`.")] = 400,
    seed: Annotated[int, typer.Option(help="Random seed, with `--trunk`.")] = 0,
    super_resolver: Annotated[
        list[Path] | None,
        typer.Option(
            "--super-resolver",
            exists=True,
            dir_okay=False,
            help="ONNX super-resolution network to make forgeries with, too; may be repeated.",
        ),
    ] = None,
) -> None:
    """Add small generators to prepared faces: `train fit` makes forgeries with them.

    Copies the shipped generators, or trains some. Run the command again to resume.
    """
    need_extra()
    from deepscan.detectors.gml.network import stem_features
    from deepscan.training.data.prepare import load_index
    from deepscan.training.synthesis.generators import FOLDER, take_shipped, train_generators
    from deepscan.training.synthesis.super_resolution import add_super_resolver

    for file in super_resolver or []:
        add_super_resolver(file, cache / FOLDER)
    if trunk is None:
        typer.echo(f"taken: {', '.join(take_shipped(cache)) or 'nothing, all were there'}", err=True)
        return
    samples = [sample for sample in load_index(cache) if sample.label == "real"]
    sides = {
        side: [cache / sample.folder / "frames.npy" for sample in samples if sample.split == side]
        for side in ("train", "val")
    }
    perceive = stem_features(trunk)
    for name, error in train_generators(
        sides["train"], sides["val"], cache, perceive, steps=steps, seed=seed
    ):
        typer.echo(f"{name}: mean error {error:.4f} of full scale", err=True)


def preview(
    cache: Cache,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="PNG to write.")] = Path(
        "forgeries.png"
    ),
    manipulation: Annotated[
        list[str] | None,
        typer.Option("--manipulation", metavar="TYPE", help="Show only this type; may be repeated."),
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Forgeries of each type.")] = 6,
    degraded: Annotated[bool, typer.Option(help="Compress and blur them, as in training.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Draw examples of the forgeries that training makes, one row per manipulation type.

    Each example shows the genuine face, the forged one and the mask of forged pixels.
    """
    need_extra()
    from deepscan.training.data.contact_sheet import contact_sheet
    from deepscan.training.data.prepare import load_index

    counts = contact_sheet(
        cache,
        load_index(cache),
        out,
        manipulations=known_manipulations(manipulation or []),
        columns=columns,
        degraded=degraded,
        seed=seed,
    )
    for name, count in counts.items():
        typer.echo(
            f"{name}: {count}" + ("" if count else " (needs more faces, or `train generators`)"), err=True
        )
    typer.echo(str(out))


def synthesize_test_set(
    corpora: Corpora,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the clips and their table, corpus.csv.")
    ],
    validate_on: ValidateOn = None,
    validate_share: ValidateShare = 0.0,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="DIR", help="Prepared faces whose generators re-synthesise some clips."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    segments: Annotated[
        int,
        typer.Option(min=1, help="Three-second segments to take from each video, if it is long enough."),
    ] = 1,
) -> None:
    """Write forged copies of the validation videos, to measure how scores survive compression and shrinking.

    Give `--validate-on` and `--validate-share` as for `train prepare`, so that the same people are chosen.
    """
    need_extra()
    from deepscan.training.data.prepare import Split
    from deepscan.training.data.synthetic_test_set import synthesize_test_set
    from deepscan.training.synthesis.generators import load_generators

    engine, mesh = face_models()
    split = Split(tuple(validate_on or ()), validate_share)
    generators = load_generators(cache, "val") if cache else []
    for row, outcome in synthesize_test_set(
        corpora, out, split, engine, mesh, seed=seed, generators=generators, count=segments
    ):
        typer.echo(f"{row.file}: {outcome}", err=True)
