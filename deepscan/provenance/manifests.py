"""C2PA manifests, through c2pa-python where it is installed.

c2pa runs in a process of its own (``c2pa_process``), started for the first file that has a manifest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deepscan.errors import UsageError
from deepscan.provenance.model import Manifest, State
from deepscan.provenance.xmp import last_part

TIMEOUT_S = 120.0
INSTALL = "pip install 'deepscan[provenance]'"
NOT_INSTALLED = f"c2pa-python is not installed; {INSTALL} reads it"
_STATES: Mapping[str, State] = {"Trusted": "valid", "Valid": "untrusted", "Invalid": "invalid"}
_TEXT_CHARACTERS = 200
_MOST = 50


def c2pa_version() -> str | None:
    """Version of c2pa-python; None where it is not installed."""
    try:
        return version("c2pa-python")
    except PackageNotFoundError:
        return None


def read_anchors(path: Path) -> str:
    """Certificates of a PEM file. Raises UsageError."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise UsageError(f"{path}: these trust anchors cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: these trust anchors are no PEM") from error
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"{path}: these trust anchors hold no PEM certificate, or a damaged one") from error
    return text


def check() -> str | None:
    """Why c2pa, which is installed, does not work; None where it does."""
    reader = ManifestReader(timeout_s=30)
    try:
        manifest = reader.read(Path(__file__), "image/png")  # it is none, and c2pa says so
    finally:
        reader.close()
    return None if manifest.state == "invalid" else "; ".join(manifest.problems)


class ManifestReader:
    """Reads manifests of one file after the other; ``anchors``: PEM certificates that are trusted."""

    def __init__(self, anchors: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._anchors = anchors
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., ManifestReader] | None = None

    def read(self, path: Path, mime: str) -> Manifest:
        """The manifest of a file that embeds one; ``mime``: its media type. Never raises for damage."""
        if c2pa_version() is None:
            return Manifest("not_read", problems=(NOT_INSTALLED,))
        try:
            answer = self._ask({"path": str(path), "mime": mime, "anchors": self._anchors})
        except (OSError, ValueError) as error:
            self.close()
            return Manifest("not_read", problems=(f"c2pa cannot be run ({error})",))
        if answer is None:
            self.close()
            return Manifest("not_read", problems=("c2pa died or hung over it",))
        if "failed" in answer:
            return Manifest("not_read", problems=(_short(answer["failed"]),))
        if "invalid" in answer:
            return Manifest("invalid", problems=(_short(answer["invalid"]),))
        return parse(json.loads(answer["json"]))

    def close(self) -> None:
        """End the process."""
        self._process = None
        if self._end is not None:
            self._end()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, str] | None:
        """The answer; None when the process ended without one or was ended for taking too long."""
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            command = [sys.executable, str(Path(__file__).with_name("c2pa_process.py"))]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._process = process
            self._end = weakref.finalize(self, _end, process)
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            return None
        finally:
            timer.cancel()
        answer: dict[str, str] | None = json.loads(line) if line.endswith(b"\n") else None
        return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not sent yet, to a process that is gone
                pipe.close()


def parse(store: Mapping[str, Any]) -> Manifest:
    """The active manifest of a manifest store in c2pa's JSON."""
    manifests = _table(store.get("manifests"))
    active = _table(manifests.get(str(store.get("active_manifest"))))
    signature = _table(active.get("signature_info"))
    line = list(_line(active, manifests))
    actions = [action for manifest in line for action in _actions(manifest)]
    kinds = [
        last_part(str(action["digitalSourceType"])) for action in actions if action.get("digitalSourceType")
    ]
    state = _STATES.get(str(store.get("validation_state")), "invalid")
    return Manifest(
        state=state,
        signer=_signer(signature),
        signed_at=_short(signature.get("time")) or None,
        generator=_generator(active),
        actions=_once(_short(action.get("action")) for action in actions),
        source_types=_once(_short(kind) for kind in kinds),
        problems=_once(_problems(store)) if state == "invalid" else (),
    )


def _line(active: Mapping[str, Any], manifests: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A manifest, and those of the files that it was made from (``parentOf``)."""
    seen: list[Mapping[str, Any]] = []
    waiting = [active]
    while waiting and len(seen) < _MOST:
        manifest = waiting.pop()
        if manifest in seen:
            continue
        seen.append(manifest)
        yield manifest
        for ingredient in map(_table, _list(manifest.get("ingredients"))):
            if ingredient.get("relationship") == "parentOf":
                waiting.append(_table(manifests.get(str(ingredient.get("active_manifest")))))


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in map(_table, _list(manifest.get("assertions"))):
        if str(assertion.get("label")).startswith("c2pa.actions"):
            yield from map(_table, _list(_table(assertion.get("data")).get("actions")))


def _signer(signature: Mapping[str, Any]) -> str | None:
    names = _once(_short(signature.get(key)) for key in ("common_name", "issuer"))
    return ", ".join(names) or None


def _generator(manifest: Mapping[str, Any]) -> str | None:
    for info in map(_table, _list(manifest.get("claim_generator_info"))):
        name = " ".join(_short(info.get(key)) for key in ("name", "version") if info.get(key))
        if name:
            return name
    return _short(manifest.get("claim_generator")) or None


def _problems(store: Mapping[str, Any]) -> Iterator[str]:
    for status in map(_table, _list(store.get("validation_status"))):
        if status.get("code") != "signingCredential.untrusted":
            yield f"{_short(status.get('code'))}: {_short(status.get('explanation'))}"


def _short(value: object) -> str:
    return str(value)[:_TEXT_CHARACTERS] if value is not None else ""


def _once(values: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))[:_MOST]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
