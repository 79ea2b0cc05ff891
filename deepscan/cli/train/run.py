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
    real: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of genuine media.")],
    fake: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of forged media.")],
    out: Annotated[Path, typer.Option("--out", help="Weights folder to make.")],
    hours: Annotated[float, typer.Option(min=0.01, help="How long it may take, roughly.")] = 4.0,
    detectors: Annotated[
        str, typer.Option(help="Which detectors to train, comma-separated, or all.")
    ] = "gend",
    device: Annotated[str, typer.Option(help="Where to train: auto, cpu or cuda.")] = "auto",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of every detector, instead of what the hours allow.")
    ] = None,
    licence: Licence = UNKNOWN,
) -> None:
    """Real and fake media in, a calibrated and measured weights folder out.

    Folders below REAL and FAKE are taken for people, and files of one name in both for one person. A quarter
    of the people is kept out of training. Run it again to go on where it was stopped.
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
