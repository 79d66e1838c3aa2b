"""Validation, test and prediction with a GAN, and what callbacks find of its steps."""

import pytest
import torch
from helpers import Steps
from torch.utils.data import DataLoader

from lightning_gans.stabilizers import GradientPenalty


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
        real, fake = gan.eval().discriminator(batches(1)[0]), gan.discriminator(gan.generate(8))
    assert metrics == {
        f"{split}/discriminator_loss": pytest.approx(objective.discriminator_loss(real, fake).item(), abs=1e-6),
        f"{split}/generator_loss": pytest.approx(objective.generator_loss(fake, real).item(), abs=1e-6),
        f"{split}/real_logit": pytest.approx(real.mean().item(), abs=1e-6),
        f"{split}/fake_logit": pytest.approx(fake.mean().item(), abs=1e-6),
    }
    assert torch.equal(weights(gan), before)


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
