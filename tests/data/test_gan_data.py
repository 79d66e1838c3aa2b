import ast
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning import LightningModule, Trainer
from torch.utils.data import Dataset

import lightning_gans.data
from lightning_gans.data import (
    CIFAR10,
    MNIST,
    Blank,
    CelebA,
    Digits,
    FashionMNIST,
    GANData,
    GaussianGrid,
    GaussianRing,
    ImageFolder,
    ParallelLines,
    Samples,
    StackedMNIST,
)
from lightning_gans.data.base import batch_generator, fixed_generator, to_unit_range

EVERY = [
    (GaussianRing, {}, (2,), 8),
    (GaussianGrid, {}, (2,), 25),
    (ParallelLines, {}, (2,), 0),
    (Blank, {"image_shape": [3, 12, 16]}, (3, 12, 16), 0),
    (Digits, {}, (1, 8, 8), 10),
    (Digits, {"size": 16}, (1, 16, 16), 10),
    (MNIST, {}, (1, 28, 28), 10),
    (FashionMNIST, {"size": 32}, (1, 32, 32), 10),
    (CIFAR10, {}, (3, 32, 32), 10),
    (CIFAR10, {"size": 64}, (3, 64, 64), 10),
    (StackedMNIST, {}, (3, 28, 28), 1000),
    (StackedMNIST, {"size": 32}, (3, 32, 32), 1000),
    (CelebA, {"size": 32}, (3, 32, 32), 2),
    (ImageFolder, {"root": "nowhere", "channels": 1, "size": (16, 24)}, (1, 16, 24), None),
]


class Counting(GANData):
    """The numbers 0 … n − 1, which show order, dropped samples and labels."""

    def __init__(self, counts=(10, 5, 3), batch_size=4, labels=False, num_workers=0):
        super().__init__(batch_size, labels, num_workers)
        self.counts = dict(zip(("train", "val", "test"), counts, strict=True))
        self.loaded = []

    @property
    def sample_shape(self):
        return (1,)

    def count_classes(self):
        return 2

    def load(self, split):
        self.loaded.append(split)
        x = torch.arange(self.counts[split]).float().unsqueeze(1)
        return Samples(x, (x[:, 0] % 2).long() if self.labels else None)


class Recorder(LightningModule):
    """A module that trains nothing and keeps the batches that it is given."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.seen = {"train": [], "val": [], "test": [], "predict": []}

    def configure_optimizers(self):
        return None

    def training_step(self, batch, batch_idx):
        self.seen["train"].append(batch)

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append(batch)

    def test_step(self, batch, batch_idx):
        self.seen["test"].append(batch)

    def predict_step(self, batch, batch_idx):
        self.seen["predict"].append(batch)


def quiet_trainer(**options):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@pytest.mark.parametrize(("cls", "options", "shape", "classes"), EVERY)
def test_shape_and_classes_are_known_before_anything_is_read(cls, options, shape, classes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = cls(**options)
    assert data.sample_shape == shape
    assert data.num_classes == 0
    if classes:
        assert cls(**options, labels=True).num_classes == classes
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("cls", "options", "shape", "classes"), EVERY)
def test_command_line_parses_builds_and_saves(cls, options, shape, classes):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(GANData, "data")
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in options.items()}
    config = parser.parse_object({"data": {"class_path": cls.__name__, "init_args": {**options, "batch_size": 3}}})
    saved = parser.dump(config)
    again = parser.parse_string(saved)
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # the older name
    data = instantiate(again).data
    assert type(data) is cls and data.batch_size == 3 and data.sample_shape == shape
    assert parser.dump(again) == saved


def test_every_argument_is_documented_in_the_help():
    for cls in (GaussianRing, FashionMNIST, CIFAR10, StackedMNIST, CelebA, ImageFolder):
        parser = ArgumentParser()
        parser.add_class_arguments(cls, "data")
        text = " ".join(parser.format_help().split())
        assert "samples in" in text or "in a batch, in each process" in text, cls
        assert "processes that" in text, cls


def test_batches_of_a_fit():
    module, data = Recorder(), Counting()
    quiet_trainer(max_epochs=2, num_sanity_val_steps=0).fit(module, data)
    train = module.seen["train"]
    assert [len(x) for x in train] == [4] * 4, "two epochs of two full batches; the last partial one is dropped"
    assert all(x.dtype == torch.float32 for x in train)
    epochs = [torch.cat(train[:2]).flatten(), torch.cat(train[2:]).flatten()]
    assert len(epochs[0].unique()) == 8
    assert not torch.equal(epochs[0], epochs[1]), "shuffled anew in every epoch"
    assert torch.cat(module.seen["val"][:2]).flatten().tolist() == [0, 1, 2, 3, 4], "in order, nothing dropped"
    assert data.loaded == ["train", "val"], "loaded once each; the test set is not read to fit"


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_test_and_predict_read_the_test_set(stage):
    module, data = Recorder(), Counting()
    getattr(quiet_trainer(), stage)(module, datamodule=data)
    assert torch.cat(module.seen[stage]).flatten().tolist() == [0, 1, 2]
    assert data.loaded == ["test"]


def test_setup_is_idempotent_and_loaders_work_without_a_trainer():
    data = Counting()
    data.setup()
    data.setup("fit")
    assert data.loaded == ["train", "val", "test"]
    assert len(next(iter(data.train_dataloader()))) == 4


def test_labels_come_as_int64_beside_the_samples():
    x, y = next(iter(Counting(labels=True).train_dataloader()))
    assert y.dtype == torch.int64 and y.shape == (4,)
    assert torch.equal(y, (x[:, 0] % 2).long())
    assert Counting(labels=True).num_classes == 2
    one, label = Counting(labels=True).load("train")[3]
    assert one.tolist() == [3.0] and label.item() == 1


def test_an_ordinary_data_set_is_collated():
    class Ordinary(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return torch.full((2,), float(index))

    class OrdinaryData(Counting):
        def load(self, split):
            return Ordinary()

    assert next(iter(OrdinaryData().val_dataloader())).shape == (4, 2)


def test_an_empty_validation_or_test_set_has_no_loader():
    data = Counting(counts=(4, 0, 0))
    assert data.val_dataloader() == [] and data.test_dataloader() == []
    module = Recorder()
    quiet_trainer(max_epochs=1).fit(module, data)
    assert len(module.seen["train"]) == 1 and module.seen["val"] == []


def test_a_batch_size_beyond_the_training_set_is_refused():
    with pytest.raises(ValueError, match=r"batch_size=11 .*Counting holds \(10 samples\); use batch_size <= 10"):
        Counting(batch_size=11).train_dataloader()
    assert len(Counting(batch_size=10).train_dataloader()) == 1


def test_a_batch_size_beyond_the_share_of_a_process_is_refused():
    class TwoProcesses:
        world_size = 2

    data = Counting(batch_size=6)
    data.trainer = TwoProcesses()
    with pytest.raises(ValueError, match=r"10 samples shared by 2 processes\); use batch_size <= 5"):
        data.train_dataloader()


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2.5}, {"num_workers": -1}])
def test_arguments_out_of_range_are_refused(options):
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"^Counting\({name}={value}\): expected a whole number of at least [01],"):
        Counting(**options)


def test_labels_of_data_without_labels_are_refused():
    class Unlabelled(GANData):
        sample_shape = (1,)

        def load(self, split):
            raise NotImplementedError

    assert Unlabelled().num_classes == 0
    with pytest.raises(ValueError, match="labels=True, but Unlabelled has no labels; use labels=False"):
        Unlabelled(labels=True)


def test_workers_deliver_the_same_set():
    loader = Counting(counts=(10, 9, 1), num_workers=2).val_dataloader()
    assert loader.persistent_workers
    assert torch.cat(list(loader)).flatten().tolist() == list(range(9))


def test_bytes_become_minus_one_to_one_exactly():
    x = to_unit_range(torch.tensor([0, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32 and x.tolist() == [-1.0, 1.0]


def test_fresh_random_numbers_follow_the_run_and_differ_between_processes():
    def draw(seed, indices):
        torch.manual_seed(seed)
        return torch.rand(3, generator=batch_generator(indices))

    assert torch.equal(draw(0, [5, 6]), draw(0, [5, 6]))
    assert not torch.equal(draw(0, [5, 6]), draw(1, [5, 6]))
    assert not torch.equal(draw(0, [5, 6]), draw(0, [7, 6])), "equal seeds, another process's indices"


def test_fixed_random_numbers_differ_between_splits_and_seeds():
    draws = {
        torch.rand(1, generator=fixed_generator(seed, split)).item()
        for seed in (0, 1, 2)
        for split in ("train", "val", "test")
    }
    assert len(draws) == 9


def test_torchvision_and_sklearn_are_imported_only_where_they_are_used():
    for path in Path(lightning_gans.data.__file__).parent.glob("*.py"):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                assert not {"torchvision", "sklearn"} & set(ast.unparse(statement).replace(".", " ").split()), path
