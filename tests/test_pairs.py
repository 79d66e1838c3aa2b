"""What holds for every ordered pair of stabilizers, on points and on images, without labels and with them."""

import pytest
import torch
from every_stabilizer import EVERY, NETWORKS, NEUTRAL, small
from helpers import both, slow_sgd
from lightning.pytorch import Callback

SETTINGS = {
    "points": {"num_classes": 0},
    "labelled points": {"num_classes": 2},
    "images": {"num_classes": 0, "size": 16},
    "labelled images": {"num_classes": 2, "size": 16},
}

TWO_STATES = "Lightning refuses two callbacks with one key for their states."


@pytest.fixture
def pairs(make_gan, make_image_gan, fit, weights, tmp_path):
    """Train with some stabilizers; the weights at the end, or the line by which they were refused."""

    class Pairs:
        def __init__(self, settings, first):
            self.settings = {**NETWORKS.get(first, {}), **SETTINGS[settings]}

        def gan(self):
            make = make_image_gan if "size" in self.settings else make_gan
            return make(**self.settings, **both(slow_sgd))

        def train(self, *stabilizers, epochs=2, **kwargs):
            gan = self.gan()
            trainer = fit(gan, 2, max_epochs=epochs, callbacks=list(stabilizers), **kwargs)
            training = weights(gan)
            with gan.evaluation_weights():
                return torch.cat([training, weights(gan.generator)]), trainer

        def end(self, *stabilizers):
            try:
                return self.train(*stabilizers)[0]
            except ValueError as error:
                return str(error)
            except RuntimeError as error:  # by Lightning, in the Trainer's constructor: of two that are equal
                if "Found more than one stateful callback" not in str(error):
                    raise
                return TWO_STATES

        def resumed(self, make):
            _, trainer = self.train(*make(), epochs=1)
            trainer.save_checkpoint(tmp_path / "half.ckpt")
            return self.train(*make(), ckpt_path=tmp_path / "half.ckpt")[0]

    return Pairs


def is_one_line(text):
    return "\n" not in text and 20 < len(text) < 400 and text.endswith(".")


def overrides_state(kind):
    return kind.state_dict is not Callback.state_dict


def faults_of(first, settings, pairs):
    """What is wrong with the pairs in which a stabilizer is the first, or the only one that does anything."""
    runs = pairs(settings, first)
    alone = runs.end(small(first))
    for second in EVERY:
        end = runs.end(small(first), small(second))
        if isinstance(end, str):
            if end is TWO_STATES and (second is not first or not overrides_state(first)):
                yield second.__name__, end
            if not is_one_line(end):
                yield second.__name__, f"refused in other than one line: {end}"
            continue
        if not end.isfinite().all():
            yield second.__name__, "NaN or infinity"
        if not torch.equal(end, runs.end(small(first), small(second))):
            yield second.__name__, "a second run differs"
        if not torch.equal(end, runs.resumed(lambda second=second: [small(first), small(second)])):
            yield second.__name__, "a resumed run differs"
        if second is not first and NEUTRAL[second] is not None and not isinstance(alone, str):
            for order in (1, -1):
                both_there = runs.end(*[small(first), small(second, **NEUTRAL[second])][::order])
                if isinstance(both_there, str) or not torch.equal(alone, both_there):
                    yield second.__name__, f"a neutral partner ({'second' if order == 1 else 'first'}) has an effect"


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("first", EVERY, ids=lambda kind: kind.__name__)
def test_every_pair_trains_and_resumes_or_is_refused_in_a_line(first, settings, pairs, recwarn):
    assert not list(faults_of(first, settings, pairs))
