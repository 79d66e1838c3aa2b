"""The average against a plain loop, its use in evaluation, and checkpoints of it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import named, sgds
from lightning.pytorch import Callback
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, SEPGAN
from lightning_gans.__main__ import main
from lightning_gans.callbacks import SampleGrid
from lightning_gans.generation import draw, load, picture
from lightning_gans.networks import DCGANGenerator, DigitClassifier
from lightning_gans.stabilizers import GeneratorEMA, LabelSmoothing

CONFIGS = Path(__file__).parents[2] / "configs"


def vector(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()]).clone()


def trained(gan, ema, batches):
    """The generator's weights after each update of a GAN with this average."""
    gan.stabilizers.append(ema)
    path, optimizers = [], sgds(gan, lr=0.1)
    for batch in batches:
        before = gan.generator_updates
        gan.train_batch(batch, *optimizers)
        if gan.generator_updates > before:
            path.append(vector(gan.generator))
    return path


def shown(gan):
    with gan.evaluation_weights():
        return vector(gan.generator)


def averaged(path, half_life):
    """The formula, number by number, with a half-life for every update."""
    averages = path[0].double().tolist()
    for t, weights in enumerate(path[1:], 2):
        keep = 0.5 ** (1 / half_life(t))
        averages = [keep * old + (1 - keep) * new for old, new in zip(averages, weights.tolist(), strict=True)]
    return torch.tensor(averages)


@pytest.mark.parametrize(
    ("settings", "half_life"),
    [
        ({"half_life": 3.0, "ramp_up": None}, lambda t: 3.0),
        ({"half_life": 3.0, "ramp_up": 0.5}, lambda t: min(3.0, 0.5 * t)),
        ({"half_life": 500.0}, lambda t: 0.05 * t),
        ({"half_life_images": 20.0, "ramp_up": None}, lambda t: 20 / 8),
        ({"half_life_images": 20.0, "ramp_up": 0.4}, lambda t: min(20 / 8, 0.4 * t)),
    ],
    ids=named,
)
def test_it_is_an_exponential_average_with_this_half_life(make_gan, batches, settings, half_life):
    gan = make_gan()
    path = trained(gan, GeneratorEMA(**settings), batches(8))
    torch.testing.assert_close(shown(gan), averaged(path, half_life).float(), atol=1e-7, rtol=1e-5)
    assert not torch.equal(shown(gan), path[-1])


def test_a_weight_share_has_halved_after_its_half_life(make_gan):
    gan, ema = make_gan(), GeneratorEMA(7.0, ramp_up=None)
    gan.stabilizers.append(ema)
    with torch.no_grad():
        for update in range(8):
            for parameter in gan.generator.parameters():
                parameter.fill_(float(update == 0))
            ema.on_generator_step_end(gan)
    torch.testing.assert_close(shown(gan), torch.full_like(shown(gan), 0.5))


@pytest.mark.parametrize("n_critic", [1, 2])
def test_the_generators_updates_count(make_gan, batches, n_critic):
    gan = make_gan(n_critic=n_critic)
    path = trained(gan, GeneratorEMA(2.0, ramp_up=0.3), batches(8))
    assert len(path) == 8 / n_critic
    torch.testing.assert_close(shown(gan), averaged(path, lambda t: min(2.0, 0.3 * t)).float(), atol=1e-7, rtol=1e-5)


def test_samples_of_all_parts_and_processes_count(make_gan, batches, monkeypatch):
    gan = make_gan(generator_accumulation=4)
    path = trained(gan, GeneratorEMA(half_life_images=20.0, ramp_up=None), batches(6))
    torch.testing.assert_close(shown(gan), averaged(path, lambda t: 20 / 8).float(), atol=1e-7, rtol=1e-5)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    gan = make_gan()
    path = trained(gan, GeneratorEMA(half_life_images=20.0, ramp_up=None), batches(6))
    torch.testing.assert_close(shown(gan), averaged(path, lambda t: 20 / 24).float(), atol=1e-7, rtol=1e-5)


def test_samples_of_a_validation_do_not_count(batches, fit):
    def average(val):
        torch.manual_seed(0)
        gan = SEPGAN(DCGANGenerator((1, 28, 28), width=2), DigitClassifier())
        ema = GeneratorEMA(half_life_images=20.0, ramp_up=None)
        fit(gan, batches(2, (1, 28, 28)), val=val, callbacks=[ema], val_check_interval=1, num_sanity_val_steps=0)
        assert gan.generator_updates == 2
        return shown(gan)

    assert torch.equal(average(batches(2, (1, 28, 28))), average(None))


def test_floating_buffers_are_averaged_and_integers_copied(make_image_gan, batches):
    gan = make_image_gan(size=16)
    gan.stabilizers.append(GeneratorEMA(2.0, ramp_up=None))
    norm = next(m for m in gan.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    path, optimizers = [], sgds(gan)
    for batch in batches(4, (1, 16, 16)):
        gan.train_batch(batch, *optimizers)
        path.append(norm.running_mean.clone())
    with gan.evaluation_weights():
        torch.testing.assert_close(norm.running_mean, averaged(path, lambda t: 2.0).float())
        assert norm.num_batches_tracked == 4
    assert torch.equal(norm.running_mean, path[-1])


def test_the_average_of_half_precision_weights_is_in_single_precision(make_gan):
    gan, ema = make_gan().to(torch.bfloat16), GeneratorEMA(100.0, ramp_up=None)
    gan.stabilizers.append(ema)
    with torch.no_grad():
        for update in range(101):
            for parameter in gan.generator.parameters():
                parameter.fill_(float(update > 0))
            ema.on_generator_step_end(gan)
    assert all(average.dtype == torch.float32 for average in ema.state_dict()["average"].values())
    assert shown(gan).dtype == torch.bfloat16
    torch.testing.assert_close(shown(gan).float(), torch.full((len(shown(gan)),), 0.5), atol=2e-3, rtol=0)


# ---------------------------------------------------------------- evaluation


def test_the_training_weights_are_restored_bit_for_bit(make_image_gan, batches, weights):
    gan = make_image_gan(size=16)
    learned = weights(gan)
    with gan.evaluation_weights():
        assert torch.equal(weights(gan), learned), "there is no average yet"
    trained(gan, GeneratorEMA(3.0), batches(4, (1, 16, 16)))
    learned, places = weights(gan), [p.data_ptr() for p in gan.generator.parameters()]
    with gan.evaluation_weights():
        average = weights(gan)
        with gan.evaluation_weights():
            assert torch.equal(weights(gan), average)
            gan.generator(torch.randn(4, 3))  # in train mode this changes BatchNorm's statistics
        assert not torch.equal(weights(gan), learned), "the outer block continues"
    assert torch.equal(weights(gan), learned)
    with pytest.raises(RuntimeError, match="broken"), gan.evaluation_weights():
        raise RuntimeError("broken")
    assert torch.equal(weights(gan), learned)
    with gan.evaluation_weights():
        assert torch.equal(weights(gan), average)
    assert [p.data_ptr() for p in gan.generator.parameters()] == places, "optimizers and compiled code hold them"


def test_a_half_life_of_0_evaluates_with_the_training_weights(make_gan, batches):
    gan, ema = make_gan(), GeneratorEMA(0.0)
    path = trained(gan, ema, batches(3))
    assert torch.equal(shown(gan), path[-1]) and not ema.state_dict()


@pytest.mark.parametrize("place", ["module", "trainer"])
def test_a_run_with_it_trains_as_one_without(make_image_gan, batches, fit, weights, tmp_path, place):
    def run(*emas):
        gan = make_image_gan(size=16)
        pictures = SampleGrid(num_samples=4, gif=False)
        gan.stabilizers += emas if place == "module" else ()
        callbacks = [pictures, *(emas if place == "trainer" else ())]
        fit(gan, 3, val=batches(2, (1, 16, 16)), max_epochs=2, val_check_interval=2, callbacks=callbacks)
        return gan

    with_it, without = run(GeneratorEMA(2.0)), run()
    assert torch.equal(weights(with_it), weights(without))
    assert not torch.equal(shown(with_it), vector(with_it.generator))


class Sees(Callback):
    """Records the generator's weights during validation."""

    def __init__(self):
        self.seen = []

    def on_validation_batch_end(self, trainer, pl_module, *_):
        self.seen.append(vector(pl_module.generator))


@pytest.mark.parametrize("place", ["module", "trainer"])
def test_validation_uses_the_average(make_gan, batches, fit, place):
    gan, ema, sees = make_gan(), GeneratorEMA(3.0), Sees()
    gan.stabilizers += [ema] if place == "module" else []
    trainer = fit(gan, 4, val=batches(1), callbacks=[sees, *([ema] if place == "trainer" else [])])
    assert torch.equal(sees.seen[-1], shown(gan)) and not torch.equal(sees.seen[-1], vector(gan.generator))
    trainer.validate(gan, DataLoader(batches(1), batch_size=None), verbose=False)
    assert torch.equal(sees.seen[-1], shown(gan))


def test_an_interrupted_validation_leaves_no_average_in_place(make_gan, batches, fit, weights):
    class Breaks(Callback):
        def on_validation_batch_end(self, trainer, pl_module, *_):
            if not trainer.sanity_checking:
                raise RuntimeError("broken")

    gan, ema, twin = make_gan(), GeneratorEMA(3.0), make_gan()
    with pytest.raises(RuntimeError, match="broken"):
        fit(gan, 4, val=batches(1), callbacks=[ema, Breaks()])
    fit(twin, 4, callbacks=[GeneratorEMA(3.0)])
    assert torch.equal(weights(gan), weights(twin)), "the training weights are back"
    assert torch.equal(shown(gan), shown(twin)) and not torch.equal(shown(gan), vector(gan.generator))
    fit(gan, 1, val=batches(1), callbacks=[ema], num_sanity_val_steps=0)
    assert not torch.equal(weights(gan), weights(twin)), "training continues"


# ---------------------------------------------------------------- checkpoints


def networks(gan):
    return {"generator": gan.generator, "discriminator": gan.discriminator}


@pytest.mark.parametrize("place", ["module", "trainer"])
@pytest.mark.parametrize("when", ["training", "evaluation", "validation"])
def test_a_checkpoint_has_the_average_as_the_generator_and_resumes_the_training_weights(
    make_gan, batches, fit, weights, tmp_path, place, when
):
    def run(epochs, **kwargs):
        gan, ema = make_gan(), GeneratorEMA(3.0)
        gan.stabilizers += [ema] if place == "module" else []
        saver = ModelCheckpoint(tmp_path / "best", monitor="val/real_logit", save_top_k=-1, filename="{epoch}")
        callbacks = [saver, *([ema] if place == "trainer" else [])]
        settings = {"enable_checkpointing": True, "callbacks": callbacks, "max_epochs": epochs, "val": batches(1)}
        trainer = fit(gan, 3, **settings, **kwargs)
        return gan, trainer, tmp_path / "best" / f"epoch={epochs - 1}.ckpt"

    gan, trainer, path = run(2)
    if when == "training":
        trainer.save_checkpoint(path := tmp_path / "run.ckpt")
    elif when == "evaluation":
        with gan.evaluation_weights():
            trainer.save_checkpoint(path := tmp_path / "run.ckpt")
    again = GAN.load_from_checkpoint(path, **networks(make_gan(seed=1)))
    assert torch.equal(vector(again.generator), shown(gan))
    assert torch.equal(vector(again.discriminator), vector(gan.discriminator))
    saved = torch.load(path, weights_only=True)
    learned = saved["gan_generator_learned"]
    assert all(torch.equal(learned[name], value) for name, value in gan.generator.state_dict().items())
    whole, resumed = run(4)[0], run(4, ckpt_path=path)[0]
    assert torch.equal(weights(resumed), weights(whole)) and torch.equal(shown(resumed), shown(whole))


@pytest.mark.parametrize("place", ["module", "trainer"])
def test_another_half_life_continues_with_the_average_of_the_checkpoint(make_gan, fit, tmp_path, place):
    def run(half_life, **kwargs):
        gan, ema = make_gan(), GeneratorEMA(half_life, ramp_up=None)
        gan.stabilizers += [ema] if place == "module" else []
        return gan, fit(gan, 3, callbacks=[ema] if place == "trainer" else [], **kwargs)

    gan, trainer = run(3.0)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    again, _ = run(1e9, ckpt_path=tmp_path / "run.ckpt", max_epochs=2)
    torch.testing.assert_close(shown(again), shown(gan))
    assert not torch.equal(vector(again.generator), vector(gan.generator))


def test_a_run_without_it_can_be_resumed_with_it(make_gan, fit, weights, tmp_path):
    gan = make_gan()
    fit(gan, 3).save_checkpoint(tmp_path / "run.ckpt")
    again, ema = make_gan(), GeneratorEMA(3.0)
    fit(again, 3, callbacks=[ema], ckpt_path=tmp_path / "run.ckpt", max_epochs=2)
    whole = make_gan()
    fit(whole, 3, max_epochs=2)
    assert torch.equal(weights(again), weights(whole)) and not torch.equal(shown(again), vector(again.generator))


@pytest.mark.parametrize("place", ["module", "trainer"])
@pytest.mark.parametrize("first_with", [True, False])
def test_a_checkpoint_that_is_tested_is_tested_as_it_is(make_gan, batches, fit, tmp_path, place, first_with):
    """Not with the average of the run that continued meanwhile."""
    gan, ema = make_gan(), GeneratorEMA(3.0)
    loader = DataLoader(batches(1), batch_size=None)
    if first_with:
        gan.stabilizers += [ema] if place == "module" else []
    callbacks = [ema] if place == "trainer" and first_with else []
    fit(gan, 3, callbacks=callbacks).save_checkpoint(tmp_path / "early.ckpt")
    early = shown(gan)
    gan.stabilizers = [ema] if place == "module" else []
    trainer = fit(gan, 5, seed=1, callbacks=[ema] if place == "trainer" else [])
    assert not torch.equal(shown(gan), early)
    sees = Sees()
    trainer.callbacks.append(sees)
    trainer.validate(gan, loader, ckpt_path=tmp_path / "early.ckpt", verbose=False)
    assert torch.equal(sees.seen[0], early)


@pytest.mark.parametrize("place", ["module", "trainer"])
@pytest.mark.parametrize("by", ["trainer", "callback"])
def test_a_checkpoint_of_weights_alone_has_the_average(make_gan, batches, fit, weights, tmp_path, place, by):
    def run(epochs, **kwargs):
        gan, ema = make_gan(), GeneratorEMA(3.0)
        gan.stabilizers += [ema] if place == "module" else []
        saver = ModelCheckpoint(tmp_path / "by", save_weights_only=True, filename="weights")
        callbacks = [saver, *([ema] if place == "trainer" else [])]
        return gan, fit(gan, 3, max_epochs=epochs, callbacks=callbacks, enable_checkpointing=True, **kwargs)

    gan, trainer = run(1)
    path = tmp_path / "by" / "weights.ckpt"
    if by == "trainer":
        trainer.save_checkpoint(path := tmp_path / "weights.ckpt", weights_only=True)
    assert "callbacks" not in torch.load(path, weights_only=True)
    sees, average = Sees(), shown(gan)
    assert not torch.equal(average, vector(gan.generator))
    again = GAN.load_from_checkpoint(path, **networks(make_gan(seed=1)))
    assert torch.equal(vector(again.generator), average)
    trainer.callbacks.append(sees)
    loader = DataLoader(batches(1), batch_size=None)
    trainer.validate(gan, loader, ckpt_path=path, verbose=False)
    assert torch.equal(sees.seen[0], average)


def test_a_checkpoint_of_single_precision_has_the_average_once(fit, tmp_path):
    sizes = {}
    for ema in (GeneratorEMA(3.0), GeneratorEMA(0.0)):
        gan = DCGAN((1, 8, 8), width=32)
        fit(gan, 2, callbacks=[ema]).save_checkpoint(tmp_path / "run.ckpt")
        sizes[ema.half_life] = (tmp_path / "run.ckpt").stat().st_size
    more = (sizes[3.0] - sizes[0.0]) / (4 * len(vector(gan.generator)))
    assert 0.95 < more < 1.3, "the training weights, not a third copy"


@pytest.mark.slow
def test_the_command_line_samples_the_average_and_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--trainer.limit_val_batches=2", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    common += ["--model=DCGAN", "--model.width=4", "--model.latent_dim=8", "--data=Digits"]
    common += ["--config", str(CONFIGS / "stabilizers" / "generator_ema.yaml"), "--trainer.enable_model_summary=false"]
    train = ["--trainer.limit_train_batches=3", "--trainer.log_every_n_steps=1", "--samples.every_n_epochs=0"]
    train += ["--report.enabled=false"]
    main(["fit", *common, *train, "--trainer.max_epochs=2"])
    first = tmp_path / "runs/dcgan_digits/version_0"
    path = first / "checkpoints" / "last.ckpt"
    main(["sample", "--checkpoint", str(path), "--out", "average.png"])
    average = picture(draw(load(path), 64, seed=0)[0])
    assert (np.asarray(Image.open("average.png")) == average.numpy()).all()
    saved = torch.load(path, weights_only=True)
    learned = {f"generator.{name}": value for name, value in saved["gan_generator_learned"].items()}
    assert learned.keys() < saved["state_dict"].keys()
    torch.save({**saved, "state_dict": saved["state_dict"] | learned}, "learned.ckpt")
    main(["sample", "--checkpoint", "learned.ckpt", "--out", "learned.png"])
    assert Path("learned.png").read_bytes() != Path("average.png").read_bytes()
    main(["fit", *common, *train, "--trainer.max_epochs=3", "--ckpt_path", str(path)])
    assert load(path).generator_updates == 9, "in its folder"


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["half_life", "half_life_images"])
def test_half_lives_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"GeneratorEMA\({name}={value}\): expected a number of at least 0"):
        GeneratorEMA(**{name: value})


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan])
def test_a_ramp_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"GeneratorEMA\(ramp_up={value}\): expected a finite number above 0"):
        GeneratorEMA(ramp_up=value)


def test_a_second_average_is_refused(make_gan, fit):
    gan = make_gan()
    gan.stabilizers += [LabelSmoothing(), GeneratorEMA(), GeneratorEMA(3.0)]
    with pytest.raises(ValueError, match=r"GeneratorEMA\(half_life=500.0, .* beside GeneratorEMA\(half_life=3.0"):
        gan.stabilizers[1].apply_to(gan)
    if not hasattr(lightning_callbacks, "EMAWeightAveraging"):
        pytest.skip("this version of Lightning has no averaging")
    with pytest.raises(ValueError, match=r"GeneratorEMA\(.* beside EMAWeightAveraging: expected one average"):
        fit(make_gan(), callbacks=[GeneratorEMA(), lightning_callbacks.EMAWeightAveraging()])
