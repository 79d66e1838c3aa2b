"""Adaptive augmentation: the controller against a loop of numbers, what it is applied to, its log, and refusals."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from helpers import sgds, small_gan, small_image_gan

from lightning_gans import GAN, Stabilizer, UnrolledGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import LeastSquares, NonSaturating, Relativistic, Wasserstein, ZeroSum
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import AdaptiveAugmentation, InstanceNoise, Packing, RandomAffine, RandomColor
from lightning_gans.stabilizers.augmentations import moves_and_colors
from lightning_gans.step import Step

sys.path.insert(0, str(Path(__file__).parents[1] / "distributed"))
from process_group import run_in_processes


class Plus(Stabilizer):
    """Add 1 to every sample."""

    def on_discriminator_input(self, gan, x):
        return x + 1


def update(adaptive, gan, real, fake=(0.0,)):
    """Show it a step of D with these logits, and let the step end."""
    real, fake = torch.tensor(real), torch.tensor(fake)
    step = Step(torch.zeros(()), torch.zeros(len(fake), 2), fake, torch.zeros(len(real), 2), real)
    assert adaptive.on_discriminator_loss(gan, step, step.loss) is step.loss
    adaptive.on_discriminator_step_end(gan)
    return adaptive.probability


def test_p_follows_the_sign_of_what_the_mean_sign_is_beyond_the_target():
    adaptive, gan = AdaptiveAugmentation([Plus()], target=0.25, every=2, images=80.0), small_gan()
    torch.manual_seed(0)
    logits = [torch.randn(8) + shift for shift in (1, 1, 1, 1, -1, -1, 1, 1, -1, 1, -1, -1, -1, -1)]
    expected, seen = 0.0, []
    for number, one in enumerate(logits, 1):
        seen += one.tolist()
        if number % 2 == 0:
            mean_sign = sum(math.copysign(1.0, value) for value in seen) / len(seen)
            expected += (math.copysign(1.0, mean_sign - 0.25) if mean_sign != 0.25 else 0) * 16 / 80
            expected, seen = min(max(expected, 0.0), 1.0), []
        assert update(adaptive, gan, one.tolist()) == pytest.approx(expected)
    assert expected == 0.0


def test_p_rises_from_0_to_1_in_the_given_number_of_images_and_stays_between():
    adaptive, gan = AdaptiveAugmentation([Plus()], every=1, images=40.0), small_gan()
    path = [update(adaptive, gan, [1.0] * 10) for _ in range(6)]
    assert path == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [update(adaptive, gan, [1.0, -1.0] * 5) for _ in range(5)] == [0.75, 0.5, 0.25, 0.0, 0.0]


def test_p_stays_where_the_mean_sign_is_the_target():
    adaptive, gan = AdaptiveAugmentation([Plus()], target=0.5, every=1, images=8.0), small_gan()
    update(adaptive, gan, [1.0] * 4)
    assert update(adaptive, gan, [1.0, 1.0, 1.0, -1.0]) == 0.5


@pytest.mark.parametrize(
    ("objective", "real", "fake", "rises"),
    [
        (NonSaturating(), [0.1], [5.0], True),
        (NonSaturating(), [-0.1], [-5.0], False),
        (ZeroSum(), [0.1], [5.0], True),
        (LeastSquares(), [0.6], [0.0], True),
        (LeastSquares(), [0.4], [0.0], False),
        (Relativistic(), [-1.0], [-2.0], True),
        (Relativistic(), [1.0], [2.0], False),
    ],
)
def test_the_sign_is_that_of_the_objectives_threshold(objective, real, fake, rises):
    adaptive = AdaptiveAugmentation([Plus()], every=1, images=1.0)
    assert update(adaptive, small_gan(objective=objective), real, fake) == float(rises)


@pytest.mark.parametrize(("parts", "others"), [(4, []), (1, [Packing(2)])], ids=["parts", "packs"])
def test_parts_of_a_batch_and_packs_count_images(batches, parts, others):
    gan = small_gan(discriminator_accumulation=parts)
    for one in [*others, adaptive := AdaptiveAugmentation([Plus()], every=2, images=32.0)]:
        gan.stabilizers.append(one)
        one.apply_to(gan)
    (bias,) = [one for name, one in gan.discriminator.named_parameters() if name.endswith("head.0.bias")]
    bias.data.fill_(9.0)
    for batch in batches(2):
        gan.train_batch(batch, *sgds(gan, 1e-6))
    assert adaptive.probability == 0.5


# ---------------------------------------------------------------- what is augmented


def at(probability, augmentations, **arguments):
    adaptive = AdaptiveAugmentation(augmentations, **arguments)
    adaptive.load_state_dict({**adaptive.state_dict(), "probability": probability})
    return adaptive


def test_each_augmentation_is_drawn_for_each_sample_alone():
    torch.manual_seed(0)
    x = at(0.3, [Plus(), Plus()]).on_discriminator_input(small_gan(), torch.zeros(2_000, 2))
    assert torch.equal(x[:, 0], x[:, 1])
    counts = torch.bincount(x[:, 0].long(), minlength=3) / len(x)
    torch.testing.assert_close(counts, torch.tensor([0.49, 0.42, 0.09]), atol=0.04, rtol=0)


def test_at_0_nothing_is_drawn_and_at_1_all_are_applied():
    gan, x, state = small_gan(), torch.rand(4, 2), torch.get_rng_state()
    assert at(0.0, [InstanceNoise(1.0)]).on_discriminator_input(gan, x) is x
    assert torch.equal(at(1.0, [Plus(), Plus()]).on_discriminator_input(gan, x), x + 2)
    assert torch.equal(torch.get_rng_state(), state)


def test_its_augmentations_follow_their_schedules():
    gan, adaptive = small_gan(), at(1.0, [InstanceNoise(Linear(1.0, 0.0, updates=4))])
    x = torch.zeros(4, 2)
    assert not torch.equal(adaptive.on_discriminator_input(gan, x), x)
    gan.generator_updates = 4
    assert adaptive.on_discriminator_input(gan, x) is x


def test_both_players_steps_and_validation_are_augmented_and_pass_the_gradient(batches):
    gan, x = small_gan(), batches(1)[0]
    gan.stabilizers.append(at(1.0, [Plus()]))
    torch.testing.assert_close(gan.discriminator_step(x).real, x + 1)
    clean = small_gan().discriminator(x + 1).mean()
    torch.testing.assert_close(gan.evaluation_metrics(x)["real_logit"], clean)
    gan = small_image_gan(norm=None)
    gan.stabilizers.append(at(0.5, None))
    gan.generator_step(batches(1, (1, 8, 8))[0]).loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in gan.generator.parameters())


def test_by_default_it_moves_pixels_and_colours_as_far_as_the_images_have_them():
    def kinds(shape):
        return [next(name for name, value in one._arguments.items() if value) for one in moves_and_colors(shape)]

    grey = ["flip", "quarter_turns", "zoom", "rotation", "brightness", "contrast", "luma_flip"]
    assert kinds((1, 8, 8)) == grey and kinds((3, 8, 8)) == [*grey, "hue", "saturation"]
    assert kinds((2, 8, 6)) == ["flip", "zoom", "rotation"]
    gan = small_image_gan(channels=3)
    AdaptiveAugmentation().apply_to(gan)
    x = torch.rand(6, 3, 8, 8)
    assert not torch.equal(at(1.0, None).on_discriminator_input(gan, x), x)


# ---------------------------------------------------------------- when it moves


def test_the_generators_steps_and_a_lookahead_do_not_move_it(batches):
    plain = small_gan()
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=3)
    gan.stabilizers.append(adaptive := AdaptiveAugmentation([Plus()], target=-1.0, every=1, images=8.0))
    before = {name: torch.as_tensor(value).clone() for name, value in adaptive.state_dict().items()}
    gan.update("generator", sgds(gan)[0], batches(1)[0])
    assert all(torch.equal(torch.as_tensor(value), before[name]) for name, value in adaptive.state_dict().items())


@pytest.mark.parametrize("known", [True, False])
def test_it_rises_against_a_discriminator_that_knows_its_images_and_only_then(known):
    gan = small_gan()
    gan.stabilizers.append(adaptive := AdaptiveAugmentation([InstanceNoise(0.01)], every=4, images=640.0))
    optimizer = torch.optim.SGD(gan.discriminator.parameters(), 0.1)
    for _ in range(40):
        with torch.no_grad():
            real = torch.full((64, 2), 3.0) if known else gan.generate(64)
        gan.update("discriminator", optimizer, real)
    assert adaptive.probability == (1.0 if known else 0.0)


@pytest.mark.slow
def test_processes_share_one_probability():
    def work():
        adaptive, first = AdaptiveAugmentation([Plus()], target=0.2, every=1, images=80.0), dist.get_rank() == 0
        unsure = update(adaptive, small_gan(), [1.0] * 8 if first else [-1.0] * 8)  # the mean sign of all is 0
        return unsure, update(adaptive, small_gan(), [1.0] * 8 if first else [1.0] * 4 + [-1.0] * 4)

    assert run_in_processes(2, work) == [(0.0, 0.2)] * 2


def test_p_is_logged_under_the_declared_name(fit):
    adaptive = AdaptiveAugmentation([Plus()], target=-1.0, every=1, images=32.0)
    trainer = fit(small_gan(), 2, callbacks=[adaptive], log_every_n_steps=1)
    (name,) = adaptive.metric_names(trainer)
    assert name == "discriminator/augmentation"
    assert trainer.logged_metrics[name] == adaptive.probability == 0.5


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (Packing(2), "Packing"),
        (AdaptiveAugmentation([Plus()]), "AdaptiveAugmentation"),
        (RandomAffine, "RandomAffine"),
        ("RandomAffine", "str"),
    ],
)
def test_what_is_no_augmentation_is_refused(wrong, name):
    with pytest.raises(ValueError, match=rf"AdaptiveAugmentation\(augmentations=…\): {name} is no augmentation; give"):
        AdaptiveAugmentation([RandomColor(), wrong])


@pytest.mark.parametrize("objective", [Wasserstein(), ZeroSum(Wasserstein())], ids=repr)
def test_logits_without_a_threshold_are_refused(objective):
    with pytest.raises(ValueError, match=r"AdaptiveAugmentation with .*Wasserstein\(\).*: expected logits with a thr"):
        AdaptiveAugmentation().apply_to(small_image_gan(objective=objective))


def test_samples_that_an_augmentation_does_not_take_are_refused():
    with pytest.raises(ValueError, match=r"AdaptiveAugmentation augments images \(C, H, W\) by default, but the samp"):
        AdaptiveAugmentation().apply_to(small_gan())
    with pytest.raises(ValueError, match="RandomAffine turns images"):
        AdaptiveAugmentation([RandomAffine()]).apply_to(small_gan())
    AdaptiveAugmentation([InstanceNoise()]).apply_to(small_gan())
    shape = (1, 4, 6)
    AdaptiveAugmentation().apply_to(GAN(MLPGenerator(shape, 3, width=4), MLPDiscriminator(shape, width=4)))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("target", 1.1, "a number from -1 to 1"),
        ("every", 0, "a whole number of at least 1"),
        ("images", 0.0, "a finite number above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(name, value, expected):
    with pytest.raises(ValueError, match=rf"AdaptiveAugmentation\({name}={value}\): expected {expected}, such as"):
        AdaptiveAugmentation(**{name: value})
