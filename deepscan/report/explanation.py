"""Why a file got its verdict, and what would make the answer surer, in plain sentences.

Everything is derived from what was measured on this very file: probabilities, thresholds, the width of the
face, the seconds it is in view, bits per pixel, coverage. Nothing here guesses at what the picture shows.

Choices:

- A verdict rests on the most suspicious face, so that face is the one explained.
- A detector speaks for a forgery from a calibrated probability of 0.5 up, and against it below.
- Detectors that are not counted have no say in the verdict and none here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepscan.detectors import SPECS
from deepscan.detectors.spec import CropRule, DetectorSpec, Sampling
from deepscan.ensemble import by_itself
from deepscan.results import NOT_NEEDED
from deepscan.text import counted, listed, moment, percent, span

if TYPE_CHECKING:
    from deepscan.ensemble import DetectorVerdict
    from deepscan.media import MediaInfo
    from deepscan.results import FileReport, RunReport, TrackReport

SPEAKS_FOR = 0.5
CLOSE = 0.15  # a probability nearer than this to a threshold could easily have fallen on its other side
FEW_CLIPS = 3
MOSTLY_SEEN = 0.8
# A soft, slow portrait takes these bits at H.264 crf 28 and at JPEG quality 30; what has fewer was compressed
# at least that hard. Newer codecs keep as much with about half the bits, older ones need more.
LOW_BITS_PER_PIXEL = {
    "h264": 0.03,
    "mpeg4": 0.05,
    "hevc": 0.015,
    "vp9": 0.015,
    "libdav1d": 0.012,  # AV1, by the name of FFmpeg's decoder
    "av1": 0.012,
    "jpeg": 0.65,
}
HEIGHT_TO_WIDTH = 1.25  # of a face box


@dataclass(frozen=True)
class Explanation:
    """Why the verdict is what it is.

    Attributes:
        track: number of the face that the verdict rests on; None without one.
        speaks_for: counted detectors that take that face for forged.
        speaks_against: counted detectors that do not.
        above_fake: probability minus the threshold of ``fake``; None without a probability.
        above_real: probability minus the threshold of ``real``; negative means ``real``.
        reasons: sentences.
        more_certain: what would make the answer surer, each as a phrase.
    """

    track: int | None
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    above_fake: float | None
    above_real: float | None
    reasons: tuple[str, ...]
    more_certain: tuple[str, ...]

    @property
    def close(self) -> bool:
        """The probability lies near a threshold, or there is none."""
        distances = [abs(d) for d in (self.above_fake, self.above_real) if d is not None]
        return not distances or min(distances) < CLOSE


def explain(file: FileReport, run: RunReport) -> Explanation:
    """Explain one file's verdict, or why it has none."""
    track = most_suspicious(file.tracks)
    if file.verdict is None or track is None:
        return Explanation(None, (), (), None, None, _no_verdict(file), _to_get_one(file, run))
    counting = [d for d in track.detectors if d.name not in run.not_counted]
    scored = [(d, d.probability) for d in counting if d.probability is not None]
    speaks_for = [d for d, p in scored if p >= SPEAKS_FOR]
    against = [d for d, p in scored if p < SPEAKS_FOR]
    p = track.probability
    reasons = [_distance(track, run), *_opinions(speaks_for, against)]
    if _timed(file) and speaks_for:
        reasons.append(_where(speaks_for))
    reasons += [
        *_too_narrow(track, run),
        *_little_to_see(track, run),
        *_among_others(file, track, run),
        *_caveats(file),
    ]
    return Explanation(
        track.id,
        tuple(d.name for d in speaks_for),
        tuple(d.name for d in against),
        None if p is None else p - run.threshold_fake,
        None if p is None else p - run.threshold_real,
        tuple(reasons),
        tuple(_more_certain(file, track, counting, run)),
    )


def most_suspicious(tracks: Sequence[TrackReport]) -> TrackReport | None:
    """The face with the highest probability; one without any comes last."""
    return max(tracks, key=lambda t: (-1.0 if t.probability is None else t.probability, -t.id), default=None)


def _timed(file: FileReport) -> bool:
    return file.media is None or file.media.kind != "image"


def _no_verdict(file: FileReport) -> tuple[str, ...]:
    if file.status == "no_face":
        return ("No face large enough to judge was found, so nothing is said about this file.",)
    return (file.error or "This file could not be scanned.",)


def _to_get_one(file: FileReport, run: RunReport) -> tuple[str, ...]:
    if file.status != "no_face":
        return ()
    if file.unjudged:
        return (_with_the_others(file),)
    if file.skipped:
        return (f"a copy in which a face is at least {run.config.min_face_px} px wide ({_left_out(file)})",)
    return ("footage in which a face is seen from the front",)


def _left_out(file: FileReport) -> str:
    faces = listed([f"{counted(skipped.count, 'face')} {skipped.reason}" for skipped in file.skipped])
    return f"left out here: {faces}"


def _distance(track: TrackReport, run: RunReport) -> str:
    p = track.probability
    if p is None:
        return f"No detector that counts could judge face {track.id}, so it has no probability."
    fake, real = run.threshold_fake, run.threshold_real
    lead = f"Face {track.id} has a probability of {percent(p)}"
    if p >= fake:
        return f"{lead}, {_points(p - fake)} above the {percent(fake)} from which a face is called fake."
    if p < real:
        return f"{lead}, {_points(real - p)} below the {percent(real)} under which a face is called real."
    return (
        f"{lead}, {_points(fake - p)} short of fake (from {percent(fake)}) and "
        f"{_points(p - real)} too high for real (below {percent(real)})."
    )


def _too_narrow(track: TrackReport, run: RunReport) -> list[str]:
    """That no face of this width is called fake or real; see ``ensemble.Calibration.held``."""
    least_px = run.calibration.least_width_px
    if track.probability is None or not 0 < track.face_width_px < least_px:
        return []
    return [
        f"It is {track.face_width_px} px wide, and below {least_px:.0f} px nobody can tell forged faces from "
        "genuine ones: such a face is never called fake or real."
    ]


def _little_to_see(track: TrackReport, run: RunReport) -> list[str]:
    """That the detectors' scores count for less; see ``ensemble.Calibration.at``."""
    full_px = run.calibration.full_width_px
    sentences = []
    if 0 < track.face_width_px < full_px:
        sentences.append(
            f"it is {track.face_width_px} px wide, where they count in full from {full_px:.0f} px"
        )
    if track.still and run.calibration.still_share < 1:
        sentences.append("it is seen in one frame only")
    return (
        [f"What the detectors say of this face counts for less: {' and '.join(sentences)}."]
        if sentences
        else []
    )


def _among_others(file: FileReport, track: TrackReport, run: RunReport) -> list[str]:
    """That a face is judged with others of its person, and held to less because the file has others still.

    See ``people`` and ``ensemble.weigh_tracks``.
    """
    views = [other for other in file.tracks if other is track or _same_person(other, track)]
    calibration = run.calibration.at(track.face_width_px, still=track.still)
    together = []
    if len(views) > 1:
        calibration = run.calibration.of_person([view.face_width_px for view in views])
        together = [
            f"It is one of {len(views)} views of the same person, who is judged by all of them together."
        ]
    alone, p = by_itself([d for view in views for d in view.detectors], calibration), track.probability
    judged = [other for other in file.tracks if other.probability is not None]
    faces = len({("face", t.id) if t.person is None else ("person", t.person) for t in judged})
    if faces < 2 or alone is None or p is None or alone <= p or percent(alone) == percent(p):
        return together
    return [
        *together,
        f"By itself it would have {percent(alone)}; as one of {faces} faces it counts for less, because "
        "more faces are more chances of a false alarm.",
    ]


def _same_person(one: TrackReport, other: TrackReport) -> bool:
    return one.person is not None and one.person == other.person


def _points(distance: float) -> str:
    points = round(100 * distance)
    return "less than a point" if points == 0 else counted(points, "point")


def _opinions(speaks_for: Sequence[DetectorVerdict], against: Sequence[DetectorVerdict]) -> list[str]:
    both = len(speaks_for) + len(against)
    if both == 0:
        return []
    if both == 1:
        only = [*speaks_for, *against]
        side = "for" if speaks_for else "against"
        return [f"Only {_names(only)} could be counted, and speaks {side} a forgery."]
    if not against or not speaks_for:
        side = "for" if speaks_for else "against"
        names = _names([*speaks_for, *against])
        return [f"The {both} detectors that count agree: {names} speak {side} a forgery."]
    one, other = ("s" if len(group) == 1 else "" for group in (speaks_for, against))
    return [
        f"The detectors disagree: {_names(speaks_for)} speak{one} for a forgery, "
        f"{_names(against)} speak{other} against it."
    ]


def _names(detectors: Sequence[DetectorVerdict]) -> str:
    return listed([f"{SPECS[d.name].title} ({percent(d.probability or 0.0)})" for d in detectors])


def _where(detectors: Sequence[DetectorVerdict]) -> str:
    """Where those that speak for a forgery are strongest, together if those moments overlap."""
    peaks = [(d, d.peak.start_s, d.peak.end_s) for d in detectors if d.peak is not None]
    start, end = max(p[1] for p in peaks), min(p[2] for p in peaks)
    if len(peaks) == 1:
        return f"Its most suspicious clip is at {span(start, end, ' to ')}."
    if start <= end:
        return f"Their most suspicious clips share {span(start, end, ' to ')}."
    each = [f"{SPECS[d.name].title} at {span(first, last, ' to ')}" for d, first, last in peaks]
    return f"Their most suspicious clips differ: {listed(each)}."


def _caveats(file: FileReport) -> list[str]:
    sentences = []
    if file.verdict == "real":
        sentences.append(
            "No trace that these detectors know was found; that does not prove the file genuine."
        )
    if file.verdict == "uncertain" and file.status == "partial":
        sentences.append("A file that could not be read whole is never called real.")
    sentences += [
        f"{counted(skipped.large, 'face')} large enough to judge {_was(skipped.large)} left out: "
        f"{skipped.reason}. A file with such a face is never called real."
        for skipped in file.skipped
        if skipped.large
    ]
    unscored = [track for track in file.tracks if track.probability is None]
    if unscored and len(unscored) < len(file.tracks):
        sentences.append(f"{counted(len(unscored), 'other face').capitalize()} could not be judged.")
    return sentences


def _more_certain(
    file: FileReport, track: TrackReport, counting: Sequence[DetectorVerdict], run: RunReport
) -> list[str]:
    scored = [d for d in counting if d.probability is not None]
    found = [
        _whole_file(file),
        _not_run([d for d in counting if d.reason == NOT_NEEDED]),
        _unscored(file, [d for d in counting if d.probability is None and d.reason != NOT_NEEDED]),
        _seconds(file, track, scored),
        _larger_face(track, scored),
        _less_compression(file.media),
        _every_frame(file, track, scored, run),
        _with_the_others(file) if file.skipped else None,
    ]
    return [phrase for phrase in found if phrase is not None]


def _with_the_others(file: FileReport) -> str:
    options = [skipped.judge_with for skipped in file.skipped if skipped.judge_with]
    return f"the other faces too{', with ' if options else ''}{listed(options)} ({_left_out(file)})"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _whole_file(file: FileReport) -> str | None:
    coverage = file.coverage
    if file.status != "partial" or coverage is None:
        return None
    if coverage.spent:
        return "a larger --pixel-budget: decoding stopped before the end of the file"
    if coverage.duration_s is None:
        return "an undamaged copy"
    seen = f"{moment(coverage.seconds_covered)} of {moment(coverage.duration_s)}"
    return (
        f"an undamaged copy: decoding reached {seen}, and {counted(coverage.frames_failed, 'frame')} failed"
    )


def _not_run(detectors: Sequence[DetectorVerdict]) -> str | None:
    if not detectors:
        return None
    return f"a scan without --fast, which asks {listed([SPECS[d.name].title for d in detectors])} too"


def _unscored(file: FileReport, detectors: Sequence[DetectorVerdict]) -> str | None:
    if not detectors:
        return None
    if not _timed(file):
        titles = listed([SPECS[d.name].title for d in detectors])
        return f"the video that this picture comes from: {titles} can only judge several frames"
    reasons = [f"{SPECS[d.name].title} {d.reason}" for d in detectors]
    return f"a longer unbroken view of this face: {listed(reasons)}"


def _seconds(file: FileReport, track: TrackReport, scored: Sequence[DetectorVerdict]) -> str | None:
    clips = [d for d in scored if SPECS[d.name].sampling in (Sampling.CONSECUTIVE, Sampling.EVERY_SECOND)]
    few = [d for d in clips if len(d.scores) < FEW_CLIPS]
    if not few or not _timed(file):
        return None
    had = listed([f"{counted(len(d.scores), 'clip')} for {SPECS[d.name].title}" for d in few])
    return f"more seconds of this face: its {moment(track.end_s - track.start_s)} gave {had}"


def _larger_face(track: TrackReport, scored: Sequence[DetectorVerdict]) -> str | None:
    wanted = {d.name: _full_width_px(SPECS[d.name]) for d in scored}
    small = {name: px for name, px in wanted.items() if track.face_width_px < px}
    if not small:
        return None
    titles = listed([SPECS[name].title for name in small])
    return (
        f"a larger face: it is {track.face_width_px} px wide, and {titles} could use "
        f"about {max(small.values())} px"
    )


def _full_width_px(spec: DetectorSpec) -> int:
    """Width from which a face fills the detector's input without being enlarged."""
    height = HEIGHT_TO_WIDTH**0.5 if spec.crop is CropRule.SQRT_AREA else HEIGHT_TO_WIDTH
    return round(spec.size_px / spec.scale / height)


def _less_compression(media: MediaInfo | None) -> str | None:
    if media is None or media.bits_per_pixel is None:
        return None
    if media.bits_per_pixel >= LOW_BITS_PER_PIXEL.get(media.codec, 0.0):
        return None
    return (
        f"a less compressed copy: this one spends {media.bits_per_pixel:.2g} bits on a pixel, "
        "and compression wipes out fine traces"
    )


def _every_frame(
    file: FileReport, track: TrackReport, scored: Sequence[DetectorVerdict], run: RunReport
) -> str | None:
    """``--thorough``, where the windows that were looked at leave much of the face's time out."""
    length = track.end_s - track.start_s
    clips = [d for d in scored if SPECS[d.name].sampling in (Sampling.CONSECUTIVE, Sampling.EVERY_SECOND)]
    if run.config.thorough or not clips or not _timed(file) or length <= 0:
        return None
    seen = max(sum(score.end_s - score.start_s for score in d.scores) for d in clips)
    if seen >= MOSTLY_SEEN * length:
        return None
    return f"--thorough: the clips looked at cover {moment(seen)} of this face's {moment(length)}"
