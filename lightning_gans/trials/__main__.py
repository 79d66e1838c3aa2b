"""Make the trial of a folder in this process: `python -m lightning_gans.trials FOLDER`."""

import sys
from pathlib import Path

from lightning_gans.trials.trial import perform

perform(Path(sys.argv[1]))
