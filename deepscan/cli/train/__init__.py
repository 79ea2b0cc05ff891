"""``deepscan train``: from labelled media to weights that a scan loads, at once or step by step.

::

    deepscan train run       real and fake media -> a weights folder, within a number of hours

    deepscan train prepare   media -> cached face tracks
    deepscan train generators  cached faces -> small generators that make forgeries (resumable)
    deepscan train preview   cached faces -> a contact sheet of forgeries
    deepscan train fit       cached faces -> trained detectors (resumable)
    deepscan train average   checkpoints of one lineage -> their mean
    deepscan train export    a trained detector -> ONNX in a weights folder
    deepscan train synthetic-test-set  validation videos -> forged copies, to measure robustness on
    deepscan train calibrate labelled files -> calibration and thresholds in the manifest
    deepscan train cards     manifest and evaluation -> model cards
"""

from __future__ import annotations

import typer

from deepscan.cli.group import MARKUP
from deepscan.cli.old_names import RenamedOptions
from deepscan.cli.train import fit, forgeries, prepare, run, shipping, tune

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="""Train detectors on your own media. Install the extra first: `pip install 'deepscan[train]'`.

With some 50 genuine and 50 forged videos, `deepscan train run real/ fake/ --out weights-mine` does it all: it
starts from the shipped checkpoints, keeps a quarter of the people out of training to calibrate and measure
on, and resumes where it was stopped. Then measure with `deepscan evaluate` on videos that you kept back.

The other commands are its single steps, for large corpora, other recipes and GPUs.
""",
)
app.command("run")(run.run_all)
app.command("prepare")(prepare.prepare)
app.command("generators", cls=RenamedOptions)(forgeries.generators)
app.command("preview", cls=RenamedOptions)(forgeries.preview)
app.command("fit", cls=RenamedOptions)(fit.fit)
app.command("tune")(tune.tune)
app.command("average")(shipping.average)
app.command("export")(shipping.export)
app.command("synthetic-test-set", cls=RenamedOptions)(forgeries.synthesize_test_set)
app.command("rehearse", cls=RenamedOptions, hidden=True)(forgeries.synthesize_test_set)
app.command("calibrate")(shipping.calibrate)
app.command("cards", cls=RenamedOptions)(shipping.cards)
