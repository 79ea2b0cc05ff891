"""A process that reads C2PA manifests: native code that dies here takes no scan with it.

Run as a script, so that it starts without the rest of deepscan. Each line on stdin is a request (``path``,
``mime``, ``anchors``), each line on stdout its answer: ``json``, the manifest store as c2pa writes it,
``invalid`` or ``failed`` with a reason. The process ends with its stdin.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

ADDRESS_SPACE = 4 << 30
"""Bytes. c2pa streams what it hashes; a manifest that makes it take more ends this process."""


def settings(anchors: str | None) -> dict[str, Any]:
    """c2pa's settings: no manifest and no revocation list is fetched; only ``anchors`` (PEM) are trusted."""
    trust = {"trust": {"trust_anchors": anchors}} if anchors else {}
    return {
        "version": 1,
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "core": {"allowed_network_hosts": [], "allow_redirects": False},
        **trust,
    }


def answer(request: dict[str, Any]) -> dict[str, str]:
    """Read one file's manifest store."""
    try:
        import c2pa
    except Exception as error:  # of a library for another system, too
        return {"failed": f"c2pa cannot be loaded: {error}"}
    foreign = (c2pa.C2paError.Io, c2pa.C2paError.NotSupported, c2pa.C2paError.ManifestNotFound)
    try:
        context = c2pa.Context.from_dict(settings(request["anchors"]))
        with (
            open(request["path"], "rb") as file,
            c2pa.Reader(request["mime"], file, context=context) as reader,
        ):
            return {"json": reader.json()}
    except (*foreign, OSError) as error:
        return {"failed": str(error)}
    except c2pa.C2paError as error:
        return {"invalid": str(error)}


def main() -> None:
    """Answer until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]
    if sys.platform == "linux":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        limits = [limit for limit in (ADDRESS_SPACE, soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints is no answer
    for line in sys.stdin.buffer:
        answers.write(json.dumps(answer(json.loads(line))).encode("ascii") + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
