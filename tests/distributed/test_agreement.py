"""Every set-up in two processes and in four: the same weights in all, and those of one process on the whole batch."""

import numpy as np
import pytest
from helpers import slow
from lightning.pytorch import Callback
from process_group import run_in_processes
from setups import MODELS, NORMED, PER_PROCESS, STABILIZERS, parameters_of, state_of, train

pytestmark = pytest.mark.distributed
TOLERANCE = 1e-9  # in double precision; of a gradient that is 0 but for rounding Adam makes a step of up to 1e-4


class Latents(Callback):
    """Keeps the generator's outputs: those of the first batch differ between processes that draw other latents."""

    def on_fit_start(self, trainer, pl_module):
        self.made = []
        pl_module.generator.register_forward_hook(lambda module, inputs, made: self.made.append(made.detach()))


def trained(names):
    """Return the parameters that each set-up trains to, with random numbers drawn for the whole batch."""
    found = {}
    for name in names:
        gan, _ = train(name, shared_draws=True)
        found[name] = parameters_of(gan)
        moved = len(gan.initial) != len(found[name]) or np.abs(gan.initial - found[name]).max() > 1e4 * TOLERANCE
        assert moved, f"{name} has not trained, and would agree with anything"
    return found


CHANGING = ["BalancedUpdates", "CheckpointSwap", "ExperienceReplay", "GeneratorEMA", "SpectralNorm", "VirtualBatchNorm"]
ALL = [*MODELS, *NORMED, *STABILIZERS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "names"), [(2, [*MODELS, *NORMED, *CHANGING]), slow(2, ALL), slow(4, ALL)], ids=["2, few", "2", "4"]
)
def test_processes_have_equal_weights_and_different_latents(world, names):
    def work():
        found = {}
        for name in names:
            latents = Latents()
            gan, _ = train(name, callbacks=[latents])
            found[name] = state_of(gan), latents.made[0].flatten().double().numpy()[-8:]
        return found

    answers = run_in_processes(world, work)
    for name, (end, _) in answers[0].items():
        assert np.isfinite(end).all(), name
        for answer in answers[1:]:
            assert np.array_equal(answer[name][0], end), f"{name}: weights or buffers differ"
        made = {tuple(answer[name][1]) for answer in answers}
        assert len(made) == world, f"{name}: two processes drew the same latents"


@pytest.mark.parametrize(
    ("world", "names"),
    [(2, MODELS), *(slow(world, [*MODELS, *STABILIZERS]) for world in (2, 4))],
    ids=["2, models", "2", "4"],
)
def test_processes_train_to_the_weights_of_one_process_on_the_whole_batch(world, names):
    whole = trained(names)
    parts = run_in_processes(world, trained, names)[0]
    far = {name for name in names if np.abs(parts[name] - whole[name]).max() > TOLERANCE}
    per_process = {kind.__name__ for kind in PER_PROCESS}
    assert far == per_process & set(names), "they work on the samples of one process, as documented"
