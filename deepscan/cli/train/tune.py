"""``deepscan train tune``: GenD's tuning on prepared faces, in minutes on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepscan.cli.training_options import Cache, need_extra


def tune(
    cache: Cache,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Tuning to write (safetensors).")],
    init: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Where to start: `shipped`, `clip` (the encoder before any tuning), or a tuning's file.",
        ),
    ] = "clip",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps, of 24 faces each.")] = 200,
    leave_out: Annotated[
        int | None,
        typer.Option(
            "--leave-out", metavar="FOLD", help="Leave this fold (a number in the table) out of training."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: all cores.")] = 0,
) -> None:
    """Tune GenD on prepared faces, genuine and forged; takes minutes on a CPU.

    Trains its upper layer normalisations and its head. Batches are balanced by generator for forged faces and
    by source for genuine ones; a third of the forged faces are made from the genuine ones in the batch.
    """
    need_extra()
    from deepscan.training.export.encoder import save_tuning
    from deepscan.training.tuning.fit import TuningConfig, tune
    from deepscan.training.tuning.start import start

    net = start(init)
    config = TuningConfig(steps=steps, seed=seed, leave_out=leave_out, threads=threads)
    tune(net, cache, config, lambda line: typer.echo(line, err=True))
    save_tuning(net, out)
    typer.echo(str(out))
