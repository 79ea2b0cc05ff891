"""``deepscan train prepare``: media to cached faces."""

from __future__ import annotations

from typing import Annotated

import typer

from deepscan.cli.training_options import (
    Cache,
    Corpora,
    Kinds,
    ValidateOn,
    ValidateShare,
    counted,
    face_models,
    need_extra,
)


def prepare(
    corpora: Corpora,
    cache: Cache,
    validate_on: ValidateOn = None,
    validate_share: ValidateShare = 0.0,
    kind: Kinds = None,
    canvas: Annotated[
        int,
        typer.Option(
            min=224,
            max=2048,
            metavar="PX",
            help="Side of the square that a face and its surroundings are shrunk to, if larger; 640 keeps "
            "more detail.",
        ),
    ] = 448,
    single_frames: Annotated[
        bool,
        typer.Option(
            "--single-frames",
            help="Keep only twelve frames of a video: enough for detectors that look at single frames.",
        ),
    ] = False,
) -> None:
    """Find the faces in labelled media and store them with their meshes, for training.

    Known corpora are FaceForensics++ (with FaceShifter and DFD), Celeb-DF v2, DFDC and DeeperForensics; their
    official splits are kept. A person may stand on one side of the split only. Run the command again to
    resume.
    """
    need_extra()
    from deepscan.training.data.corpora import read_corpora
    from deepscan.training.data.prepare import Split, fill

    split = Split(tuple(validate_on or ()), validate_share)
    rows = read_corpora(corpora, kind or ())
    counts: dict[str, int] = {}
    with counted("finding faces", len(rows)) as progress:
        engine, mesh = face_models()
        faces = fill(rows, cache, split, engine, mesh, canvas_px=canvas, single_frames=single_frames)
        for row, outcome in faces:
            progress.advance(f"{row.file}: {outcome}")
            sort = _sort_of(outcome)
            counts[sort] = counts.get(sort, 0) + 1
    said = ", ".join(f"{count} {sort}" for sort, count in sorted(counts.items())) or "nothing was left to do"
    typer.echo(f"{cache}: {said}")


def _sort_of(outcome: str) -> str:
    """What a prepared file is counted as."""
    if outcome.endswith(" samples"):
        return "with faces"
    if outcome == "no face":
        return "without a face"
    return "left out" if outcome.startswith("left out") else "not readable"
