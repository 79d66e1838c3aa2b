"""Images that are not in [−1, 1]: every score refuses what is certainly wrong and warns of what is suspicious."""

import warnings

import pytest
import torch
from all_scores import EVERY, filled, samples, shape_for
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightning_gans.callbacks import Evaluation
from lightning_gans.data import GANData
from lightning_gans.metrics import FrechetDistance, NearestNeighbour, PairwiseDiversity

OF_IMAGES = [name for name in EVERY if len(shape_for(name)) == 3]
every_score = pytest.mark.parametrize("name", OF_IMAGES)
both_kinds = pytest.mark.parametrize("real", [True, False])


def kind(real):
    return "real" if real else "generated"


def images(name, low=-1.0, high=1.0, size=40):
    x = torch.rand(size, *shape_for(name), generator=torch.Generator().manual_seed(2))
    x.view(-1)[:2] = torch.tensor([0.0, 1.0])
    return x * (high - low) + low


def test_scores_of_images_are_nearly_all():
    assert len(OF_IMAGES) >= 10


@every_score
@both_kinds
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_images_of_integers_are_refused(name, real, dtype):
    x = images(name, 0, 255).to(dtype)
    with pytest.raises(ValueError, match=rf"the {kind(real)} images are {dtype}; expected floats in") as raised:
        EVERY[name]().update(x, real=real)
    assert "\n" not in str(raised.value)


def test_the_remedy_for_bytes_is_right():
    x = images("fd", 0, 255).byte()
    score = EVERY["fd"]()
    with pytest.raises(ValueError, match=r"scale them: x.float\(\) / 127.5 - 1\.$"):
        score.update(x, real=True)
    filled(score, x.float() / 127.5 - 1, x.flip(0).float() / 127.5 - 1)
    assert score.compute() < 1e-3


@every_score
@both_kinds
@pytest.mark.parametrize(("high", "remedy"), [(255, "x / 127.5 - 1"), (65535, "x / 32767.5 - 1"), (9e6, "x.max()")])
def test_floats_as_large_as_bytes_are_refused(name, real, high, remedy):
    with pytest.raises(ValueError, match=rf"the {kind(real)} images span \[0, .*; expected \[-1, 1\]; scale") as raised:
        EVERY[name]().update(images(name, 0, high), real=real)
    assert remedy in str(raised.value)


@every_score
@both_kinds
@pytest.mark.parametrize(("low", "high"), [(-2.1, 2.6), (-1.3, 0.9), (0.0, 1.2)])
def test_other_images_out_of_range_are_warned_of_once(name, real, low, high):
    x, score = images(name, low, high), EVERY[name]()
    remedy = "normalise with mean 0.5 and std 0.5" if real else "give the generator a bound"
    with pytest.warns(UserWarning, match=rf"the {kind(real)} images span .*; expected .*; {remedy}") as warned:
        for _ in range(2):
            score.update(x, real=real)
    assert sum("images span" in str(one.message) for one in warned) == 1


@every_score
@both_kinds
def test_images_in_zero_to_one_are_warned_of(name, real):
    """Also where earlier batches, and those of the other kind, were in [−1, 1]."""
    score = filled(EVERY[name](), *samples(name))
    with pytest.warns(UserWarning, match=rf"the {kind(real)} images span \[0, 1\].*, scale them: x \* 2 - 1"):
        score.update(images(name, 0, 1), real=real)


@every_score
def test_images_in_range_are_taken_in_silence(name):
    x = images(name)
    dark, blank, rounded = x.clamp(max=0), torch.zeros_like(x), 1.004 * x
    half = x.bfloat16().to(x) if name != "ms-ssim" else x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = EVERY[name]()
        for part in (x, dark, blank, rounded, half, x.double(), x[:0]):
            score.update(part, real=True)
            score.update(part, real=False)


def test_points_have_no_range():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled(PairwiseDiversity(), 100 * torch.rand(40, 2), 100 * torch.rand(40, 2) + 3)


def test_the_remedies_for_real_images_give_the_same_figures():
    x, fake = samples("fd")
    right = filled(EVERY["fd"](), x, fake).figures()["fd"]
    for wrong in ((x + 1) * 127.5, (x + 1) / 2):
        scaled = wrong / 127.5 - 1 if wrong.max() > 2 else wrong * 2 - 1
        torch.testing.assert_close(filled(EVERY["fd"](), scaled, fake).figures()["fd"], right, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- in an evaluation


class Bright(nn.Module):
    """Maps every sample beyond the range of images."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, z, labels=None):
        return self.generator(z).abs() + 3

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("generator"), name)


def evaluation():
    return Evaluation([FrechetDistance(Mean())], num_samples=16, statistics=None)


class Mean(nn.Module):
    num_features = 1

    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True)


class Mapped(GANData):
    """Images that a function has mapped from [−1, 1], in every split."""

    sample_shape = (1, 8, 8)

    def __init__(self, change):
        super().__init__(8, False, 0)
        self.change = change

    def load(self, split):
        return self.change(torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)


def of_ranges(call):
    """Return the warnings of a call that tell a range."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if " span [" in str(one.message)]


THREE = [lambda: FrechetDistance(Mean()), PairwiseDiversity, lambda: NearestNeighbour(Mean())]


@pytest.mark.parametrize(
    ("how", "split"),
    [("fit", "train"), ("fit", "test"), ("fit on loaders", "val"), ("validate", "val"), ("test", "test")],
)
def test_images_in_zero_to_one_are_said_once_in_a_run(make_image_gan, quiet, how, split):
    """By the guard of the data, and by none of three scores, for real samples and generated ones."""
    gan, data = make_image_gan(), Mapped(lambda x: x / 2 + 0.5)
    gan.generator.register_forward_hook(lambda module, given, made: made.abs())  # as if it had learned such data
    trainer = Trainer(**quiet, callbacks=[Evaluation([make() for make in THREE], split=split, statistics=None)])
    if how == "fit on loaders":
        found = of_ranges(lambda: trainer.fit(gan, data.train_dataloader(), data.val_dataloader()))
    else:
        found = of_ranges(lambda: getattr(trainer, how)(gan, datamodule=data))
    (words,) = found
    assert words.startswith(f"The images of the {split} split of") or words.startswith("The images of the first")
    assert "x * 2 - 1 for images in [0, 1], or Normalize(0.5, 0.5) behind ToTensor()" in words


def test_the_next_run_says_it_again(make_image_gan, quiet):
    gan, data = make_image_gan(), Mapped(lambda x: x / 2 + 0.5)
    trainer = Trainer(**quiet, callbacks=[Evaluation([PairwiseDiversity()], statistics=None)])
    for _ in range(2):
        assert len(of_ranges(lambda: trainer.validate(gan, datamodule=data))) == 1


def test_a_generator_without_a_bound_is_said_once_by_three_scores(make_image_gan, quiet):
    gan, data = make_image_gan(), Mapped(lambda x: x)
    gan.generator.register_forward_hook(lambda module, given, made: 1.5 * made.sign())
    trainer = Trainer(**quiet, callbacks=[Evaluation([make() for make in THREE], statistics=None)])
    (words,) = of_ranges(lambda: trainer.validate(gan, datamodule=data))
    assert "FrechetDistance: the generated images span [-1.5, 1.5]" in words and "give the generator a bound" in words


def test_a_score_of_its_own_says_a_fault_once_for_both_kinds():
    score, x = PairwiseDiversity(), torch.rand(8, 1, 8, 8)
    (words,) = of_ranges(lambda: [score.update(x, real=real) for real in (True, False, False)])
    assert words.startswith("PairwiseDiversity: the real images span [")


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (lambda x: (x + 1) * 127.5, "FrechetDistance: the real images"),
        (lambda x: ((x + 1) * 127.5).byte(), "the loader gave samples of dtype torch.uint8"),
    ],
    ids=["[0, 255]", "integers"],
)
def test_real_images_that_no_score_takes_stop_a_run_before_it_trains(make_image_gan, quiet, scale, words):
    x = torch.rand(16, 1, 8, 8) * 2 - 1
    gan = make_image_gan()
    val = DataLoader([(one, 0) for one in scale(x)], batch_size=8)
    with pytest.raises(ValueError, match=words):
        Trainer(**quiet, num_sanity_val_steps=0, callbacks=[evaluation()]).fit(
            gan, DataLoader([(one, 0) for one in x], batch_size=8), val
        )
    assert gan.discriminator_updates == 0


def test_generated_images_that_no_score_takes_are_no_figures_and_the_run_goes_on(make_image_gan, quiet):
    x = [(one, 0) for one in torch.rand(16, 1, 8, 8) * 2 - 1]
    gan = make_image_gan()
    gan.generator = Bright(gan.generator)
    trainer = Trainer(**quiet, callbacks=[evaluation()])
    with pytest.warns(UserWarning, match=r"no figures after 2 batches: FrechetDistance: the generated images span"):
        trainer.fit(gan, DataLoader(x, batch_size=8), DataLoader(x, batch_size=8))
    assert gan.generator_updates == 2
