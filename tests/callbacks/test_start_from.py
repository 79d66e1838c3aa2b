"""A run that starts from the weights of another one, with everything else new."""

import pytest
import torch

from lightning_gans.callbacks import StartFrom
from lightning_gans.stabilizers import GeneratorEMA, SpectralNorm
from lightning_gans.stabilizers.generator_ema import LEARNED


@pytest.fixture
def trained(make_gan, fit, tmp_path):
    trainer = fit(make_gan(seed=3), 5, callbacks=[GeneratorEMA(half_life=50.0)])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    return torch.load(tmp_path / "a.ckpt", weights_only=True)


def test_weights_are_those_of_the_checkpoint_and_counters_optimizers_and_averages_are_new(
    make_gan, fit, tmp_path, trained
):
    """The networks as they were in training: a reference loads them itself."""
    gan, reference = make_gan(), make_gan()
    reference.generator.load_state_dict(trained[LEARNED])
    player = {name: x for name, x in trained["state_dict"].items() if name.startswith("discriminator.")}
    reference.discriminator.load_state_dict({name.partition(".")[2]: x for name, x in player.items()})
    fit(gan, 2, callbacks=[StartFrom(tmp_path / "a.ckpt")])
    trainer = fit(reference, 2)
    for name, own in gan.state_dict().items():
        if isinstance(own, torch.Tensor):
            assert torch.equal(own, reference.state_dict()[name]), name
    assert (gan.generator_updates, gan.discriminator_updates, gan.samples_seen) == (2, 2, 16)
    assert trainer.global_step == 2


def test_weights_alone_will_do(make_gan, fit, tmp_path):
    fit(make_gan(seed=3)).save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    fit(make_gan(), callbacks=[StartFrom(tmp_path / "a.ckpt")])


def test_a_resumed_run_does_not_start_again(make_gan, fit, tmp_path, weights):
    first = [StartFrom(tmp_path / "a.ckpt")]
    fit(make_gan(seed=3)).save_checkpoint(tmp_path / "a.ckpt")
    fit(make_gan(), 3, callbacks=first).save_checkpoint(tmp_path / "b.ckpt")
    ends = []
    for callbacks in ([], first):
        gan = make_gan()
        fit(gan, 3, callbacks=callbacks, ckpt_path=tmp_path / "b.ckpt", max_epochs=2)
        ends.append(weights(gan))
    assert torch.equal(*ends)


@pytest.mark.parametrize("changed", [True, False])
def test_networks_that_do_not_fit_are_refused_before_training(make_gan, fit, tmp_path, changed):
    norm = [SpectralNorm()]
    fit(make_gan(), callbacks=norm if changed else []).save_checkpoint(tmp_path / "a.ckpt")
    gan = make_gan()
    with pytest.raises(ValueError, match="use the config that was saved beside the checkpoint"):
        fit(gan, callbacks=[StartFrom(tmp_path / "a.ckpt"), *([] if changed else [SpectralNorm()])])
    assert not gan.has_trained
