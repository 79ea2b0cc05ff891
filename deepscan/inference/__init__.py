"""Running networks: sessions, devices, precision, which detectors run on which clips, evidence maps."""
