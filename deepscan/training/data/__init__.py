"""Corpora, cached faces, and the samples that training draws from them."""
