"""The HTML page, without a browser: well-formed, self-contained, and proof against what names hold."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser

import pytest
from lxml import html

from deepscan.detectors import SPECS
from deepscan.detectors.spec import Score
from deepscan.ensemble import DetectorVerdict
from deepscan.media import Coverage, MediaInfo
from deepscan.report.html import FACES_SHOWN, HtmlReport
from deepscan.report.timeline import LEFT, MARKS, RIGHT, WIDTH
from deepscan.results import RunReport
from deepscan.text import visible
from tests.fixtures.pictures import with_pictures
from tests.fixtures.sample import ODD_NAMES, REASON, face, failed, real, run, scanned, written

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
VOID = {"meta", "link", "input", "img", "br"}
SAME_PAGE = re.compile(r"#[\w-]+|data:(,|image/(png|webp);base64,[A-Za-z0-9+/=]+)")


def page(results: RunReport) -> str:
    return written(HtmlReport, results, NOW)


class Checker(HTMLParser):
    """Counts elements; complains about what is not closed, or acts, or points out of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.count: Counter[str] = Counter()
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
        self.count[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on")
            assert name != "style"
            if name in {"href", "src", "xlink:href", "action", "srcset"}:
                assert SAME_PAGE.fullmatch(value or ""), value
            if name == "id":
                self.ids.append(value or "")


EVERYTHING = [
    with_pictures(scanned()),
    with_pictures(real()),
    scanned("u.mp4", verdict="uncertain", tracks=(face(1, 0.5, "uncertain"),), probability=0.5),
    scanned(
        "part.mp4",
        status="partial",
        verdict="uncertain",
        coverage=Coverage(10.0, 6.0, 60, 2, ["the file <ends> early"]),
    ),
    failed(),
    failed("n.jpg", "no_face"),
    scanned("unscored.mp4", verdict="uncertain", probability=None, tracks=(face(1, None, None),)),
    with_pictures(
        scanned(
            "photo.jpg",
            media=MediaInfo("image", "jpeg", "jpeg", 256, 384, 0, None, None, 1, 2.0),
            coverage=Coverage(None, 0.0, 1, 0, []),
            skipped=(),
        )
    ),
]


def test_the_page_is_well_formed_and_points_nowhere() -> None:
    checked = Checker(page(run(EVERYTHING, not_counted=("sola",), left_out=3)))
    assert checked.count["details"] == len(EVERYTHING) + 1
    assert checked.count["svg"] >= 3 * 6
    assert len(checked.ids) == len(set(checked.ids))
    Checker(page(run([])))


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    text = page(run(EVERYTHING))
    tree = html.fromstring(text)
    policy = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert not re.search(r"url\(|@import|https?://", style.group(1))


def test_every_file_says_what_was_found_and_why() -> None:
    tree = html.fromstring(page(run(EVERYTHING, not_counted=("sola",))))
    files = tree.xpath("//details[contains(@class, 'file')]")
    assert [f.xpath("string(summary/span[@class='path'])") for f in files] == [f.path for f in EVERYTHING]
    first, _, _, part, unreadable, *_, photo = (" ".join(f.text_content().split()) for f in files)
    assert first.startswith("fake 97 % a.mp4 h264 1920x1080 · 10.0 s")
    assert "17 points above the 80 %" in first
    assert REASON in first
    assert "3 faces: smaller than 48 px, 0.0–4.1 s" in first
    assert "6.0 s of 10.0 s, 2 frames could not be decoded" in part
    assert "the file <ends> early" in part
    assert unreadable == "unreadable b.mp4 is empty (zero bytes); fetch the file again."
    assert " s " not in photo.split("Coverage")[0].replace("'s ", "")
    assert "uncertain 3" in " ".join(tree.xpath("string(//fieldset)").split())


def test_the_timeline_shows_the_ensemble_and_every_detector() -> None:
    tree = html.fromstring(page(run([scanned()], not_counted=("sola",))))
    chart = tree.xpath("//svg[@class='timeline']")[0]
    names = chart.xpath(".//text[@class='name']/text()")
    assert names == ["Ensemble", *(spec.title for spec in SPECS.values())]
    assert "highest" in chart.get("aria-label")
    assert len(chart.xpath(".//g[contains(@class, 'uncounted')]")) == 1
    assert {"fake from 80 %", "real below 20 %"} <= set(chart.xpath(".//text/text()"))
    points = chart.xpath(".//polyline/@points")[0].split()
    assert len(points) == 2, "two clips, at 0.25 and at 3.45 s"
    xs = [float(point.split(",")[0]) for point in points]
    assert (xs[1] - xs[0]) / (WIDTH - LEFT - RIGHT) == pytest.approx(3.2 / 10, abs=1e-3)


def test_pictures_come_with_maps_and_captions() -> None:
    tree = html.fromstring(page(run([with_pictures(scanned())])))
    moments = tree.xpath("//section[starts-with(@class, 'moment')]")
    assert len(moments) == 6
    gml = moments[1]
    assert "GML 90 % by the network itself" in " ".join(gml.text_content().split())
    assert len(gml.xpath(".//figure")) == 3
    captions = tree.xpath("//figcaption/b/text()")
    assert captions == [
        "Attention rollout.",
        "Anomaly |F*|.",
        "Motion consistency |F^MM|.",
        "Chosen patches.",
        "Second-order anomaly.",
        "Class activation.",
        "Forged pixels.",
    ]
    used = {use.get("href").removeprefix("#") for use in tree.xpath("//use")}
    assert used == {image.get("id") for image in tree.xpath("//image[@id]")}
    assert len(tree.xpath("//svg[@class='timeline']//image")) == 2, "activation over time"


def test_without_kept_pictures_the_page_is_complete_all_the_same() -> None:
    tree = html.fromstring(page(run([scanned()])))
    assert tree.xpath("//svg[@class='timeline']")
    assert not tree.xpath("//figure")


def test_provenance_names_versions_weights_and_settings() -> None:
    report = run([], not_counted=("sola",))
    text = html.fromstring(page(report)).xpath("string(//footer)")
    assert "2026-01-02 03:04 UTC" in text
    assert all(sha256 in text for sha256 in report.weights.values())
    for words in (
        "deepscan0.1.0",
        "onnxruntime",
        "fake from0.8000",
        "not counted: adds nothing to the others",
    ):
        assert words in text.replace("\n", "")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_and_errors_are_text(name: str) -> None:
    plain = Checker(page(run([scanned("x.mp4"), failed("x.mp4", error="x.mp4: y")])))
    odd = Checker(page(run([scanned(name), failed(name, error=f"x.mp4: {name}")])))
    assert odd.count == plain.count
    assert odd.text.count(visible(name)) == 3
    page(run([scanned(name)])).encode("utf-8")


def test_a_few_files_are_unfolded_and_many_are_not() -> None:
    assert page(run([scanned()] * 3)).count(" open>") == 3
    assert page(run([scanned()] * 4)).count(" open>") == 0


def test_a_file_with_many_faces_and_clips_stays_small() -> None:
    scores = tuple(Score(1, n / 10, n / 10 + 0.6, (n % 7) / 7) for n in range(3000))
    crowded = DetectorVerdict("gml", 0.5, scores, scores[6], None)
    tracks = tuple(replace(face(number), detectors=(crowded,)) for number in range(1, 16))
    media = MediaInfo("video", "mp4", "h264", 1920, 1080, 0, 300.6, 25.0, 7515, 0.1)
    text = page(run([scanned(tracks=tracks, media=media)]))
    assert len(re.findall('class="clip(-bar)?"', text)) <= MARKS * FACES_SHOWN
    assert "3 less suspicious faces not shown" in text
    assert len(text) < 2_000_000


def test_accepted_findings_are_marked_and_an_interrupted_run_says_so() -> None:
    text = page(run([scanned(accepted=True), scanned("new.mp4")], total=5, interrupted=True))
    assert text.count('<span class="quiet">accepted before</span>') == 1
    assert "2 files: 2 fake, 1 accepted before (interrupted: 2 of 5 files scanned)" in text
