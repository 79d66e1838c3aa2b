"""Every remedy for what a loader gives works when it is done: forms of batches, labels, shapes, ranges and sizes."""

import pytest
import torch
from helpers import small_gan
from lightning.pytorch import LightningDataModule
from PIL import Image
from remedied import each_row, fit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import Compose, Normalize, ToTensor

from lightning_gans import DCGAN, GAN
from lightning_gans.data import Digits
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import Packing

pytestmark = [pytest.mark.untrusted]

POINTS = torch.rand(17, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
X, Y = POINTS[:6], torch.arange(6) % 3
NAMED = [{"picture": x, "kind": y} for x, y in zip(X, Y, strict=True)]
NO_CLASS = torch.tensor([-1, 0, 1, -1, 0, 1])
BREEDS = ("pug", "cat", "dog", "cat", "dog", "pug")
GOOD = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
BYTES = (GOOD + 1) * 127.5
UNIT = GOOD / 2 + 0.5
PICTURES = [Image.linear_gradient("L").resize((8, 8)).rotate(90 * number) for number in range(4)]


def points(batch, num_classes=0, kind=GAN):
    fit(small_gan(num_classes, kind=kind), batch if isinstance(batch, DataLoader) else [batch])


def labelled(labels, num_classes=3):
    points((X, labels), num_classes)


def under(*keys):
    """Train on dicts of samples and labels, each with one of these keys in place of the usual one."""
    for key in keys:
        points({"x": X, key: Y} if key in ("label", "y", "target") else {key: X, "y": Y}, 3)


def images(*batches, shape=(1, 8, 8)):
    fit(DCGAN(shape, latent_dim=3, width=2), list(batches))


def typed(expression, *batches, **settings):
    """Return the remedy of converting images by an expression, as it stands in the message."""
    return {expression: lambda: images(*[eval(expression, {"x": x}) for x in batches], **settings)}


def transformed(*transforms, mode="L"):
    return torch.stack([Compose(transforms)(one.convert(mode)) for one in PICTURES])


def spoiled(x, place=3):
    x = x.clone()
    x[place, 0] = torch.nan
    return x


def cleaned(x):
    return x[x.isfinite().flatten(1).all(1)]


def validated(x):
    sets = TensorDataset(POINTS), TensorDataset(x)
    fit(small_gan(), LightningDataModule.from_datasets(*sets, batch_size=4))


def digits(shape, size):
    fit(DCGAN(shape, latent_dim=3, width=2), Digits(size), limit_train_batches=1, limit_val_batches=0)


def loader(size, samples=17, **settings):
    return DataLoader(TensorDataset(POINTS[:samples]), size, **settings)


def normed(data, norm=nn.BatchNorm1d, **settings):
    fit(GAN(MLPGenerator((2,), 3, 4, norm=norm), MLPDiscriminator((2,), 4, norm=norm), **settings), data)


def packed(data, **settings):
    fit(small_gan(**settings), data, callbacks=[Packing(3)])


class OwnKeys(GAN):
    """A model that reads the batches of its own data set."""

    def unpack_batch(self, batch):
        return batch["picture"], batch.get("kind")


REMEDIES = {
    # ------------------------------------------------------------ what a batch is
    "gave a batch without samples": (
        lambda: fit(small_gan(), [X, X[:0]]),
        {"leave empty batches out": lambda: fit(small_gan(), [batch for batch in (X, X[:0]) if len(batch)])},
    ),
    "of which … could be meant": (
        lambda: points({"image": X, "x": X}),
        {
            "leave all but one out": lambda: points({"image": X}),
            "override unpack_batch of the model, which returns (samples, labels)": lambda: points(
                {"image": X, "x": X, "picture": X}, kind=OwnKeys
            ),
        },
    ),
    "expected a tensor of samples (N, ...)": (
        lambda: points(DataLoader(NAMED, 6), 3),
        {
            "a tensor of samples (N, ...)": lambda: points(X),
            "a pair (samples, labels)": lambda: labelled(Y),
            "a dict with samples under {}, {}, {}, ... and labels under {}, {}, {}, ...": under,
            "change the data set": lambda: points(DataLoader([(one["picture"], one["kind"]) for one in NAMED], 6), 3),
            "or its collate_fn": lambda: points(DataLoader(NAMED, 6, collate_fn=lambda rows: (X, Y)), 3),
            "or override unpack_batch of the model, which returns (samples, labels)": lambda: points(
                DataLoader(NAMED, 6), 3, OwnKeys
            ),
        },
    ),
    "gave samples of dtype": (lambda: images(BYTES.byte()), typed("x.float() / 127.5 - 1", BYTES.byte())),
    # ------------------------------------------------------------ labels
    "expected class indices (…,) in 0": (
        lambda: labelled(torch.eye(6)),
        {
            "class indices ({},) in 0 ... {},": lambda num, last: labelled(torch.arange(int(num)) % (int(last) + 1)),
            "one-hot rows ({}, {})": lambda _, classes: labelled(torch.eye(int(classes))[Y]),
        },
    ),
    "as labels; …; number the classes from 0": (
        lambda: labelled(BREEDS),
        {
            "number the classes from 0": lambda: labelled(
                torch.tensor([sorted(set(BREEDS)).index(name) for name in BREEDS])
            )
        },
    ),
    "that are not one-hot": (
        lambda: labelled(torch.rand(6, 3)),
        {"pass the class of each sample: labels.argmax(1)": lambda: labelled(torch.rand(6, 3).argmax(1))},
    ),
    "gave labels of dtype": (
        lambda: labelled(Y * (1 + 0j)),
        {"convert them: labels.long()": lambda: labelled((Y * (1 + 0j)).long())},
    ),
    "leave out samples without a class": (
        lambda: labelled(NO_CLASS),
        {
            "leave out samples without a class": lambda: points((X[NO_CLASS >= 0], NO_CLASS[NO_CLASS >= 0]), 3),
            "or number the classes from 0": lambda: labelled(NO_CLASS + 1),
        },
    ),
    "or build the networks with num_classes=": (
        lambda: labelled(4 * Y),
        {
            "number the classes from 0": lambda: labelled((4 * Y).unique(return_inverse=True)[1]),
            "build the networks with num_classes={}": lambda num: labelled(4 * Y, int(num)),
        },
    ),
    "the networks are conditional, but": (
        lambda: points(X, 3),
        {
            "give pairs (samples, labels)": lambda: labelled(Y),
            "or a dict with {}, {} or {},": under,
            "or networks without classes": lambda: points(X),
        },
    ),
    # ------------------------------------------------------------ values
    "samples in the first batch hold NaN": (
        lambda: points(spoiled(X)),
        {"clean the data": lambda: points(cleaned(spoiled(X)))},
    ),
    "samples of … batch … hold NaN": (
        lambda: validated(spoiled(POINTS, place=12)),
        {"clean the data": lambda: validated(cleaned(spoiled(POINTS, place=12)))},
    ),
    "images of batch … hold NaN": (
        lambda: images(GOOD, spoiled(GOOD)),
        {"clean the data": lambda: images(GOOD, cleaned(spoiled(GOOD)))},
    ),
    "images must lie in [-1, 1]": (lambda: images(BYTES), typed("x / 127.5 - 1", BYTES)),
    "have no negative value, as images": (
        lambda: images(transformed(ToTensor())),
        {
            **typed("x * 2 - 1", transformed(ToTensor())),
            "or Normalize(0.5, 0.5) behind ToTensor()": lambda: images(transformed(ToTensor(), Normalize(0.5, 0.5))),
        },
    ),
    "and [-1, 1] is expected; scale all": (
        lambda: images(torch.zeros_like(BYTES), BYTES),
        typed("x / 127.5 - 1", torch.zeros_like(BYTES), BYTES),
    ),
    "scale them as the others": (
        lambda: images(GOOD, UNIT),
        {"if they are in [0, 1], scale them as the others: x * 2 - 1": lambda: images(GOOD, UNIT * 2 - 1)},
    ),
    # ------------------------------------------------------------ shapes
    "one sample without a batch dimension": (
        lambda: images(*GOOD),
        {"give the DataLoader a batch_size": lambda: fit(DCGAN((1, 8, 8), latent_dim=3, width=2), DataLoader(GOOD, 4))},
    ),
    "give the model the data's shape": (
        lambda: digits((1, 8, 8), size=16),
        {
            "give the model the data's shape": lambda: digits((1, 16, 16), size=16),
            "or let the data module resize (its `size`)": lambda: digits((1, 8, 8), size=8),
        },
    ),
    # ------------------------------------------------------------ numbers of samples
    "leave such a batch out (DataLoader(": (
        lambda: normed(loader(8)),
        {
            "drop_last=True": lambda: normed(loader(8, drop_last=True)),
            "use another batch_size": lambda: normed(loader(5)),
            "or another norm": lambda: normed(loader(8), nn.LayerNorm),
        },
    ),
    "fewer parts in accumulation": (
        lambda: normed(loader(8, 16), generator_accumulation=8),
        {"fewer parts in accumulation": lambda: normed(loader(8, 16), generator_accumulation=4)},
    ),
    "does not divide into packs of …, and drop_last=True": (
        lambda: packed(loader(8, 16), generator_accumulation=2),
        {
            "use a batch_size that is a multiple of {}, also in every part of an accumulated batch, and drop_last=True "
            "in the DataLoader": lambda pack: packed(
                loader(2 * int(pack), 16, drop_last=True), generator_accumulation=2
            )
        },
    ),
    "and drop_last=True leaves it out": (
        lambda: fit(small_gan(), loader(8, 4, drop_last=True)),
        {
            "use a smaller batch_size": lambda: fit(small_gan(), loader(4, 4, drop_last=True)),
            "or more data": lambda: fit(small_gan(), loader(8, 8, drop_last=True)),
        },
    ),
    "the training loader gives none": (
        lambda: fit(small_gan(), DataLoader([], 4)),
        {"give it a data set that is not empty": lambda: fit(small_gan(), loader(4))},
    ),
}

IMAGENET = Normalize(0.449, 0.226)
SHORT = BYTES.short()
RGBA = transformed(ToTensor(), Normalize(0.5, 0.5), mode="RGBA")
VARIANTS = {  # of messages above, and of those in the same functions, which advise by what they find
    "booleans": ("gave samples of dtype", lambda: images(GOOD > 0), typed("x.float() * 2 - 1", GOOD > 0)),
    "whole points": (
        "gave samples of dtype",
        lambda: points(X.round().long()),
        {"x.float()": lambda: points(X.round().long().float())},
    ),
    "whole images": (
        "gave samples of dtype",
        lambda: images(SHORT),
        {"x.float(), images scaled to [-1, 1]": lambda: images(SHORT.float() / 127.5 - 1)},
    ),
    "from 1": (
        "the labels of a batch lie in",
        lambda: labelled(Y + 1),
        {"subtract 1 from labels that begin at 1: y - 1": lambda: labelled(Y + 1 - 1)},
    ),
    "16 bit": ("images must lie in", lambda: images(BYTES * 257), typed("x / 32767.5 - 1", BYTES * 257)),
    "signed": ("images must lie in", lambda: images(GOOD * 127), typed("(x + 128) / 127.5 - 1", GOOD * 127)),
    "brighter": ("images must lie in", lambda: images(BYTES * 1e3), typed("x / (x.max() / 2) - 1", BYTES * 1e3)),
    "any": (
        "images must lie in",
        lambda: images(GOOD * 1e3),
        typed("(x - x.min()) / (x.max() - x.min()) * 2 - 1", GOOD * 1e3),
    ),
    "ImageNet": (
        "images must lie in",
        lambda: images(transformed(ToTensor(), IMAGENET)),
        {"Normalize(0.5, 0.5) behind ToTensor()": lambda: images(transformed(ToTensor(), Normalize(0.5, 0.5)))},
    ),
    "channels last": (
        "the channels come last",
        lambda: images(GOOD.permute(0, 2, 3, 1)),
        typed("x.permute(0, 3, 1, 2)", GOOD.permute(0, 2, 3, 1)),
    ),
    "no channel": ("the channel is missing", lambda: images(GOOD[:, 0]), typed("x.unsqueeze(1)", GOOD[:, 0])),
    "too many": ("a dimension too many", lambda: images(GOOD[:, None]), typed("x.squeeze(1)", GOOD[:, None])),
    "transparency": (
        "the fourth channel is transparency",
        lambda: images(RGBA, shape=(3, 8, 8)),
        {
            'image.convert("RGB") before ToTensor()': lambda: images(
                transformed(ToTensor(), Normalize(0.5, 0.5), mode="RGB"), shape=(3, 8, 8)
            ),
            **typed("x[:, :3]", RGBA, shape=(3, 8, 8)),
        },
    ),
    "transparency last": (
        "and the fourth is transparency",
        lambda: images(RGBA.permute(0, 2, 3, 1), shape=(3, 8, 8)),
        typed("x[..., :3].permute(0, 3, 1, 2)", RGBA.permute(0, 2, 3, 1), shape=(3, 8, 8)),
    ),
}


test_a_remedy_works = each_row(REMEDIES)
test_a_remedy_for_what_is_found_works = each_row(VARIANTS)
