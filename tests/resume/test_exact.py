"""A run that is interrupted and resumed ends as one that nobody interrupted: in processes that are really killed."""

import pytest
from kills import BATCHES, COMMON, GAMES, IMAGES, MIDDLE, compare, fit, seeded, timed, until_done

pytestmark = [
    pytest.mark.resume,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forks of a process with threads
]

WAYS = {  # what a kill may interrupt: arguments, processes
    "from an epoch's end": ([], 1),
    "from its middle": (MIDDLE, 1),
    "with two workers": (["--data.num_workers=2", *MIDDLE], 1),
    "in two processes": (["--trainer.devices=2", *MIDDLE], 2),
}
TRIED = [(name, way) for name in GAMES for way in list(WAYS)[:2]] + [
    (name, "with two workers") for name in ("DCGAN", "UnrolledGAN", "GAN")
]
TRIED += [(name, "in two processes") for name in ("DCGAN", "WGAN")]


@pytest.mark.parametrize(("name", "way"), TRIED)
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_nobody_interrupted(name, way, tmp_path):
    """Weights, optimizers, schedules, stabilizers' states, readings, counters, pictures and figures, bit for bit."""
    arguments, ranks = WAYS[way]
    args = [*COMMON, *GAMES[name], *arguments]
    seconds = timed(tmp_path / "whole", args, ranks)
    hits = until_done(tmp_path / "killed", args, seconds, 2, seeded(name, way), ranks)
    assert compare(tmp_path / "killed", tmp_path / "whole", hits) == []


@pytest.mark.parametrize("name", [name for name, args in GAMES.items() if "--data=Blank" not in args])
def test_one_seed_is_one_run_whatever_the_number_of_workers(name, tmp_path):
    args = [*COMMON, *GAMES[name]]
    fit(tmp_path / "alone", args)
    fit(tmp_path / "helped", [*args, "--data.num_workers=3", "--trainer.deterministic=true"])
    assert compare(tmp_path / "helped", tmp_path / "alone") == []


def test_the_comparison_sees_what_differs(tmp_path):
    args = [*COMMON, *GAMES["DCGAN"]]
    for name, changed in (("one", []), ("other", ["--seed_everything=1"])):
        fit(tmp_path / name, [*args, *changed])
    found = " ".join(compare(tmp_path / "other", tmp_path / "one", BATCHES))
    for part in (
        "/state_dict/generator",
        "/optimizer_states/0",
        "GeneratorEMA",
        "metrics.csv",
        "health.json",
        "picture",
    ):
        assert part in found
    assert IMAGES[0] in args
