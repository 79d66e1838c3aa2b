"""Every config runs and stacks, and a run is reproduced by the config that it saves."""

import hashlib
import pickle
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from helpers import few, slow
from PIL import Image

from lightning_gans import Stabilizer
from lightning_gans.__main__ import main
from lightning_gans.base import ReproducibleModule
from lightning_gans.cli.errors import Parser
from lightning_gans.networks import InceptionFeatures

CONFIGS = Path(__file__).parents[1] / "configs"
MODELS = sorted(CONFIGS.glob("*.yaml"))
BEST = sorted(CONFIGS.glob("best/*.yaml"))
TRAINERS = sorted(CONFIGS.glob("trainer/*.yaml"))
LOGGERS = sorted(CONFIGS.glob("logger/*.yaml"))
METRICS = sorted(CONFIGS.glob("metrics/*.yaml"))
STABILIZERS = sorted(CONFIGS.glob("stabilizers/*.yaml"))
NEED_GPU = ("gpu", "ddp", "slurm", "nodes")
LARGE = ("ResNetGenerator", "R3GANGenerator")  # at the width of their papers
NEED_LAUNCHER = ("torchrun",)  # it would start copies of this test process; see distributed/test_launch.py
FAST = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--report.enabled=false",  # its page contains the time
]

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def stem(path):
    return path.stem


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


def write_mnist(root):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name, count in (("train", 40), ("t10k", 10)):
        x = noise.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        y = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, count, 28, 28) + x.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, count) + y.tobytes())


def write_cifar(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {"data": noise.integers(0, 256, (8, 3072), dtype=np.uint8), "labels": list(range(8))}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


def write_pictures(root, count=12):
    noise = np.random.default_rng(0)
    for number in range(count):
        path = root / ("cats" if number < count // 2 else "dogs") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def small(folder, monkeypatch):
    """Return options that give a config small data, written on demand, and narrow networks."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)

    def small(config):
        settings = yaml.safe_load(config.read_text())
        name = settings["data"]["class_path"]
        options = ["--data.batch_size=4"]
        if name == "MNIST":
            write_mnist(folder)
        elif name == "CIFAR10":
            write_cifar(folder)
        elif name == "ImageFolder":
            write_pictures(folder / "pictures", 160 if config in BEST else 12)
        if name in ("MNIST", "CIFAR10"):
            options += [f"--data.root={folder}", "--data.val_size=8"]
        if settings["data"].get("init_args", {}).get("num_workers") or name == "ImageFolder":
            options.append("--data.num_workers=0")
        if settings["model"]["class_path"] in ("DCGAN", "WGAN", "WGANGP"):
            options.append("--model.width=8")
        elif settings["model"].get("init_args", {}).get("generator") in LARGE:
            options += ["--model.generator.width=8", "--model.discriminator.width=8"]
        return options

    return small


def test_there_are_configs():
    assert len(MODELS) > 10 and TRAINERS and LOGGERS


@pytest.mark.parametrize("config", sorted(CONFIGS.rglob("*.yaml")), ids=stem)
def test_a_config_starts_with_a_comment_and_is_short(config):
    text = config.read_text()
    assert text.startswith("# ")
    assert len(text.splitlines()) <= (45 if config in BEST else 25)
    assert isinstance(yaml.safe_load(text), dict)


FITTED = [  # every model and every kind of data
    *("quickstart", "dcgan_cifar10", "dcgan_folder", "se_dcgan_mnist", "mixed_ring", "unrolled_ring", "vanilla_ring"),
    *("sepgan_digits", "sepgan_imagenet", "wgan_gp_cifar10", "wgan_gp_grid", "wgan_ring", "robust_classifier_mnist"),
]


def test_every_model_and_data_set_of_the_configs_is_fitted_in_the_default_suite():
    settings = {config.stem: yaml.safe_load(config.read_text()) for config in MODELS}
    for part in ("model", "data"):
        named = {name: one[part]["class_path"] for name, one in settings.items()}
        assert {named[name] for name in FITTED} == set(named.values())


@pytest.mark.parametrize("config", [one if one.stem in FITTED else slow(one) for one in [*MODELS, *BEST]], ids=stem)
def test_config_fits(config, small, folder, monkeypatch):
    monkeypatch.setattr("lightning_gans.networks.features.efficientnet_lite0", EightFeatures)
    main(["fit", "--config", str(config), "--trainer.fast_dev_run=1", *small(config), *FAST])
    assert not (folder / "runs").exists(), "fast_dev_run writes no files"


def test_a_folder_of_pictures_with_labels(small, folder):
    config = CONFIGS / "dcgan_folder.yaml"
    options = [*small(config), "--data.labels=true", "--trainer.max_steps=2", "--samples.num_samples=4"]
    main(["fit", "--config", str(config), *options, *FAST])
    saved = torch.load("runs/dcgan_imagefolder/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["num_classes"] == 2


def quickstart(*stacked):
    configs = [CONFIGS / "quickstart.yaml", *stacked]
    return ["fit", *(word for config in configs for word in ("--config", str(config)))]


@pytest.mark.parametrize("config", [*(one for one in TRAINERS if one.stem not in NEED_LAUNCHER), *LOGGERS], ids=stem)
def test_config_stacks_on_the_quickstart(config, capsys, folder):
    args = [*quickstart(config), "--trainer.fast_dev_run=2", *FAST[1:]]
    if config.stem in NEED_GPU and not torch.cuda.is_available():
        with pytest.raises(SystemExit) as stopped:
            main(args)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and line.startswith("lightning-gans: error: ") and "gpu" in line
    else:
        main(args)
    assert not list(folder.rglob("*")), "fast_dev_run writes no files"


def stabilizer_of(config):
    (callback,) = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    return callback["class_path"]


def test_every_stabilizer_has_a_config_of_its_name():
    from lightning_gans import stabilizers

    found = {config.stem: stabilizer_of(config) for config in STABILIZERS}
    assert sorted(found.values()) == sorted(stabilizers.__all__)
    modules = {name: getattr(stabilizers, name).__module__.rsplit(".", 1)[1] for name in stabilizers.__all__}
    assert {modules[name]: name for name in found.values()} == found


@pytest.mark.parametrize("config", STABILIZERS, ids=stem)
def test_a_stabilizer_is_built_from_its_config(config):
    parser = Parser(exit_on_error=False)
    parser.add_subclass_arguments(Stabilizer, "x")
    (callback,) = yaml.safe_load(config.read_text())["trainer"]["callbacks+"]
    assert type(parser.instantiate(parser.parse_object({"x": callback})).x).__name__ == stabilizer_of(config)


STACKED = ("balanced_updates", "gradient_penalty", "generator_ema", "spectral_norm", "virtual_batch_norm")


@pytest.mark.parametrize("config", [one if one.stem in STACKED else slow(one) for one in STABILIZERS], ids=stem)
def test_a_stabilizer_stacks_on_the_quickstart(config, folder):
    main([*quickstart(config), "--trainer.fast_dev_run=2", *FAST[1:]])


SCORED = {  # what else a file of scores needs
    "modes": ["--data=GaussianRing", "--model=VanillaGAN"],
    "stacked_mnist": ["--data=StackedMNIST", "--data.val_size=8", "--data.size=16", "--data.num_val_samples=16"],
}


class EightFeatures(torch.nn.Module):
    """A small stand-in for EfficientNet-Lite0 and for torch-fidelity's Inception: eight features of each image."""

    def __init__(self, *settings):
        super().__init__()

    def extract_features(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x.float(), (2, 4)).mean(1).flatten(1)[:, :, None, None] / 128

    def forward(self, x):
        return (self.extract_features(x).flatten(1),)


@pytest.mark.slow
@pytest.mark.parametrize("config", METRICS, ids=stem)
def test_scores_stack_on_the_quickstart(config, folder, monkeypatch):
    inception = SimpleNamespace(FeatureExtractorInceptionV3=EightFeatures)
    monkeypatch.setitem(sys.modules, "torch_fidelity", SimpleNamespace(feature_extractor_inceptionv3=inception))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", inception)
    monkeypatch.setattr(InceptionFeatures, "num_features", 8)
    monkeypatch.setattr("lightning_gans.networks.features.efficientnet_lite0", EightFeatures)
    write_mnist(folder / "data")
    main([*quickstart(config), *SCORED.get(config.stem, []), "--trainer.fast_dev_run=2", *FAST[1:]])
    assert [path.name for path in folder.iterdir()] == ["data"], "fast_dev_run writes no files"


@pytest.mark.slow
def test_scores_with_pretrained_imagenet_features(folder):
    pytest.importorskip("efficientnet_lite_pytorch")
    main([*quickstart(CONFIGS / "metrics/images.yaml"), "--trainer.fast_dev_run=2", *FAST[1:]])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=stem)
def test_every_stabilizer_stacks_on_every_model_or_is_refused_with_a_reason(model, small, capsys):
    options = [*small(model)[1:], "--data.batch_size=8"]
    refused = {}
    for config in STABILIZERS:
        args = ["fit", "--config", str(model), "--config", str(config), "--trainer.fast_dev_run=2", *options, *FAST]
        try:
            main(args)
        except SystemExit as stopped:
            (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning-gans: ")]
            reason = stabilizer_of(config) in line or "for a gradient penalty" in line  # BatchNorm, unrolling
            assert stopped.code == 2 and reason, line
            refused[config.stem] = line
    print(*refused.items(), sep="\n")
    assert len(refused) < len(STABILIZERS) * (0.8 if model.stem.startswith("sepgan") else 0.4)


@pytest.mark.parametrize("name", [*NEED_GPU, *NEED_LAUNCHER])
def test_trainer_configs_for_gpus_and_launchers_merge_with_the_quickstart(name, capsys):
    config = CONFIGS / "trainer" / f"{name}.yaml"
    with pytest.raises(SystemExit) as stopped:
        main([*quickstart(config), "--print_config"])
    assert stopped.value.code == 0
    merged = yaml.safe_load(capsys.readouterr().out)
    assert merged["trainer"]["max_epochs"] == 40 and merged["data"]["init_args"]["size"] == 16, "the quickstart's"
    assert yaml.safe_load(config.read_text())["trainer"].items() <= merged["trainer"].items()


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


REPRODUCED = [
    *("quickstart", "vanilla_ring", "wgan_ring", "wgan_gp_grid", "mixed_ring", "unrolled_ring", "sepgan_digits"),
    "robust_classifier_mnist",
]


@pytest.mark.parametrize("name", few(REPRODUCED, "quickstart", "vanilla_ring", "wgan_gp_grid"))
def test_a_run_is_reproduced_by_its_saved_config(name, small, folder):
    config = CONFIGS / f"{name}.yaml"
    options = ["--trainer.max_steps=6", "--trainer.limit_val_batches=2", "--trainer.log_every_n_steps=1"]
    main(["fit", "--config", str(config), "--seed_everything=3", *options, *small(config)[1:], *FAST])
    (first,) = folder.glob("runs/*/version_0")
    before = contents(first)
    main(["fit", "--config", str(first / "config.yaml")])
    second = first.with_name("version_1")
    assert contents(first) == before, "the first run is unchanged"
    assert sorted(path.name for path in first.parent.iterdir()) == ["version_0", "version_1"]
    after = contents(second)
    assert {"config.yaml", "metrics.csv", "samples/real.png"} <= set(before) and list(after) == list(before)
    for name in before:
        assert after[name] == before[name] or name.endswith(".ckpt"), (
            f"{name} differs"  # paths in checkpoints
        )
    states = [torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (first, second)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        equal = torch.equal(value, states[1][key]) if isinstance(value, torch.Tensor) else value == states[1][key]
        assert equal, key


def test_every_model_class_has_a_config_and_one_that_is_reproduced():
    from lightning_gans import models

    used = {yaml.safe_load(config.read_text())["model"]["class_path"] for config in MODELS}
    trained = {name for name in models.__all__ if issubclass(getattr(models, name), ReproducibleModule)}
    assert used == {"GAN", *trained}
    reproduced = {yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]["class_path"] for name in REPRODUCED}
    assert reproduced == used
