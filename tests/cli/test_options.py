"""Configs and options: which of them win, and what reaches the model, the data and torch."""

from pathlib import Path

import pytest
import torch
from helpers import few
from PIL import Image
from short_runs import BRIEF, DIGITS, LIGHTNING_WARNINGS, RING_GAN, SMALL, checkpoint, column, last, metrics, printed

from lightning_gans import GAN
from lightning_gans.cli.main import main

pytestmark = LIGHTNING_WARNINGS


def test_later_configs_override_earlier_ones_and_options_override_configs(folder, capsys):
    (folder / "one.yaml").write_text("model: {class_path: DCGAN, init_args: {width: 4, latent_dim: 5}}\ndata: Digits\n")
    (folder / "two.yaml").write_text(
        "model: {class_path: DCGAN, init_args: {width: 6}}\n"
        "data: {class_path: Digits, init_args: {size: 12, batch_size: 7}}\n"
    )
    config = printed(capsys, "--config=one.yaml", "-c", "two.yaml", "--data.size=20", "--trainer.max_epochs=3")
    assert config["model"]["class_path"] == "lightning_gans.DCGAN"
    assert (config["model"]["init_args"]["width"], config["model"]["init_args"]["latent_dim"]) == (6, 5)
    assert (config["data"]["init_args"]["size"], config["data"]["init_args"]["batch_size"]) == (20, 7)
    assert config["trainer"]["max_epochs"] == 3
    config = printed(capsys, "--config=two.yaml", "--config=one.yaml")
    assert config["model"]["init_args"]["width"] == 4


LIMITS = ["limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "overfit_batches"]


@pytest.mark.parametrize("name", few([*LIMITS, "val_check_interval"], "limit_train_batches", "val_check_interval"))
def test_a_whole_number_is_a_number_of_batches(capsys, folder, name):
    """`typing` may turn the order of Lightning's unions round, by which 1 became 1.0, all batches."""
    (folder / "one.yaml").write_text(f"model: DCGAN\ntrainer: {{{name}: 1}}\n")
    for given in ([f"--trainer.{name}=1", "--model=DCGAN"], ["--config=one.yaml"]):
        value = printed(capsys, *given)["trainer"][name]
        assert value == 1 and type(value) is int
    assert type(printed(capsys, "--model=DCGAN", f"--trainer.{name}=1.0")["trainer"][name]) is float


def test_data_options_without_a_data_class_are_those_of_digits(capsys, folder):
    config = printed(capsys, "--model=DCGAN", "--data.size=12", "--data.batch_size=7")
    assert config["data"]["class_path"].endswith(".Digits")
    assert (config["data"]["init_args"]["size"], config["data"]["init_args"]["batch_size"]) == (12, 7)
    (folder / "two.yaml").write_text("model: DCGAN\ndata: {init_args: {size: 12}}\n")
    assert printed(capsys, "--config=two.yaml")["data"]["init_args"]["size"] == 12


def test_digits_are_the_default_data_without_setting_options_of_other_data(capsys):
    assert printed(capsys, "--model=DCGAN")["data"]["class_path"].endswith(".Digits")
    data = printed(capsys, "--model=VanillaGAN", "--data=GaussianRing", "--data.num_modes=5")["data"]
    assert data["class_path"].endswith(".GaussianRing") and "size" not in data["init_args"]


def test_an_option_sets_the_rate_of_an_optimizer(folder):
    main(["fit", *DIGITS, *SMALL, *BRIEF, "--model.discriminator_optimizer.lr=4e-4"])
    saved = checkpoint(folder / "runs/dcgan_digits/version_0")
    assert [state["param_groups"][0]["lr"] for state in saved["optimizer_states"]] == [2e-4, 4e-4]
    assert saved["optimizer_states"][1]["param_groups"][0]["betas"] == (0.5, 0.999)


def test_an_optimizer_and_a_schedule_by_class(folder):
    schedule = "{class_path: torch.optim.lr_scheduler.ExponentialLR, init_args: {gamma: 0.5}}"
    optimizer = ["--model.generator_optimizer=torch.optim.AdamW", "--model.generator_optimizer.lr=0.1"]
    main(["fit", *DIGITS, *SMALL, *BRIEF, *optimizer, f"--model.generator_scheduler={schedule}"])
    saved = checkpoint(folder / "runs/dcgan_digits/version_0")
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.1 / 2**3)
    assert saved["optimizer_states"][1]["param_groups"][0]["lr"] == 2e-4
    gan = GAN.load_from_checkpoint(last(folder / "runs/dcgan_digits/version_0"))
    (generator_optimizer, _), (scheduler,) = gan.configure_optimizers()
    assert isinstance(generator_optimizer, torch.optim.AdamW) and scheduler.gamma == 0.5


def test_labels_make_the_model_conditional(conditional_run, run):
    assert checkpoint(conditional_run)["hyper_parameters"]["num_classes"] == 10
    gan = GAN.load_from_checkpoint(last(conditional_run))
    assert gan.generator.num_classes == gan.discriminator.num_classes == 10
    width, height = Image.open(conditional_run / "samples" / "epoch_0001.png").size
    assert width > height, "one column per class"
    assert GAN.load_from_checkpoint(last(run)).generator.num_classes == 0


@pytest.mark.parametrize("place", few(["option", "config"], "config"))
def test_the_generator_alone_may_be_conditional(folder, capsys, place):
    """As in AC-GAN: the discriminator's number of classes, 0, is typed, is kept, and is taken from the run's config."""
    (folder / "acgan.yaml").write_text("model: {init_args: {discriminator: {init_args: {num_classes: 0}}}}\n")
    typed = ["--model.discriminator.num_classes", "0"] if place == "option" else ["--config=acgan.yaml"]
    config = Path(__file__).parents[2] / "configs/stabilizers/auxiliary_classifier.yaml"
    main(["fit", *RING_GAN, *typed, f"--config={config}", "--data=Digits", "--data.labels=true", *SMALL, *BRIEF])
    made = folder / "runs/gan_digits/version_0"
    gan = GAN.load_from_checkpoint(last(made))
    assert (gan.generator.num_classes, gan.discriminator.num_classes) == (10, 0)
    assert gan.discriminator.auxiliary_classifier.out_features == 10
    assert (
        len(column(made, "loss/auxiliary_classifier")) == len(column(made, "loss/generator_auxiliary_classifier")) == 3
    )
    again = printed(capsys, f"--config={made}/config.yaml")
    assert again["model"]["init_args"]["discriminator"]["init_args"]["num_classes"] == 0


@pytest.mark.filterwarnings("ignore:GradientPenalty with BatchNorm")
def test_stabilizers_from_a_config_take_part(folder, run):
    (folder / "stabilizers.yaml").write_text(
        "trainer:\n  callbacks+: [WeightClipping, {class_path: GradientPenalty, init_args: {weight: 20}}]\n"
    )
    main(["fit", *DIGITS, "--config=stabilizers.yaml", *SMALL, *BRIEF])
    made = folder / "runs/dcgan_digits/version_0"
    penalties = column(made, "loss/gradient_penalty")
    assert len(penalties) == 3 and 15 < penalties[0] <= 20, "a nearly constant critic has a penalty close to the weight"
    weights = [value for name, value in checkpoint(made)["state_dict"].items() if name == "discriminator.head.0.weight"]
    assert weights[0].abs().max() <= 0.01
    assert "loss/gradient_penalty" not in metrics(run)[0]


def test_callbacks_of_two_configs_add_up(folder, capsys):
    (folder / "one.yaml").write_text("trainer:\n  callbacks+: [GradientPenalty]\n")
    (folder / "two.yaml").write_text("trainer:\n  callbacks+: [WeightClipping]\n")
    config = printed(capsys, *DIGITS, "--config=one.yaml", "--config=two.yaml")
    names = [callback["class_path"].rsplit(".", 1)[1] for callback in config["trainer"]["callbacks"]]
    assert names == ["GradientPenalty", "WeightClipping"]


def test_threads_are_set_in_torch(folder):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        main(["fit", *DIGITS, *SMALL, *BRIEF, "--threads=1"])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
