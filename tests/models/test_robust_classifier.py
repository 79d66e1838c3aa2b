"""Adversarial training of a classifier, and its use as a teacher."""

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from safetensors import safe_open
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans import SEPGAN
from lightning_gans.attacks import projected_gradient
from lightning_gans.cli.main import main
from lightning_gans.data import Digits
from lightning_gans.models import RobustClassifier, TrainedClassifier
from lightning_gans.networks import DCGANGenerator, DigitClassifier, RobustDigitClassifier, SmoothClassifier
from lightning_gans.networks.smooth_classifier import WEIGHTS

SHAPE = (1, 8, 8)


class Pair(nn.Module):
    """Returns logits and something else, as some networks do."""

    def forward(self, x):
        return x, x


def halves(n=256):
    """Return noisy images of two classes, bright above or below: no attack of small norm can swap them."""
    torch.manual_seed(0)
    y = torch.arange(n) % 2
    x = torch.randn(n, *SHAPE).mul(0.2)
    for place, label in enumerate(y):
        x[place, :, :4] += 0.5 if label else -0.5
    return TensorDataset(x.clamp(-1, 1), y)


def train(model, epochs=4, data=None, **settings):
    loader = DataLoader(data or halves(), batch_size=32)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(model, loader, loader)
    return trainer


def test_it_learns_to_resist_and_logs_both_accuracies():
    torch.manual_seed(0)
    trainer = train(RobustClassifier(SHAPE, 2, epsilon=1.0, lr=5e-3))
    assert trainer.callback_metrics["val/accuracy"] > 0.95
    assert 0.9 < trainer.callback_metrics["val/robust_accuracy"] <= trainer.callback_metrics["val/accuracy"]
    (tested,) = trainer.test(trainer.lightning_module, dataloaders=DataLoader(halves(64), batch_size=64), verbose=False)
    assert set(tested) == {"test/accuracy", "test/robust_accuracy"}


def test_it_trains_on_attacked_images_whose_strength_grows(monkeypatch):
    seen = []

    def attack(network, x, y, epsilon, steps, norm):
        assert not any(one.requires_grad for one in network.parameters())
        seen.append((epsilon, steps, norm))
        return x + 1

    monkeypatch.setattr("lightning_gans.models.robust_classifier.projected_gradient", attack)
    model = RobustClassifier(SHAPE, 2, epsilon=2.0, steps=3, eval_steps=7, ramp=0.5, norm="Linf")
    before = [one.clone() for one in model.network.parameters()]
    train(model, epochs=1, num_sanity_val_steps=0)
    assert seen[:8] == [(2.0 * min(1, step / 4), 3, "Linf") for step in range(1, 9)]
    assert seen[8] == (2.0, 7, "Linf")
    assert not any(torch.equal(*pair) for pair in zip(before, model.network.parameters(), strict=True))
    seen.clear()
    train(RobustClassifier(SHAPE, 2, ramp=0.0), epochs=1, num_sanity_val_steps=0)
    assert seen[0] == (3.0, 4, "L2")


def test_the_loss_is_that_of_the_attacked_images(monkeypatch):
    monkeypatch.setattr("lightning_gans.models.robust_classifier.projected_gradient", lambda n, x, *rest: x * 0)
    model = RobustClassifier(SHAPE, 2, lr=1e-9)
    trainer = train(model, epochs=1)
    zeros = model.network(torch.zeros(1, *SHAPE)).log_softmax(1)[0]
    assert trainer.callback_metrics["train/loss"] == pytest.approx(float(-zeros.mean()), abs=1e-5)


def test_a_run_repeats_bit_for_bit():
    weights = []
    for _ in range(2):
        torch.manual_seed(1)
        model = RobustClassifier(SHAPE, 2, epsilon=0.5)
        train(model, epochs=1)
        weights.append(torch.cat([one.flatten() for one in model.network.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epsilon": 0.0}, r"epsilon=0.0\): expected a finite number above 0"),
        ({"steps": 0}, r"steps=0\): expected a whole number of at least 1"),
        ({"eval_steps": 0}, r"eval_steps=0\): expected a whole number of at least 1"),
        ({"norm": "L1"}, r"norm='L1'\): expected one of L2, Linf\.$"),
        ({"ramp": 1.5}, r"ramp=1.5\): expected a number in \[0, 1\]"),
        ({"weight_decay": -1.0}, r"weight_decay=-1.0\): expected a number of at least 0"),
        ({"num_classes": 0}, r"needs labels of at least 2 classes: --data\.labels true\.$"),
        ({"network": Pair()}, r"^Pair returns a tuple for two images, expected \(2, 2\)"),
        ({"network": nn.Flatten()}, r"^Flatten returns \(2, 64\) for two images, expected \(2, 2\)"),
        ({"network": nn.Conv2d(3, 2, 1)}, r"^Conv2d does not take images of shape \(1, 8, 8\) \(.*\); give a network"),
    ],
)
def test_what_does_not_fit_gets_one_line(changes, said):
    with pytest.raises(ValueError, match=said):
        RobustClassifier(**{"image_shape": SHAPE, "num_classes": 2} | changes)


def test_a_training_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r"needs an end of the training: --trainer\.max_epochs 4\.$"):
        train(RobustClassifier(SHAPE, 2), epochs=-1)


def test_making_it_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 2))
    before = {name: one.clone() for name, one in network.state_dict().items()}
    model = RobustClassifier(SHAPE, 2, network=network)
    assert network.training and all(torch.equal(one, before[name]) for name, one in model.network.state_dict().items())


def test_any_network_can_be_trained():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))
    model = RobustClassifier(SHAPE, 2, network=network)
    train(model, epochs=1)
    x = torch.rand(3, *SHAPE)
    assert torch.equal(model(x), network(x))


def test_the_shape_of_the_small_classifier():
    network = SmoothClassifier((1, 28, 28), 10)
    assert sum(one.numel() for one in network.parameters()) == 228_410
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert SmoothClassifier((3, 33, 17), 5, width=4)(torch.zeros(2, 3, 33, 17)).shape == (2, 5)


def test_the_robust_classifier_that_ships_resists_what_misleads_the_ordinary_one():
    dataset = Digits(28, labels=True).load("train")
    x, y = dataset.__getitems__(list(range(200)))
    right = {}
    for kind in (DigitClassifier, RobustDigitClassifier):
        network = kind().eval().requires_grad_(False)
        attacked = projected_gradient(network, x, y, 3.0, 20)
        right[kind] = [float((network(one).argmax(1) == y).float().mean()) for one in (x, attacked)]
    assert min(clean for clean, _ in right.values()) > 0.5, "of coarser digits than those of MNIST"
    assert right[RobustDigitClassifier][1] > 0.15 and right[DigitClassifier][1] < 0.05


def test_the_weights_that_ship_are_small_and_say_how_good_they_are():
    with safe_open(WEIGHTS, "pt") as file:
        about = file.metadata()
    assert WEIGHTS.stat().st_size <= 500_000
    assert float(about["accuracy"].split()[0]) >= 0.985 and float(about["robust_accuracy"].split()[0]) >= 0.8
    assert all(one.dtype == torch.float32 for one in RobustDigitClassifier().parameters())
    random, shipped = RobustDigitClassifier(pretrained=False), RobustDigitClassifier()
    assert not torch.equal(random.head.weight, shipped.head.weight)


def test_without_the_file_of_weights_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("lightning_gans.networks.smooth_classifier.WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"are missing; reinstall lightning-gans, or pretrained=False$"):
        RobustDigitClassifier()
    RobustDigitClassifier(pretrained=False)


def test_one_command_makes_a_teacher(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = (
        "--data=Digits",
        "--data.size=16",
        "--data.labels=true",
        "--trainer.max_steps=3",
        "--trainer.accelerator=cpu",
    )
    quiet = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")
    main(["fit", "--model=RobustClassifier", *small, *quiet, "--experiment=teacher", "--trainer.limit_val_batches=1"])
    said = capsys.readouterr().out
    (checkpoint,) = tmp_path.glob("runs/teacher/version_0/checkpoints/last.ckpt")
    assert f"--model.classifier.checkpoint {checkpoint.relative_to(tmp_path)}" in said
    assert not list(tmp_path.glob("runs/teacher/version_0/health*")), "it is no GAN, whose samples could collapse"
    teacher = TrainedClassifier(str(checkpoint))
    assert teacher.input_shape == (1, 16, 16) and teacher.num_classes == 10
    gan = SEPGAN(DCGANGenerator((1, 16, 16), width=4), teacher)
    assert gan.classifier(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    x, y = Digits(16, labels=True).load("train")[0]
    assert F.cross_entropy(teacher(x[None]), y[None]) > 0
    main(
        [
            "test",
            "--model=RobustClassifier",
            *small[:3],
            *quiet,
            f"--ckpt_path={checkpoint}",
            "--trainer.accelerator=cpu",
        ]
    )


def test_a_checkpoint_of_another_model_is_no_teacher(tmp_path, make_gan, fit):
    with pytest.raises((ValueError, OSError), match=r"nowhere\.ckpt"):
        TrainedClassifier("nowhere.ckpt")
    fit(make_gan()).save_checkpoint(tmp_path / "gan.ckpt")
    with pytest.raises(ValueError, match="RobustClassifier"):
        TrainedClassifier(str(tmp_path / "gan.ckpt"))
