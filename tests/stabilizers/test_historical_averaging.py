"""Historical averaging: the mean against numpy, the pull against its formula, and where it leads."""

import math

import numpy as np
import pytest
import torch
from helpers import sgds
from penalties import assert_derivative, smooth

from lightning_gans import SEPGAN
from lightning_gans.networks import DCGANGenerator, DigitClassifier
from lightning_gans.objectives import Minimax, NonSaturating, Wasserstein
from lightning_gans.optimizers import Adam
from lightning_gans.schedules import Linear
from lightning_gans.stabilizers import HistoricalAveraging

PLAYERS = ["generator", "discriminator"]


def values(network):
    return {name: parameter.detach().numpy().copy() for name, parameter in network.named_parameters()}


def adams(gan):
    return [Adam(player.parameters(), lr=0.01) for player in (gan.generator, gan.discriminator)]


@pytest.mark.parametrize("n_critic", [1, 2])
def test_its_means_are_those_of_the_values_after_each_step(make_image_gan, batches, n_critic):
    gan, averaging = make_image_gan(size=16, n_critic=n_critic), HistoricalAveraging(0.1, 0.2)
    gan.stabilizers.append(averaging)
    optimizers, past = adams(gan), {player: [] for player in PLAYERS}
    for turn, batch in enumerate(batches(6, (1, 16, 16))):
        gan.train_batch(batch, *optimizers)
        past["discriminator"].append(values(gan.discriminator))
        if (turn + 1) % n_critic == 0:
            past["generator"].append(values(gan.generator))
    state = averaging.state_dict()
    assert state["updates"] == {"generator": 6 // n_critic, "discriminator": 6}
    for player in PLAYERS:
        assert list(state["means"][player]) == list(past[player][0]), "of parameters, not of buffers"
        for name, mean in state["means"][player].items():
            expected = np.mean([moment[name] for moment in past[player]], axis=0, dtype=np.float64)
            np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)


def after(make_gan, batches, *stabilizers, steps=4):
    """A GAN after some steps, and the next batch."""
    gan = make_gan()
    gan.stabilizers += stabilizers
    *earlier, last = batches(steps + 1)
    optimizers = adams(gan)
    for batch in earlier:
        gan.train_batch(batch, *optimizers)
    return gan, last


@pytest.mark.parametrize("player", PLAYERS)
def test_each_players_loss_has_the_squared_distance_from_its_mean(make_gan, batches, player):
    averaging = HistoricalAveraging(0.3, 0.5)
    gan, batch = after(make_gan, batches, averaging)
    network, weight = getattr(gan, player), {"generator": 0.3, "discriminator": 0.5}[player]
    means = averaging.state_dict()["means"][player]
    expected = weight * sum(
        (now - then) ** 2
        for name, parameter in network.named_parameters()
        for now, then in zip(parameter.flatten().tolist(), means[name].flatten().tolist(), strict=True)
    )
    fake, results = gan.generate(8), []
    for stabilizers in ([averaging], []):
        gan.stabilizers[:] = stabilizers
        step = getattr(gan, f"{player}_step")(batch, fake.detach() if player == "discriminator" else fake)
        results.append((step, torch.autograd.grad(step.loss, list(network.parameters()), retain_graph=True)))
    (step, pulled), (plain, free) = results
    assert list(step.terms) == [f"historical_averaging_{player}"] and not plain.terms
    assert step.terms[f"historical_averaging_{player}"].item() == pytest.approx(expected, rel=1e-4) and expected > 1e-6
    torch.testing.assert_close(step.loss, plain.loss + step.terms[f"historical_averaging_{player}"])
    for (name, parameter), with_it, without in zip(network.named_parameters(), pulled, free, strict=True):
        torch.testing.assert_close(with_it - without, 2 * weight * (parameter - means[name]), atol=1e-6, rtol=1e-3)


def test_nothing_is_paid_before_there_is_a_past(make_gan, batches):
    gan, averaging = make_gan(), HistoricalAveraging(1.0, 1.0)
    gan.stabilizers.append(averaging)
    steps = gan.train_batch(batches(1)[0], *adams(gan))
    assert not steps["generator"].terms and not steps["discriminator"].terms
    again = gan.train_batch(batches(1)[0], *adams(gan))
    assert again["generator"].terms == {"historical_averaging_generator": 0}
    assert again["discriminator"].terms == {"historical_averaging_discriminator": 0}


@pytest.mark.parametrize("player", PLAYERS)
def test_a_player_without_a_weight_is_neither_pulled_nor_kept(make_gan, batches, player):
    averaging = HistoricalAveraging(**{f"{player}_weight": 0.0})
    gan, batch = after(make_gan, batches, averaging)
    (other,) = set(PLAYERS) - {player}
    state = averaging.state_dict()
    assert not state["means"][player] and state["updates"][player] == 0 and state["means"][other]
    steps = gan.train_batch(batch, *adams(gan))
    assert not steps[player].terms and steps[other].terms


def test_weights_may_follow_schedules_and_the_mean_begins_at_once(make_gan, batches):
    averaging = HistoricalAveraging(Linear(0.0, 1.0, updates=1, begin=3), 0.0)
    gan, batch = after(make_gan, batches, averaging, steps=3)
    assert averaging.state_dict()["updates"] == {"generator": 3, "discriminator": 0}
    assert not gan.train_batch(batch, *adams(gan))["generator"].terms, "at its start the weight is 0"
    assert gan.train_batch(batch, *adams(gan))["generator"].terms["historical_averaging_generator"] > 0


def test_a_lookahead_has_the_term_too_and_changes_no_mean():
    averaging = HistoricalAveraging(0.0, 2.0)
    gan = smooth(averaging, unroll_steps=3)
    x, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    optimizers = sgds(gan, lr=0.3)
    for _ in range(3):
        gan.train_batch(x, *optimizers)
    before = {name: mean.clone() for name, mean in averaging.state_dict()["means"]["discriminator"].items()}
    seen, step_of = [], gan.discriminator_step
    gan.discriminator_step = lambda *args: seen.append(step_of(*args)) or seen[-1]
    assert_derivative(lambda: gan.generator_step(x, gan(z)).loss, list(gan.generator.parameters()), every=3, rel=1e-5)
    terms = [step.terms["historical_averaging_discriminator"].item() for step in seen[:3]]
    assert len(set(terms)) == 3 and min(terms) > 0, "θ⁰, θ¹, θ² are at other distances"
    state = averaging.state_dict()
    assert state["updates"]["discriminator"] == 3
    assert all(torch.equal(before[name], mean) for name, mean in state["means"]["discriminator"].items())


def test_the_first_lookahead_starts_at_the_mean(weights):
    """There the distance is 0, whose square is smooth."""
    gan = smooth(HistoricalAveraging(1.0, 1.0), unroll_steps=2)
    for _ in range(2):
        gan.train_batch(torch.randn(6, 2, dtype=torch.float64), *sgds(gan))
    assert weights(gan).isfinite().all()


def test_it_goes_on_where_it_was(make_gan, batches, weights, tmp_path):
    ends = []
    for stop in (False, True):
        averaging = HistoricalAveraging(0.5, 0.5)
        gan, batch = after(make_gan, batches, averaging)
        if stop:
            torch.save(averaging.state_dict(), tmp_path / "state.pt")
            gan.stabilizers[0] = averaging = HistoricalAveraging(0.5, 0.5)
            averaging.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        optimizers = adams(gan)
        for _ in range(3):
            torch.manual_seed(7)
            gan.train_batch(batch, *optimizers)
        ends.append((weights(gan), averaging.state_dict()))
    assert torch.equal(ends[0][0], ends[1][0])
    torch.testing.assert_close(ends[0][1], ends[1][1], atol=0, rtol=0)


def test_weights_of_half_the_width_have_means_in_single_precision(make_gan, batches):
    gan, averaging = make_gan().to(torch.bfloat16), HistoricalAveraging(1.0, 1.0)
    gan.stabilizers.append(averaging)
    for batch in batches(4):
        steps = gan.train_batch(batch.bfloat16(), *sgds(gan, lr=0.5))
    for player in PLAYERS:
        assert all(mean.dtype == torch.float32 for mean in averaging.state_dict()["means"][player].values())
        term = steps[player].terms[f"historical_averaging_{player}"]
        assert term.dtype == torch.float32 and term > 0


def test_the_means_do_not_share_memory_with_the_parameters(make_gan, batches):
    averaging = HistoricalAveraging(1.0, 1.0)
    gan, _ = after(make_gan, batches, averaging, steps=1)
    first = {name: mean.clone() for name, mean in averaging.state_dict()["means"]["generator"].items()}
    for parameter in gan.generator.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(mean, first[name]) for name, mean in averaging.state_dict()["means"]["generator"].items())


def test_without_a_discriminator_to_train_it_averages_the_generator_alone(batches):
    gan = SEPGAN(DCGANGenerator((1, 28, 28), width=2), DigitClassifier())
    optimizer = Adam(gan.generator.parameters(), lr=0.01)
    gan.stabilizers.append(HistoricalAveraging())
    with pytest.raises(ValueError, match=r"HistoricalAveraging.* acts on the discriminator"):
        gan.train_batch(torch.zeros(4, 1, 28, 28), optimizer)
    gan.stabilizers[:] = [HistoricalAveraging(discriminator_weight=0.0)]
    for _ in range(3):
        step = gan.train_batch(torch.zeros(4, 1, 28, 28), optimizer)["generator"]
    assert step.terms["historical_averaging_generator"] > 0


@pytest.mark.parametrize("name", ["generator_weight", "discriminator_weight"])
@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, Linear(1.0, -1.0)], ids=str)
def test_weights_out_of_range_are_refused(name, weight):
    with pytest.raises(ValueError, match=rf"HistoricalAveraging\({name}=.*\): expected a number of at least 0"):
        HistoricalAveraging(**{name: weight})


@pytest.mark.slow
@pytest.mark.parametrize("objective", [Minimax(), Wasserstein()], ids=repr)
def test_the_dirac_gan_converges_with_it_and_circles_without(dirac, objective):
    with_it = dirac(HistoricalAveraging(0.05, 0.05), objective=objective, steps=800).norm(dim=1)
    without = dirac(objective=objective, steps=800).norm(dim=1)
    assert with_it[-100:].max() < 0.05 and without[-100:].min() > 0.9


@pytest.mark.slow
def test_the_distance_falls_like_the_theoretical_power_of_the_number_of_steps(dirac):
    """The players follow the mean m at once, x = m/(1 − ia), and dm/d log t = x − m; f′(0) is ½."""
    distance = dirac(HistoricalAveraging(0.25, 0.25), objective=NonSaturating(), steps=1200).norm(dim=1)
    a = 0.5 / (2 * 0.25)
    power = math.log(distance[1199] / distance[599]) / math.log(2)
    assert power == pytest.approx(-(a**2) / (1 + a**2), abs=0.01)
