"""Settings that image generators leave in PNG text and in EXIF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from deepscan.provenance.model import GenerationParameters

TEXT_CHARACTERS = 500
_STEPS = re.compile(r"\bSteps: \d+, ")
_PNG_KEYS = {
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
}
_NAMES = {
    "NovelAI": "NovelAI",
    "Midjourney": "Midjourney",
    "DALL-E": "DALL-E",
    "DALL·E": "DALL-E",
    "Stable Diffusion": "Stable Diffusion",
    "ComfyUI": "ComfyUI",
    "InvokeAI": "InvokeAI",
    "Fooocus": "Fooocus",
    "Adobe Firefly": "Adobe Firefly",
    "DreamStudio": "DreamStudio",
}


def from_png(texts: Sequence[tuple[str, str]]) -> Iterator[GenerationParameters]:
    """From keyword and text of PNG's text chunks."""
    for keyword, text in texts:
        tool = _PNG_KEYS.get(keyword.lower())
        if tool == "ComfyUI" and not text.lstrip().startswith("{"):
            tool = None
        tool = tool or _tool(
            text, named=keyword in ("Software", "Source", "Description", "Author", "Comment")
        )
        if tool:
            yield _parameters(tool, f'PNG text "{keyword}"', text)


def from_exif(comment: str, description: str, software: str) -> Iterator[GenerationParameters]:
    """From EXIF's UserComment, ImageDescription and Software."""
    for place, text in (("UserComment", comment), ("ImageDescription", description), ("Software", software)):
        if tool := _tool(text, named=place == "Software"):
            yield _parameters(tool, f"EXIF {place}", text)


def _tool(text: str, *, named: bool) -> str | None:
    """The generator whose settings these are; ``named``: a name alone will do, as in a field for programs."""
    if _STEPS.search(text) and ("Sampler: " in text or "CFG scale: " in text):
        return "Stable Diffusion"
    if "Job ID: " in text and "--v " in text:
        return "Midjourney"
    return next((tool for name, tool in _NAMES.items() if name in text[:200]), None) if named else None


def _parameters(tool: str, place: str, text: str) -> GenerationParameters:
    text = text.strip()
    cut = text if len(text) <= TEXT_CHARACTERS else text[:TEXT_CHARACTERS] + "…"
    return GenerationParameters(tool, place, cut)
