"""Mutants of small files through the real pipeline: see README.md."""
