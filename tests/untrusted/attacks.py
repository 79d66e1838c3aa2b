"""Files that try to run code when they are loaded; each would create a file if it succeeded."""

import copy
import os
import pickle

import torch

from lightning_gans import DCGAN

TRAP = """\
from pathlib import Path
Path({sentinel!r}).touch()
from lightning_gans.networks import DCGANGenerator, DCGANDiscriminator
from lightning_gans.optimizers import Adam
from lightning_gans.stabilizers import SpectralNorm
class Trap(Adam): ...
def trap(*args, **kwargs): ...
"""


class Payload:
    """An object that runs a command when it is unpickled."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.system, (f"touch {self.sentinel}",)


def base_checkpoint():
    """Return the checkpoint that `lightning-gans fit` saves of a small DCGAN, without optimizer states."""
    torch.manual_seed(0)
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2)
    adam = {"class_path": "lightning_gans.optimizers.Adam", "init_args": {"lr": 1e-4}}
    return {
        "state_dict": gan.state_dict(),
        "pytorch-lightning_version": "2.6.0",
        "epoch": 0,
        "global_step": 0,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        "gan_class": "lightning_gans.models.dcgan.DCGAN",
        "gan_network_changes": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "_class_path": "lightning_gans.DCGAN",
            "_instantiator": "lightning.pytorch.cli.instantiate_module",
            "image_shape": [1, 8, 8],
            "latent_dim": 3,
            "width": 2,
            "generator_optimizer": adam,
            "discriminator_optimizer": copy.deepcopy(adam),
        },
    }


def pickles(sentinel):
    """Return bytes of files with pickled code, by description."""
    import io

    def saved(content, **kwargs):
        file = io.BytesIO()
        torch.save(content, file, **kwargs)
        return file.getvalue()

    def with_payload(*keys):
        content = base_checkpoint()
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = Payload(sentinel)
        return content

    return {
        "a payload alone": saved(Payload(sentinel)),
        "a bare pickle": pickle.dumps(Payload(sentinel), protocol=2),
        "in the weights": saved(with_payload("state_dict", "generator.payload")),
        "in the extra state of the model": saved(with_payload("state_dict", "_extra_state")),
        "in the hyperparameters": saved(with_payload("hyper_parameters", "width")),
        "in the callbacks": saved(with_payload("callbacks", "SampleGrid")),
        "in the optimizers": saved(with_payload("optimizer_states")),
        "in the changes of the networks": saved(with_payload("gan_network_changes")),
        "in a file of the old format": saved(with_payload("callbacks"), _use_new_zipfile_serialization=False),
    }


def class_paths(sentinel):
    """Return hyperparameters of a checkpoint that name what must not be built, by description."""
    touch = {"args": f"touch {sentinel}", "shell": True}
    popen = {"class_path": "subprocess.Popen", "init_args": touch}
    trap = {"class_path": "trap_for_gans.Trap"}
    chain = {"class_path": "lightning_gans.networks.MLPGenerator", "init_args": {"activation": trap}}
    deep = trap
    for _ in range(12):
        deep = {"class_path": "torch.nn.Sequential", "init_args": {"layers": [deep]}}
    return {
        "a process as an optimizer": {"generator_optimizer": popen},
        "a shell as an optimizer": {"generator_optimizer": {"class_path": "os.system", "init_args": touch}},
        "eval as an optimizer": {"generator_optimizer": {"class_path": "builtins.eval"}},
        "exec as a schedule": {"generator_scheduler": {"class_path": "builtins.exec"}},
        "a class path as text": {"generator_optimizer": "trap_for_gans.Trap"},
        "a module that is not imported": {"discriminator_optimizer": trap},
        "a schedule that is not imported": {"discriminator_scheduler": trap},
        "an objective that is not imported": {"objective": trap},
        "deep in init_args": {
            "objective": {"class_path": "lightning_gans.objectives.Relativistic", "init_args": chain}
        },
        "deeper": {"objective": deep},
        "in dict_kwargs": {"objective": {"class_path": "lightning_gans.objectives.Hinge", "dict_kwargs": {"x": trap}}},
        "a callable of a schedule": {
            "generator_scheduler": {
                "class_path": "torch.optim.lr_scheduler.LambdaLR",
                "init_args": {"lr_lambda": "trap_for_gans.trap"},
            }
        },
        "a config in a text": {"generator_optimizer": "{class_path: trap_for_gans.Trap, init_args: {}}"},
        "a config in a text of several lines": {"generator_optimizer": "class_path: trap_for_gans.Trap\ninit_args: {}"},
        "a list in a text": {"generator_optimizer": "- trap_for_gans.Trap"},
        "a list after a document mark": {"generator_optimizer": "--- [trap_for_gans.Trap]"},
        "a config in a file": {"generator_optimizer": "payload.yaml"},
        "a function of torch": {"objective": {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "x/y"}}},
        "a function below torch.nn": {"objective": {"class_path": "torch.nn.functional.torch.hub.load"}},
        "a module reached through one of ours": {"objective": {"class_path": "lightning_gans.checkpoints.sys.exit"}},
        "a command of ours": {"objective": {"class_path": "lightning_gans.__main__.main"}},
        "data of ours": {"objective": {"class_path": "lightning_gans.data.ImageFolder", "init_args": {"root": "/"}}},
        "a class path that is a number": {"objective": {"class_path": 3}},
        "a class path that is a list": {"objective": {"class_path": ["os", "system"]}},
        "an empty class path": {"objective": {"class_path": ""}},
        "another instantiator": {"_instantiator": "os.system"},
        "an instantiator that is a list": {"_instantiator": ["os.system"]},
        "another class of the model": {"_class_path": "trap_for_gans.Trap"},
        "a process as the model": {"_class_path": "subprocess.Popen", **touch},
    }


def bombs():
    """Return hyperparameters that are small in a file and huge or endless when they are traversed."""
    wide = [0]
    for _ in range(12):
        wide = [wide] * 10
    deep = {}
    for _ in range(2000):
        deep = {"a": deep}
    cyclic = []
    cyclic.append(cyclic)
    return {"wide": {"width": wide}, "deep": {"width": deep}, "endless": {"width": cyclic}}


def changes(sentinel):
    """Return records of network changes in a checkpoint that must be refused, by description."""
    return {
        "a module that is not imported": [{"class_path": "trap_for_gans.Trap", "init_args": {}}],
        "a process": [{"class_path": "subprocess.Popen", "init_args": {"args": f"touch {sentinel}", "shell": True}}],
        "a shell below our module": [{"class_path": "lightning_gans.stabilizers.dropout.os.system", "init_args": {}}],
        "a stabilizer without changes": [{"class_path": "lightning_gans.stabilizers.GradientPenalty", "init_args": {}}],
        "nothing": None,
        "a text": "SpectralNorm",
        "a number": 3,
        "numbers": [3],
        "an empty recipe": [{}],
        "a recipe without arguments": [{"class_path": "lightning_gans.stabilizers.spectral_norm.SpectralNorm"}],
        "a name that is a number": [{"class_path": 3, "init_args": {}}],
        "a name without a module": [{"class_path": "SpectralNorm", "init_args": {}}],
        "arguments that are a list": [{"class_path": "lightning_gans.stabilizers.Dropout", "init_args": [1]}],
        "arguments that it does not take": [
            {"class_path": "lightning_gans.stabilizers.Dropout", "init_args": {"x": 1}}
        ],
        "arguments out of range": [
            {"class_path": "lightning_gans.stabilizers.Dropout", "init_args": {"generator": 2.0}}
        ],
        "arguments of another type": [
            {"class_path": "lightning_gans.stabilizers.Dropout", "init_args": {"generator": {}}}
        ],
    }


def configs(sentinel):
    """Return texts of a config.yaml beside a checkpoint that name what must not be built, by description."""
    return {
        "a process as data": f"data: {{class_path: subprocess.Popen, init_args: {{args: touch {sentinel}}}}}",
        "a module that is not imported": "data: {class_path: trap_for_gans.Trap}",
        "a class path as text": "data: trap_for_gans.Trap",
        "an object of YAML": f"data: !!python/object/apply:os.system ['touch {sentinel}']",
        "below one of our data modules": "data: {class_path: lightning_gans.data.folder.os.system}",
        "in the arguments of data": "data: {class_path: lightning_gans.data.Digits, init_args: {size: "
        "{class_path: trap_for_gans.Trap}}}",
    }
