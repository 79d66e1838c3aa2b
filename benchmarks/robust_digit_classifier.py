"""Test a robust classifier of digits on the test digits, and write the weights that ship with the library.

    lightning-gans fit --config configs/robust_classifier_mnist.yaml --threads 1
    python benchmarks/robust_digit_classifier.py runs/robustclassifier_mnist/version_0/checkpoints/last.ckpt

Two and a half minutes and half a minute of one CPU core. The second command attacks the 10,000 test digits in 40 steps
of projected gradient ascent within an L2 distance of 3 in [−1, 1], which is 1.5 in [0, 1], and writes the weights in
half precision, with both accuracies, as `RobustDigitClassifier` reads them.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lightning_gans.attacks import projected_gradient
from lightning_gans.data import MNIST
from lightning_gans.models import RobustClassifier
from lightning_gans.networks.smooth_classifier import WEIGHTS

EPSILON, STEPS = 3.0, 40


def accuracies(network: torch.nn.Module) -> tuple[float, float]:
    """Return the share of test digits that a network tells, as they are and attacked."""
    data = MNIST(batch_size=500, labels=True)
    data.prepare_data()
    data.setup("test")
    right = torch.zeros(2)
    for x, y in data.test_dataloader():
        attacked: Tensor = projected_gradient(network, x, y, EPSILON, STEPS)
        with torch.no_grad():
            right += torch.stack([(network(one).argmax(1) == y).float().sum() for one in (x, attacked)])
    clean, robust = (right / 10_000).tolist()
    return clean, robust


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of a run of RobustClassifier")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file; that of the library")
    options = parser.parse_args()
    network = RobustClassifier.load_from_checkpoint(options.checkpoint).network.requires_grad_(False)
    network.half().float()  # as they will be read
    clean, robust = accuracies(network)
    about = {
        "accuracy": f"{clean:.4f} on the 10,000 test digits",
        "robust_accuracy": f"{robust:.4f} within L2 {EPSILON:g} in [-1, 1], {STEPS} steps of projected gradient",
        "command": "lightning-gans fit --config configs/robust_classifier_mnist.yaml --threads 1",
        "data": "MNIST, training digits less 5,000 for validation",
        "torch": torch.__version__,
    }
    save_file({name: one.half() for name, one in network.state_dict().items()}, options.out, about)
    print(f"{clean:.2%} right, {robust:.2%} attacked; {options.out.stat().st_size:,} bytes written to {options.out}")


if __name__ == "__main__":
    main()
