"""``deepscan train fit``: cached faces to trained detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepscan.cli.train.config import use_config
from deepscan.cli.training_options import Cache, known_manipulations, named_detectors, need_extra
from deepscan.errors import UsageError

DATA, OPTIMISATION, START, RUNNING = "Data", "Optimisation", "Weights", "Running"
"""Headings of the help page."""


def fit(
    cache: Cache,
    run: Annotated[
        Path,
        typer.Option(
            "--run",
            metavar="DIR",
            help="Folder of this run, for checkpoints and log; several detectors get one folder each in it.",
        ),
    ],
    detectors: Annotated[
        list[str] | None,
        typer.Argument(metavar="DETECTOR", help="Detectors to train, or `all`; `--config` may name them."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            callback=use_config,
            is_eager=True,
            help="Read options from this TOML file, or from the shipped configuration of this name, such as "
            "`gml`. Options on the command line take precedence.",
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Defaults of the options below: `robust` makes forgeries from genuine faces and adds those "
            "of the corpus; `paper` follows the detector's paper.",
        ),
    ] = "robust",
    corpus_fraction: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            rich_help_panel=DATA,
            help="Fraction of batches with forgeries of the corpus, if it has any; the other batches have "
            "forgeries made from its genuine faces.",
        ),
    ] = None,
    manipulation: Annotated[
        list[str] | None,
        typer.Option(
            "--manipulation",
            metavar="TYPE",
            rich_help_panel=DATA,
            help="Type of forgery to make, such as `self-blend` or `swap`; may be repeated. Default: all.",
        ),
    ] = None,
    single_frames: Annotated[
        bool, typer.Option(rich_help_panel=DATA, help="Train a detector of clips on single frames.")
    ] = False,
    frames: Annotated[
        int,
        typer.Option(
            min=0, rich_help_panel=DATA, help="Frames of a training clip; 0: as many as the detector takes."
        ),
    ] = 0,
    clean: Annotated[
        bool,
        typer.Option(
            rich_help_panel=DATA,
            help="Leave out compression, blur and noise: a first stage for a network without start weights.",
        ),
    ] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=OPTIMISATION, help="Optimizer steps in all.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=OPTIMISATION, help="Pairs of a genuine and a forged clip in a batch."
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(rich_help_panel=OPTIMISATION, help="Highest learning rate.")
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, rich_help_panel=OPTIMISATION, help="Steps over which the learning rate rises from 0."
        ),
    ] = None,
    sam_rho: Annotated[
        float,
        typer.Option(
            min=0,
            rich_help_panel=OPTIMISATION,
            help="Radius of sharpness-aware minimization (SAM), which doubles the time of a step; try 0.05. "
            "0: off.",
        ),
    ] = 0.0,
    score_variance: Annotated[
        float,
        typer.Option(
            min=0,
            rich_help_panel=OPTIMISATION,
            help="Weight of the score-variance loss, which draws scores of genuine faces together; try 0.05. "
            "0: off.",
        ),
    ] = 0.0,
    init: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            rich_help_panel=START,
            help="Weights to start from: `shipped`, `none`, a run's checkpoint, safetensors, or a checkpoint "
            "of torchvision or of a Kinetics 3D-ResNet.",
        ),
    ] = "none",
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=START,
            help="Distil from this GML: `shipped`, a run's checkpoint, or safetensors.",
        ),
    ] = None,
    frozen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE", rich_help_panel=START, help="Submodule to leave unchanged; may be repeated."
        ),
    ] = None,
    learn: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            rich_help_panel=START,
            help="Train only parameters with matching names, such as `*.mcb.up.*`; may be repeated.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(rich_help_panel=RUNNING, help="Random seed of data and initial weights.")
    ] = 0,
    validate_every: Annotated[
        int, typer.Option(rich_help_panel=RUNNING, help="Steps between validations; 0: only at the end.")
    ] = 0,
    keep_every: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=RUNNING,
            help="Steps between copies of the weights, for `train average`; 0: keep none.",
        ),
    ] = 0,
    workers: Annotated[
        int, typer.Option(rich_help_panel=RUNNING, help="Processes that prepare batches; 0: none extra.")
    ] = 0,
    threads: Annotated[
        int, typer.Option(rich_help_panel=RUNNING, help="CPU threads of the network; 0: all cores.")
    ] = 0,
    device: Annotated[
        str, typer.Option(rich_help_panel=RUNNING, help="auto (CUDA if there is a GPU), cpu or cuda.")
    ] = "auto",
) -> None:
    """Train detectors on prepared faces. Run the command again to resume.

    On several GPUs the processes share every batch:
    `torchrun --nproc-per-node 2 -m deepscan -- train fit ...`
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
