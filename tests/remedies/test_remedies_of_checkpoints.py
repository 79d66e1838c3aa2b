"""Every remedy for a checkpoint that cannot be saved or read works when it is typed."""

import tempfile
from collections import deque
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers import small_gan
from remedied import command, each_row, fit

from lightning_gans import DCGAN, GAN
from lightning_gans.checkpoints import read_checkpoint

pytestmark = pytest.mark.untrusted

QUICKSTART = ["fit", "--experiment=quickstart", "--model=DCGAN", "--model.width=2", "--model.latent_dim=3"]
QUICKSTART += ["--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false"]
QUICKSTART += ["--trainer.enable_model_summary=false", "--samples.every_n_epochs=0", "--report.enabled=false"]


class Odd(torch.nn.Linear):
    """A layer with a state of its own, which is no tensor."""

    def __init__(self, state):
        super().__init__(1, 1)
        self.state = state

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


def save(gan, path="a.ckpt"):
    fit(gan, [torch.zeros(2, *gan.generator.sample_shape)], Path.cwd()).save_checkpoint(path)
    return gan


def odd_gan(state):
    gan = small_gan()
    gan.generator.odd = Odd(state)
    return gan


def save_odd(*states):
    for state in states:
        save(odd_gan(state))
        loaded = odd_gan(None)
        loaded.load_state_dict(torch.load("a.ckpt", weights_only=True)["state_dict"])
        assert loaded.generator.odd.state == state


def draw(path):
    command("sample", "--num=4", "--checkpoint", path)


def of_a_run(pattern):
    command(*QUICKSTART)
    (path,) = Path().glob(pattern.replace("<experiment>", "*").replace("<version>", "*"))
    draw(path)


@cache
def content():
    with tempfile.TemporaryDirectory() as folder:
        save(DCGAN((1, 8, 8), latent_dim=3, width=2), f"{folder}/a.ckpt")
        return torch.load(f"{folder}/a.ckpt", weights_only=True)


def load(path="a.ckpt", **changes):
    torch.save(content() | changes, path)
    return GAN.load_from_checkpoint(path)


def read_as_a_user(mode):
    """Read a file with these permissions; root, as which tests may run, could always."""
    torch.save(content(), "a.ckpt")
    Path("a.ckpt").chmod(mode)
    real = torch.load

    def load(path, **arguments):
        if not Path(path).stat().st_mode & 0o400:
            raise PermissionError(13, "Permission denied")
        return real(path, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", load)
        read_checkpoint("a.ckpt")


def folder_of_checkpoints():
    load()
    Path("checkpoints").mkdir()
    Path("a.ckpt").rename("checkpoints/last.ckpt")
    read_checkpoint("checkpoints")


REMEDIES = {
    "the state of the model cannot be loaded again": (
        lambda: save_odd(deque([1])),
        {
            "return tensors and plain values (numbers, texts, lists, dicts) from get_extra_state": (
                lambda: save_odd(torch.ones(()), 3, "text", [1], {"a": 1})
            )
        },
    ),
    "is not a checkpoint of Lightning": (
        lambda: (Path("a.ckpt").write_text("words"), draw("a.ckpt")),
        {"give one that lightning-gans fit wrote, such as {}": of_a_run},
    ),
    "expected settings by name": (
        lambda: load(hyper_parameters=[1]),
        {"give another checkpoint": lambda: load(path="another.ckpt")},
    ),
}
MORE = {  # of messages that library_messages does not find
    "make the file readable": (
        lambda: read_as_a_user(0o000),
        {"make the file readable": lambda: read_as_a_user(0o600)},
    ),
    "give the file in it": (
        folder_of_checkpoints,
        {"give the file in it, such as {}": lambda name: read_checkpoint(f"checkpoints/{name}")},
    ),
    "cannot be read: …; give another path": (
        lambda: (Path("round.ckpt").symlink_to("round.ckpt"), read_checkpoint("round.ckpt")),
        {"give another path": lambda: load(path="a.ckpt")},
    ),
    "runs keep theirs in": (
        lambda: GAN.load_from_checkpoint("nowhere.ckpt"),
        {"runs keep theirs in {}": lambda place: of_a_run(f"{place}last.ckpt")},
    ),
}
CANNOT_BE_DONE = {"raise the limit of open files of the system": "it is the limit of the whole machine"}
NO_MESSAGES = ("^(Does not validate against|",)


test_a_remedy_works = each_row(REMEDIES | MORE)
