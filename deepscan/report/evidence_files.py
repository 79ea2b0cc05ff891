"""PNG files of the most suspicious moments: ``--save-evidence DIR``.

::

    DIR/0001-clip.mp4/face1-gml-1.60s.png                        the crop, exactly as the detector saw it
    DIR/0001-clip.mp4/face1-gml-1.60s-anomaly.png                the same with the map laid over it
    DIR/0001-clip.mp4/face1-gml-1.60s-motion_consistency.png

The number is the file's place in the report.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from deepscan.errors import UsageError
from deepscan.report.heatmaps import overlay, png

if TYPE_CHECKING:
    from deepscan.results import FileReport, Moment, RunReport, TrackReport

NAME_CHARACTERS = 80


class EvidenceFiles:
    """Writes each file's pictures as it finishes."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError when the folder cannot be made."""
        self._folder = folder
        self._place = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error

    def begin(self, run: RunReport) -> None:
        """Nothing to write yet."""

    def file(self, file: FileReport) -> None:
        """Write one file's pictures. Raises UsageError when they cannot be written."""
        self._place += 1
        name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(file.path).name)[-NAME_CHARACTERS:]
        folder = self._folder / f"{self._place:04}-{name}"
        try:
            for track in file.tracks:
                for moment in track.evidence.moments if track.evidence else ():
                    folder.mkdir(exist_ok=True)
                    _write_moment(folder, track, moment)
        except OSError as error:
            raise _refused(folder, error) from error

    def end(self, run: RunReport) -> None:
        """Everything is written already."""


def _write_moment(folder: Path, track: TrackReport, moment: Moment) -> None:
    stem = f"face{track.id}-{moment.detector}-{moment.time_s:.2f}s"
    _write(folder / f"{stem}.png", png(moment.picture))
    for heat in moment.heats:
        shown = overlay(moment.picture, heat.values, heat.view)
        _write(folder / f"{stem}-{heat.view.output}.png", png(shown))


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def _refused(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: the evidence cannot be written here ({error.strerror})")
