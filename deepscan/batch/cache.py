"""Results by content, kept in SQLite files for ``--cache`` and ``--resume``.

A result is found again under the hash of the file's content, the ending of its name (which the container's
name in the report depends on), and everything else that it depends on: settings, weights, face model, device
and the version of deepscan. Names play no part, so a copy or a renamed file is known too.

Kept are results of files that could be looked at (``scanned``, ``partial``, ``no_face``). A failure may have
been the machine's, so a file that failed is tried again. Results are JSON, read against the types that they
are of: what does not fit counts as unknown. Several processes and runs may share a file; a store that fails
on the way costs the time of a scan and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deepscan import __version__
from deepscan.config import ScanConfig
from deepscan.errors import UsageError
from deepscan.provenance.manifests import c2pa_version
from deepscan.results import FileReport, RunReport
from deepscan.settings import settings_of
from deepscan.weights import MANIFEST, Weights, sha256

APPLICATION_ID = 0x64656570  # "deep", in the header of every such file
FORMAT = 1
BUSY_S = 30.0
KEPT = frozenset({"scanned", "partial", "no_face"})


@dataclass(frozen=True)
class ResultStore:
    """One or more files of results, of a run with certain settings.

    Attributes:
        files: searched in this order; new results go to all of them.
        fingerprint: of everything that a result depends on besides the file.
    """

    files: tuple[Path, ...]
    fingerprint: str

    def get(self, path: Path, content: str) -> FileReport | None:
        """The result for a file with the sha256 ``content``; None when it is not known."""
        for file in self.files:
            try:
                with closing(_connect(file)) as database:
                    row = database.execute(
                        "SELECT report FROM results WHERE key = ?", (self._key(path, content),)
                    ).fetchone()
                if row is not None:
                    return replace(_decode(row[0]), path=str(path), sha256=content, taken_over=True)
            except (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError):
                continue
        return None

    def put(self, path: Path, content: str, report: FileReport) -> None:
        """Keep a result."""
        if report.status not in KEPT or report.error is not None:
            return
        try:
            row = (self._key(path, content), _encode(replace(report, path="")))
        except (msgspec.MsgspecError, UnicodeError):  # a sentence of FFmpeg's may quote what is no text
            return
        for file in self.files:
            try:
                with closing(_connect(file)) as database, database:
                    database.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", row)
            except sqlite3.Error:
                continue

    def _key(self, path: Path, content: str) -> str:
        return _digest([self.fingerprint, content, path.suffix.lower()])


def open_store(run: RunReport, *files: Path) -> ResultStore:
    """The results in ``files``, which are made where they do not exist.

    Raises:
        UsageError: one of them cannot be written, or is something else.
    """
    for file in files:
        try:
            with closing(_connect(file)) as database, database:
                _prepare(database, file)
        except sqlite3.Error as error:
            raise UsageError(
                f"{file}: this is no file for results, or it cannot be written ({error})"
            ) from error
    return ResultStore(tuple(file.resolve() for file in files), fingerprint(run.resolved))


def fingerprint(resolved: ScanConfig) -> str:
    """Hash of everything that a result depends on besides the file.

    Args:
        resolved: settings, with the device and the precision that the networks really run in. Those that
            change results count; of a path, the content of what it names.

    Raises:
        UsageError: the manifest of the weights or the face model cannot be read.
    """
    # The manifest lists the hash of every model, and the calibration.
    config = replace(resolved, weights=Weights(resolved.weights).root / MANIFEST)
    declared = settings_of(type(config)).items()
    changing = [name for name, setting in declared if setting.changes_results]
    return _digest(
        [__version__, c2pa_version(), *([name, _content(name, getattr(config, name))] for name in changing)]
    )


def _content(name: str, value: Any) -> Any:
    """A setting's value as JSON has it; of a path, the hash of the file."""
    if not isinstance(value, Path):
        return value
    try:
        return sha256(value)
    except OSError as error:
        what = name.replace("_", " ")
        raise UsageError(f"{value}: this {what} cannot be read ({error.strerror})") from error


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=BUSY_S)


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and (application, version) != (APPLICATION_ID, FORMAT):
        raise UsageError(f"{file}: this database is not deepscan's, or of another version; name another file")
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {FORMAT}")
    database.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, report BLOB NOT NULL)")


def _encode(report: FileReport) -> bytes:
    return msgspec.json.encode(report, enc_hook=_simplify)


def _decode(data: bytes) -> FileReport:
    return msgspec.json.decode(data, type=FileReport, dec_hook=_restore)


def _simplify(value: Any) -> Any:
    """Numbers and arrays of NumPy as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"dtype": value.dtype.str, "shape": value.shape, "data": data}
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _restore(kind: type, value: Any) -> Any:
    """The arrays again; buffers of plain numbers only."""
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in "biuf":
        raise ValueError(f"{dtype} cannot be kept")
    return np.frombuffer(base64.b64decode(value["data"]), dtype).reshape(value["shape"]).copy()
