"""The end of every run is in a checkpoint."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_gans.callbacks import SaveAtEnd


def steps(folder):
    return {path.name: torch.load(path, weights_only=True)["global_step"] for path in sorted(folder.glob("*.ckpt"))}


KEEPERS = {
    "every 3 batches": ({"every_n_train_steps": 3, "save_last": True}, {"step=6.ckpt": 6, "last.ckpt": 7}),
    "without last.ckpt": ({"every_n_train_steps": 3}, {"step=6.ckpt": 6, "last.ckpt": 7}),
    "every second epoch": ({"every_n_epochs": 2}, {"last.ckpt": 7}),
    "every epoch": ({"save_last": True}, {"step=7.ckpt": 7, "last.ckpt": 7}),
    "every epoch, without last.ckpt": ({}, {"step=7.ckpt": 7}),
    "nothing": ({"save_top_k": 0}, {}),
}


@pytest.mark.parametrize("kind", KEEPERS)
def test_the_end_is_saved_where_no_other_checkpoint_has_it(make_gan, fit, tmp_path, kind):
    settings, expected = KEEPERS[kind]
    keeper = ModelCheckpoint(tmp_path / "kept", filename="{step}", **settings)
    fit(make_gan(), 7, callbacks=[SaveAtEnd(), keeper], enable_checkpointing=True)
    assert steps(tmp_path / "kept") == expected


def test_a_run_resumed_from_its_end_goes_on_as_if_it_had_been_longer(make_gan, fit, tmp_path, weights):
    def train(**settings):
        gan = make_gan(dropout=0.2)
        keeper = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=3, save_last=True)
        fit(gan, 4, callbacks=[keeper, SaveAtEnd()], enable_checkpointing=True, **settings)
        return weights(gan)

    whole = train(max_epochs=3)
    for path in (tmp_path / "kept").iterdir():
        path.unlink()
    train(max_epochs=2)
    assert steps(tmp_path / "kept")["last.ckpt"] == 8
    assert torch.equal(train(max_epochs=3, ckpt_path=tmp_path / "kept" / "last.ckpt"), whole)


def test_two_runs_in_one_folder_keep_their_ends_both(make_gan, fit, tmp_path, recwarn):
    for length in (7, 5):
        keeper = ModelCheckpoint(tmp_path / "kept", filename="{step}", every_n_train_steps=3)
        fit(make_gan(), length, callbacks=[SaveAtEnd(), keeper], enable_checkpointing=True)
    assert {"last.ckpt": 7, "last-v1.ckpt": 5}.items() <= steps(tmp_path / "kept").items()
