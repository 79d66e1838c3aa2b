"""What a loader may give, and what the one line says of anything else."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from helpers import sgds
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans import GAN
from lightning_gans.batches import LABEL_KEYS, SAMPLE_KEYS, parts, samples_and_labels
from lightning_gans.objectives import Relativistic
from lightning_gans.stabilizers import LabelSmoothing

X = torch.arange(12.0).reshape(4, 3)
Y = torch.tensor([0, 2, 1, 2])
ONE_HOT = torch.eye(3)[Y]
Pair = namedtuple("Pair", ["image", "label"])


@pytest.mark.parametrize("batch", [X, (X,), [X], (X, Y), [X, Y], {"image": X}, {"IMG": X, "path": ["a"] * 4}], ids=str)
def test_samples_without_labels(batch):
    x, labels = samples_and_labels(batch)
    assert x is X and labels is None


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], Pair(X, Y), {"pixel_values": X, "labels": Y, "id": Y}], ids=str)
def test_samples_with_labels(batch):
    x, labels = samples_and_labels(batch, 3)
    assert x is X and labels is Y


@pytest.mark.parametrize("key", SAMPLE_KEYS)
@pytest.mark.parametrize("other", LABEL_KEYS)
def test_usual_keys(key, other):
    x, labels = samples_and_labels({other: Y, key: X}, 3)
    assert x is X and labels is Y


@pytest.mark.parametrize(
    "labels",
    [
        *(Y.to(kind) for kind in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.float32, torch.float64)),
        *(Y[:, None], Y[:, None].float(), ONE_HOT, ONE_HOT.long(), ONE_HOT.bool(), ONE_HOT.half()),
    ],
    ids=lambda labels: f"{labels.dtype} {labels.dim()}",
)
def test_labels_of_any_type_become_indices(labels):
    found = samples_and_labels((X, labels), 3)[1]
    assert found.tolist() == [0, 2, 1, 2] and found.dtype in (torch.int64, torch.int32)


def test_binary_labels_may_be_booleans():
    assert samples_and_labels((X, Y > 1), 2)[1].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("came", "networks", "expected"),
    [
        (torch.float64, torch.float32, torch.float32),
        (torch.float16, torch.float32, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float32, torch.bfloat16, torch.float32),  # not to less: scores compare the samples themselves
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.float64, None, torch.float64),
    ],
)
def test_samples_have_the_precision_of_the_networks(came, networks, expected):
    x, _ = samples_and_labels(X.to(came), dtype=networks)
    assert x.dtype == expected and torch.equal(x.double(), X.double())


IMAGES = torch.zeros(4, 1, 2, 2)

REFUSED = {
    "three": ((X, Y, Y), 0, "a tuple of 3 (a tensor (4, 3), a tensor (4,), a tensor (4,))"),
    "none": ((), 0, "a tuple of 0 ()"),
    "numpy": (np.zeros((4, 3)), 0, "a ndarray"),
    "strings": (["a", "b"], 0, "a list of 2 (a str, a str)"),
    "nested": ([(X, Y), (X, Y)], 0, "a list of 2 (a tuple of 2"),
    "other keys": ({"picture": X, "kind": Y}, 0, "a dict with the keys 'picture', 'kind'; expected a tensor"),
    "two keys": ({"image": X, "x": X}, 0, "'image' and 'x' could be meant; leave all but one out"),
    "a number": (torch.tensor(1.0), 0, "a tensor ()"),
    "no samples": (X[:0], 0, "gave a batch without samples, of shape (0, 3)"),
    "bytes": (IMAGES.byte(), 0, "dtype torch.uint8; expected floating point, images in [-1, 1]; convert them: "
              "x.float() / 127.5 - 1"),
    "booleans": (IMAGES.bool(), 0, "convert them: x.float() * 2 - 1"),
    "whole points": (X.long(), 0, "images in [-1, 1]; convert them: x.float()."),
    "from 1": ((X, Y + 1), 3, "labels of a batch lie in 1 ... 3; expected class indices (4,) in 0 ... 2, or one-hot "
               "rows (4, 3); subtract 1 from labels that begin at 1: y - 1"),
    "negative": ((X, Y - 1), 3, "lie in -1 ... 1; expected class indices (4,) in 0 ... 2, or one-hot rows (4, 3); "
                 "leave out samples without a class"),
    "too large": ((X, Y * 4), 3, "lie in 0 ... 8; expected class indices (4,) in 0 ... 2, or one-hot rows (4, 3); "
                  "number the classes from 0, or build the networks with num_classes=9"),
    "fractions": ((X, Y / 2), 3, "labels that are no whole numbers, such as 0.5"),
    "NaN": ((X, torch.full((4,), torch.nan)), 3, "labels that are no whole numbers, such as nan"),
    "soft": ((X, torch.full((4, 3), 1 / 3)), 3, "labels (4, 3) that are not one-hot"),
    "several": ((X, torch.ones(4, 3)), 3, "pass the class of each sample: labels.argmax(1)"),
    "other width": ((X, torch.eye(4)), 3, "labels of shape (4, 4); expected class indices (4,) in 0 ... 2"),
    "too few": ((X, Y[:3]), 3, "labels of shape (3,)"),
    "words": ((X, ("cat", "dog")), 3, "gave a tuple of 2 (a str, a str) as labels; expected class indices (4,)"),
}  # fmt: skip


@pytest.mark.parametrize(("batch", "classes", "words"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_one_line(batch, classes, words):
    with pytest.raises(ValueError) as refused:
        samples_and_labels(batch, classes)
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("batch", "classes", "words"), REFUSED.values(), ids=REFUSED)
def test_labels_are_not_read_where_the_networks_have_none(batch, classes, words):
    if classes:
        assert samples_and_labels(batch)[1] is None


# ---------------------------------------------------------------- in a GAN


def loader(*tensors, size=4):
    return DataLoader(TensorDataset(*tensors), size)


POINTS = torch.rand(8, 2)
LABELS = torch.arange(8) % 3
FORMS = {
    "tensors": lambda y: DataLoader(POINTS, 4),
    "one in a tuple": lambda y: loader(POINTS),
    "pair": lambda y: loader(POINTS, y),
    "dict": lambda y: DataLoader([{"image": x, "label": label} for x, label in zip(POINTS, y, strict=True)], 4),
    "float64": lambda y: loader(POINTS.double(), y),
    "float16": lambda y: loader(POINTS.half().float().half(), y),
    "one-hot": lambda y: loader(POINTS, torch.eye(3)[y]),
    "float labels": lambda y: loader(POINTS, y.float()),
}


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize(("form", "make"), FORMS.items(), ids=FORMS)
def test_every_form_trains_as_the_plain_one_does(make_gan, quiet, weights, form, make, accumulation):
    from lightning.pytorch import Trainer

    classes = 0 if form in ("tensors", "one in a tuple") else 3
    points = POINTS.half().float() if form == "float16" else POINTS
    plain = DataLoader(points, 4) if not classes else loader(points, LABELS)
    after = []
    for data in (plain, make(LABELS)):
        gan = make_gan(
            num_classes=classes, generator_accumulation=accumulation, discriminator_accumulation=accumulation
        )
        torch.manual_seed(0)
        Trainer(**quiet).fit(gan, data, data)
        Trainer(**quiet).test(gan, data, verbose=False)
        made = Trainer(**quiet).predict(gan, data)
        assert [len(samples) for samples in made] == [4, 4]
        after.append(weights(gan))
    assert torch.equal(*after)


def test_a_subclass_reads_batches_of_its_own(make_gan, fit, batches):
    class Own(GAN):
        def unpack_batch(self, batch):
            return super().unpack_batch(batch["deep"]["points"])

    gan = make_gan(kind=Own, generator_accumulation=3)
    fit(gan, [{"deep": {"points": one, "names": list("abcdefgh")}} for one in batches(3)])
    assert gan.generator_updates == 3


class Counting:
    """Mixed into a GAN of its own batches: how often it reads each of them, and what the hooks of Lightning get."""

    def unpack_batch(self, batch):
        self.read = [*getattr(self, "read", []), batch["number"]]
        return super().unpack_batch((batch["points"] * 1, batch["kinds"]))

    def on_train_batch_start(self, batch, batch_idx):
        self.given = [*getattr(self, "given", []), batch]


def numbered(num=3, classes=3):
    return [
        {
            "number": number,
            "points": torch.rand(6, 2).double() * 2 - 1,
            "kinds": torch.eye(classes)[torch.arange(6) % 3],
        }
        for number in range(num)
    ]


@pytest.mark.parametrize("settings", [{}, {"n_critic": 2}, {"objective": Relativistic()}], ids=str)
def test_a_batch_is_read_once_by_everything_that_trains_on_it(make_gan, fit, settings):
    kind, data = type("Own", (Counting, GAN), {}), numbered()
    gan = make_gan(num_classes=3, kind=kind, **settings)
    gan.stabilizers.append(LabelSmoothing())
    fit(gan, data, val=data[:1], num_sanity_val_steps=0)
    assert gan.read == [0, 0, 1, 2, 0, 0], "the first batch of a split once more, to be checked"
    assert [batch["number"] for batch in gan.given] == [0, 1, 2], "hooks of Lightning get the loader's own batch"
    assert gan.batch_in_hand is None


@pytest.mark.parametrize("number", [2, 3])
def test_parts_of_a_batch_are_cut_from_the_one_reading(make_gan, fit, number):
    kind, data = type("Own", (Counting, GAN), {}), numbered()
    accumulation = {"generator_accumulation": number, "discriminator_accumulation": number}
    gan = make_gan(num_classes=3, kind=kind, **accumulation)
    fit(gan, data)
    assert gan.read == [0, 0, 1, 2]


def test_one_reading_trains_as_many_do(make_gan, fit, weights, monkeypatch):
    """Bitwise, against a GAN each of whose steps reads the batch itself."""
    after = []
    for often in (False, True):
        if often:
            monkeypatch.setattr("lightning_gans.batches.read", lambda gan, batch: gan.unpack_batch(batch))
        gan = make_gan(num_classes=3, kind=type("Own", (Counting, GAN), {}), n_critic=2)
        fit(gan, numbered_alike())
        after.append(weights(gan))
    assert torch.equal(*after) and len(gan.read) > 4


def numbered_alike():
    torch.manual_seed(3)
    return numbered()


def test_a_tensor_that_a_plain_loop_fills_again_is_read_again(make_gan):
    gan, given = (
        make_gan(),
        torch.zeros(6, 2, dtype=torch.float64),
    )  # converted, so that it is not the samples themselves
    optimizers, seen = sgds(gan), []
    for value in (0.25, 0.5):
        given.fill_(value)
        gan.train_batch(given, *optimizers)
        seen.append(gan.last_steps["discriminator"].real)
        seen.append(gan.discriminator_step(given).real)
    assert [x.unique().tolist() for x in seen] == [[0.25], [0.25], [0.5], [0.5]]


def test_a_batch_that_a_step_of_ones_own_reads_is_the_loaders(make_gan, fit):
    class Own(GAN):
        def generator_step(self, batch, fake=None):
            step = super().generator_step(batch, fake)
            assert batch["weight"].shape == (len(step.fake),) and batch["scale"].shape == (2,)
            step.loss = step.loss * batch["weight"].mean()
            return step

    gan = make_gan(kind=Own, generator_accumulation=2)
    fit(gan, [{"scale": torch.ones(2), "x": torch.rand(6, 2), "weight": torch.ones(6)}] * 2)
    assert gan.generator_updates == 2


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("first", [torch.tensor(1.0), torch.ones(3), torch.ones(9, 2), torch.ones(1)], ids=str)
@pytest.mark.parametrize("number", [2, 3])
def test_a_tensor_that_is_not_of_the_samples_does_not_cut_the_batch(make_gan, fit, weights, first, number):
    """Against the same samples alone."""
    points, after = torch.rand(2, 6, 2) * 2 - 1, []
    for data in ([{"kernel": first, "image": x} for x in points], list(points)):
        gan = make_gan(generator_accumulation=number, discriminator_accumulation=number)
        fit(gan, data)
        after.append(weights(gan))
    assert torch.equal(*after)


def test_what_is_not_of_the_samples_is_in_every_part_as_it_is():
    found = list(parts({"kernel": torch.ones(3, 3), "x": X, "deep": (Y, torch.ones(2))}, 2, 4))
    assert [part["kernel"].shape for part, _ in found] == [(3, 3)] * 2 and [len(part["x"]) for part, _ in found] == [
        2,
        2,
    ]
    assert [[len(one) for one in part["deep"]] for part, _ in found] == [[2, 2]] * 2


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7])
def test_parts_of_any_structure(number):
    batch = {"image": X, "deep": [(Y, X + 1), Pair(X, Y)], "names": list("abcd"), "scale": torch.tensor(2.0), "k": 5}
    found = list(parts(batch, number, 4))
    assert len(found) == min(number, 4) and sum(share for _, share in found) == pytest.approx(1)
    assert torch.equal(torch.cat([part["image"] for part, _ in found]), X)
    assert torch.equal(torch.cat([part["deep"][0][0] for part, _ in found]), Y)
    assert [name for part, _ in found for name in part["names"]] == list("abcd")
    assert all(part["scale"] == 2 and part["k"] == 5 for part, _ in found)
    sizes = [len(piece) for piece in X.tensor_split(min(number, 4))]
    assert [len(part["image"]) for part, _ in found] == sizes
