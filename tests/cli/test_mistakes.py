"""Mistakes on the command line: each is one line with a remedy, and exit code 2."""

import pytest
import torch
import yaml
from helpers import few, slow
from short_runs import CONFIGS, DIGITS, ENSEMBLE, FUNCTIONS, LIGHTNING_WARNINGS, QUIET, RING_GAN

from lightning_gans.cli.main import COMMANDS, main
from lightning_gans.cli.parser_messages import class_names

pytestmark = LIGHTNING_WARNINGS


MISTAKES = {
    "command": (["fti"], ["fti", "did you mean 'fit'"]),
    "command without a similar one": (["paint"], ["paint", ", ".join(COMMANDS)]),
    "option": (["fit", "--model=DCGAN", "--experment=mine"], ["experment"]),
    "option of the model": (["fit", "--model=DCGAN", "--model.widht=8"], ["DCGAN", "widht"]),
    "option of the data": (["fit", *DIGITS, "--data.siz=8"], ["Digits", "siz"]),
    "option of an optimizer": (["fit", *DIGITS, "--model.generator_optimizer.rate=1"], ["generator_optimizer", "rate"]),
    "model": (["fit", "--model=DCGN"], ["DCGN", "did you mean DCGAN"]),
    "model without a similar one": (["fit", "--model=Zzz"], ["Zzz"]),
    "data": (["fit", "--model=DCGAN", "--data=Digts"], ["Digts", "did you mean Digits"]),
    "objective": (["fit", *DIGITS, "--model.objective=Wassersten"], ["Wassersten", "did you mean Wasserstein"]),
    "callback": (["fit", *DIGITS, "--trainer.callbacks+=GradientPenlty"], ["GradientPenlty", "mean GradientPenalty"]),
    "logger": (["fit", *DIGITS, "--trainer.logger=WandLogger"], ["WandLogger", "did you mean WandbLogger"]),
    "type in the model": (["fit", "--model=DCGAN", "--model.width=wide"], ["width", "wide", "int"]),
    "type in the trainer": (["fit", *DIGITS, "--trainer.max_epochs=many"], ["max_epochs", "many", "int"]),
    "value of the model": (["fit", "--model=DCGAN", "--model.width=-3"], ["width", "-3"]),
    "value of a callback": (["fit", *DIGITS, "--samples.columns=0"], ["columns=0", "at least 1"]),
    "shape": (["fit", "--model=DCGAN", "--model.image_shape=[1,8,8]"], ["model.image_shape", "--data.labels"]),
    "shape after a blank": (["fit", "--model", "WGAN", "--model.sample_shape", "[2]"], ["model.sample_shape"]),
    "classes": (["fit", *DIGITS, "--model.num_classes=10"], ["model.num_classes", "--data.labels true"]),
    "classes of a network": (
        ["fit", *RING_GAN, "--data=GaussianRing", "--model.generator.init_args.num_classes=3"],
        ["model.generator.init_args.num_classes", "--data.labels true"],
    ),
    "classes of a discriminator": (
        ["fit", *RING_GAN, "--data=GaussianRing", "--model.discriminator.num_classes=3"],
        ["model.discriminator.num_classes", "--data.labels true", "a discriminator without labels is given 0"],
    ),
    "config that is missing": (["fit", "--config=nowhere.yaml"], ["nowhere.yaml", "exist"]),
    "MNIST": (["fit", "--model=DCGAN", "--data=MNIST", "--data.root=nothing"], ["nothing/MNIST/raw", "copy its files"]),
    "folder": (
        ["fit", "--model=DCGAN", "--data=ImageFolder", "--data.root=nothing"],
        ["root=nothing", "give the folder"],
    ),
    "size": (["fit", *DIGITS, "--data.size=4"], ["size=4", "at least 8"]),
    "batch size": (["fit", *DIGITS, "--data.batch_size=9999"], ["batch_size=9999", "use batch_size <="]),
    "devices": (["fit", *DIGITS, "--trainer.accelerator=cpu", "--trainer.devices=-1"], ["-1", "CPU", "such as 2"]),
    "clipping": (["fit", *DIGITS, "--trainer.gradient_clip_val=0.7"], ["0.7", "discriminator_clip"]),
    "accumulation": (["fit", *DIGITS, "--trainer.accumulate_grad_batches=3"], ["3", "discriminator_accumulation"]),
    "steps": (["fit", *DIGITS, "--trainer.max_steps=0"], ["max_steps=0", "above 0"]),
    "no batches": (["fit", *DIGITS, "--trainer.limit_train_batches=0"], ["limit_train_batches=0", "give a number"]),
    "least epochs": (["fit", *DIGITS, "--trainer.min_epochs=-3"], ["min_epochs=-3", "at least 0"]),
    "time": (["fit", *DIGITS, "--trainer.max_time=00:00:00:00"], ["max_time", "0 seconds", "above 0"]),
    "folder of the Trainer": (
        ["fit", *DIGITS, "--trainer.default_root_dir=/dev/null/x"],
        ["/dev/null/x", "give another"],
    ),
    "plain module": (
        ["fit", "--model=GAN", "--model.generator=torch.nn.Tanh", "--model.discriminator=MLPDiscriminator"],
        ["torch.nn.Tanh", "{class_path: PlainGenerator, init_args: {module: {class_path: torch.nn.Tanh}}}"],
    ),
    "start and resume": (
        ["fit", *DIGITS, "--from=a.ckpt", "--ckpt_path=b.ckpt"],
        ["--from starts a new run", "leave one of them out"],
    ),
    "n_critic": (["fit", *DIGITS, "--model.n_critic=0"], ["DCGAN(n_critic=0)", "at least 1"]),
    "images for points": (["fit", "--model=DCGAN", "--data=GaussianRing"], ["(2,)", "MLPGenerator"]),
    "no model": (["fit"], ["model", "--model DCGAN"]),
    "no model but data": (["fit", "--data=Digits"], ["model", "--model DCGAN"]),
    "checkpoint that is missing": (["fit", *DIGITS, "--ckpt_path=nowhere.ckpt"], ["nowhere.ckpt"]),
    "no last checkpoint": (["fit", *DIGITS, "--ckpt_path=last"], ["last", "runs/dcgan_digits", "give a checkpoint"]),
    "sample without a checkpoint": (["sample"], ["checkpoint"]),
    "sample of a missing checkpoint": (["sample", "--checkpoint=nowhere.ckpt"], ["nowhere.ckpt"]),
    "option of sample": (["sample", "--checkpont=nowhere.ckpt"], ["checkpont"]),
    "interpolate without a checkpoint": (["interpolate", "--seeds=[1,2]"], ["checkpoint"]),
    "arithmetic without seeds": (["arithmetic", "--checkpoint=nowhere.ckpt", "--a=[1]", "--b=[2]"], ["give --c"]),
    "neighbours of a missing checkpoint": (["neighbours", "--checkpoint=nowhere.ckpt"], ["nowhere.ckpt"]),
    "neighbours in unknown data": (
        ["neighbours", "--checkpoint=nowhere.ckpt", "--data=Digts"],
        ["Digts", "did you mean Digits"],
    ),
}


IN_SHORT = [
    "command",
    "option of the model",
    "option of an optimizer",
    "model",
    "data",
    "callback",
    "type in the model",
]
IN_SHORT += ["value of a callback", "shape", "config that is missing", "MNIST", "folder", "batch size", "devices"]
IN_SHORT += ["clipping", "folder of the Trainer", "plain module", "start and resume", "images for points", "no model"]
IN_SHORT += ["no last checkpoint", "sample without a checkpoint", "neighbours in unknown data"]


@pytest.mark.parametrize("mistake", few(MISTAKES, *IN_SHORT))
def test_a_mistake_is_one_line(mistake, refused, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_network)
    args, says = MISTAKES[mistake]
    line = refused(*args, *([] if len(args) == 1 or args[0] in FUNCTIONS else QUIET[:1]))
    assert all(word in line for word in says), line


def linear(**arguments):
    return {"class_path": "Linear", "init_args": {"start": 0.1, **arguments}}


WRONG = [  # a stabilizer, its arguments, the rest of the command, and parts of the line
    ("LabelSmoothing", {"real": 1.5}, DIGITS, ["LabelSmoothing(real=1.5)", "in (0, 1]"]),
    ("LabelSmoothing", {}, ["--model=WGAN", *DIGITS[1:]], ["LabelSmoothing", "Wasserstein", "leave"]),
    ("LabelFlipping", {"probability": -0.1}, DIGITS, ["LabelFlipping(probability=-0.1)", "in [0, 1]"]),
    ("InstanceNoise", {"sigma": -0.5}, DIGITS, ["InstanceNoise(sigma=-0.5)", "at least 0"]),
    ("InstanceNoise", {"sigma": linear(updates=0)}, DIGITS, ["Linear(updates=0)", "at least 1"]),
    ("InstanceNoise", {"sigma": linear(end=-1)}, DIGITS, ["InstanceNoise", "at least 0"]),
    ("Dropout", {"generator": 1.5}, DIGITS, ["Dropout(generator=1.5)", "[0, 1)"]),
    ("ExperienceReplay", {"share": 2}, DIGITS, ["ExperienceReplay(share=2", "in [0, 1]"]),
    ("ExperienceReplay", {"size": 7}, DIGITS, ["ExperienceReplay(size=7)", "16 fakes of a batch"]),
    ("ExperienceReplay", {"size": 10**13}, DIGITS, ["ExperienceReplay", "GiB", "expected a smaller size"]),
    ("ImagePool", {"size": 7}, DIGITS, ["ImagePool(size=7)", "16 fakes of a batch"]),
    ("CheckpointSwap", {"keep": 0}, DIGITS, ["CheckpointSwap(keep=0)", "at least 1"]),
    ("GeneratorEMA", {"half_life": -1}, DIGITS, ["GeneratorEMA(half_life=-1", "at least 0"]),
    ("R1Penalty", {"weight": -1}, DIGITS, ["R1Penalty(weight=-1", "at least 0"]),
    ("R1Penalty", {"every": 0}, DIGITS, ["R1Penalty(every=0)", "at least 1"]),
    ("JSRegularizer", {}, ["--model=WGAN", *DIGITS[1:]], ["JSRegularizer", "Wasserstein", "use NonSaturating"]),
    ("VirtualBatchNorm", {"size": 65}, [*DIGITS, "--data.size=16"], ["VirtualBatchNorm(size=65)", "16 samples"]),
    ("VirtualBatchNorm", {}, [*RING_GAN, "--data=GaussianRing"], ["VirtualBatchNorm", "no BatchNorm"]),
    ("Packing", {"samples": 3}, DIGITS, ["Packing(samples=3)", "batch of 16", "multiple of 3"]),
    (
        "FeatureMatching",
        {},
        ["--model=SEPGAN", *ENSEMBLE],
        ["FeatureMatching", "SEPGAN has none", "leave out this stabilizer"],
    ),
    ("R1Penalty", {}, ["--model=SEPGAN", *ENSEMBLE], ["R1Penalty", "SEPGAN has none"]),
    ("SpectralNorm", {}, ["--model=SEPGAN", *ENSEMBLE], ["SpectralNorm"]),
    ("DifferentiableAugmentation", {}, [*RING_GAN, "--data=GaussianRing"], ["DifferentiableAugmentation", "images"]),
    ("BalancedUpdates", {"rule": {"class_path": "ByAccuracy", "init_args": {"low": 0.9}}}, DIGITS, ["low <= high"]),
]


@pytest.mark.parametrize(
    ("name", "arguments", "options", "says"),
    [slow(*case) if number % 3 else case for number, case in enumerate(WRONG)],
    ids=lambda value: value if type(value) is str else "",
)
def test_an_invalid_stabilizer_is_one_line(name, arguments, options, says, refused, folder):
    callback = {"class_path": name, "init_args": arguments}
    (folder / "wrong.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [callback]}}))
    size = [] if "--data=GaussianRing" in options else ["--data.batch_size=16"]
    line = refused("fit", *options, *size, "--config=wrong.yaml", *QUIET[:1])
    assert all(word in line for word in says), line


def test_a_schedule_longer_than_the_run_is_a_warning(folder, recwarn):
    main(
        ["fit", *DIGITS, "--config", str(CONFIGS / "stabilizers/instance_noise.yaml"), "--trainer.max_steps=2", *QUIET]
    )
    (line,) = [str(warning.message) for warning in recwarn if "reaches its end" in str(warning.message)]
    assert "after 10000 generator updates, but this run has 2" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu(refused):
    assert "gpu" in refused("fit", *DIGITS, "--trainer.accelerator=gpu")


def test_suggestions_are_classes_that_a_config_may_name(refused):
    assert {"GAN", "DCGAN", "Digits", "MLPGenerator", "Uniform", "Hinge", "Adam", "GradientPenalty"} <= set(
        class_names()
    )
    assert not {"ABC", "Tensor", "Iterable", "as_latents", "initialize"} & set(class_names())


BROKEN = {
    "syntax": ("model: [1, 2\n  x: {", ["faulty.yaml", "line 2"]),
    "words": ("just words\n", []),
    "nothing": ("", []),
    "list": ("- model\n- data\n", []),
    "bytes": (b"\xff\xfe\x00\x81", []),
    "unknown key": ("modell: DCGAN\n", ["modell"]),
    "key twice": (
        "model: DCGAN\ndata:\n  class_path: Digits\n  init_args:\n    size: 8\n    batch_size: 4\n    size: 16\n",
        ["faulty.yaml", "'size' is given twice, in lines 5 and 7", "leave one"],
    ),
    "image_shape": (
        "model: {class_path: DCGAN, init_args: {image_shape: [1, 8, 8]}}\n",
        ["model.init_args.image_shape"],
    ),
    "num_classes of a network": (
        "model:\n  class_path: GAN\n  init_args:\n    discriminator: MLPDiscriminator\n    generator:\n"
        "      class_path: MLPGenerator\n      init_args: {num_classes: 3}\ndata: GaussianRing\n",
        ["model.init_args.generator.init_args.num_classes", "--data.labels true"],
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_invalid_config_is_one_line(fault, refused, folder):
    text, says = BROKEN[fault]
    (folder / "faulty.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    line = refused("fit", "--config=faulty.yaml")
    assert all(word in line for word in says or ["faulty.yaml"]), line


@pytest.mark.parametrize("flags", [["-c", "faulty.yaml"], ["--config", "faulty.yaml"], ["-c=faulty.yaml"]])
def test_every_way_to_give_a_config_is_checked(flags, refused, folder):
    (folder / "faulty.yaml").write_text(BROKEN["image_shape"][0])
    assert "model.init_args.image_shape" in refused("fit", *flags)


def test_an_empty_image_folder(refused, folder):
    (folder / "empty").mkdir()
    for labels in ("false", "true"):
        args = ["fit", "--model=DCGAN", "--data=ImageFolder", "--data.root=empty", f"--data.labels={labels}"]
        assert "empty" in refused(*args, *QUIET[:1])
