"""Makers of the small media files that tests and examples use."""
