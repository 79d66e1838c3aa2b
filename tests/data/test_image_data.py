import pickle
import struct
from urllib.error import URLError

import pytest
import torch

from lightning_gans.data import CIFAR10, MNIST, Blank, Digits, FashionMNIST, StackedMNIST


def write_idx(folder, train=60, test=20):
    """Write MNIST's four files: an image of digit d has the grey value 20 d, and its number in its first pixel."""
    folder.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        y = torch.arange(count, dtype=torch.uint8) % 10
        x = (20 * y).view(-1, 1, 1).repeat(1, 28, 28)
        x[:, 0, 0] = torch.arange(count, dtype=torch.uint8) + (100 if name == "t10k" else 0)
        header = struct.pack(">iiii", 2051, count, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + x.numpy().tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, count) + y.numpy().tobytes())


def write_cifar(folder, count=12):
    """Write CIFAR-10's seven files: red is the class, green the number of the file, blue 200."""
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        y = torch.arange(count) % 10
        x = torch.stack([y, torch.full((count,), number), torch.full((count,), 200)], 1).byte()
        x = x.repeat_interleave(1024, dim=1)
        (folder / name).write_bytes(pickle.dumps({"data": x.numpy(), "labels": y.tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


@pytest.fixture
def mnist(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw")
    write_idx(tmp_path / "FashionMNIST" / "raw", train=30)
    return str(tmp_path)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cifar-10-batches-py")
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return str(tmp_path)


@pytest.fixture
def no_network(monkeypatch):
    def fail(*_, **__):
        print("chatter")
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fail)
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)


def whole(data, split):
    samples = data.load(split)
    return samples.__getitems__(range(len(samples)))


@pytest.mark.parametrize("size", [8, 16, 32])
def test_digits(size):
    data = Digits(size=size, labels=True)
    parts = {split: whole(data, split) for split in ("train", "val", "test")}
    assert sum(len(x) for x, _ in parts.values()) == 1797
    for x, y in parts.values():
        assert x.shape[1:] == data.sample_shape == (1, size, size)
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.min() == -1 and x.max() == 1
        share = torch.bincount(y, minlength=10) / len(y)
        assert (share - 0.1).abs().max() < 0.01, "stratified"
    assert 0.095 < len(parts["val"][0]) / 1797 < 0.101 and len(parts["val"][0]) == len(parts["test"][0])


def test_digits_split_is_disjoint_fixed_and_whole():
    from sklearn.datasets import load_digits

    def rows(x):
        return sorted(tuple(row) for row in x.flatten(1).tolist())

    parts = [whole(Digits(), split) for split in ("train", "val", "test")]
    original = torch.from_numpy(load_digits().images).float() / 8 - 1
    assert rows(torch.cat(parts)) == rows(original)
    torch.manual_seed(99)
    assert torch.equal(whole(Digits(), "val"), parts[1])


def test_mnist_splits(mnist):
    data = MNIST(mnist, val_size=10, labels=True)
    data.prepare_data()
    (x, y), (x_val, y_val), (x_test, y_test) = (whole(data, split) for split in ("train", "val", "test"))
    assert x.shape == (50, 1, 28, 28) and x_val.shape == (10, 1, 28, 28) and x_test.shape == (20, 1, 28, 28)
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    for images, labels in ((x, y), (x_val, y_val), (x_test, y_test)):
        assert torch.allclose(images[:, 0, 5, 5], 20 * labels / 127.5 - 1), "labels go with their images"

    def numbers(images):
        return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()

    assert sorted(numbers(x) + numbers(x_val)) == list(range(60)), "disjoint, nothing lost"
    assert numbers(x_test) == list(range(100, 120))
    assert numbers(x_val) != list(range(10)) and numbers(x_val) != list(range(50, 60)), "drawn, not a slice"
    torch.manual_seed(5)
    assert torch.equal(whole(MNIST(mnist, val_size=10), "val"), x_val), "the same ones each time"


def test_mnist_options(mnist):
    x = next(iter(MNIST(mnist, val_size=0, size=32, batch_size=7).train_dataloader()))
    assert x.shape == (7, 1, 32, 32) and x.min() >= -1 and x.max() <= 1
    assert MNIST(mnist, val_size=0).val_dataloader() == []
    assert len(MNIST(mnist, val_size=0).load("train")) == 60
    with pytest.raises(ValueError, match="val_size=5000 leaves nothing of the 60 training images of MNIST; use val"):
        MNIST(mnist).setup("fit")


def test_resizing_keeps_flat_images_flat(mnist):
    x = whole(MNIST(mnist, size=56), "test")[:, :, 10:]
    assert torch.allclose(x, x[:, :, :1, :1].expand_as(x))


def test_fashion_mnist_reads_its_own_folder(mnist):
    assert len(FashionMNIST(mnist, val_size=0).load("train")) == 30


@pytest.mark.parametrize("size", [None, 64])
def test_cifar10(cifar, size):
    data = CIFAR10(cifar, size=size, val_size=10, labels=True)
    data.prepare_data()
    (x, y), (x_val, _), (x_test, _) = (whole(data, split) for split in ("train", "val", "test"))
    assert x.shape == (50, *data.sample_shape) and len(x_val) == 10 and len(x_test) == 12
    bytes_ = ((x + 1) * 127.5).round()
    assert torch.equal(bytes_[:, 0].mean((1, 2)), y.float()), "red first"
    assert (bytes_[:, 2] == 200).all() and bytes_[:, 1].max() == 4
    assert (((x_test[:, 1] + 1) * 127.5).round() == 5).all(), "the test file only"


def test_stacked_mnist(mnist):
    data = StackedMNIST(mnist, val_size=10, num_samples=400, num_val_samples=300, num_test_samples=200, labels=True)
    for split, count in (("train", 400), ("val", 300), ("test", 200)):
        x, y = whole(data, split)
        assert x.shape == (count, 3, 28, 28) and x.dtype == torch.float32 and y.dtype == torch.int64
        digits = ((x[:, :, 5, 5] + 1) * 127.5 / 20).round().long()
        assert torch.equal(y, 100 * digits[:, 0] + 10 * digits[:, 1] + digits[:, 2]), "channels say the label"
        assert len(y.unique()) > 0.7 * min(count, 200), "the channels are independent"
    assert not torch.equal(whole(data, "train")[1], whole(data, "train")[1]), "made on the fly"
    assert torch.equal(whole(data, "val")[0], whole(data, "val")[0])
    torch.manual_seed(4)
    first = whole(data, "train")[1]
    torch.manual_seed(4)
    assert torch.equal(first, whole(data, "train")[1])


def test_stacked_mnist_splits_use_their_own_digits(mnist):
    data = StackedMNIST(mnist, val_size=10, num_samples=500, num_val_samples=500, num_test_samples=500)
    used = [set(whole(data, split)[:, :, 0, 0].flatten().tolist()) for split in ("train", "val", "test")]
    assert [len(one) for one in used] == [50, 10, 20]
    assert len(set.union(*used)) == 80


def test_stacked_mnist_size(mnist):
    x = next(iter(StackedMNIST(mnist, size=32, val_size=10, batch_size=5).train_dataloader()))
    assert x.shape == (5, 3, 32, 32)


@pytest.mark.parametrize(
    ("cls", "folder"),
    [
        (MNIST, "MNIST/raw"),
        (FashionMNIST, "FashionMNIST/raw"),
        (StackedMNIST, "MNIST/raw"),
        (CIFAR10, "cifar-10-batches-py"),
    ],
)
def test_missing_files_without_a_network(cls, folder, tmp_path, no_network, capsys):
    data = cls(str(tmp_path))
    for method, said in ((data.prepare_data, "could not be downloaded"), (data.setup, "is missing or incomplete")):
        with pytest.raises(FileNotFoundError) as caught:
            method()
        line = str(caught.value)
        assert "\n" not in line and said in line and str(tmp_path / folder) in line
        assert "copy its files to that folder, or run once with a network" in line
        assert caught.value.__suppress_context__
    captured = capsys.readouterr()
    assert "chatter" not in captured.out + captured.err


def test_absent_files_are_downloaded(tmp_path, monkeypatch):
    asked = []

    def deliver(url, download_root, filename, md5):
        asked.append(filename)
        if len(asked) == 1:
            (tmp_path / "MNIST" / "raw").rmdir()
            write_idx(tmp_path / "MNIST" / "raw")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", deliver)
    data = MNIST(str(tmp_path), val_size=10, batch_size=4)
    data.prepare_data()
    data.prepare_data()
    assert len(asked) == 4, "once"
    data.setup("fit")


def test_damaged_files(mnist, tmp_path):
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03rubbish")
    with pytest.raises(ValueError, match=r"MNIST has damaged files in .*; delete that folder") as caught:
        MNIST(mnist).setup("fit")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Digits, "size", 7),
        (MNIST, "size", 4),
        (MNIST, "val_size", -1),
        (StackedMNIST, "val_size", 0),
        (StackedMNIST, "num_samples", 0),
        (StackedMNIST, "num_val_samples", 0),
        (StackedMNIST, "num_test_samples", 0),
    ],
)
def test_arguments_out_of_range_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{cls.__name__}\({name}={value}\): expected a whole number of at least \d"):
        cls(**{name: value})


def test_blank_images_have_labels_in_turn():
    data = Blank((1, 4, 6), num_samples=7, batch_size=7, num_classes=3)
    x, y = next(iter(data.train_dataloader()))
    assert data.num_classes == 3 and x.shape == (7, 1, 4, 6) and not x.any()
    assert y.dtype == torch.int64 and sorted(y.tolist()) == [0, 0, 0, 1, 1, 2, 2]
    assert Blank((1, 4, 6)).num_classes == 0


def test_blank_images_are_zeros_in_the_number_asked_for():
    data = Blank((1, 4, 6), num_samples=10, batch_size=4)
    for stage, split, sizes in (("fit", data.train_dataloader, [4, 4]), ("test", data.test_dataloader, [4, 4, 2])):
        data.setup(stage)
        found = list(split())
        assert [tuple(x.shape) for x in found] == [(size, 1, 4, 6) for size in sizes]
        assert not any(x.any() for x in found)
    assert data.val_dataloader() == [] and data.num_classes == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": [28, 28]}, r"^Blank\(image_shape=\[28, 28\]\): expected channels, height and width, such as"),
        ({"image_shape": [0, 8, 8]}, r"^Blank\(image_shape\[0\]=0\): expected a whole number of at least 1"),
        ({"image_shape": [3, 8, 8.5]}, r"^Blank\(image_shape\[2\]=8.5\): expected a whole number of at least 1"),
        ({"num_classes": -1}, r"^Blank\(num_classes=-1\): expected a whole number of at least 0, such as 0\.$"),
        ({"num_samples": 0}, r"^Blank\(num_samples=0\): expected a whole number of at least 1, such as 6400\.$"),
    ],
)
def test_blank_images_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Blank(**arguments)
