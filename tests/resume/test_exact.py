"""A run that is killed and resumed ends like an uninterrupted one; the processes are real."""

import pytest
from kills import COMMON, IMAGES, MIDDLE, MODELS, compare, fit, seeded, timed, until_done

pytestmark = [
    pytest.mark.resume,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forks of a process with threads
]

WAYS = {  # from where a run is resumed: options, number of processes
    "from an epoch's end": ([], 1),
    "from its middle": (MIDDLE, 1),
    "with two workers": (["--data.num_workers=2", *MIDDLE], 1),
    "in two processes": (["--trainer.devices=2", *MIDDLE], 2),
}
TRIED = [(name, way) for name in MODELS for way in list(WAYS)[:2]] + [
    (name, "with two workers") for name in ("DCGAN", "UnrolledGAN", "GAN")
]
TRIED += [(name, "in two processes") for name in ("DCGAN", "WGAN")]


@pytest.mark.parametrize(("name", "way"), TRIED)
def test_a_killed_and_resumed_run_ends_like_an_uninterrupted_one(name, way, tmp_path):
    """Weights, optimizers, schedules, stabilizers, health readings, counters, metrics and images are identical."""
    arguments, ranks = WAYS[way]
    args = [*COMMON, *MODELS[name], *arguments]
    seconds = timed(tmp_path / "whole", args, ranks)
    until_done(tmp_path / "killed", args, seconds, 2, seeded(name, way), ranks)
    assert compare(tmp_path / "killed", tmp_path / "whole") == []


@pytest.mark.parametrize("name", [name for name, args in MODELS.items() if "--data=Blank" not in args])
def test_the_number_of_workers_does_not_change_a_run(name, tmp_path):
    args = [*COMMON, *MODELS[name]]
    fit(tmp_path / "without", args)
    fit(tmp_path / "with", [*args, "--data.num_workers=3", "--trainer.deterministic=true"])
    assert compare(tmp_path / "with", tmp_path / "without") == []


def test_the_comparison_finds_differences(tmp_path):
    args = [*COMMON, *MODELS["DCGAN"]]
    for name, changed in (("one", []), ("other", ["--seed_everything=1"])):
        fit(tmp_path / name, [*args, *changed])
    found = " ".join(compare(tmp_path / "other", tmp_path / "one"))
    for part in ("/state_dict/generator", "/optimizer_states/0", "GeneratorEMA", "metrics.csv", "health.json", "image"):
        assert part in found
    assert IMAGES[0] in args
