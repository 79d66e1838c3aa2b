"""Top-k: which fakes count, against the loss of these fakes alone, and what it refuses."""

import math

import pytest
import torch
from helpers import sgds

from lightning_gans import GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.objectives import Hinge, LeastSquares, NonSaturating, Relativistic, Wasserstein
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import FeatureMatching, HistoricalAveraging, Packing, PullingAway, TopK


def gan_with(*stabilizers, **kwargs):
    torch.manual_seed(0)
    gan = GAN(MLPGenerator((2,), 3, 4), MLPDiscriminator((2,), 4), **kwargs).double()
    gan.stabilizers += stabilizers
    for one in stabilizers:
        one.apply_to(gan)
    return gan.double()


def fakes(gan, size=10):
    torch.manual_seed(3)
    return gan.generate(size)


def best(logits, kept):
    return sorted(range(len(logits)), key=lambda row: -logits[row])[:kept]


COSTS = {  # of a logit of a fake, as the papers have them
    NonSaturating: lambda logit: math.log(1 + math.exp(-logit)),
    LeastSquares: lambda logit: 0.5 * (logit - 1) ** 2,
    Wasserstein: lambda logit: -logit,
    Hinge: lambda logit: -logit,
}


@pytest.mark.parametrize("objective", COSTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("share", "kept"), [(0.5, 5), (0.41, 5), (0.3, 3), (1e-3, 1)])
def test_the_loss_is_that_of_the_best_fakes(objective, share, kept):
    gan = gan_with(TopK(share), objective=objective())
    step = gan.generator_step(torch.rand(10, 2), fakes(gan))
    logits = sorted(step.fake_logits.tolist(), reverse=True)
    assert step.loss.item() == pytest.approx(sum(map(COSTS[objective], logits[:kept])) / kept)


def test_the_other_fakes_have_no_gradient():
    gan = gan_with(TopK(0.3))
    fake = fakes(gan).detach().requires_grad_()
    step = gan.generator_step(torch.rand(10, 2), fake)
    (slope,) = torch.autograd.grad(step.loss, fake)
    moved = slope.abs().sum(1) > 1e-12
    assert sorted(moved.nonzero().flatten().tolist()) == sorted(best(step.fake_logits.tolist(), 3))


def test_terms_of_stabilizers_before_it_stay():
    x, losses = torch.rand(10, 2), []
    for others in ([], [PullingAway(0.7)]):
        gan = gan_with(*others, TopK(0.5))
        step = gan.generator_step(x, fakes(gan))
        losses.append(step.loss - sum(step.terms.values()))
    torch.testing.assert_close(*losses)


def test_a_relativistic_objective_keeps_the_real_samples_of_the_chosen_rows():
    gan = gan_with(TopK(0.4), objective=Relativistic())
    step = gan.generator_step(torch.rand(10, 2, dtype=torch.float64), fakes(gan))
    rows = best(step.fake_logits.tolist(), 4)
    pairs = [(step.fake_logits[row] - step.real_logits[row]).item() for row in rows]
    assert step.loss.item() == pytest.approx(sum(math.log(1 + math.exp(-one)) for one in pairs) / 4)


def test_of_patches_the_mean_logit_of_a_sample_counts():
    gan = gan_with(TopK(0.25), objective=Wasserstein())
    table = torch.tensor([[9.0, -9.0], [2.0, 2.0], [1.0, 1.0], [-9.0, 9.0]], dtype=torch.float64)
    gan.discriminate = lambda discriminator, x, labels: table + 0 * x.sum()
    step = gan.generator_step(torch.rand(4, 2), fakes(gan, 4))
    assert step.loss.item() == pytest.approx(-2.0)


def test_behind_packing_it_takes_packs():
    gan = gan_with(Packing(2), TopK(0.6), objective=Wasserstein())
    step = gan.generator_step(torch.rand(10, 2), fakes(gan))
    assert step.fake_logits.shape == (5,)
    assert step.loss.item() == pytest.approx(-sum(sorted(step.fake_logits.tolist())[-3:]) / 3)


def test_the_share_follows_a_schedule_of_generator_updates():
    gan = gan_with(TopK(Linear(1.0, 0.2, updates=4)), objective=Wasserstein())
    for updates, kept in ((0, 10), (2, 6), (4, 2), (9, 2)):
        gan.generator_updates = updates
        step = gan.generator_step(torch.rand(10, 2), fakes(gan))
        assert step.loss.item() == pytest.approx(-sum(sorted(step.fake_logits.tolist())[-kept:]) / kept)


def test_the_discriminator_sees_all_fakes():
    x, losses = torch.rand(10, 2), []
    for added in ([], [TopK(0.3)]):
        gan = gan_with(*added)
        losses.append(gan.discriminator_step(x, fakes(gan).detach()).loss)
    assert torch.equal(*losses)


def test_a_batch_in_parts_is_refused(fit):
    gan = gan_with(generator_accumulation=2).float()
    with pytest.raises(ValueError, match=r"generator_accumulation=2 beside TopK"):
        fit(gan, callbacks=[TopK(0.5)])
    assert TopK(1.0).needs_whole_batch == () and TopK(Linear(1.0, 0.5)).needs_whole_batch == ("generator",)


@pytest.mark.parametrize("order", [1, -1])
def test_a_replaced_loss_is_refused_in_either_order(fit, order):
    with pytest.raises(ValueError, match=r"TopK.* beside FeatureMatching.*, which replaces the loss"):
        fit(gan_with().float(), callbacks=[TopK(0.5), FeatureMatching()][::order])
    for pair in ([TopK(0.5), FeatureMatching(replace=False)], [TopK(1.0), FeatureMatching()]):
        gan = gan_with()
        gan.stabilizers += pair[::order]
        [one.apply_to(gan) for one in pair]


def test_a_second_choice_is_refused():
    with pytest.raises(ValueError, match=r"TopK\(share=0.5\) beside TopK\(share=0.3\): expected one choice of fakes"):
        gan_with(TopK(0.5), TopK(0.3))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan, Linear(1.0, 0.0)], ids=str)
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"TopK\(share=.*\): expected a number in \(0, 1\], such as"):
        TopK(share)


def test_it_trains_beside_a_term_of_the_weights(weights):
    gan = gan_with(HistoricalAveraging(0.1, 0.1), TopK(0.5))
    for _ in range(3):
        gan.train_batch(torch.rand(10, 2, dtype=torch.float64), *sgds(gan))
    assert weights(gan).isfinite().all()
