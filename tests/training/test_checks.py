"""Each error is one line that names the value and the remedy, and it is raised before anything is trained."""

import sys

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_gans import DCGAN, GAN, WGAN, WGANGP, Stabilizer
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.stabilizers import ClassifierGuidance
from lightning_gans.targets import Labels, MarginalEntropy


def refuse(message, call, *args, **kwargs):
    """Require that the call raises a ValueError of one line that matches."""
    with pytest.raises(ValueError, match=message) as refused:
        call(*args, **kwargs)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("generator_clip", 0.0, "a finite number above 0"),
        ("discriminator_clip", -1.0, "a finite number above 0"),
        ("discriminator_clip", float("nan"), "a finite number above 0"),
        ("discriminator_clip", float("inf"), "a finite number above 0"),
        ("generator_accumulation", 0, "a whole number of at least 1"),
        ("discriminator_accumulation", -2, "a whole number of at least 1"),
        ("n_critic", 0, "a whole number of at least 1"),
        ("n_critic", None, "a whole number of at least 1"),
        ("n_critic", 1.5, "a whole number of at least 1"),
        ("generator_accumulation", True, "a whole number of at least 1"),
    ],
)
def test_arguments_out_of_range(make_gan, name, value, expected):
    refuse(rf"^GAN\({name}={value}\): expected {expected}, such as (1|1\.0)\.$", make_gan, **{name: value})


def test_networks_must_fit_each_other():
    refuse(
        r"the generator has sample_shape=\(2,\) and the discriminator sample_shape=\(3,\); give both the same",
        lambda: GAN(MLPGenerator((2,), 3), MLPDiscriminator((3,))),
    )
    for theirs, ours in (0, 3), (3, 4):
        refuse(
            f"the generator has num_classes={theirs} and the discriminator num_classes={ours}; give both the same",
            lambda: GAN(MLPGenerator((2,), 3, num_classes=theirs), MLPDiscriminator((2,), num_classes=ours)),  # noqa: B023
        )


def with_unconditional_discriminator(*stabilizers):
    gan = GAN(MLPGenerator((2,), 3, width=8, num_classes=2), MLPDiscriminator((2,), width=8))
    gan.stabilizers += stabilizers
    return gan


class Teacher(Stabilizer):
    teaches_labels = True


def test_a_discriminator_without_labels_beside_a_conditional_generator_gets_none(batches):
    gan, (batch,) = with_unconditional_discriminator(), batches(1, num_classes=2)
    fake = gan.generate(8, batch[1])
    for step in (gan.generator_step(batch, fake), gan.discriminator_step(batch, fake)):
        assert torch.equal(step.labels, batch[1]), "for what teaches them"
        assert torch.equal(step.fake_logits, gan.discriminator(fake))
    assert gan.evaluation_metrics(batch)["real_logit"] == gan.discriminator(batch[0]).mean()


def test_a_run_of_it_is_refused_unless_a_stabilizer_teaches_the_labels(fit):
    message = (
        r"^the generator has num_classes=2 and the discriminator num_classes=0, so that nothing teaches the generator "
        r"its labels; give the discriminator num_classes=2 .*, or add AuxiliaryClassifier"
    )
    for stabilizers in ((), (Stabilizer(),)):
        with pytest.raises(ValueError, match=message):
            fit(with_unconditional_discriminator(*stabilizers))
    fit(with_unconditional_discriminator(Teacher()))
    fit(with_unconditional_discriminator(), callbacks=[Teacher()])


@pytest.mark.parametrize(
    ("target", "weight", "teaches"), [(Labels(), 0.1, True), (Labels(), 0.0, False), (MarginalEntropy(), 0.1, False)]
)
def test_classifier_guidance_teaches_labels_where_its_target_reads_them(target, weight, teaches):
    assert ClassifierGuidance(target=target, weight=weight).teaches_labels is teaches


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_clip_val": 0.5}, r"gradient_clip_val=0.5\) cannot know which player.*discriminator_clip 1.0"),
        ({"accumulate_grad_batches": 2}, r"accumulate_grad_batches=2\) cannot know.*generator_accumulation"),
        ({"max_steps": 0}, "max_steps=0 and max_epochs=1 train nothing; give numbers above 0, or -1 for no limit"),
        ({"max_epochs": 0}, "max_steps=-1 and max_epochs=0 train nothing; give numbers above 0, or -1 for no limit"),
    ],
)
def test_trainer_settings_without_a_meaning_for_two_players(make_gan, fit, weights, settings, message):
    gan = make_gan()
    before = weights(gan)
    refuse(message, fit, gan, **settings)
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


@pytest.mark.parametrize("settings", [{"gradient_clip_val": 0}, {"max_steps": 1}, {"fast_dev_run": True}], ids=str)
def test_other_trainer_settings_are_accepted(make_gan, fit, settings):
    gan = make_gan()
    fit(gan, **settings)
    assert gan.discriminator_updates > 0


POINTS = torch.rand(8, 2)
IMAGES = torch.rand(8, 1, 8, 8)


def with_value(x, value, index=(3, 0)):
    x = x.clone()
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (with_value(POINTS, float("nan")), "1 of the 8 samples in the first batch hold NaN or infinity"),
        (with_value(POINTS, float("inf"), slice(2, 4)), "2 of the 8 samples in the first batch hold NaN or infinity"),
        (torch.rand(8, 3), r"samples of shape \(3,\), but the networks are made for \(2,\); .*`size`"),
        (IMAGES, r"samples of shape \(1, 8, 8\), but the networks are made for \(2,\)"),
    ],
)
def test_points_of_another_shape_or_with_nan(make_gan, fit, weights, batch, message):
    gan = make_gan()
    before = weights(gan)
    refuse(message, fit, gan, [batch])
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (IMAGES * 255, r"images must lie in \[-1, 1\], but the first batch spans \[.*scale them: x / 127.5 - 1"),
        (with_value(IMAGES, 0.0) - 1.2, r"spans \[-1.2, -0.2\d*\]"),
        (with_value(IMAGES, float("nan")), "1 of the 8 samples"),
        (torch.rand(8, 3, 8, 8), r"samples of shape \(3, 8, 8\), but the networks are made for \(1, 8, 8\)"),
        (torch.rand(8, 1, 8, 9), r"samples of shape \(1, 8, 9\)"),
    ],
)
def test_images_of_another_shape_or_range_or_with_nan(make_image_gan, fit, weights, batch, message):
    gan = make_image_gan()
    before = weights(gan)
    refuse(message, fit, gan, [batch])
    assert torch.equal(weights(gan), before) and gan.discriminator_updates == 0


def test_labelled_batches_are_checked(make_gan, fit):
    refuse("NaN", fit, make_gan(num_classes=2), [(with_value(POINTS, float("nan")), torch.arange(8) % 2)])


def test_points_of_any_range_and_images_with_rounding_errors_are_accepted(make_gan, make_image_gan, fit):
    fit(make_gan(), [POINTS * 100])
    fit(make_image_gan(), [IMAGES.sign() * 1.005])


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (lambda: DCGAN((1, 8, 8), latent_dim=3, width=3), "has shape .* in it and .* here"),
        (lambda: WGANGP((1, 8, 8), latent_dim=4, width=2), "has shape"),
        (lambda: DCGAN((1, 8, 8), latent_dim=3, width=2, num_classes=2), "has shape"),
    ],
)
def test_the_checkpoint_of_another_model_is_refused(fit, weights, tmp_path, other, fault):
    gan = DCGAN((1, 8, 8), latent_dim=3, width=2)
    fit(gan).save_checkpoint(tmp_path / "a.ckpt")
    wrong = other()
    before = weights(wrong)
    message = rf"made by lightning_gans.models.dcgan.DCGAN and does not fit this {type(wrong).__name__}: .*{fault}.*"
    refuse(message + "use the config that was saved beside", fit, wrong, max_epochs=2, ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(weights(wrong), before) and wrong.discriminator_updates == 0


def test_evaluation_refuses_the_checkpoint_of_another_model(make_gan, make_image_gan, batches, fit, quiet, tmp_path):
    fit(make_gan()).save_checkpoint(tmp_path / "a.ckpt")
    loader = DataLoader(batches(1, (1, 8, 8)), batch_size=None)
    for evaluate in (Trainer(**quiet).validate, Trainer(**quiet).test, Trainer(**quiet).predict):
        refuse("does not fit this GAN", evaluate, make_image_gan(), loader, ckpt_path=tmp_path / "a.ckpt")


def test_the_checkpoint_of_another_class_is_not_loaded(fit, tmp_path):
    fit(WGAN((2,), latent_dim=3, width=4)).save_checkpoint(tmp_path / "wgan.ckpt")
    assert type(GAN.load_from_checkpoint(tmp_path / "wgan.ckpt")) is WGAN
    refuse("made by lightning_gans.models.wgan.WGAN, which is no", DCGAN.load_from_checkpoint, tmp_path / "wgan.ckpt")


def test_a_checkpoint_does_not_cause_an_import(fit, tmp_path, monkeypatch):
    (tmp_path / "trap_for_gans.py").write_text("class Trap: ...")
    monkeypatch.syspath_prepend(tmp_path)
    fit(WGAN((2,), latent_dim=3, width=4)).save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    checkpoint["gan_class"] = "trap_for_gans.Trap"
    torch.save(checkpoint, tmp_path / "b.ckpt")
    refuse("made by trap_for_gans.Trap, which is no imported", GAN.load_from_checkpoint, tmp_path / "b.ckpt")
    assert "trap_for_gans" not in sys.modules


class Own(GAN):
    """A subclass of a user, in a module that is imported."""

    def __init__(self, width: int = 4, **kwargs):
        super().__init__(MLPGenerator((2,), 3, width=width), MLPDiscriminator((2,), width=width), **kwargs)


class OwnSubclass(Own):
    """A subclass of a subclass, with its parent's constructor."""


@pytest.mark.parametrize("kind", [Own, OwnSubclass])
def test_a_users_class_is_found_if_it_is_imported(fit, weights, tmp_path, kind):
    gan = kind(width=5, n_critic=2)
    fit(gan).save_checkpoint(tmp_path / "a.ckpt")
    loaded = GAN.load_from_checkpoint(tmp_path / "a.ckpt")
    assert type(loaded) is kind and loaded.n_critic == 2 and torch.equal(weights(loaded), weights(gan))
