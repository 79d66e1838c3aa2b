"""Validation, test and prediction with a GAN, and what callbacks find of its steps."""

import copy

import pytest
import torch
from helpers import Steps, sgds
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import GradientPenalty, InstanceNoise, R1Penalty, SpectralNorm


def test_callbacks_find_the_detached_steps_of_the_batch(make_gan, fit):
    seen = Steps()
    fit(make_gan(n_critic=2), callbacks=[seen, GradientPenalty()])
    first, second = seen.steps
    assert set(first) == {"discriminator"} and set(second) == {"discriminator", "generator"}
    for step in (first["discriminator"], *second.values()):
        tensors = [value for value in [*vars(step).values(), *step.terms.values()] if isinstance(value, torch.Tensor)]
        assert len(tensors) >= 3 and not any(tensor.requires_grad for tensor in tensors)
    assert set(second["discriminator"].terms) == {"gradient_penalty"}


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_logs_the_losses_of_held_out_samples(make_gan, batches, fit, weights, objective, split):
    gan = make_gan(objective=objective, dropout=0.5)
    trainer, before = fit(gan), weights(gan)
    torch.manual_seed(0)
    (metrics,) = (trainer.validate if split == "val" else trainer.test)(
        gan, DataLoader(batches(1), batch_size=None, generator=torch.Generator()), verbose=False
    )
    torch.manual_seed(0)
    with torch.no_grad():
        made = gan.eval().generate(8)
        real, fake = gan.train().discriminator(batches(1)[0]), gan.discriminator(made)
    assert metrics == {
        f"{split}/discriminator_loss": pytest.approx(objective.discriminator_loss(real, fake).item(), abs=1e-6),
        f"{split}/generator_loss": pytest.approx(objective.generator_loss(fake, real).item(), abs=1e-6),
        f"{split}/real_logit": pytest.approx(real.mean().item(), abs=1e-6),
        f"{split}/fake_logit": pytest.approx(fake.mean().item(), abs=1e-6),
    }
    assert torch.equal(weights(gan), before)


NORMS = {"BatchNorm": nn.BatchNorm2d, "none": None}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("stabilizers", [[], [InstanceNoise(0.3)], [R1Penalty(), SpectralNorm()]], ids=str)
def test_the_discriminator_sees_training_samples_alike_in_validation_and_training(
    make_image_gan, batches, weights, norm, stabilizers, recwarn
):
    """On the same samples: then what is left between the two on held-out ones is that it knows its training set."""
    gan = make_image_gan(size=16, norm=NORMS[norm])
    for stabilizer in stabilizers:
        gan.stabilizers.append(stabilizer)
        stabilizer.apply_to(gan)
    for x in batches(5, (1, 16, 16), size=16):
        gan.train_batch(x, *sgds(gan, lr=0.05))
    gan.generate = lambda num, labels=None: x.flip(0) / 2  # the same fakes
    torch.manual_seed(0)
    step = copy.deepcopy(gan).discriminator_step(x)
    before, modes = weights(gan), [module.training for module in gan.eval().modules()]
    torch.manual_seed(0)
    with torch.inference_mode():
        metrics = gan.evaluation_metrics(x)
    assert metrics["real_logit"].item() == pytest.approx(step.real_logits.mean().item(), abs=1e-6)
    assert metrics["fake_logit"].item() == pytest.approx(step.fake_logits.mean().item(), abs=1e-6)
    loss = gan.objective.discriminator_loss(step.real_logits, step.fake_logits)
    assert metrics["discriminator_loss"].item() == pytest.approx(loss.item(), abs=1e-6)
    assert torch.equal(weights(gan), before), "statistics and power iterations are as before"
    assert [module.training for module in gan.modules()] == modes
    gan.discriminator_step(x).loss.backward()


def test_a_last_batch_of_one_sample_is_seen_by_the_running_statistics(batches):
    norm = nn.BatchNorm1d
    gan = GAN(MLPGenerator((2,), 3, width=4), MLPDiscriminator((2,), width=4, norm=norm))
    (x,) = batches(1, size=1)
    logit = gan.eval().discriminator(x)
    torch.testing.assert_close(gan.train().eval().evaluation_metrics(x)["real_logit"], logit[0])


def test_evaluation_weighs_batches_by_their_size(make_gan, batches, fit):
    gan = make_gan()
    x = batches(1, size=12)[0]
    trainer = fit(gan)
    (whole,) = trainer.validate(gan, DataLoader([x], batch_size=None), verbose=False)
    (parts,) = trainer.validate(gan, DataLoader([x[:10], x[10:]], batch_size=None), verbose=False)
    assert parts["val/real_logit"] == pytest.approx(whole["val/real_logit"], rel=1e-5)


def test_predict_returns_samples(make_image_gan, batches, fit):
    gan = make_image_gan(num_classes=3)
    trainer, data = fit(gan), batches(2, (1, 8, 8), num_classes=3)
    samples = trainer.predict(gan, DataLoader(data, batch_size=None))
    assert [part.shape for part in samples] == [(8, 1, 8, 8)] * 2
    assert not any(part.requires_grad for part in samples) and not torch.equal(*samples)
