"""What a file says about its own origin: C2PA manifest, source type, generation parameters, encoder tags.

It stands beside the verdict and never moves it. Nothing is fetched from a network. One module per source;
``reader`` puts them together.
"""

from deepscan.provenance.model import SYNTHETIC, GenerationParameters, Manifest, Provenance, State, Tag

__all__ = ["SYNTHETIC", "GenerationParameters", "Manifest", "Provenance", "State", "Tag"]
