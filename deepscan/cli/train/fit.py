"""``deepscan train fit``: cached faces to trained detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepscan.cli.train.config import use_config
from deepscan.cli.training_options import Cache, known_manipulations, named_detectors, need_extra
from deepscan.errors import UsageError


def fit(
    cache: Cache,
    run: Annotated[
        Path,
        typer.Option("--run", help="Folder of this run; with several detectors, one folder each inside it."),
    ],
    detectors: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DETECTOR]...", help="Which, or all; --config may name them."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            callback=use_config,
            is_eager=True,
            help="Take options from this TOML file, or from deepscan/training/configs/NAME.toml; options "
            "given here go first.",
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="robust: made forgeries and the corpus' own; paper: each paper's recipe.")
    ] = "robust",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps in all.")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="Pairs of real and forged in a batch.")] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps over which the rate rises.")] = None,
    corpus_fraction: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of batches with the corpus' own forgeries, if it has any."),
    ] = None,
    single_frames: Annotated[bool, typer.Option(help="Single frames for a clip detector.")] = False,
    frames: Annotated[
        int, typer.Option(min=0, help="Frames of a clip, fewer than the detector looks at; 0: as many.")
    ] = 0,
    clean: Annotated[
        bool, typer.Option(help="No degradation: a first stage for a network from nothing.")
    ] = False,
    manipulation: Annotated[
        list[str] | None, typer.Option("--manipulation", help="Types of forgery to make; all by default.")
    ] = None,
    frozen: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Submodules that stay as they are.")
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Parameters that learn, such as '*.mcb.up.*'; all others stay."),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Start weights: shipped, none, a run's checkpoint, safetensors, or a torchvision or "
            "3D-ResNet checkpoint.",
        ),
    ] = "none",
    teacher: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A gml to distil from: shipped, a run's checkpoint, safetensors."),
    ] = None,
    sam_rho: Annotated[
        float,
        typer.Option(
            min=0,
            help="Sharpness-aware steps: gradients are taken so far uphill. Two passes a step; try 0.05.",
        ),
    ] = 0.0,
    score_variance: Annotated[
        float,
        typer.Option(
            min=0, help="Weight of a loss that draws the scores of genuine faces together; try 0.05."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of pairs, forgeries and start weights.")] = 0,
    validate_every: Annotated[int, typer.Option(help="Steps between validations; 0: at the end.")] = 0,
    keep_every: Annotated[
        int, typer.Option(min=0, help="Steps between copies of the weights, for train average; 0: none.")
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes that forge pairs.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the network; 0: all cores.")] = 0,
    device: Annotated[str, typer.Option(help="auto (CUDA where it is there), cpu or cuda.")] = "auto",
) -> None:
    """Train detectors on prepared faces; goes on where it stopped.

    Under `torchrun` the processes share every batch: torchrun --nproc-per-node 2 -m deepscan -- train fit ...
    """
    need_extra()
    if not detectors:
        raise UsageError(
            "no detector is named; name those to train, or `all`, or a --config that names them."
        )
    names = named_detectors(detectors)
    from deepscan.training.config import train_config
    from deepscan.training.data.prepare import load_index
    from deepscan.training.fit.initial_weights import find_start
    from deepscan.training.fit.trainer import train
    from deepscan.training.recipes import clips_seen, described, recipe_of

    starts = {name: find_start(init, name) for name in names}
    teacher_file = None if teacher is None else find_start(teacher, "gml")
    samples = load_index(cache)
    manipulations = known_manipulations(manipulation or [])
    for name in names:
        chosen = recipe_of(recipe, name).changed(
            steps=steps,
            pairs=pairs,
            rate=rate,
            warmup=warmup,
            corpus_fraction=corpus_fraction,
            clean=clean or None,
        )
        summary = described(recipe, name, chosen, single_frames=single_frames, manipulations=manipulations)
        typer.echo(summary, err=True)
        settings = train_config(
            name,
            chosen,
            clips=clips_seen(samples, name, single_frames=single_frames),
            single_frames=single_frames,
            frames=frames,
            manipulations=manipulations,
            sam_rho=sam_rho,
            score_variance=score_variance,
            frozen=tuple(frozen or ()),
            learning=tuple(learn or ()),
            seed=seed,
            validate_every=validate_every,
            keep_every=keep_every,
            workers=workers,
            threads=threads,
            device=device,
        )
        folder = run / name if len(names) > 1 else run
        checkpoint = train(settings, cache, folder, init=starts[name], teacher=teacher_file, report=_print)
        typer.echo(str(checkpoint))


def _print(line: dict[str, Any]) -> None:
    typer.echo("  ".join(f"{key} {value:.5g}" for key, value in line.items()), err=True)
