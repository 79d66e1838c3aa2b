"""The console command: answers what needs no PyTorch at once, and hands the rest to `lightning_gans.cli`."""

import difflib
import sys
from collections.abc import Sequence

from lightning_gans import __version__

HELP = """\
usage: lightning-gans COMMAND [options]

Train generative adversarial networks, and use them.

commands:
  fit        train:     lightning-gans fit --config configs/quickstart.yaml
  sample     draw:      lightning-gans sample --checkpoint runs/.../last.ckpt --out grid.png
  interpolate  walk from sample to sample:     lightning-gans interpolate --checkpoint ... --out path.gif
  arithmetic   calculate with samples:         lightning-gans arithmetic --checkpoint ... --a=[3] --b=[7] --c=[5]
  neighbours   is it memorised? the closest training samples: lightning-gans neighbours --checkpoint ...
  export     the generator alone, in a file that is safe to pass on: lightning-gans export --checkpoint ...
  validate   losses and scores on held-out data:  lightning-gans validate --config ... --ckpt_path ...
  test       the same on the test split: lightning-gans test --config runs/.../config.yaml \\
                 --config configs/metrics/digits.yaml --ckpt_path last
  predict    write samples as tensors and pictures: lightning-gans predict --config ... --ckpt_path ...
  workspace  make panels at W&B for a project:      lightning-gans workspace --project lightning-gans

Configs stack, the later one wins, and any value can be given on the line:
  lightning-gans fit --config configs/dcgan_mnist.yaml --config configs/trainer/gpu.yaml \\
      --model.discriminator_optimizer.lr=4e-4 --data.batch_size=64

A run's config, metrics, checkpoints and pictures are kept together in runs/<experiment>/<version>/, with a page
about it, report.html.
`lightning-gans COMMAND --help` lists a command's options, and
`lightning-gans fit --model.help DCGAN` those of a model (--data.help Digits of a data set).

options:
  -h, --help  show this and exit
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
    "workspace",
)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command; a mistake in it is one line on stderr and exit code 2."""
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help"):
        print(HELP)
    elif args[0] == "--version":
        print(f"lightning-gans {__version__}")
    elif args[0] not in COMMANDS:
        close = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(COMMANDS)}."
        sys.stderr.write(f"lightning-gans: error: unknown command '{args[0]}'; {hint}\n")
        sys.exit(2)
    else:
        from lightning_gans.cli import run

        run(args)


if __name__ == "__main__":
    main()
