"""What makes a checkpoint impossible to load is left out of it when it is saved, and named."""

from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_gan
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader

from lightning_gans import Stabilizer
from lightning_gans.checkpoints import read_checkpoint, unloadable

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:Checkpoints of this run")

GOOD = [1, 1.5, True, None, "text", b"bytes", 1j, (1, 2), [1, [2]], {1, 2}, {"a": torch.ones(2)}, OrderedDict(a=1)]
GOOD += [torch.float32, torch.device("cpu"), torch.Size([1]), torch.nn.Parameter(torch.ones(2)), {(1, 2): 3}]
BAD = {
    "deque": deque([1]),
    "float64": np.float64(1.0),
    "ndarray": np.ones(2),
    "PosixPath": Path("x"),
    "function": pytest.approx,
    "Module": torch.nn.Module(),
    "type": int,
}


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_what_can_be_loaded_is_known(value, tmp_path):
    assert unloadable(value) is None
    torch.save(value, tmp_path / "x")
    torch.load(tmp_path / "x", weights_only=True)


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_loaded_is_found_wherever_it_is(name, tmp_path):
    torch.save(BAD[name], tmp_path / "x")
    with pytest.raises(Exception, match=r"[Ww]eights"):
        torch.load(tmp_path / "x", weights_only=True)
    assert unloadable(BAD[name]) == f"is a {name}"
    assert unloadable({"a": [1, (2, BAD[name])]}) == f"['a'][1][1] is a {name}"


class Keeps(Stabilizer):
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"seen": self.value, "count": 3}


class Data(LightningDataModule):
    def __init__(self, transform):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return DataLoader(torch.rand(4, 2) * 2 - 1, batch_size=2)

    def state_dict(self):
        return {"order": deque([1])}


def test_a_state_that_cannot_be_loaded_is_left_out_and_named(fit, tmp_path, recwarn):
    trainer = fit(small_gan(), callbacks=[Keeps(deque([1])), Keeps(3)])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    said = [str(one.message) for one in recwarn if "saved without" in str(one.message)]
    assert len(said) == 1 and "Keeps(value=deque([1])) (its state['seen'] is a deque)" in said[0]
    states = read_checkpoint(tmp_path / "a.ckpt")["callbacks"]
    assert states["Keeps(value=3)"] == {"seen": 3, "count": 3} and "Keeps(value=deque([1]))" not in states


def test_settings_and_state_of_a_data_module_do_not_spoil_the_checkpoint(quiet, tmp_path, recwarn):
    from lightning.pytorch import Trainer

    trainer = Trainer(**quiet)
    trainer.fit(small_gan(), datamodule=Data(transform=pytest.approx))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    content = read_checkpoint(tmp_path / "a.ckpt")
    assert content["datamodule_hyper_parameters"] == {} and "Data" not in content
    assert any("saved without Data (its state['order'] is a deque)" in str(one.message) for one in recwarn)
    trainer.fit(small_gan(), datamodule=Data(transform=None), ckpt_path=tmp_path / "a.ckpt", weights_only=True)


def test_a_state_of_the_model_that_cannot_be_loaded_is_refused_when_it_is_saved(fit, tmp_path):
    class Odd(torch.nn.Linear):
        def get_extra_state(self):
            return deque([1])

        def set_extra_state(self, state):
            """Restore nothing."""

    gan = small_gan()
    gan.generator.odd = Odd(1, 1)
    trainer = fit(gan)
    with pytest.raises(ValueError, match=r"the state of the model cannot be loaded again: .*deque.*get_extra_state"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")


class Silent(Callback):
    """A callback without a state."""


def test_nothing_is_said_of_plain_states(fit, tmp_path, recwarn):
    fit(small_gan(), callbacks=[Keeps([torch.ones(2), {"a": 1}]), Silent()]).save_checkpoint(tmp_path / "a.ckpt")
    assert not [one for one in recwarn if "saved without" in str(one.message)]
    assert read_checkpoint(tmp_path / "a.ckpt")["callbacks"]
