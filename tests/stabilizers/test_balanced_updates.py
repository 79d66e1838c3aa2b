"""Rules against single cases, the figures that they read, and runs in which one player is skipped."""

import copy
import math
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from helpers import Steps, sgds

from lightning_gans import GAN, UnrolledGAN
from lightning_gans.__main__ import main
from lightning_gans.networks import Discriminator, MLPGenerator
from lightning_gans.objectives import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    ZeroSum,
)
from lightning_gans.stabilizers import BalancedUpdates, GradientPenalty
from lightning_gans.stabilizers.rules import ByAccuracy, ByLossRatio, Fixed
from lightning_gans.step import Step

CONFIGS = Path(__file__).parents[2] / "configs"


def step(real, fake, loss=0.0):
    real, fake = torch.tensor(real), torch.tensor(fake)
    return Step(torch.tensor(loss), torch.zeros(len(fake), 2), fake, torch.zeros(len(real), 2), real)


def read(rule, objective, real, fake):
    return {name: value.item() for name, value in rule.discriminator_figures(objective, step(real, fake)).items()}


# ---------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("figures", "updates"),
    [
        ({}, (1, 1)),
        ({"fake": 1.0}, (1, 1)),
        ({"real": 1.0, "fake": 0.8}, (0, 1)),
        ({"real": 0.8, "fake": 0.88}, (1, 1)),
        ({"real": 1.0, "fake": 0.2}, (1, 1)),
        ({"real": 1.0, "fake": 0.1}, (1, 0)),
        ({"real": math.nan, "fake": 0.1}, (1, 1)),
    ],
)
def test_who_is_skipped_by_accuracy(figures, updates):
    assert ByAccuracy(low=0.6, high=0.85).updates_per_batch(figures, 1, 1) == updates


@pytest.mark.parametrize(
    ("figures", "updates"),
    [
        ({}, (1, 1)),
        ({"discriminator": 0.0}, (1, 1)),
        ({"discriminator": 0.9, "generator": 2.0}, (0, 1)),
        ({"discriminator": 1.1, "generator": 2.0}, (1, 1)),
        ({"discriminator": 7.9, "generator": 2.0}, (1, 1)),
        ({"discriminator": 8.1, "generator": 2.0}, (1, 0)),
    ],
)
def test_who_is_skipped_by_the_ratio_of_losses(figures, updates):
    assert ByLossRatio(least=0.5, most=4.0).updates_per_batch(figures, 1, 1) == updates


def test_thresholds_at_the_ends_skip_neither_player():
    for accuracy in (0.0, 0.5, 1.0):
        assert ByAccuracy(0.0, 1.0).updates_per_batch({"real": accuracy, "fake": accuracy}, 1, 0) == (1, 0)
        assert ByLossRatio(0.0, math.inf).updates_per_batch(
            {"discriminator": accuracy, "generator": 1 - accuracy}, 1, 0
        ) == (1, 0)


@pytest.mark.parametrize("skipped", ["discriminator", "generator"])
@pytest.mark.parametrize("updates", [(1, 0), (0, 1), (1, 1), (3, 2)])
def test_if_one_player_is_skipped_the_other_is_updated(skipped, updates):
    accuracy = 1.0 if skipped == "discriminator" else 0.0
    discriminator, generator = ByAccuracy(0.4, 0.6).updates_per_batch({"real": accuracy, "fake": accuracy}, *updates)
    assert (discriminator == 0) == (skipped == "discriminator") and (generator == 0) == (skipped == "generator")
    assert max(discriminator, generator) == max(1, updates[skipped == "discriminator"])


@pytest.mark.parametrize(
    ("objective", "real", "fake"),
    [
        (NonSaturating(), 0.75, 0.5),
        (Minimax(), 0.75, 0.5),
        (Hinge(), 0.75, 0.5),
        (ZeroSum(), 0.75, 0.5),
        (LeastSquares(), 0.5, 0.75),
        (Relativistic(), 0.5, 0.75),
        (RelativisticAverage(LeastSquares()), 0.5, 0.75),
    ],
    ids=repr,
)
def test_accuracy_is_the_share_on_the_right_side_of_the_objectives_threshold(objective, real, fake):
    logits = [2.0, 1.0, 0.2, -1.0], [-1.0, -0.1, 0.3, 2.0]  # of means 0.55 and 0.3
    assert read(ByAccuracy(), objective, *logits) == {"real": real, "fake": fake}
    generator_figures = ByAccuracy().generator_figures(objective, step(*logits))
    assert generator_figures["fake"] == fake and generator_figures["real"] == real
    if not isinstance(objective, Relativistic):
        alone = Step(torch.zeros(()), torch.zeros(4, 2), torch.tensor(logits[1]))
        assert {name: value.item() for name, value in ByAccuracy().generator_figures(objective, alone).items()} == {
            "fake": fake
        }


def test_losses_are_the_objectives_own(make_gan, batches):
    gan, balance = make_gan(), BalancedUpdates(ByLossRatio(0.0, math.inf), smoothing=0.0)
    gan.stabilizers += [GradientPenalty(), balance]
    steps = gan.train_batch(batches(1)[0], *sgds(gan))
    gan.updates_per_batch()  # takes in the figures of the last batch
    figures, made = balance.state_dict()["figures"], steps["discriminator"]
    expected = NonSaturating().discriminator_loss(made.real_logits, made.fake_logits)
    assert figures["discriminator"] == pytest.approx(expected.item()) and made.loss > expected
    assert figures["generator"] == pytest.approx(steps["generator"].loss.item())


# ---------------------------------------------------------------- figures


class FirstCoordinate(Discriminator):
    """D(x) = the first coordinate; it has a weight that changes nothing."""

    def __init__(self):
        super().__init__((2,), 1)
        self.features = lambda x: x
        self.head = torch.nn.Identity()
        self.scale = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, labels=None):
        return x[:, 0] + self.scale * 0


class Recording(ByAccuracy):
    """Skips neither player, and records the figures."""

    def updates_per_batch(self, figures, discriminator, generator):
        FIGURES.append(dict(figures))
        return discriminator, generator


FIGURES: list = []


def recorded(gan, batches, balance):
    FIGURES.clear()
    gan.stabilizers.append(balance)
    optimizers = sgds(gan)
    for batch in batches:
        gan.train_batch(batch, *optimizers)
    gan.updates_per_batch()
    return FIGURES


def shares(*values):
    return [torch.tensor([[1.0 if k < right else -1.0, 0.0] for k in range(4)]) for right in values]


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9])
def test_figures_are_smoothed_over_batches(smoothing):
    torch.manual_seed(0)
    gan = GAN(MLPGenerator((2,), 3, width=4), FirstCoordinate())
    figures = [
        figure.get("real") for figure in recorded(gan, shares(4, 2, 0, 3), BalancedUpdates(Recording(), smoothing))
    ]
    expected = [None, 1.0]
    for value in (0.5, 0.0, 0.75):
        expected.append(smoothing * expected[-1] + (1 - smoothing) * value)
    assert figures == [None, *(pytest.approx(value) for value in expected[1:])]


def test_parts_of_a_batch_are_one_figure():
    gan = GAN(MLPGenerator((2,), 3, width=4), FirstCoordinate(), discriminator_accumulation=3, generator_accumulation=3)
    assert [figure.get("real") for figure in recorded(gan, shares(3, 1), BalancedUpdates(Recording(), 0.0))] == [
        None,
        0.75,
        0.25,
    ]


def test_figures_of_the_discriminators_own_step_take_precedence(make_gan, batches):
    gan, balance = make_gan(), BalancedUpdates(ByAccuracy(0.0, 1.0), 0.0)
    gan.stabilizers.append(balance)
    before = copy.deepcopy(gan.discriminator)
    torch.manual_seed(3)
    x = batches(1)[0]
    steps = gan.train_batch(x, *sgds(gan, lr=10.0))
    gan.updates_per_batch()  # takes in the figures of the last batch
    right = (before(steps["discriminator"].fake) < 0).float().mean()
    assert balance.state_dict()["figures"]["fake"] == right
    assert (gan.discriminator(steps["discriminator"].fake) < 0).float().mean() != right, "after the update"


def test_a_skipped_discriminator_is_updated_again_once_the_generator_has_caught_up(make_gan, batches):
    gan, x = make_gan(), batches(1)[0]
    gan.stabilizers.append(BalancedUpdates(ByAccuracy(0.0, 0.7), 0.0))
    updated = [tuple(gan.train_batch(x, *sgds(gan, lr=0.3))) for _ in range(300)]
    skipped = updated.index(("generator",))
    assert ("discriminator", "generator") in updated[skipped:]


def test_a_lookahead_is_not_read(make_gan, batches):
    class Counting(ByAccuracy):
        def discriminator_figures(self, objective, step):
            read.append(len(step.fake))
            return super().discriminator_figures(objective, step)

    plain, read = make_gan(), []
    gan = UnrolledGAN(plain.generator, plain.discriminator, unroll_steps=3)
    gan.stabilizers.append(BalancedUpdates(Counting()))
    gan.generator_step(batches(1)[0])
    assert read == [8], "once, for the generator's step"


# ---------------------------------------------------------------- runs


@pytest.mark.parametrize(("discriminator", "generator"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_fixed_numbers_of_steps(make_gan, batches, discriminator, generator):
    gan = make_gan()
    gan.stabilizers.append(BalancedUpdates(Fixed(discriminator, generator)))
    for batch in batches(4):
        gan.train_batch(batch, *sgds(gan))
    assert (gan.discriminator_updates, gan.generator_updates) == (4 * discriminator, 4 * generator)


def test_one_step_each_is_the_run_without_it(make_gan, fit, weights):
    gan, plain = make_gan(), make_gan()
    fit(gan, 4, callbacks=[BalancedUpdates(Fixed())])
    fit(plain, 4)
    assert torch.equal(weights(gan), weights(plain))


@pytest.mark.parametrize("skipped", ["discriminator", "generator"])
@pytest.mark.parametrize("n_critic", [1, 3])
def test_a_run_logs_and_counts_batches_while_one_player_is_skipped(make_gan, fit, skipped, n_critic):
    rule = ByAccuracy(0.0, 0.0) if skipped == "discriminator" else ByAccuracy(1.0, 1.0)
    gan, seen = make_gan(n_critic=n_critic), Steps()
    trainer = fit(gan, 6, callbacks=[BalancedUpdates(rule), seen], log_every_n_steps=2)
    updated = {"discriminator", "generator"} - {skipped}
    assert [set(steps) for steps in seen.steps[1:]] == [updated] * 5 and trainer.global_step == 6
    logged = {name for name in trainer.logged_metrics if name.startswith("loss/")}
    assert logged == {f"loss/{name}" for name in updated}
    first = 1 if n_critic == 1 else 0  # before there are figures, n_critic decides
    updates = {"discriminator": 1, "generator": first, updated.pop(): 5 + (skipped == "generator" or first)}
    assert (gan.discriminator_updates, gan.generator_updates) == (updates["discriminator"], updates["generator"])


def test_a_run_resumes_with_its_figures(make_gan, fit, weights, tmp_path):
    def run(epochs, **kwargs):
        gan, balance = make_gan(n_critic=2), BalancedUpdates(ByAccuracy(0.4, 0.5), 0.7)
        return gan, balance, fit(gan, 3, max_epochs=epochs, callbacks=[balance], **kwargs)

    run(2)[2].save_checkpoint(tmp_path / "half.ckpt")
    resumed, whole = run(5, ckpt_path=tmp_path / "half.ckpt"), run(5)
    assert torch.equal(weights(resumed[0]), weights(whole[0]))
    figures = [run[1].state_dict()["figures"] for run in (resumed, whole)]
    assert figures[0] == figures[1] and resumed[0].generator_updates == whole[0].generator_updates


def test_figures_are_summed_over_processes(make_gan, batches, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(torch.tensor([0.0, 24.0])))
    gan, balance = make_gan(), BalancedUpdates(ByAccuracy(0.0, 1.0), 0.0)
    gan.stabilizers.append(balance)
    steps = gan.train_batch(batches(1)[0], *sgds(gan))
    gan.updates_per_batch()
    right = (steps["discriminator"].real_logits > 0).float().sum().item()
    assert balance.state_dict()["figures"]["real"] == pytest.approx(right / 32)


def test_rules_are_values(make_gan):
    for rule in (Fixed(2, 1), ByAccuracy(0.1, 0.2), ByLossRatio(0.1, 0.2)):
        assert rule == copy.deepcopy(rule) == pickle.loads(pickle.dumps(rule)) != type(rule)()
        assert repr(rule) in repr(BalancedUpdates(rule))


def test_the_command_line_takes_a_rule_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rule.yaml").write_text(
        "trainer:\n  callbacks+:\n    - class_path: BalancedUpdates\n"
        "      init_args: {rule: {class_path: ByLossRatio, init_args: {most: 3.0}}}\n"
    )
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(CONFIGS / "quickstart.yaml"), "--config=rule.yaml", "--print_config"])
    (callback,) = yaml.safe_load(capsys.readouterr().out)["trainer"]["callbacks"]
    rule = callback["init_args"]["rule"]
    assert rule["class_path"].endswith(".ByLossRatio") and rule["init_args"] == {"least": 0.5, "most": 3.0}


# ---------------------------------------------------------------- refusals


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (ByAccuracy(), [Wasserstein(), ZeroSum(Wasserstein())]),
        (
            ByLossRatio(),
            [
                Wasserstein(),
                Minimax(),
                ZeroSum(),
                Hinge(),
                Relativistic(Wasserstein()),
                RelativisticAverage(Wasserstein()),
            ],
        ),
        (Fixed(), []),
    ],
    ids=repr,
)
def test_objectives_that_a_rule_does_not_fit_are_refused(make_gan, objective, rule, refused):
    for bad in refused:
        with pytest.raises(ValueError, match=rf"BalancedUpdates\(rule={type(rule).__name__}.*Wasserstein|below"):
            BalancedUpdates(rule).apply_to(make_gan(objective=bad))
    if repr(objective) not in map(repr, refused):
        BalancedUpdates(rule).apply_to(make_gan(objective=objective))


def test_fixed_numbers_beside_n_critic_are_refused(make_gan):
    with pytest.raises(ValueError, match=r"BalancedUpdates\(rule=Fixed\(.*\)\) beside n_critic=5: expected one"):
        BalancedUpdates(Fixed(2, 1)).apply_to(make_gan(n_critic=5))


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_a_smoothing_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"BalancedUpdates\(smoothing={value}\): expected a number in \[0, 1\)"):
        BalancedUpdates(smoothing=value)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (ByAccuracy, [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.1), (math.nan, 0.5), (0.5, math.nan)]),
        (ByLossRatio, [(-0.1, 0.5), (0.6, 0.5), (math.nan, 0.5), (0.5, math.nan)]),
    ],
)
def test_thresholds_out_of_range_are_refused(rule, values):
    for one, other in values:
        with pytest.raises(ValueError, match=rf"{rule.__name__}\(\w+={one}, \w+={other}\): expected 0 <= l"):
            rule(one, other)


@pytest.mark.parametrize("name", ["discriminator", "generator"])
@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan])
def test_steps_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"Fixed\({name}={value}\): expected a whole number of at least 1"):
        Fixed(**{name: value})
