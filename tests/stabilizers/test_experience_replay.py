"""Experience replay and image pool: what is stored, shown and resumed."""

import math

import pytest
import torch

from lightning_gans import UnrolledGAN
from lightning_gans.stabilizers import ExperienceReplay, ImagePool

MEMORIES = pytest.mark.parametrize("kind", [ExperienceReplay, ImagePool], ids=lambda kind: kind.__name__)


@pytest.fixture
def gan(make_gan):
    return make_gan()


def fakes(batch, size, shape=(2,)):
    """Fakes that say from which batch they are, and which one they are in it."""
    x = torch.zeros(size, *shape)
    x.view(size, -1)[:, 0] = batch
    x.view(size, -1)[:, 1] = torch.arange(size)
    return x


def names(x):
    return [tuple(row[:2].int().tolist()) for row in x.flatten(1)]


def stored(memory):
    return names(memory.state_dict()["samples"])


def full(memory, gan, labels=None):
    """The memory, filled with fakes of batch 0."""
    memory.on_fake_samples(gan, fakes(0, memory.size), labels)
    return memory


# ---------------------------------------------------------------- replay


@pytest.mark.parametrize("share", [0.5, 0.25, 1.0])
def test_a_share_of_each_batch_is_stored_fakes(gan, share):
    memory = full(ExperienceReplay(64, share), gan)
    for batch in range(1, 10):
        before = stored(memory)
        shown = names(memory.on_fake_samples(gan, fake := fakes(batch, 16), None))
        old = [name for name in shown if name[0] < batch]
        assert len(old) == 16 * share and set(old) <= set(before) and len(set(shown)) == 16
        assert all(name == fresh for name, fresh in zip(shown, names(fake), strict=True) if name[0] == batch)


@pytest.mark.parametrize("share", [0.5, 0.25, 1.0])
def test_after_it_as_many_stored_fakes_are_replaced_by_those_that_were_shown(gan, share):
    memory = full(ExperienceReplay(64, share), gan)
    for batch in range(1, 10):
        before = stored(memory)
        shown = names(memory.on_fake_samples(gan, fakes(batch, 16), None))
        new = [name for name in stored(memory) if name[0] == batch]
        assert len(stored(memory)) == 64 and len(set(new)) == len(new) == 16 * share
        assert share == 1 or set(new) <= set(shown), "they are among those shown to the discriminator"
        assert sum(old != now for old, now in zip(before, stored(memory), strict=True)) == 16 * share


def test_a_number_of_fakes_that_is_not_whole_is_right_on_average(gan):
    for size, either in ((1, {0, 1}), (7, {2, 3})):
        memory, old = full(ExperienceReplay(8, 0.3), gan), []
        for batch in range(1, 1001):
            shown = names(memory.on_fake_samples(gan, fakes(batch, size), None))
            old.append(sum(name[0] < batch for name in shown))
        assert set(old) == either and sum(old) / 1000 == pytest.approx(0.3 * size, abs=0.05)


@pytest.mark.slow
def test_shown_and_replaced_fakes_are_drawn_independently_and_uniformly(gan):
    shown, replaced, both = torch.zeros(8), torch.zeros(8), 0
    for _ in range(2000):
        memory = full(ExperienceReplay(8, 0.5), gan)
        read = [name for name in names(memory.on_fake_samples(gan, fakes(1, 4), None)) if name[0] == 0]
        shown[[number for _, number in read]] += 1
        replaced += torch.tensor([name[0] for name in stored(memory)])
        both += len(set(read) - set(stored(memory)))
    for count in (shown, replaced):
        assert (count / 2000 - 2 / 8).abs().max() < 0.05
    assert both / 2000 == pytest.approx(2 * 2 / 8, abs=0.06), "shown fakes stay, unless they are drawn to be replaced"


def test_the_new_fakes_to_replace_are_drawn_uniformly(gan):
    old = torch.zeros(4)
    for _ in range(2000):
        shown = full(ExperienceReplay(8, 0.5), gan).on_fake_samples(gan, fakes(1, 4), None)
        old += shown[:, 0] == 0
    assert (old / 2000 - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=rf"ExperienceReplay\(share={share}\): expected a number in \[0, 1\]"):
        ExperienceReplay(share=share)


# ---------------------------------------------------------------- both memories


@MEMORIES
def test_until_it_is_full_every_fake_is_stored_and_shown(gan, kind):
    memory = kind(20)
    for batch in range(2):
        fake = fakes(batch, 8)
        assert torch.equal(memory.on_fake_samples(gan, fake, None), fake)
        assert stored(memory) == [(b, i) for b in range(batch + 1) for i in range(8)]
    shown = names(memory.on_fake_samples(gan, fakes(2, 8), None))
    assert shown[:4] == [(2, 0), (2, 1), (2, 2), (2, 3)] and len(stored(memory)) == 20


@MEMORIES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_stored_fake_is_shown_exactly_as_it_was_made(gan, kind, dtype):
    memory, made = kind(12), set()
    for _ in range(20):
        fake = torch.randn(6, 1, 3, 3).to(dtype)
        made |= {tuple(x.flatten().tolist()) for x in fake}
        shown = memory.on_fake_samples(gan, fake, None)
        assert shown.dtype == dtype and shown.shape == fake.shape
        assert {tuple(x.flatten().tolist()) for x in shown} <= made


@MEMORIES
def test_what_is_stored_does_not_change_with_the_fakes_it_came_from(gan, kind):
    memory, fake = kind(8), fakes(0, 8)
    shown = memory.on_fake_samples(gan, fake, None)
    fake.zero_(), shown.zero_()
    assert stored(memory) == [(0, i) for i in range(8)]


@MEMORIES
def test_stored_fakes_only_replace_those_of_their_label(make_gan, kind):
    gan, memory = make_gan(num_classes=3), kind(30)
    label_of, replaced = {}, 0
    for batch in range(40):
        fake, labels = fakes(batch, 10), torch.randint(3, (10,))
        label_of |= dict(zip(names(fake), labels.tolist(), strict=True))
        shown = names(memory.on_fake_samples(gan, fake, labels))
        assert [label_of[name] for name in shown] == labels.tolist() and len(set(shown)) == 10
        replaced += sum(name[0] < batch for name in shown)
        state = memory.state_dict()
        assert [label_of[name] for name in stored(memory)] == state["labels"].tolist()
    assert replaced == pytest.approx(37 * 5, rel=0.15)


@MEMORIES
def test_without_a_stored_fake_of_a_label_the_new_one_stays(gan, kind):
    memory = full(kind(8, 1.0), gan, torch.tensor([0] * 7 + [1]))
    shown = names(memory.on_fake_samples(gan, fakes(1, 6), torch.tensor([2, 1, 1, 2, 0, 1])))
    assert [name[0] for name in shown] in ([1, 0, 1, 1, 0, 1],), "of label 1 there is one, for the first to ask"
    assert shown[1] == (0, 7)


@MEMORIES
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_labels_may_have_either_type(gan, kind, dtype):
    memory = full(kind(8, 1.0), gan, torch.zeros(8, dtype=dtype))
    assert {name[0] for name in names(memory.on_fake_samples(gan, fakes(1, 8), torch.zeros(8, dtype=dtype)))} == {0}


@MEMORIES
def test_a_lookahead_uses_the_current_fakes_and_stores_nothing(make_gan, batches, kind):
    gan = make_gan(kind=UnrolledGAN, unroll_steps=2)
    gan.stabilizers.append(memory := full(kind(8, 1.0), gan))
    before, fake = memory.state_dict(), torch.randn(8, 2, requires_grad=True)
    gan.generator_step(batches(1)[0], fake).loss.backward()
    assert torch.equal(memory.state_dict()["samples"], before["samples"]) and fake.grad.abs().sum() > 0
    gan.looking_ahead = True
    assert memory.on_fake_samples(gan, fake, None) is fake


@MEMORIES
def test_what_it_shows_and_stores_is_detached(gan, kind):
    memory = kind(8)
    for _ in range(2):
        shown = memory.on_fake_samples(gan, torch.randn(8, 2, requires_grad=True) * 2, None)
    assert not shown.requires_grad and not memory.state_dict()["samples"].requires_grad


@MEMORIES
def test_with_a_share_of_0_nothing_is_drawn_or_stored(gan, kind):
    memory, fake, state = kind(8, 0.0), fakes(0, 8), torch.get_rng_state()
    for _ in range(3):
        assert memory.on_fake_samples(gan, fake, None) is fake
    assert memory.state_dict() == {} and torch.equal(torch.get_rng_state(), state)


@MEMORIES
def test_a_restored_memory_continues_where_it_was(gan, kind, tmp_path):
    for batches_before in (1, 3):  # while it fills, and full
        memory = kind(20)
        for batch in range(batches_before):
            memory.on_fake_samples(gan, fakes(batch, 8), labels := torch.arange(8) % 2)
        torch.save(memory.state_dict(), tmp_path / "state.pt")
        fresh = kind(20)
        fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        ends = []
        for one in (memory, fresh):
            torch.manual_seed(0)
            for batch in range(3, 6):
                shown = one.on_fake_samples(gan, fakes(batch, 8), labels)
            ends.append((names(shown), stored(one)))
        assert ends[0] == ends[1]


@MEMORIES
def test_a_state_is_a_copy_as_large_as_what_is_stored(gan, kind, tmp_path):
    memory = kind(1000)
    memory.on_fake_samples(gan, fakes(0, 8), None)
    state = memory.state_dict()
    assert state["samples"].untyped_storage().nbytes() == 8 * 2 * 4
    full(memory := kind(8, 1.0), gan)
    state = memory.state_dict()
    memory.on_fake_samples(gan, fakes(1, 8), None)
    assert names(state["samples"]) == [(0, i) for i in range(8)]
    fresh = kind(8, 1.0)
    fresh.load_state_dict(state)
    fresh.on_fake_samples(gan, fakes(1, 8), None)
    assert names(state["samples"]) == [(0, i) for i in range(8)]


@MEMORIES
def test_a_smaller_memory_restores_as_much_as_fits(gan, kind):
    large, small = full(kind(16), gan), kind(8)
    small.load_state_dict(large.state_dict())
    assert stored(small) == [(0, i) for i in range(8)]
    small.load_state_dict({})
    assert small.state_dict() == {}


@MEMORIES
def test_a_batch_in_parts_is_several_small_ones(make_gan, fit, kind):
    fit(make_gan(discriminator_accumulation=2), 6, callbacks=[memory := kind(4)])
    assert len(stored(memory)) == 4


@MEMORIES
def test_the_discriminator_is_trained_on_the_shown_fakes(make_gan, batches, kind):
    gan = make_gan()
    gan.stabilizers.append(full(kind(8, 1.0), gan))
    step = gan.discriminator_step(batches(1)[0], fakes(1, 8))
    assert (step.fake[:, 0] == 0).all()
    torch.testing.assert_close(step.fake_logits, gan.discriminator(step.fake))


@MEMORIES
def test_fewer_places_than_fakes_are_refused_at_the_first_batch(gan, kind):
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}\(size=4\): expected at least the 8 fakes of a batch; use a"
    ):
        kind(4).on_fake_samples(gan, fakes(0, 8), None)


@MEMORIES
@pytest.mark.parametrize("size", [0, -1, 2.5, math.nan])
def test_a_size_out_of_range_is_refused(kind, size):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(size={size}\): expected a whole number of at least 1"):
        kind(size)


@MEMORIES
def test_a_memory_larger_than_the_machines_is_refused(make_image_gan, monkeypatch, kind):
    gan, name = make_image_gan(size=16), kind.__name__
    with pytest.raises(
        ValueError, match=rf"{name}\(size=1000000000\) needs 954 GiB for samples of shape \(1, 16, 16\)"
    ):
        kind(10**9).apply_to(gan)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2}[name])
    kind(8).apply_to(gan)
    with pytest.raises(ValueError, match=r"but the machine has .* GiB; expected a smaller size"):
        kind(9).apply_to(gan)
    monkeypatch.delattr("os.sysconf")
    kind(10**9).apply_to(gan)
