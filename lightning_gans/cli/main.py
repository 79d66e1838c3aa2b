"""The entry of the command line: it answers what needs no PyTorch itself, and imports the rest for everything else."""

import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

from lightning_gans import __version__

HELP = """\
usage: lightning-gans COMMAND [options]

Train generative adversarial networks (GANs) and use trained generators.

commands:
  fit          train a model:
                 lightning-gans fit --config configs/quickstart.yaml
  sample       draw samples from a trained generator:
                 lightning-gans sample --checkpoint runs/.../last.ckpt --out grid.png
  interpolate  interpolate between samples in latent space:
                 lightning-gans interpolate --checkpoint runs/.../last.ckpt --out path.gif
  arithmetic   compute a - b + c with the latents of samples:
                 lightning-gans arithmetic --checkpoint runs/.../last.ckpt --a=[3] --b=[7] --c=[5]
  neighbours   show the nearest training samples of generated ones, to detect memorisation:
                 lightning-gans neighbours --checkpoint runs/.../last.ckpt
  export       write the generator alone to a .safetensors file, which cannot contain code:
                 lightning-gans export --checkpoint runs/.../last.ckpt
  validate     compute losses and metrics on the validation split:
                 lightning-gans validate --config runs/.../config.yaml --ckpt_path last
  test         compute losses and metrics on the test split:
                 lightning-gans test --config runs/.../config.yaml \\
                   --config configs/metrics/digits.yaml --ckpt_path last
  predict      write generated samples as tensors and images:
                 lightning-gans predict --config runs/.../config.yaml --ckpt_path last
  rescue       try what is recommended against the failure of a run, side by side:
                 lightning-gans rescue --run runs/.../version_0
  ablate       measure what each stabilizer is worth on your data, with its error and its cost:
                 lightning-gans ablate --config configs/vanilla_ring.yaml --stabilizers R1Penalty,Packing
  workspace    create a Weights & Biases workspace with panels for a project:
                 lightning-gans workspace --project lightning-gans

Several configs can be combined; later ones override earlier ones, and options override configs:
  lightning-gans fit --config configs/dcgan_mnist.yaml --config configs/trainer/gpu.yaml \\
      --model.discriminator_optimizer.lr=4e-4 --data.batch_size=64

Each run has its own folder, runs/<experiment>/<version>/, with its config, metrics, checkpoints, sample images and
a report, report.html. `--ckpt_path last` resumes the latest run of an experiment, in its folder; `best` is the
checkpoint with the best score of a run that has a --checkpoint.monitor. `--from CHECKPOINT` starts a new run with
trained weights.

Classes of your own, in a file my_gans.py of this folder, are named with their file: --import my_gans, in every command.

`lightning-gans COMMAND --help` lists the options of a command, `lightning-gans fit --model.help DCGAN` those of a
model, and `lightning-gans fit --data.help Digits` those of a data set.

options:
  -h, --help  show this help and exit
  --version   show the version and exit
"""
COMMANDS = (
    "fit",
    "sample",
    "interpolate",
    "arithmetic",
    "neighbours",
    "export",
    "validate",
    "test",
    "predict",
    "rescue",
    "ablate",
    "workspace",
)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; invalid input is answered by one line on stderr and exit code 2.

    Args:
        args: the command and its options; None for those of this process.
    """
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
    elif args[0] == "--version":
        print(f"lightning-gans {__version__}")
    elif args[0] not in COMMANDS:
        close = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"expected one of the commands {', '.join(COMMANDS)}."
        sys.stderr.write(f"lightning-gans: error: unknown command '{args[0]}'; {hint}\n")
        sys.exit(2)
    else:
        try:
            from lightning_gans.cli.commands import run

            run(args)
        except KeyboardInterrupt:
            _end_by_ctrl_c()
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # by Lightning, whose exit code is 1
                _end_by_ctrl_c()
            raise


def _end_by_ctrl_c() -> NoReturn:
    sys.stderr.write("lightning-gans: ended by Ctrl-C.\n")
    sys.exit(130)
