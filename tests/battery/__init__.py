"""The bad-media battery: broken, odd and hostile input, and what deepscan must make of each.

``files.py`` holds one case for each kind of file, ``runs.py`` those that need a whole run.
``test_battery.py`` asserts them; ``python -m tests.battery`` prints the table of docs/robustness.md.
"""
