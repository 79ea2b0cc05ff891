"""One self-contained HTML page: no script, no network, nothing beside it.

The page is a list of files that fold open, with a filter by verdict on top. It works without JavaScript
(folding is ``<details>``, filtering is CSS), so that its content security policy can forbid everything but
its own style sheet, by hash, and pictures that are part of the page.

Sections are rendered as files finish and wait in a temporary file, because the head of the page counts them
all: a long run takes no more memory than a short one.
"""

from __future__ import annotations

import base64
import hashlib
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from importlib.resources import files
from typing import IO, TYPE_CHECKING, Any, TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deepscan.detectors import SPECS
from deepscan.report.explanation import explain
from deepscan.report.heatmaps import heat_rgba, png_uri, shrunk, webp_uri
from deepscan.report.outcome import ACCEPTED, error_without_path, label, totals
from deepscan.report.provenance import sentences, warnings
from deepscan.report.timeline import Chart, chart
from deepscan.text import counted, moment, percent, span, visible

if TYPE_CHECKING:
    from deepscan.results import FileReport, Moment, RunReport, TrackReport

FACES_SHOWN = 12
OPEN_UP_TO = 3  # a report of so few files shows them unfolded
PICTURE_PX = 168
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "av", "insightface", "opencv-python", "pillow", "numpy")
KINDS = ("fake", "uncertain", "real", "unscanned")


@dataclass(frozen=True)
class HeatPicture:
    """One map over a crop; position and size in shares of the crop's side."""

    title: str
    caption: str
    picture: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class MomentPicture:
    """One crop, embedded once under ``id``, and the maps that lie over it."""

    id: str
    title: str
    counted: bool
    when: str
    share: str
    picture: str
    heats: tuple[HeatPicture, ...]


@dataclass(frozen=True)
class FaceSection:
    """One face as the page shows it."""

    track: TrackReport
    label: str
    thumbnail: str | None
    chart: Chart | None
    moments: tuple[MomentPicture, ...]


class HtmlReport:
    """Renders each file as it finishes and writes the page when the run ends."""

    def __init__(self, stream: TextIO, now: datetime | None = None) -> None:
        """``now`` is the time that the page names; None: the real one."""
        self._stream = stream
        self._now = now or datetime.now(timezone.utc)
        self._sections: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._run: RunReport | None = None
        self._kinds: Counter[str] = Counter()
        self._pictures = 0
        self._templates = Environment(
            loader=PackageLoader("deepscan.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            finalize=_shown,
        )
        self._templates.globals |= {
            "specs": SPECS,
            "percent": percent,
            "moment": moment,
            "span": span,
            "counted": counted,
        }

    def begin(self, run: RunReport) -> None:
        """Learn what every section needs of the run."""
        self._run = run

    def file(self, file: FileReport) -> None:
        """Render one file."""
        if self._run is None:
            raise RuntimeError("begin comes before the first file")
        kind = file.verdict or "unscanned"
        self._kinds[kind] += 1
        section = self._templates.get_template("file.html.jinja").render(
            file=file,
            number=sum(self._kinds.values()),
            kind=kind,
            label=_label(label(file), file.probability),
            open=self._run.total <= OPEN_UP_TO,
            accepted=ACCEPTED if file.accepted else "",
            error=error_without_path(file),
            explanation=explain(file, self._run),
            origin=sentences(file),
            origin_warnings=warnings(file),
            declared="declared synthetic" if file.declared_synthetic else "",
            faces=list(self._faces(file, self._run)),
            faces_hidden=max(0, len(file.tracks) - FACES_SHOWN),
            timed=file.media is None or file.media.kind != "image",
            not_counted=self._run.not_counted,
        )
        self._sections.write(section)

    def end(self, run: RunReport) -> None:
        """Write the page."""
        with self._sections:
            style = files("deepscan.report").joinpath("templates", "report.css").read_text(encoding="utf-8")
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
            page = self._templates.get_template("page.html.jinja").stream(
                run=run,
                style=Markup(style),
                style_hash=digest,
                totals=totals(run),
                kinds=[(kind, self._kinds[kind]) for kind in KINDS],
                sections=self._rendered(),
                made=self._now.strftime("%Y-%m-%d %H:%M UTC"),
                versions=_versions(run),
                settings=_settings(run),
            )
            self._stream.writelines(page)

    def _rendered(self) -> Iterator[Markup]:
        self._sections.seek(0)
        while block := self._sections.read(1 << 16):
            yield Markup(block)

    def _faces(self, file: FileReport, run: RunReport) -> Iterator[FaceSection]:
        timed = file.media is None or file.media.kind != "image"
        ranked = sorted(file.tracks, key=lambda track: (-(track.probability or 0.0), track.id))
        for track in ranked[:FACES_SHOWN]:
            yield FaceSection(
                track,
                _label(track.verdict or "no verdict", track.probability),
                None if track.thumbnail is None else webp_uri(track.thumbnail),
                chart(file, track, run) if timed else None,
                tuple(self._moments(track, run, timed)),
            )

    def _moments(self, track: TrackReport, run: RunReport, timed: bool) -> Iterator[MomentPicture]:
        for shown in track.evidence.moments if track.evidence else ():
            self._pictures += 1
            score = shown.score
            yield MomentPicture(
                id=f"p{self._pictures}",
                title=SPECS[shown.detector].title,
                counted=shown.detector not in run.not_counted,
                when=f"clip {span(score.start_s, score.end_s)}, picture {moment(shown.time_s)}"
                if timed
                else "",
                share=percent(score.probability),
                picture=webp_uri(shrunk(shown.picture, PICTURE_PX)),
                heats=tuple(_heats(shown)),
            )


def _heats(shown: Moment) -> Iterator[HeatPicture]:
    for heat in shown.heats:
        x0, y0, x1, y1 = heat.view.extent
        picture = png_uri(heat_rgba(heat.values))
        yield HeatPicture(heat.view.title, heat.view.caption, picture, x0, y0, x1 - x0, y1 - y0)


def _shown(value: Any) -> Any:
    """What a template prints: words from outside cannot hide, reorder or break the page's text."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _label(word: str, probability: float | None) -> str:
    return word if probability is None else f"{word} {percent(probability)}"


def _versions(run: RunReport) -> list[tuple[str, str]]:
    found = [("deepscan", run.version), ("Python", platform.python_version())]
    for name in LIBRARIES:
        try:
            found.append((name, package_version(name)))
        except PackageNotFoundError:
            continue
    return found


def _settings(run: RunReport) -> list[tuple[str, str]]:
    config = run.config
    return [
        ("detectors", ", ".join(config.detectors)),
        ("runs on", f"{run.device} ({run.provider}, {run.precision})"),
        ("fake from", f"{run.threshold_fake:.4f}"),
        ("real below", f"{run.threshold_real:.4f}"),
        ("smallest face", f"{config.min_face_px} px"),
        ("faces at a time", str(config.max_faces)),
        ("every frame", "yes" if config.thorough else "no, a sample"),
        ("cheap detectors first", "yes" if config.fast else "no"),
        ("face model", "the one that is shipped" if config.face_model is None else str(config.face_model)),
    ]
