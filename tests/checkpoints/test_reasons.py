"""Why a checkpoint cannot be rebuilt or read: one line that names the part, whatever is wrong with the file."""

import copy
import errno
import os
import resource
import sys
from pathlib import Path

import pytest
import torch

from lightning_gans import GAN, generation
from lightning_gans.checkpoints import read_checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "untrusted"))
from attacks import base_checkpoint

DAMAGED = {  # what is changed in the hyperparameters, or in the file, and what the line says
    "a text for a number": ({"width": "wide"}, {}, "width: Expected a .*int.*wide"),
    "nothing for a number": ({"width": None}, {}, r"width=None\): expected a whole number"),
    "a list for a number": ({"width": [1]}, {}, r"width: Expected a .*int.*\[1\]"),
    "an argument that does not exist": ({"nonsense": 3}, {}, "unexpected keyword argument 'nonsense'"),
    "a number for an optimizer": ({"generator_optimizer": 3}, {}, "generator_optimizer: .*got 3"),
    "an option of an optimizer": (
        {"generator_optimizer": {"class_path": "lightning_gans.optimizers.Adam", "init_args": {"nope": 1}}},
        {},
        "generator_optimizer: Option 'nope' is not accepted",
    ),
    "an optimizer for an objective": (
        {"objective": {"class_path": "lightning_gans.optimizers.Adam"}},
        {},
        "objective: .*Adam does not correspond to a subclass of Objective",
    ),
    "a text for a shape": ({"image_shape": "x"}, {}, "image_shape: Expected"),
    "a shape out of range": ({"image_shape": [1, 4, 4]}, {}, "expected H and W of at least 8"),
    "a number out of range": ({"n_critic": 0}, {}, r"n_critic=0\): expected a whole number of at least 1"),
    "another class of the model": ({"_class_path": "lightning_gans.WGAN"}, {}, "lightning_gans.WGAN"),
    "settings that are a list": ({}, {"hyper_parameters": [1]}, "hyper_parameters are list"),
    "settings that are nothing": ({}, {"hyper_parameters": None}, "hyper_parameters are NoneType"),
    "no settings": ({}, {"hyper_parameters": {}}, "missing .*'image_shape'.*pass what it does not hold"),
    "a seed that is a list": ({}, {"gan_seed": [1]}, r"gan_seed is '\[1\]', expected a whole number"),
    "a seed that is a text": ({}, {"gan_seed": "x"}, "gan_seed is 'x'"),
    "counters that are a number": ({}, {"state_dict": {"_extra_state": 3}}, "does not make a DCGAN|does not fit"),
    "no counters": ({}, {"extra": {}}, "KeyError: 'generator_updates'"),
    "a version that is none": ({}, {"pytorch-lightning_version": "x"}, "Invalid version: 'x'"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_checkpoint_says_what_is_wrong(fault, tmp_path):
    settings, top, says = DAMAGED[fault]
    content = copy.deepcopy(base_checkpoint())
    content["hyper_parameters"] |= settings
    if "extra" in top:
        content["state_dict"]["_extra_state"] = top.pop("extra")
    torch.save(content | top, tmp_path / "a.ckpt")
    for load in (generation.load, GAN.load_from_checkpoint):
        with pytest.raises(ValueError, match=says) as error:
            load(tmp_path / "a.ckpt")
        assert "\n" not in str(error.value) and len(str(error.value)) < 600
    with pytest.raises(ValueError, match=r"cannot be rebuilt as a GAN: \S.{10,}"):
        generation.load(tmp_path / "a.ckpt")


@pytest.fixture
def good(tmp_path):
    torch.save(base_checkpoint(), tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_without_free_file_descriptors_it_is_said_and_the_remedy_works(good):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 3, hard))
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE
        with pytest.raises(ValueError, match=r"cannot be read: too many open files; .* ulimit -n 1024"):
            read_checkpoint(good)
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read_checkpoint(good)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        RuntimeError("unable to open file <x>: Permission denied (13)"),
    ],
    ids=["Python", "torch"],
)
def test_an_error_of_the_system_is_not_taken_for_a_damaged_file(error, good, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(ValueError, match=r"a\.ckpt' cannot be read: permission denied; make the file readable"):
        read_checkpoint(good)


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be read: is a directory; give the file in it, such as last\.ckpt"):
        read_checkpoint(tmp_path)
