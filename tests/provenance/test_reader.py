"""What a file says about its own origin, for every kind of file and every source."""

from __future__ import annotations

import io
import os
import signal
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, PngImagePlugin

from deepscan.errors import UsageError
from deepscan.provenance import manifests
from deepscan.provenance.reader import ProvenanceReader
from tests.fixtures import make, signed

KINDS = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
}
PHOTOS = ("jpg", "webp", "avif", "heic")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of each kind, which says nothing about itself but the encoder."""
    folder = tmp_path_factory.mktemp("plain")
    picture = Image.effect_noise((160, 160), 60).convert("RGB")
    for kind in KINDS:
        path = folder / f"a.{kind}"
        if kind == "heic":
            pillow_heif.from_pillow(picture).save(path)
        elif kind in ("mp4", "mov"):
            make.portrait_clip(path, seconds=0.5)
        else:
            picture.save(path)
    return {kind: folder / f"a.{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def signed_files(plain: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("signed")
    return {kind: signed.sign(path, folder / path.name, KINDS[kind]) for kind, path in plain.items()}


@pytest.fixture(scope="module")
def anchors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("anchors") / "root.pem"
    path.write_bytes(signed.authority().root)
    return path


@pytest.fixture(scope="module")
def trusting(anchors: Path) -> ProvenanceReader:
    return ProvenanceReader(anchors)


@pytest.fixture(scope="module")
def reader() -> ProvenanceReader:
    return ProvenanceReader()


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_is_valid_untrusted_invalid_or_absent(
    kind: str,
    plain: dict[str, Path],
    signed_files: dict[str, Path],
    trusting: ProvenanceReader,
    reader: ProvenanceReader,
    tmp_path: Path,
) -> None:
    found = trusting.read(signed_files[kind])
    assert found is not None and found.manifest is not None
    assert found.manifest.state == "valid"
    assert found.manifest.signer == "Signer <b>, Test Newsroom"
    assert found.manifest.generator == "Test Generator 1.0"
    assert found.manifest.actions == ("c2pa.created",)
    assert found.declared == (("trainedAlgorithmicMedia", "C2PA manifest"),)
    assert found.warnings == ()

    unknown = reader.read(signed_files[kind])
    assert unknown is not None and unknown.manifest is not None
    assert (unknown.manifest.state, unknown.warnings) == ("untrusted", ())
    assert unknown.declared == found.declared

    changed = trusting.read(signed.tampered(signed_files[kind], tmp_path / f"changed.{kind}"))
    assert changed is not None and changed.manifest is not None
    assert changed.manifest.state == "invalid"
    assert changed.manifest.problems
    assert changed.declared == ()
    assert "invalid" in changed.warnings[0]

    nothing = trusting.read(plain[kind])
    assert nothing is None or (nothing.manifest, nothing.declared, nothing.warnings) == (None, (), ())


def test_a_camera_declares_nothing_synthetic(
    plain: dict[str, Path], trusting: ProvenanceReader, tmp_path: Path
) -> None:
    path = signed.sign(plain["jpg"], tmp_path / "c.jpg", "image/jpeg", source_type="digitalCapture")
    found = trusting.read(path)
    assert found is not None and found.manifest is not None
    assert (found.manifest.state, found.manifest.source_types) == ("valid", ("digitalCapture",))
    assert found.declared == ()


def test_an_edited_copy_is_as_synthetic_as_its_parent(
    signed_files: dict[str, Path], trusting: ProvenanceReader, tmp_path: Path
) -> None:
    source = signed_files["jpg"]
    found = trusting.read(signed.sign(source, tmp_path / "e.jpg", "image/jpeg", parent=source))
    assert found is not None and found.manifest is not None
    assert found.manifest.state == "valid"
    assert "c2pa.edited" in found.manifest.actions
    assert found.declared == (("trainedAlgorithmicMedia", "C2PA manifest"),)


def test_without_c2pa_a_manifest_is_seen_and_the_report_says_how_to_read_it(
    signed_files: dict[str, Path], reader: ProvenanceReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "c2pa_version", lambda: None)
    for path in signed_files.values():
        found = reader.read(path)
        assert found is not None and found.manifest is not None
        assert (found.manifest.state, found.declared) == ("not_read", ())
        assert "pip install 'deepscan[provenance]'" in found.warnings[0]


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_manifest_is_a_warning(
    seed: int, signed_files: dict[str, Path], reader: ProvenanceReader, tmp_path: Path
) -> None:
    content = bytearray(signed_files["png"].read_bytes())
    start = content.index(b"caBX")
    for step in range(120 + seed, 2400, 37 + seed):
        content[start + step] ^= 0x55
    path = tmp_path / "d.png"
    path.write_bytes(content)
    found = reader.read(path)
    assert found is not None and found.manifest is not None
    assert found.manifest.state == "invalid"
    assert found.warnings


def test_c2pa_may_die_or_hang_and_reads_the_next_file(
    signed_files: dict[str, Path], anchors: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reader = manifests.ManifestReader(anchors.read_text(), timeout_s=1.0)
    path = signed_files["jpg"]
    assert reader.read(path, "image/jpeg").state == "valid"
    assert reader._process is not None
    first = reader._process.pid
    reader._process.send_signal(signal.SIGSTOP)
    assert reader.read(path, "image/jpeg").problems == ("c2pa died or hung over it",)
    assert reader.read(path, "image/jpeg").state == "valid"
    assert reader._process is not None and reader._process.pid != first
    os.kill(reader._process.pid, signal.SIGABRT)
    reader._process.wait()
    assert reader.read(path, "image/jpeg").state == "valid"
    reader.close()
    monkeypatch.setattr(manifests.sys, "executable", str(tmp_path / "nowhere"))
    assert reader.read(path, "image/jpeg").state == "not_read"


class _Listening(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        """Remember who asks."""
        self.asked.append(self.path)
        self.send_error(404)

    do_POST = do_GET


def test_nothing_is_fetched(plain: dict[str, Path], tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Listening)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        by = signed.authority(ocsp=f"{address}/ocsp")
        anchors = tmp_path / "root.pem"
        anchors.write_bytes(by.root)
        reader = ProvenanceReader(anchors)
        own = reader.read(signed.sign(plain["jpg"], tmp_path / "o.jpg", "image/jpeg", by=by))
        elsewhere = reader.read(
            signed.sign(plain["jpg"], tmp_path / "r.jpg", "image/jpeg", remote=f"{address}/m.c2pa")
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert own is not None and own.manifest is not None and own.manifest.state == "valid"
    assert elsewhere is not None and elsewhere.manifest is None
    assert f"kept elsewhere and was not fetched ({address}/m.c2pa)" in elsewhere.warnings[0]
    assert _Listening.asked == []


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nrubbish", "é"])
def test_trust_anchors_are_certificates(content: str, tmp_path: Path) -> None:
    path = tmp_path / "anchors.pem"
    path.write_text(content)
    with pytest.raises(UsageError, match="trust anchors"):
        ProvenanceReader(path)
    with pytest.raises(UsageError, match="cannot be read"):
        ProvenanceReader(tmp_path / "missing.pem")


def _photo(kind: str, path: Path, *, xmp: bytes = b"", exif: bytes = b"") -> Path:
    picture = Image.new("RGB", (64, 64))
    more = {**({"xmp": xmp} if xmp else {}), **({"exif": exif} if exif else {})}
    if kind == "heic":
        pillow_heif.from_pillow(picture).save(path, **more)
    elif kind == "png":
        info = PngImagePlugin.PngInfo()
        if xmp:
            info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        picture.save(path, pnginfo=info, **({"exif": exif} if exif else {}))
    else:
        picture.save(path, **more)
    return path


@pytest.mark.parametrize("kind", [*PHOTOS, "png"])
def test_the_source_type_in_xmp(kind: str, reader: ProvenanceReader, tmp_path: Path) -> None:
    found = reader.read(_photo(kind, tmp_path / f"x.{kind}", xmp=signed.xmp()))
    assert found is not None
    assert found.source_types == ("trainedAlgorithmicMedia",)
    assert found.declared == (("trainedAlgorithmicMedia", "XMP"),)
    assert ("XMP creator tool", "Painter 3") in [(tag.name, tag.value) for tag in found.tags]
    camera = reader.read(_photo(kind, tmp_path / f"c.{kind}", xmp=signed.xmp("digitalCapture")))
    assert camera is not None and camera.declared == ()


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_the_source_type_in_xmp_of_videos(
    kind: str, plain: dict[str, Path], reader: ProvenanceReader, tmp_path: Path
) -> None:
    packet = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + signed.xmp(
        "compositeWithTrainedAlgorithmicMedia"
    )
    path = tmp_path / f"x.{kind}"
    path.write_bytes(plain[kind].read_bytes() + struct.pack(">I4s", 8 + len(packet), b"uuid") + packet)
    found = reader.read(path)
    assert found is not None
    assert found.declared == (("compositeWithTrainedAlgorithmicMedia", "XMP"),)
    assert any("Lavf" in tag.value for tag in found.tags)


@pytest.mark.parametrize(
    "packet",
    [
        b"<x",
        b"\xff\xfe\x00",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<a>&#xD800;</a>",
        signed.xmp()[:300],
    ],
)
def test_damaged_xmp_is_a_warning(packet: bytes, reader: ProvenanceReader, tmp_path: Path) -> None:
    found = reader.read(_photo("jpg", tmp_path / "x.jpg", xmp=packet))
    assert found is not None
    assert found.warnings == ("its XMP is damaged and was not read",)


PARAMETERS = "a portrait\nNegative prompt: blurred\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


@pytest.mark.parametrize(
    ("keyword", "text", "tool"),
    [
        ("parameters", PARAMETERS, "Stable Diffusion"),
        ("prompt", '{"3": {"class_type": "KSampler"}}', "ComfyUI"),
        ("workflow", "{}", "ComfyUI"),
        ("invokeai_metadata", "{}", "InvokeAI"),
        ("Description", "a cat --ar 16:9 --v 6.1 Job ID: 5e1f", "Midjourney"),
        ("Software", "NovelAI", "NovelAI"),
        ("prompt", "please fill in", None),
        ("Comment", "Steps: 20, then turn left", None),
        ("Title", "a picture of Stable Diffusion", None),
    ],
)
def test_generation_parameters_in_png(
    keyword: str, text: str, tool: str | None, reader: ProvenanceReader, tmp_path: Path
) -> None:
    for packed in (False, True):
        info = PngImagePlugin.PngInfo()
        info.add_text(keyword, text, zip=packed)
        path = tmp_path / "p.png"
        Image.new("RGB", (64, 64)).save(path, pnginfo=info)
        found = reader.read(path)
        tools = [used.tool for used in found.generation] if found else []
        assert tools == ([] if tool is None else [tool])
        if found and tools:
            assert found.generation[0].place == f'PNG text "{keyword}"'
            assert found.declared == ()


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "ascii"])
@pytest.mark.parametrize("kind", [*PHOTOS, "png"])
def test_generation_parameters_in_exif(
    kind: str, encoding: str, reader: ProvenanceReader, tmp_path: Path
) -> None:
    exif = Image.Exif()
    head = b"ASCII\0\0\0" if encoding == "ascii" else b"UNICODE\0"
    exif[0x010F], exif[0x0131] = "Maker", "Editor 2"
    exif.get_ifd(0x8769)[0x9286] = head + PARAMETERS.encode(encoding)
    found = reader.read(_photo(kind, tmp_path / f"x.{kind}", exif=exif.tobytes()))
    assert found is not None
    assert [(used.tool, used.place, used.text) for used in found.generation] == [
        ("Stable Diffusion", "EXIF UserComment", PARAMETERS)
    ]
    assert {("EXIF make", "Maker"), ("EXIF software", "Editor 2")} <= {
        (tag.name, tag.value) for tag in found.tags
    }


def test_damaged_exif_is_a_warning(reader: ProvenanceReader, tmp_path: Path) -> None:
    found = reader.read(_photo("webp", tmp_path / "x.webp", exif=b"Exif\0\0rubbish that is no TIFF"))
    assert found is not None
    assert found.warnings == ("its EXIF is damaged and was not read",)


def test_text_of_a_bomb_is_cut(reader: ProvenanceReader, tmp_path: Path) -> None:
    packed = zlib.compress(b"\0" * 100_000_000)
    body = b"zTXtparameters\0\0" + packed
    chunk = struct.pack(">I", len(body) - 4) + body + b"\0\0\0\0"
    path = tmp_path / "bomb.png"
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    content = buffer.getvalue()
    path.write_bytes(content[:33] + chunk + content[33:])
    started = time.perf_counter()
    assert reader.read(path) is None
    assert time.perf_counter() - started < 2


def test_a_large_video_is_not_read_whole(
    plain: dict[str, Path], reader: ProvenanceReader, tmp_path: Path
) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(plain["mp4"].read_bytes())
        file.write(struct.pack(">I4sQ", 1, b"mdat", 40 << 30))
        file.truncate(file.tell() - 16 + (40 << 30))
        file.seek(0, os.SEEK_END)
        packet = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + signed.xmp()
        file.write(struct.pack(">I4s", 8 + len(packet), b"uuid") + packet)
    started = time.perf_counter()
    found = reader.read(path)
    assert time.perf_counter() - started < 1
    assert found is not None and found.source_types == ("trainedAlgorithmicMedia",)


@pytest.mark.parametrize("kind", KINDS)
def test_no_cut_or_flipped_file_raises(
    kind: str, signed_files: dict[str, Path], reader: ProvenanceReader, tmp_path: Path
) -> None:
    content = signed_files[kind].read_bytes()
    path = tmp_path / f"cut.{kind}"
    for step in range(0, min(len(content), 3000), 211):
        path.write_bytes(content[:step])
        reader.read(path)
        path.write_bytes(content[:step] + b"\xff\xff\xff\xff" + content[step + 4 :])
        reader.read(path)


def test_what_is_no_file_says_nothing(reader: ProvenanceReader, tmp_path: Path) -> None:
    assert reader.read(tmp_path / "missing.jpg") is None
    assert reader.read(tmp_path) is None
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reader.read(tmp_path / "pipe.jpg") is None
