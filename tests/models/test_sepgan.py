"""SEPGAN: its loss, the frozen classifier, and what is refused."""

import copy
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_gans import SEPGAN, Stabilizer
from lightning_gans.generation import draw, draw_by_route
from lightning_gans.models.image_priors import image_norm, total_variation
from lightning_gans.models.sepgan import STUCK_AFTER
from lightning_gans.networks import (
    Constant,
    DCGANGenerator,
    DigitClassifier,
    FrozenClassifier,
    MLPGenerator,
    StochasticEnsembleGenerator,
    StochasticEnsembleMLPGenerator,
    StochasticLayer,
)
from lightning_gans.optimizers import SGD, Adam
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import GradientPenalty, WeightClipping
from lightning_gans.targets import Classes, Labels, MarginalEntropy, OwnGuess, PerRoute

IMAGE = (1, 8, 8)


class SmallClassifier(nn.Module):
    """A classifier of 8 × 8 images with a norm, in a mode that must not change."""

    input_shape = IMAGE

    def __init__(self, classes=4):
        super().__init__()
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(7)
            self.layers = nn.Sequential(
                nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(108, classes)
            )
            self.layers[1].running_mean += torch.tensor([0.1, -0.2, 0.3])
            self.layers[1].running_var *= torch.tensor([0.5, 1.5, 2.0])

    def forward(self, x):
        return self.layers(x)


def make(target=None, groups=3, seed=0, generator=None, classifier=None, num_classes=0, **kwargs):
    torch.manual_seed(seed)
    generator = generator or StochasticEnsembleMLPGenerator(IMAGE, 4, width=8, groups=groups, num_classes=num_classes)
    kwargs.setdefault("generator_optimizer", lambda params: SGD(params, lr=0.1))
    return SEPGAN(generator, classifier or SmallClassifier(), target or MarginalEntropy(), **kwargs)


def blank(size=6):
    return torch.zeros(size, *IMAGE)


def optimizer(gan):
    (only,), _ = gan.configure_optimizers()
    return only


# ---------------------------------------------------------------- the loss


def test_the_loss_is_the_targets_and_the_priors():
    weights = {"total_variation": 0.5, "image_norm": 0.75, "batch_norm_statistics": 0.25}
    gan, fake = make(Classes([2]), **weights), torch.rand(6, *IMAGE) * 2 - 1
    step = gan.generator_step(blank(), fake)
    classifier = gan.classifier.network
    logits = classifier(fake)
    assert torch.equal(step.fake_logits, logits) and step.fake is fake
    rough = (fake[..., 1:, :] - fake[..., :-1, :]).abs().mean() + (fake[..., 1:] - fake[..., :-1]).abs().mean()
    x, norm = classifier.layers[0](fake), classifier.layers[1]
    far = (x.mean((0, 2, 3)) - norm.running_mean).norm() + (x.var((0, 2, 3), correction=0) - norm.running_var).norm()
    norm = sum(math.sqrt(sum(((x + 1) / 2) ** 2 for x in one.flatten().tolist())) for one in fake) / 6
    expected = F.cross_entropy(logits, torch.full((6,), 2)) + 0.5 * rough + 0.75 * norm + 0.25 * far
    torch.testing.assert_close(step.loss, expected)
    assert set(step.terms) == set(weights) == set(gan.loss_terms)
    assert step.terms["image_norm"].item() == pytest.approx(0.75 * norm, rel=1e-6)
    torch.testing.assert_close(step.terms["total_variation"], 0.5 * total_variation(fake))
    torch.testing.assert_close(step.terms["batch_norm_statistics"], 0.25 * far)
    assert set(make().generator_step(blank()).terms) == set(), "the priors are off unless they are asked for"


def test_the_weight_of_a_prior_may_follow_a_schedule():
    gan, fake = make(Classes([2]), image_norm=Linear(0.0, 3.0, updates=6)), torch.rand(6, *IMAGE) * 2 - 1
    norms = []
    for gan.generator_updates in (0, 2, 9):
        norms.append(gan.generator_step(blank(), fake).terms["image_norm"] / image_norm(fake))
    assert [one.item() for one in norms] == pytest.approx([0.0, 1.0, 3.0])


def test_the_gradient_goes_through_the_classifier_to_the_generator_alone():
    gan = make()
    gan.generator_step(blank()).loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in gan.generator.layers[0].parameters())
    assert all(weight.grad is None for weight in gan.classifier.network.parameters())


def test_a_step_of_the_generator_lowers_its_loss():
    gan = make(
        Classes([1]),
        generator=MLPGenerator(IMAGE, Constant(4), width=8),
        generator_optimizer=lambda params: Adam(params, lr=0.02),
    )
    own, losses = optimizer(gan), []
    for _ in range(60):
        losses.append(gan.train_batch(blank(), own)["generator"].loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert (gan.generator_updates, gan.discriminator_updates) == (60, 0)


def test_labels_are_the_target_of_a_conditional_generator():
    gan, labels = make(Labels(), num_classes=4), torch.tensor([0, 1, 2, 3, 3, 3])
    step = gan.generator_step((blank(), labels))
    torch.testing.assert_close(step.loss, F.cross_entropy(step.fake_logits, labels))


@pytest.mark.parametrize("routes_per_batch", [None, 1, 4])
def test_routes_are_the_target_of_an_ensemble(routes_per_batch):
    """Each of five groups of the last layer has its class, modulo the four; the images know their route."""
    generator = StochasticEnsembleMLPGenerator(
        IMAGE, Constant(4), width=8, depth=2, groups=5, routes_per_batch=routes_per_batch
    )
    gan = make(PerRoute(), generator=generator)
    step = gan.generator_step(blank(9))
    every = torch.cat([generator(torch.ones(1, 4), None, route) for route in range(25)])
    distance = torch.cdist(step.fake.flatten(1), every.flatten(1))
    assert distance.min(1).values.max() < 1e-5
    classes = distance.argmin(1) // 5 % 4
    torch.testing.assert_close(step.loss, F.cross_entropy(step.fake_logits, classes))
    assert routes_per_batch is None or len(distance.argmin(1).unique()) <= routes_per_batch


CHANGES = {
    "target": OwnGuess(),
    "total_variation": 1.0,
    "image_norm": 1.0,
    "batch_norm_statistics": 1.0,
    "generator_optimizer": lambda params: Adam(params, lr=0.1),
    "generator_clip": 1e-3,
    "generator_accumulation": 2,
    "generator_scheduler": lambda own: torch.optim.lr_scheduler.ExponentialLR(own, gamma=0.1),
    "classifier": SmallClassifier(5),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_argument_changes_the_run(fit, weights, name):
    common = {"target": OwnGuess()} if name == "generator_accumulation" else {}  # a mean over samples, to have parts
    plain, changed = make(**common), make(**common, **{name: CHANGES[name]})
    for gan in (plain, changed):
        fit(gan, 3)
    assert not torch.allclose(weights(plain), weights(changed))


# ---------------------------------------------------------------- the frozen classifier


def test_the_classifier_is_not_trained_not_saved_and_not_changed(fit, weights, tmp_path):
    gan = make()
    classifier = gan.classifier.network
    before = weights(classifier)
    trainer = fit(gan, 3)
    assert torch.equal(weights(classifier), before) and not classifier.training
    assert set(gan.state_dict()) == {f"generator.{name}" for name in gan.generator.state_dict()} | {"_extra_state"}
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    other = make(seed=1)
    fit(other, 3, ckpt_path=tmp_path / "run.ckpt", max_epochs=2)
    assert other.generator_updates == 6


def test_any_classifier_is_wrapped_once():
    wrapped = FrozenClassifier(SmallClassifier())
    assert make(classifier=wrapped).classifier is wrapped
    assert isinstance(make(classifier=SmallClassifier()).classifier, FrozenClassifier)


def test_it_resumes_bit_for_bit(fit, weights, tmp_path, batches):
    data = batches(6, IMAGE)
    whole, first, second = make(), make(), make(seed=4)
    fit(whole, data)
    fit(first, data[:3]).save_checkpoint(tmp_path / "half.ckpt")
    fit(second, data[3:], ckpt_path=tmp_path / "half.ckpt", max_epochs=2, seed=9)
    assert torch.equal(weights(second), weights(whole))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_fits_images_of_another_size_and_validates(fit, weights, precision):
    gan = make(generator=StochasticEnsembleGenerator((1, 16, 16), width=2), batch_norm_statistics=0.1)
    before = weights(gan)
    trainer = fit(gan, 3, val=[torch.zeros(4, 1, 16, 16)], precision=precision, log_every_n_steps=1)
    assert weights(gan).isfinite().all() and not torch.equal(weights(gan), before)
    seen = trainer.callback_metrics
    assert {"loss/generator", "generator/confidence", "generator/classes", "generator/saturated"} <= set(seen)
    assert {"val/loss", "val/confidence", "val/classes", "val/saturated"} <= set(seen)
    assert 0.25 <= seen["generator/confidence"] <= 1 and 1 <= seen["generator/classes"] <= 4


def test_the_metrics_equal_their_definitions():
    gan = make()
    step = gan.generator_step(blank(4), torch.tensor([1.0, -1.0, 0.5, 0.995]).view(4, 1, 1, 1).expand(4, *IMAGE))
    step.fake_logits = torch.tensor([[9.0, 0, 0, 0], [0, 9.0, 0, 0], [0, 9.0, 0, 0], [0, 9.0, 0, 0]])
    metrics = gan.metrics({"generator": step.detached()})
    assert metrics["generator/saturated"] == 0.75 and metrics["generator/classes"] == 2
    assert metrics["generator/confidence"].item() == pytest.approx(1 / (1 + 3 * torch.tensor(-9.0).exp().item()))


def test_a_stuck_run_is_warned_of_once():
    stuck, free = torch.ones(4, *IMAGE), torch.zeros(4, *IMAGE)

    def warnings_of(steps):
        """The warnings of a run whose metrics are taken of steps with these images and losses."""
        gan = make(Classes([0]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for fake, loss in steps:
                step = gan.generator_step(blank(4), fake).detached()
                step.loss = torch.tensor(loss)
                gan.metrics({"generator": step})
        return [str(one.message) for one in caught if "SEPGAN is stuck" in str(one.message)]

    assert not warnings_of([(free, 3.0)] * 2 * STUCK_AFTER), "nothing is saturated"
    assert not warnings_of([(stuck, 3.0)] * (STUCK_AFTER - 1)), "too early to say"
    assert not warnings_of([(stuck, 4.0 - 0.1 * index) for index in range(2 * STUCK_AFTER)][:30]), (
        "the loss still falls"
    )
    assert not warnings_of([(stuck, 0.01)] * 2 * STUCK_AFTER), "it has what it wants"
    (line,) = warnings_of([(stuck, 3.0)] * 3 * STUCK_AFTER)
    assert "100 % of the output is saturated" in line and "lower learning rate" in line


# ---------------------------------------------------------------- stabilizers


class Halved(Stabilizer):
    """Acts on the generator's loss and on what the classifier is shown."""

    def on_discriminator_input(self, gan, x):
        return x / 2

    def on_generator_loss(self, gan, step, loss):
        return loss / 2


def test_stabilizers_of_the_generator_work(fit, weights):
    gan, plain = make(Classes([0])), make(Classes([0]))
    fit(gan, 2, callbacks=[Halved()])
    fit(plain, 2)
    assert not torch.allclose(weights(gan), weights(plain))
    gan = make(Classes([0]))
    gan.stabilizers.append(Halved())
    fake = torch.rand(6, *IMAGE)
    expected = F.cross_entropy(gan.classifier(fake / 2), torch.zeros(6, dtype=torch.long)) / 2
    torch.testing.assert_close(gan.generator_step(blank(), fake).loss, expected)


@pytest.mark.parametrize("stabilizer", [GradientPenalty(), WeightClipping()], ids=repr)
def test_stabilizers_of_the_discriminator_are_refused_before_training(fit, stabilizer):
    name = type(stabilizer).__name__
    with pytest.raises(ValueError, match=rf"{name}.* acts on the discriminator, and SEPGAN has none"):
        fit(make(), callbacks=[stabilizer])
    gan = make()
    gan.stabilizers.append(stabilizer)
    with pytest.raises(ValueError, match=rf"{name}.* acts on the discriminator"):
        gan.train_batch(blank(), optimizer(gan))


# ---------------------------------------------------------------- the claim


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_network_collapses_and_an_ensemble_does_not(seed):
    """A constant input, one class, 600 steps: the variety across routes comes from the initialisation.

    Groups that start the same only differ by how often they were drawn, which larger batches even out.
    """

    def spread(x):
        return torch.pdist(x.flatten(1)).mean().item()

    real = 19.6  # mean pairwise distance of MNIST's test digits in [−1, 1]
    found = {}
    for groups, same in ((1, False), (16, False), (16, True)):
        torch.manual_seed(seed)
        generator = StochasticEnsembleGenerator((1, 28, 28), Constant(16), width=16, groups=groups)
        for layer in generator.layers if same else ():
            if isinstance(layer, StochasticLayer):
                layer.direction.data[:] = layer.direction.data[:1].clone()
        gan = SEPGAN(generator, DigitClassifier(), Classes([3]), generator_optimizer=lambda p: Adam(p, lr=1e-3))
        own = optimizer(gan)
        for _ in range(600):
            step = gan.train_batch(torch.zeros(64, 1, 28, 28), own)["generator"]
        assert step.loss < 0.3
        across = spread(draw_by_route(gan, min(16, groups), 1, seed=0)) if groups > 1 else 0.0
        found[groups, same] = (spread(draw(gan, 64, seed=0)[0]) / real, across / real)
    assert found[1, False][0] < 1e-3
    assert found[16, False][1] > 0.5
    assert found[16, True][1] < 0.05


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": Classes([4])}, r"no class 4; give classes from 0 to 3"),
        ({"target": Labels()}, r"conditional generator with at most the classifier's 4 classes.*--data.labels true"),
        ({"target": Labels(), "num_classes": 5}, r"at most the classifier's 4 classes, but this one has 5"),
        ({"target": PerRoute(), "generator": MLPGenerator(IMAGE, 3)}, r"generator with routes, not for MLPGenerator"),
        ({"total_variation": -1.0}, r"total_variation=-1.0\): expected a number of at least 0"),
        ({"batch_norm_statistics": -1.0}, r"batch_norm_statistics=-1.0\): expected a number of at least 0"),
        (
            {"batch_norm_statistics": 1.0, "classifier": FrozenClassifier(nn.Flatten(), IMAGE, [0.5], [0.5])},
            r"Flatten has no BatchNorm whose statistics could be matched; set it to 0",
        ),
        ({"generator": MLPGenerator((2,), 3)}, r"samples of shape \(2,\), expected images"),
        (
            {"generator": DCGANGenerator((3, 8, 8), 3, width=2), "classifier": nn.Flatten()},
            r"expected images \(N, 2, H, W\) or \(N, 1, H, W\); change the generator's channels",
        ),
        ({"classifier": nn.Linear(3, 2)}, r"Linear does not take images of input_shape"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message):
    if "classifier" in arguments and isinstance(arguments["classifier"], nn.Flatten):
        arguments = {**arguments, "classifier": FrozenClassifier(nn.Flatten(), (2, 8, 8), [0.5], [0.5])}
    with pytest.raises(ValueError, match=message) as caught:
        make(**arguments)
    assert "\n" not in str(caught.value)


def test_there_is_no_discriminator_step():
    with pytest.raises(ValueError, match="SEPGAN has no discriminator to train"):
        make().discriminator_step(blank())
    with pytest.raises(ValueError, match=r"PerRoute\(\) needs the routes of the fakes; let the step make them"):
        make(PerRoute()).generator_step(blank(), blank())


def test_it_can_be_copied(fit):
    gan = copy.deepcopy(make())
    fit(gan, 2)
    assert gan.generator_updates == 2
