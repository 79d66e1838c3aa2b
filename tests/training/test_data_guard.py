"""What is said of the data of a run: shapes, ranges, labels, ranges that change, no batch at all."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_gans import DCGAN
from lightning_gans.training import NonFiniteError

GOOD = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def small(num_classes=0):
    return DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=num_classes)


def said(call):
    """Return the warnings of this library in a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in caught if "mages of" in str(one.message)]


def refused(call):
    """Return the one line with which a call is refused."""
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- first batches


def test_images_in_the_unit_range_are_said_with_the_remedy(fit):
    (words,) = said(lambda: fit(small(), [GOOD / 2 + 0.5, GOOD / 2 + 0.5], max_epochs=2))
    assert words.startswith("The images of the first training batch span [0")
    assert "x * 2 - 1 for images in [0, 1], or Normalize(0.5, 0.5) behind ToTensor()" in words


@pytest.mark.parametrize("data", [GOOD, GOOD * 0.5, torch.zeros(4, 1, 8, 8), torch.full((4, 1, 8, 8), 0.3)])
def test_images_in_the_right_range_are_not_warned_of(fit, data):
    assert said(lambda: fit(small(), [data])) == []


def test_points_have_no_range(make_gan, fit):
    assert said(lambda: fit(make_gan(), [torch.rand(8, 2)])) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((GOOD + 1) * 127.5, "x / 127.5 - 1 for images in [0, 255]"),
        ((GOOD + 1) * 32767.5, "x / 32767.5 - 1 for images in [0, 65535]"),
        (GOOD * 127, "(x + 128) / 127.5 - 1 for images in [-128, 127]"),
        (GOOD * 2.1 + 0.2, "not the mean and standard deviation of ImageNet"),
        (GOOD * 1e6, "(x - x.min()) / (x.max() - x.min()) * 2 - 1, with the smallest and the largest value"),
    ],
)
def test_images_out_of_range_are_refused_with_what_helps(fit, data, words):
    gan = small()
    line = refused(lambda: fit(gan, [data]))
    assert line.startswith("images must lie in [-1, 1], but the first batch spans [") and words in line
    assert gan.discriminator_updates == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GOOD.permute(0, 2, 3, 1), "the channels come last: x.permute(0, 3, 1, 2)"),
        (GOOD[:, 0], "the channel is missing: x.unsqueeze(1)"),
        (GOOD[0], "this is one sample without a batch dimension: give the DataLoader a batch_size"),
        (GOOD[:, :, None], "there is a dimension too many: x.squeeze(1)"),
        (GOOD.repeat(1, 3, 1, 1), "give the model the data's shape, or let the data module resize"),
    ],
)
def test_another_shape_is_refused_with_what_helps(fit, data, words):
    assert words in refused(lambda: fit(small(), [data]))


@pytest.mark.parametrize(
    ("arrange", "remedy"),
    [
        (lambda x: x, 'the fourth channel is transparency: image.convert("RGB") before ToTensor(), or x[:, :3]'),
        (lambda x: x.permute(0, 2, 3, 1), "the fourth is transparency: x[..., :3].permute(0, 3, 1, 2)"),
    ],
)
def test_images_with_transparency_are_refused_with_a_remedy_that_trains(fit, arrange, remedy):
    x = arrange(GOOD[:, [0] * 4])
    assert remedy in refused(lambda: fit(DCGAN((3, 8, 8), latent_dim=3, width=2), [x]))
    words = remedy.rpartition(": ")[2].rpartition(" or ")[2] if "convert" in remedy else remedy.partition(": ")[2]
    gan = DCGAN((3, 8, 8), latent_dim=3, width=2)
    fit(gan, [eval(words, {"x": x})])
    assert gan.discriminator_updates == 1


def test_four_channels_train_where_the_networks_have_as_many(fit):
    gan = DCGAN((4, 8, 8), latent_dim=3, width=2)
    fit(gan, [GOOD[:, [0] * 4]])
    assert gan.discriminator_updates == 1


def spoiled(value):
    x = GOOD[:8].clone()
    x[3, 0, 2, 2] = value
    return x


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_pixel_that_is_not_finite_in_a_later_batch_is_said_of_the_data(fit, value):
    def run():
        with pytest.raises(NonFiniteError):
            fit(small(), [GOOD[:8], spoiled(value)])

    found = said(run)
    assert found == ["The images of batch 2 hold NaN or infinity; clean the data."]


@pytest.mark.parametrize("points", [False, True])
def test_a_later_batch_of_validation_that_is_not_finite_is_said_once(make_gan, fit, points):
    val = [GOOD[:8], spoiled(float("nan"))]
    gan = make_gan() if points else small()
    val = [x.flatten(1)[:, 18:20] for x in val] if points else val
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(gan, val[:1] * 2, val=val, max_epochs=2, num_sanity_val_steps=0)
    found = [str(one.message) for one in caught if "NaN" in str(one.message)]
    assert len(found) == 1 and found[0].startswith("The samples of validation batch 2 hold NaN or infinity")


def test_a_batch_of_a_test_that_is_not_finite_is_said(quiet):
    data = DataLoader([GOOD[:8], GOOD[:8], spoiled(float("inf"))], batch_size=None)
    with pytest.warns(UserWarning, match="The samples of test batch 3 hold NaN or infinity"):
        Trainer(**quiet).test(small(), data, verbose=False)


def test_labels_are_checked_before_the_first_update(fit):
    gan = small(num_classes=3)
    assert "lie in 1 ... 3" in refused(lambda: fit(gan, [(GOOD[:6], torch.arange(6) % 3 + 1)]))
    assert gan.discriminator_updates == 0


def test_labels_of_a_later_batch_are_checked_too(fit):
    good, bad = (GOOD[:6], torch.arange(6) % 3), (GOOD[:6], torch.arange(6) % 4)
    assert "lie in 0 ... 3" in refused(lambda: fit(small(num_classes=3), [good, good, bad]))


@pytest.mark.parametrize("evaluate", ["validate", "test"])
def test_evaluation_data_are_checked_too(quiet, evaluate):
    loader = DataLoader(TensorDataset((GOOD + 1) * 127.5), 4)
    line = refused(lambda: getattr(Trainer(**quiet), evaluate)(small(), loader, verbose=False))
    assert f"the first batch of {'validation' if evaluate == 'validate' else 'test'} spans [0" in line
    unit = DataLoader(TensorDataset(GOOD / 2 + 0.5), 4)
    (words,) = said(lambda: getattr(Trainer(**quiet), evaluate)(small(), unit, verbose=False))
    assert "x * 2 - 1" in words


def test_validation_data_are_checked_before_training(fit):
    gan = small()
    refused(lambda: fit(gan, [GOOD], val=[GOOD * 2]))
    assert gan.discriminator_updates == 0


# ---------------------------------------------------------------- later batches


@pytest.mark.parametrize("log_every_n_steps", [1, 50])
def test_a_range_that_changes_in_a_later_batch_is_said_once_by_its_number(fit, log_every_n_steps):
    data = [GOOD, GOOD, (GOOD + 1) * 127.5, (GOOD + 1) * 127.5]
    (words,) = said(lambda: fit(small(), data, log_every_n_steps=log_every_n_steps))
    assert words.startswith("The images of batch 3 span [0") and "x / 127.5 - 1 for images in [0, 255]" in words


def test_later_batches_in_the_unit_range_are_said(fit):
    (words,) = said(lambda: fit(small(), [GOOD, GOOD / 2 + 0.5]))
    assert "batch 2" in words and "if they are in [0, 1], scale them as the others: x * 2 - 1" in words


def test_a_few_bright_images_are_not_warned_of(fit):
    assert said(lambda: fit(small(), [GOOD, GOOD[:2] / 2 + 0.5])) == []


def test_reading_the_ranges_leaves_the_training_as_it_is(fit, weights):
    from lightning_gans.training import DataGuard

    class Off(DataGuard):
        def on_train_batch_end(self, *args):
            pass

    after = []
    for callbacks in ([], [Off()]):
        torch.manual_seed(0)
        gan = small()
        fit(gan, [GOOD[:8], GOOD[8:]], callbacks=callbacks, max_epochs=2)
        after.append(weights(gan))
    assert torch.equal(*after)


# ---------------------------------------------------------------- no batch at all


def test_a_data_set_smaller_than_a_batch_is_refused(quiet):
    loader = DataLoader(GOOD[:4], 8, drop_last=True)
    line = refused(lambda: Trainer(**quiet).fit(small(), loader))
    assert line == (
        "there is no training batch: the data set has 4 samples, fewer than one batch of 8, and drop_last=True leaves "
        "it out; use a smaller batch_size or more data."
    )


class Nothing(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize("make", [lambda: DataLoader(Nothing(), 4), lambda: DataLoader([], 4)])
@pytest.mark.parametrize("epochs", [1, -1])
def test_an_empty_data_set_is_refused(quiet, make, epochs):
    line = refused(lambda: Trainer(**{**quiet, "max_epochs": epochs}).fit(small(), make()))
    assert line.startswith("there is no training batch")
