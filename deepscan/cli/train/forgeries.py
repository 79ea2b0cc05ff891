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
            help="ImageNet Xception, to compare by. Without it none is trained: those that ship are taken.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps per generator, with --trunk.")] = 400,
    seed: Annotated[int, typer.Option(help="Of crops and start weights, with --trunk.")] = 0,
    super_resolver: Annotated[
        list[Path] | None,
        typer.Option(
            "--super-resolver",
            exists=True,
            dir_okay=False,
            help="An ONNX network that enlarges pictures (a super-resolver), to forge with as well.",
        ),
    ] = None,
) -> None:
    """Take or train the small generators whose traces `fit` forges with; goes on where it stopped."""
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
        list[str] | None, typer.Option("--manipulation", help="Only these types.")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Forgeries per type.")] = 6,
    degraded: Annotated[bool, typer.Option(help="As the network sees them: compressed, blurred.")] = False,
    seed: Annotated[int, typer.Option(help="Of faces and forgeries.")] = 0,
) -> None:
    """Write a contact sheet of forgeries: real, forged and mask, a row per type of manipulation."""
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
    out: Annotated[Path, typer.Option("--out", help="Folder for the clips and their corpus.csv.")],
    validate_on: ValidateOn = None,
    validate_share: ValidateShare = 0.0,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Prepared faces whose validation generators re-synthesise.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the forgeries.")] = 0,
    segments: Annotated[
        int,
        typer.Option(min=1, help="Segments of three seconds to take from each video that is long enough."),
    ] = 1,
) -> None:
    """Write forged copies of the validation videos: how scores hold under compression and shrinking.

    Name the same people as `prepare` was given, and give it the same share.
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
