"""Every game in two processes and in four: alike in all of them, and that of one process with the whole batch."""

import numpy as np
import pytest
from group import together
from lightning.pytorch import Callback
from plays import MODELS, NORMED, PARTLY, STABILIZERS, everything, learned, play

pytestmark = pytest.mark.distributed
worlds = pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
NOISELESS = 1e-9  # in double precision; what is exactly 0 on paper, Adam makes a step of 1e-4 times its noise


class Latents(Callback):
    """Keeps what the generator made first, the rest of its reference aside."""

    def on_fit_start(self, trainer, pl_module):
        self.made = []
        pl_module.generator.register_forward_hook(lambda module, inputs, made: self.made.append(made.detach()))


def ends(names):
    """What each game comes to with random numbers of the whole batch."""
    found = {}
    for name in names:
        gan, _ = play(name, alike=True)
        found[name] = learned(gan)
        moved = len(gan.began) != len(found[name]) or np.abs(gan.began - found[name]).max() > 1e4 * NOISELESS
        assert moved, f"{name} stands still, and would agree with anything"
    return found


@worlds
def test_processes_agree_on_every_game_with_their_own_random_numbers(world):
    def work():
        found = {}
        for name in [*MODELS, *NORMED, *STABILIZERS]:
            latents = Latents()
            gan, _ = play(name, callbacks=[latents])
            found[name] = everything(gan), latents.made[0].flatten().double().numpy()[-8:]
        return found

    answers = together(world, work)
    for name, (end, _) in answers[0].items():
        assert np.isfinite(end).all(), name
        for answer in answers[1:]:
            assert np.array_equal(answer[name][0], end), f"{name}: weights or buffers differ"
        made = {tuple(answer[name][1]) for answer in answers}
        assert len(made) == world, f"{name}: two processes drew the same latents"


@pytest.mark.parametrize(
    ("world", "names"),
    [(2, MODELS), *(pytest.param(world, [*MODELS, *STABILIZERS], marks=pytest.mark.slow) for world in (2, 4))],
    ids=["2, models", "2", "4"],
)
def test_processes_learn_what_one_learns_from_the_whole_batch(world, names):
    whole = ends(names)
    parts = together(world, ends, names)[0]
    far = {name for name in names if np.abs(parts[name] - whole[name]).max() > NOISELESS}
    assert far == {kind.__name__ for kind in PARTLY} & set(names), "these differ, and their documentation says so"
