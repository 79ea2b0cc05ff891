"""Scores of labelled files, figures of merit, calibration."""
