"""Evaluation: statistics of real samples on disk, what they depend on and when they are refused."""

import pytest
import torch
from evaluation_helpers import Kept, Points, Shift, Twice, evaluation, fit_ring, ring
from safetensors import safe_open
from safetensors.torch import save_file

from lightning_gans.metrics import ModeCoverage

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Statistics of real samples are kept in runs/statistics of the current folder."""
    monkeypatch.chdir(tmp_path)


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "runs/statistics").iterdir())


def real_updates(monkeypatch):
    """Return a list that gets the number of real samples of every update of a `Shift`."""
    shown = []
    update = Shift.update
    monkeypatch.setattr(
        Shift, "update", lambda self, samples, real: shown.append(len(samples) * real) or update(self, samples, real)
    )
    return shown


def test_a_second_run_reads_the_statistics_of_the_first(make_gan, quiet, tmp_path, monkeypatch):
    shown, figures = real_updates(monkeypatch), []
    for _ in range(2):
        callback = evaluation(Shift(Twice()), Kept())
        fit_ring(quiet, make_gan(), callback)
        figures.append(callback.board.figures)
        assert len(files(tmp_path)) == 2
    assert figures[0] == figures[1]
    assert sum(shown) == 40 + 2 + 2, "each run tries two"
    names = files(tmp_path)
    assert names[0].startswith("GaussianRing_val_40_Kept_") and names[1].startswith("GaussianRing_val_40_Shift_Twice_")
    assert not list((tmp_path / "runs/statistics").glob("*.part"))
    assert torch.equal(callback.metrics[1].seen[0][0], ring().load("val").x), "of kept samples too"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "new_files"),
    [
        ({"num_samples": 30}, 1),
        ({"split": "train"}, 1),
        ({"metrics": [Shift(scale=2.0)]}, 1),
        ({"metrics": [Shift(Twice())]}, 1),
        ({"data": {"radius": 3.0}}, 1),
        ({"data": {"batch_size": 8}}, 0),
        ({"seed": 1}, 0),
        ({"batch_size": 3}, 0),
        ({"num_samples": 60}, 0),
    ],
    ids=str,
)
def test_what_statistics_depend_on(make_gan, quiet, tmp_path, change, new_files):
    fit_ring(quiet, make_gan(), evaluation())
    data = ring(**change.pop("data", {}))
    fit_ring(quiet, make_gan(), evaluation(*change.pop("metrics", []), **change), data=data)
    assert len(files(tmp_path)) == 1 + new_files


def test_statistics_can_be_kept_elsewhere_or_not_at_all(make_gan, quiet, tmp_path):
    fit_ring(quiet, make_gan(), evaluation(statistics="other/place"))
    fit_ring(quiet, make_gan(), evaluation(statistics=None))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert len(list((tmp_path / "other/place").iterdir())) == 1


def test_a_score_without_real_samples_keeps_none(make_gan, quiet, tmp_path):
    callback = evaluation(ModeCoverage())
    fit_ring(quiet, make_gan(), callback)
    assert not (tmp_path / "runs").exists() and callback.board.real == 0


def test_statistics_of_other_data_are_refused(make_gan, quiet, tmp_path, monkeypatch):
    fit_ring(quiet, make_gan(), evaluation(), data=Points(16))
    monkeypatch.setattr(Points, "x", Points.x + 1e-6)
    with pytest.raises(
        ValueError, match=r"Points_val_40_Shift_\w+.safetensors' were made of other data.*delete"
    ) as error:
        fit_ring(quiet, make_gan(), evaluation(), data=Points(16))
    assert "\n" not in str(error.value)


def test_statistics_of_another_network_are_refused(make_gan, quiet, tmp_path):
    class Same(Twice):
        def __init__(self, factor):
            super().__init__(factor)
            del factor

    fit_ring(quiet, make_gan(), evaluation(Shift(Same(2.0))))
    with pytest.raises(ValueError, match=r"were made by another feature network.*delete"):
        fit_ring(quiet, make_gan(), evaluation(Shift(Same(3.0))))


@pytest.mark.parametrize("content", [b"", b"words", "half"], ids=str)
def test_a_file_that_cannot_be_read_is_refused(make_gan, quiet, tmp_path, content):
    fit_ring(quiet, make_gan(), evaluation())
    (path,) = (tmp_path / "runs/statistics").iterdir()
    path.write_bytes(path.read_bytes()[:-5] if content == "half" else content)
    with pytest.raises(ValueError, match=rf"{path.name}' cannot be read .*delete"):
        fit_ring(quiet, make_gan(), evaluation())


def test_statistics_that_were_changed_under_their_marks_are_refused_and_deleting_them_mends_it(
    make_gan, quiet, tmp_path
):
    figures = []
    for poisoned in (False, True, False):
        if poisoned:
            (path,) = (tmp_path / "runs/statistics").iterdir()
            with safe_open(path, framework="pt") as file:
                marks, state = file.metadata(), {name: file.get_tensor(name) * 3 for name in file.keys()}  # noqa: SIM118
            save_file(state, path, marks)
            with pytest.raises(ValueError, match=r"were changed after they were written; delete the file"):
                fit_ring(quiet, make_gan(), evaluation())
            path.unlink()
        callback = evaluation()
        fit_ring(quiet, make_gan(), callback)
        figures.append(callback.board.figures)
    assert figures[0] == figures[1] == figures[2]


def test_statistics_of_an_older_version_are_made_again(make_gan, quiet, tmp_path):
    callback = evaluation()
    fit_ring(quiet, make_gan(), callback)
    (path,) = (tmp_path / "runs/statistics").iterdir()
    with safe_open(path, framework="pt") as file:
        marks, state = file.metadata(), {name: file.get_tensor(name) + 1 for name in file.keys()}  # noqa: SIM118
    del marks["content"]
    save_file(state, path, marks)
    second = evaluation()
    fit_ring(quiet, make_gan(), second)
    assert second.board.figures == callback.board.figures


def test_a_file_is_written_as_a_whole_or_not_at_all(make_gan, quiet, tmp_path, monkeypatch):
    def fail(source, target):
        assert len(list((tmp_path / "kept").iterdir())) == 1, "under another name until it is complete"
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        callback = evaluation(statistics="kept")
        callback.on_fit_start(_started(quiet, make_gan, callback), make_gan())
    assert not list((tmp_path / "kept").iterdir())


def _started(quiet, make_gan, callback):
    """Return a Trainer that has run, with an Evaluation set up for it."""
    trainer = fit_ring(quiet, make_gan())
    callback.setup(trainer, make_gan(), "fit")
    return trainer


def test_random_training_data_has_the_same_statistics_every_time(make_gan, quiet):
    kept = Kept()
    for seed in (0, 1):
        torch.manual_seed(seed)
        fit_ring(quiet, make_gan(), evaluation(kept, split="train", seed=seed), data=ring(fresh=True))
    fit_ring(quiet, make_gan(), evaluation(kept, split="train", statistics=None), data=ring(fresh=True))
    assert torch.equal(kept.seen[0][0], kept.seen[1][0]) and torch.equal(kept.seen[0][0], kept.seen[2][0])
    assert len(kept.seen[0][0].unique(dim=0)) == 48, "new for every batch"


def test_a_folder_that_is_a_file_is_refused(make_gan, quiet, tmp_path):
    (tmp_path / "place").write_text("")
    message = r"Evaluation\(statistics='place'\): expected a folder to write to .*give another"
    with pytest.raises(ValueError, match=message):
        fit_ring(quiet, make_gan(), evaluation(statistics="place"))
