"""What makes a module reproducible: seeds for every batch, interruptions, checkpoints, copies."""

import copy
import os
import pickle
from functools import partial

import pytest
import torch
from helpers import Scale, Steps, sgds
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from lightning_gans import DCGAN, GAN, WGAN
from lightning_gans.optimizers import SGD
from lightning_gans.stabilizers import GradientPenalty

# ---------------------------------------------------------------- random numbers and interruptions


@pytest.mark.parametrize("n_critic", [1, 5])
def test_one_seed_is_one_run(make_gan, fit, weights, n_critic):
    ends = []
    for seed in (7, 7, 8):
        gan = make_gan(dropout=0.3, n_critic=n_critic)
        fit(gan, 6, seed=seed)
        ends.append(weights(gan))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def drawn(gan, fit, seen, **settings):
    """The fakes of all batches of a generator with learning rate 0: they differ by their latents alone."""
    gan.generator_optimizer = partial(SGD, lr=0.0)
    fit(gan, 2, max_epochs=2, callbacks=[seen], **settings)
    return torch.stack([steps["discriminator"].fake for steps in seen.steps])


def test_batches_draw_different_latents(make_gan, fit):
    assert len(drawn(make_gan(), fit, Steps()).flatten(1).unique(dim=0)) == 4


def test_processes_draw_different_latents(make_gan, fit, monkeypatch):
    first, again = drawn(make_gan(), fit, Steps()), drawn(make_gan(), fit, Steps())
    monkeypatch.setattr(GAN, "global_rank", 1)
    second = drawn(make_gan(), fit, Steps())
    assert torch.equal(first, again) and (first != second).all()


def test_validation_leaves_the_training_alone(make_gan, batches, fit, weights):
    plain, validated = make_gan(dropout=0.3), make_gan(dropout=0.3)
    fit(plain, 3, max_epochs=2)
    fit(validated, 3, val=batches(2), max_epochs=2)
    assert torch.equal(weights(plain), weights(validated))


@pytest.mark.parametrize("n_critic", [1, 2])
def test_an_interrupted_run_equals_the_uninterrupted_one(make_gan, fit, weights, tmp_path, n_critic):
    def make():
        decay = partial(ExponentialLR, gamma=0.9)
        gan = make_gan(dropout=0.3, n_critic=n_critic, generator_scheduler=decay, discriminator_scheduler=decay)
        gan.stabilizers.append(GradientPenalty(1.0))
        return gan

    whole = make()
    optimizers = fit(whole, 3, max_epochs=4).optimizers
    fit(make(), 3, max_epochs=2).save_checkpoint(tmp_path / "half.ckpt")
    resumed = make()
    trainer = fit(resumed, 3, max_epochs=4, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.generator_updates == whole.generator_updates == 12 // n_critic
    for ours, theirs in zip(trainer.optimizers, optimizers, strict=True):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)


def test_a_run_that_is_resumed_in_its_own_process_repeats_its_random_numbers(make_gan, fit, weights, tmp_path):
    whole, resumed = make_gan(), make_gan()
    fit(whole, 3, max_epochs=2)
    fit(make_gan(), 3).save_checkpoint(tmp_path / "half.ckpt")
    fit(resumed, 3, max_epochs=2, seed=None, ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(weights(resumed), weights(whole)), "though torch was not seeded again"


def test_batches_are_counted_from_the_start_of_the_run(make_gan, fit, tmp_path):
    gan, counts = make_gan(), []
    assert gan.batches_seen == 0

    class Count(Steps):
        def on_train_batch_end(self, trainer, pl_module, *args):
            counts.append(pl_module.batches_seen)

    fit(gan, 3, callbacks=[Count()]).save_checkpoint(tmp_path / "a.ckpt")
    fit(make_gan(), 3, max_epochs=2, callbacks=[Count()], ckpt_path=tmp_path / "a.ckpt")
    fit(gan, 2, callbacks=[Count()])
    assert counts == [1, 2, 3, 4, 5, 6, 1, 2], "a resumed run counts on, a new one begins again"


@pytest.mark.skipif(torch.cuda.is_available(), reason="Lightning needs the variable for processes of a GPU")
def test_a_run_on_the_cpu_does_not_look_for_a_driver_at_every_step(make_gan, fit, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    fit(make_gan())
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" not in os.environ


# ---------------------------------------------------------------- checkpoints and copies


def test_a_checkpoint_holds_tensors_and_plain_types_only(make_gan, fit, tmp_path):
    gan = make_gan(n_critic=2, discriminator_scheduler=partial(ExponentialLR, gamma=0.9))
    gan.stabilizers.append(Scale())
    fit(gan, 4, callbacks=[Scale(2.0)]).save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    state = checkpoint["state_dict"]["_extra_state"]
    assert (state["generator_updates"], state["discriminator_updates"]) == (2, 4)
    assert checkpoint["gan_class"] == "lightning_gans.gan.GAN"
    assert checkpoint["hyper_parameters"]["n_critic"] == 2
    assert checkpoint["callbacks"]["Scale(factor=2.0, shift=0.0)"] == {"seen": 4}


def test_a_state_dict_restores_counters_and_stabilizers(make_gan, fit, tmp_path):
    gan, other = make_gan(), make_gan(seed=1)
    gan.stabilizers.append(Scale())
    other.stabilizers.append(Scale())
    fit(gan, 3)
    torch.save(gan.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.generator_updates, other.discriminator_updates, other.stabilizers[0].seen) == (3, 3, 3)


def test_stabilizers_of_the_trainer_are_restored_too(make_gan, fit, tmp_path):
    fit(make_gan(), 3, callbacks=[Scale(2.0), Scale(3.0)]).save_checkpoint(tmp_path / "a.ckpt")
    resumed = [Scale(3.0), Scale(2.0), Scale(4.0)]
    fit(make_gan(), 3, max_epochs=2, callbacks=resumed, ckpt_path=tmp_path / "a.ckpt")
    assert [stabilizer.seen for stabilizer in resumed] == [6, 6, 3]


@pytest.mark.parametrize("fitted", [False, True])
def test_a_deep_copy_trains_on_its_own(make_gan, batches, fit, weights, fitted):
    gan = make_gan()
    gan.stabilizers.append(Scale())
    if fitted:
        fit(gan)
    other, before = copy.deepcopy(gan), weights(gan)
    assert torch.equal(weights(other), before) and other.discriminator_updates == gan.discriminator_updates
    other.train_batch(batches(1)[0], *sgds(other))
    assert torch.equal(weights(gan), before) and not torch.equal(weights(other), before)
    assert other.discriminator_updates == gan.discriminator_updates + 1
    assert other.stabilizers[0].seen == gan.stabilizers[0].seen + 1


def test_a_recipe_is_rebuilt_from_its_checkpoint(fit, weights, tmp_path):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=2, n_critic=2, generator_clip=0.5)
    fit(gan).save_checkpoint(tmp_path / "dcgan.ckpt")
    loaded = GAN.load_from_checkpoint(tmp_path / "dcgan.ckpt")
    assert type(loaded) is DCGAN and torch.equal(weights(loaded), weights(gan))
    assert (loaded.n_critic, loaded.generator_clip, loaded.generator.latent_dim) == (2, 0.5, 3)
    assert (loaded.discriminator_updates, loaded.generator_updates) == (2, 1)
    wgan = WGAN((1, 8, 8), latent_dim=3, width=2, clip=0.02)
    fit(wgan).save_checkpoint(tmp_path / "wgan.ckpt")
    assert GAN.load_from_checkpoint(tmp_path / "wgan.ckpt").stabilizers[0].limit == 0.02


def test_networks_made_in_python_are_passed_again(make_gan, fit, weights, tmp_path):
    gan, other = make_gan(n_critic=2), make_gan(seed=1)
    fit(gan).save_checkpoint(tmp_path / "gan.ckpt")
    networks = {"generator": other.generator, "discriminator": other.discriminator}
    loaded = GAN.load_from_checkpoint(tmp_path / "gan.ckpt", **networks)
    assert torch.equal(weights(loaded), weights(gan)) and loaded.n_critic == 2
    remedy = r"pass what it does not hold: GAN\.load_from_checkpoint\(path, generator=generator, discriminator="
    with pytest.raises(ValueError, match=f"missing 2 required positional arguments.*{remedy}"):
        GAN.load_from_checkpoint(tmp_path / "gan.ckpt")


def test_hyperparameters_are_plain_values_without_a_copy_of_the_networks(make_gan, fit, tmp_path):
    gan = make_gan(n_critic=2)
    assert dict(gan.hparams)["n_critic"] == 2 and "generator" not in gan.hparams
    kept = [held for name, held in vars(gan).items() if isinstance(held, dict) and name != "_modules"]
    assert not any(isinstance(value, nn.Module) for held in kept for value in held.values())
    logger = CSVLogger(tmp_path)
    fit(gan, logger=logger)
    logger.save()
    written = (tmp_path / "lightning_logs/version_0/hparams.yaml").read_text()
    assert "n_critic: 2" in written and "python/" not in written, "a log of plain values"


def test_a_checkpoint_under_lightnings_averaging_has_the_counters_of_the_training(make_gan, fit, tmp_path):
    """Lightning puts a copy of the model from before training into it, with the averaged weights."""
    gan = make_gan()
    keeper = ModelCheckpoint(tmp_path)
    fit(gan, 3, callbacks=[EMAWeightAveraging(decay=0.5), keeper], enable_checkpointing=True)
    saved = torch.load(keeper.best_model_path, weights_only=True)
    assert saved["state_dict"]["_extra_state"]["generator_updates"] == gan.generator_updates == 3
    assert saved["current_model_state"]["_extra_state"]["generator_updates"] == 3
    again = make_gan()
    fit(again, 3, callbacks=[EMAWeightAveraging(decay=0.5)], ckpt_path=keeper.best_model_path, max_epochs=2)
    assert again.generator_updates == 6


def test_without_strict_missing_weights_are_accepted_and_others_are_not(fit, make_gan, tmp_path):
    gan = make_gan()
    fit(gan).save_checkpoint(tmp_path / "whole.ckpt")
    saved = torch.load(tmp_path / "whole.ckpt", weights_only=True)
    name = next(
        name for name, value in saved["state_dict"].items() if name.startswith("discriminator.") and value.dim()
    )
    del saved["state_dict"][name]
    torch.save(saved, tmp_path / "part.ckpt")
    networks = {"generator": make_gan().generator, "discriminator": make_gan(seed=9).discriminator}
    own = dict(networks["discriminator"].named_parameters())[name.removeprefix("discriminator.")].clone()
    with pytest.raises(ValueError, match=f"{name} is missing"):
        GAN.load_from_checkpoint(tmp_path / "part.ckpt", **networks)
    with pytest.warns(UserWarning, match="keys"):
        loaded = GAN.load_from_checkpoint(tmp_path / "part.ckpt", strict=False, **networks)
    state = loaded.state_dict()
    assert torch.equal(state[name], own), "what is missing keeps its initial value"
    assert all(torch.equal(state[key], value) for key, value in saved["state_dict"].items() if torch.is_tensor(value))
    saved["state_dict"][name] = torch.zeros(1)
    torch.save(saved, tmp_path / "part.ckpt")
    with pytest.raises(ValueError, match=f"{name} has shape"):
        GAN.load_from_checkpoint(tmp_path / "part.ckpt", strict=False, **networks)
    with pytest.raises(ValueError, match="has shape"):
        GAN.load_from_checkpoint(tmp_path / "part.ckpt", **networks)


@pytest.mark.parametrize("make", [lambda: DCGAN((1, 8, 8), latent_dim=3, width=2), lambda: WGAN((2,), latent_dim=3)])
def test_a_model_can_be_pickled_as_for_a_process_that_is_spawned(make, weights):
    gan = make()
    again = pickle.loads(pickle.dumps(gan))
    assert torch.equal(weights(again), weights(gan))
    assert again.generator_optimizer is gan.generator_optimizer, "a default, which is a lambda"
    assert copy.deepcopy(gan).discriminator_optimizer is gan.discriminator_optimizer
