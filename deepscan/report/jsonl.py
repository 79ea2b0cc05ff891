"""JSON Lines: a line per file as soon as it is finished, each complete in itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from deepscan.report.json import dumps, explained_file, origin

if TYPE_CHECKING:
    from deepscan.results import FileReport, RunReport


class JsonlReport:
    """Writes and flushes one line per file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._run: RunReport | None = None
        self._origin: dict[str, Any] = {}

    def begin(self, run: RunReport) -> None:
        """Remember what every line repeats."""
        self._run, self._origin = run, origin(run)

    def file(self, file: FileReport) -> None:
        """Write the file's line."""
        if self._run is None:
            raise RuntimeError("begin comes before the first file")
        self._stream.write(dumps({**self._origin, **explained_file(file, self._run)}) + "\n")
        self._stream.flush()

    def end(self, run: RunReport) -> None:
        """Every line is written already."""
