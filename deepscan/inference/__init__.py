"""Networks at work: sessions, devices, precision, which detectors are asked, and the evidence they leave."""
