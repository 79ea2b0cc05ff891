"""``deepscan train run``: all the steps at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepscan.cli.evaluate import print_evaluation, write_evaluation
from deepscan.cli.output import opened
from deepscan.cli.training_options import Licence, face_models, named_detectors, need_extra
from deepscan.text import UNKNOWN


def run_all(
    real: Annotated[
        Path, typer.Argument(metavar="REAL", exists=True, file_okay=False, help="Folder of genuine media.")
    ],
    fake: Annotated[
        Path, typer.Argument(metavar="FAKE", exists=True, file_okay=False, help="Folder of forged media.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Weights folder to make.")],
    hours: Annotated[float, typer.Option(min=0.01, help="Roughly how long everything may take.")] = 4.0,
    detectors: Annotated[
        str, typer.Option(help="Detectors to train, separated by commas, or `all`.")
    ] = "gend",
    device: Annotated[
        str, typer.Option(help="Where to train: auto (CUDA if there is a GPU), cpu or cuda.")
    ] = "auto",
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Optimizer steps of every detector, instead of as many as `--hours` allows."
        ),
    ] = None,
    licence: Licence = UNKNOWN,
) -> None:
    """Train, calibrate and measure on two folders of media; writes a weights folder.

    Each folder below REAL and FAKE stands for one person, and so do files of the same name in both. A quarter
    of the people is kept out of training, to calibrate and measure on. Run the command again to resume.
    """
    need_extra("matplotlib")
    from deepscan.training.data.corpora.folder import read_class
    from deepscan.training.evaluation.plots import write_plots
    from deepscan.training.evaluation.summary import by_detector
    from deepscan.training.pipeline import Job, make_weights
    from deepscan.weights import read_manifest

    names = named_detectors([name.strip() for name in detectors.split(",")], tuned=True)
    corpus = f"{real.name} and {fake.name}"
    rows = [*read_class(real, "real", corpus), *read_class(fake, "fake", corpus)]
    engine, mesh = face_models()
    job = Job(
        out,
        names,
        hours,
        device,
        log=lambda line: typer.echo(line, err=True),
        steps=steps,
        licence=licence,
    )
    done = make_weights(job, rows, engine, mesh)
    trained = ",".join(read_manifest(out).detectors)
    if done is not None:
        evaluation, files, calibration = done
        print_evaluation(evaluation)
        with opened(out / "evaluation.json") as stream:
            write_evaluation(evaluation, stream)
        thresholds = calibration.threshold_fake, calibration.threshold_real
        write_plots(out / "plots", by_detector(files, calibration), thresholds)
    typer.echo(f"scan with them: deepscan FILE --weights {out} --detectors {trained}")
