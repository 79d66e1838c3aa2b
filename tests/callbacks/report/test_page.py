"""The page about a run: everything is in it, nothing is fetched, and nothing runs."""

import base64
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from PIL import Image
from torch.utils.data import DataLoader

from lightning_gans import GAN
from lightning_gans.callbacks import Report, SampleGrid
from lightning_gans.callbacks.report.animation import embedded_animation
from lightning_gans.callbacks.report.page import page
from lightning_gans.networks import DCGANDiscriminator, DCGANGenerator

HEALTH = {
    "verdict": "mode collapse (hard)",
    "events": [
        {"batch": 2, "state": "mode collapse (hard)", "evidence": "diversity <0.1", "remedies": ["packing & noise"]}
    ],
}


class Verdict(Callback):
    """Writes a verdict at the end of the run, as the monitor does, and logs scores."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.log_dict({"val/fd": 3.0 - batch_idx, "val/fd_floor": 0.1, "health/energy": 0.5, "mine": 7.0})

    def on_train_end(self, trainer, pl_module):
        Path(trainer.log_dir, "health.json").write_text(json.dumps(HEALTH))


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def logger_in(folder):
    return CSVLogger(folder, name="mine", version=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of a whole run, and its folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(
        accelerator="cpu",
        logger=logger_in(folder),
        callbacks=[SampleGrid(4), Verdict(), Report()],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        max_epochs=3,
    )
    gan = GAN(DCGANGenerator((1, 8, 8), 3, width=2), DCGANDiscriminator((1, 8, 8), width=2))
    trainer.fit(gan, DataLoader([torch.rand(8, 1, 8, 8) * 2 - 1 for _ in range(2)], batch_size=None))
    run = folder / "mine" / "version_0"
    return (run / "report.html").read_text(), run


def test_the_page_shows_what_the_run_did(made):
    text = " ".join(Tags(made[0]).text)
    for words in (
        "mine version_0",
        "GAN",
        "finished",
        "samples seen",
        "48",
        "generator updates",
        "Environment",
        "torch",
    ):
        assert words in text, words
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", made[0]))
    assert (facts["epochs"], facts["batches"], facts["samples seen"], facts["generator updates"]) == (
        "3",
        "6",
        "48",
        "6",
    )
    for title in ("Verdict", "Samples", "Scores", "What decides the verdict", "More"):
        assert f"<h2>{title}</h2>" in made[0], title
    for title in ("Training", "Other figures", "Environment", "hparams.yaml"):
        assert f"<summary>{title}</summary>" in made[0], title


def test_the_verdict_of_another_callback_is_shown_and_marked_in_the_curves(made):
    text = " ".join(Tags(made[0]).text)
    assert "1. mode collapse (hard)" in text and "diversity <0.1" in text and "packing & noise" in text
    marked = [svg for svg in re.findall(r"<svg.*?</svg>", made[0], re.S) if "stroke-dasharray" in svg]
    assert len(marked) == made[0].count("<svg") > 5


def test_every_curve_has_a_caption(made):
    figures = re.findall(r'<figure class="card chart">.*?<figcaption>(.*?)</figcaption>', made[0], re.S)
    assert len(figures) == made[0].count("<svg")
    assert [caption for caption in figures if not caption] == [""], "that of an unknown figure"


def test_pictures_are_the_files_of_the_run(made):
    html, run = made
    images = {attrs["alt"]: attrs["src"] for attrs in Tags(html).all("img")}
    assert set(images) == {"the beginning", "epoch 1", "epoch 2", "epoch 3", "real samples", "the whole run"}
    files = {"the beginning": "epoch_0000.png", "epoch 1": "epoch_0001.png", "real samples": "real.png"}
    for name, file in {**files, "the whole run": "training.gif"}.items():
        kind, data = images[name].split(";base64,")
        assert kind in ("data:image/png", "data:image/gif")
        assert base64.b64decode(data) == (run / "samples" / file).read_bytes()


def test_scores_are_a_table_with_lowest_and_highest(made):
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", made[0])]
    assert cells[:4] == ["fd", "2", "2 (batch 2)", "3 (batch 1)"]
    assert cells[4] == "fd_floor"


def test_nothing_is_fetched_and_no_code_runs(made):
    html = made[0]
    tags = Tags(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in tags.tags}
    assert all(attrs["src"].startswith("data:image/") for attrs in tags.all("img"))
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names, not addresses"
    assert "@import" not in html and "url(http" not in html and not re.search(r"\son\w+=", html)
    (policy,) = (attrs for attrs in tags.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_the_page_suits_phones_and_dark_mode(made):
    assert "width=device-width" in made[0] and "prefers-color-scheme:dark" in made[0]
    assert "currentColor" in made[0] and "#000000" not in made[0]


def make_page(folder, **change):
    texts = {"title": "run", "subtitle": "", "status": "finished", "succeeded": True}
    return page(folder, **{**texts, "facts": {}, "environment": {}, "commands": {}, **change})


def test_markup_in_names_and_files_is_text(tmp_path):
    evil = "<script>alert('&')</script>"
    (tmp_path / "config.yaml").write_text(f"name: {evil}\n")
    event = {"batch": 1, "state": evil, "evidence": evil, "remedies": [evil]}
    (tmp_path / "health.json").write_text(json.dumps({"verdict": evil, "events": [event]}))
    (tmp_path / "metrics.csv").write_text(f"step,{evil}\n0,1\n1,2\n")
    entries = {evil: evil}
    html = make_page(
        tmp_path, title=evil, subtitle=evil, status=evil, facts=entries, environment=entries, commands=entries
    )
    assert "<script" not in html and "".join(Tags(html).text).count(evil) >= 14


EVIL = "<script>alert(1)</script>"


@pytest.mark.parametrize("name", [f'epoch_0001"><{"img onerror=x"}>.png', "epoch_<b>.png", "epoch_one.png"])
def test_a_picture_that_the_run_did_not_name_is_left_out(name, tmp_path):
    (tmp_path / "samples").mkdir()
    for file in (name, "epoch_0001.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "samples" / file)
    html = make_page(tmp_path)
    assert [attrs["alt"] for attrs in Tags(html).all("img")] == ["epoch 1"] and "onerror" not in html


def test_markup_in_the_names_of_a_run_is_text(tmp_path, fit):
    """Class, data, metric and logger names, and config values, as they reach the page of a real run."""

    class Logs(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.log_dict({f"val/{EVIL[:-9]}": 1.0, f"mine/{EVIL[:-9]}": 2.0, EVIL.replace("/", "|"): 3.0})

    kind = type(EVIL, (GAN,), {})
    gan = kind(DCGANGenerator((1, 8, 8), 3, width=2), DCGANDiscriminator((1, 8, 8), width=2))
    gan.hparams[EVIL] = EVIL
    logger = CSVLogger(tmp_path, name="<script>name", version="<script>version")
    trainer = fit(gan, 2, logger=logger, callbacks=[Logs(), Report()], max_epochs=1)
    (Path(trainer.log_dir) / "config.yaml").write_text(f"{EVIL}: {EVIL}\n")
    (Path(trainer.log_dir) / "checkpoints").mkdir()
    (Path(trainer.log_dir) / "checkpoints" / "<script>.ckpt").write_bytes(b"x")
    html = make_page(Path(trainer.log_dir), title=trainer.log_dir, subtitle=type(gan).__name__)
    for text in (html, (Path(trainer.log_dir) / "report.html").read_text()):
        assert "<script" not in text.lower() and not re.search(r"<[^>]*\son\w+=", text)
        assert "script" in " ".join(Tags(text).text)
    assert {"val/<script>alert(1)", "mine/<script>alert(1)"} <= set(trainer.logged_metrics)


@pytest.mark.slow
def test_a_page_of_large_pictures_stays_below_two_megabytes(tmp_path):
    (tmp_path / "samples").mkdir()
    noise = torch.randint(256, (1100, 1100, 3), dtype=torch.uint8).numpy()
    for name in ("epoch_0001.png", "epoch_0002.png", "real.png", "training.gif"):
        Image.fromarray(noise).save(tmp_path / "samples" / name)
    html = make_page(tmp_path)
    assert 100_000 < len(html) < 2_000_000
    images = {attrs["alt"]: attrs["src"] for attrs in Tags(html).all("img")}
    assert set(images) == {"epoch 1", "epoch 2", "real samples", "the whole run"}
    embedded = Image.open(io.BytesIO(base64.b64decode(images["epoch 1"].split(",")[1])))
    assert embedded.size == (720, 720) and embedded.format == "JPEG"


def test_of_many_pictures_six_are_shown(tmp_path):
    (tmp_path / "samples").mkdir()
    for epoch in range(1, 42):
        Image.new("RGB", (4, 4)).save(tmp_path / "samples" / f"epoch_{epoch:04d}.png")
    shown = [attrs["alt"] for attrs in Tags(make_page(tmp_path)).all("img")]
    assert shown == ["epoch 1", "epoch 9", "epoch 17", "epoch 25", "epoch 33", "epoch 41"]


def test_an_empty_folder_has_a_page_too(tmp_path):
    text = " ".join(Tags(make_page(tmp_path)).text)
    assert "Nothing was logged" in text and "not monitored" in text and "Samples" not in text
    (tmp_path / "health.json").write_text("{ not json")
    assert "not monitored" in make_page(tmp_path)


def test_healthy_and_failed_verdicts_have_their_colours(tmp_path):
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "healthy", "events": []}))
    html = make_page(tmp_path)
    assert 'class="card verdict good"><h3>healthy</h3>' in html and "No failure was seen" in html
    assert 'class="card verdict bad"' in make_page_of(tmp_path, {"verdict": "NaN or infinity", "events": []})


def make_page_of(folder, health):
    (folder / "health.json").write_text(json.dumps(health))
    return make_page(folder)


def test_many_events_are_cut_short(tmp_path):
    events = [{"batch": batch, "state": "oscillation"} for batch in range(30)]
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "oscillation", "events": events}))
    text = " ".join(Tags(make_page(tmp_path)).text)
    assert "12. oscillation" in text and "13. oscillation" not in text and "18 more are in health.json" in text


@pytest.mark.slow
def test_a_large_animation_is_in_the_page_with_fewer_and_smaller_frames(tmp_path):
    """A page that is mailed has nothing beside it."""
    (tmp_path / "samples").mkdir()
    frames = [Image.fromarray(torch.randint(256, (200, 200, 3), dtype=torch.uint8).numpy()) for _ in range(60)]
    path = tmp_path / "samples" / "training.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, loop=0)
    assert path.stat().st_size > 1_200_000
    (animation,) = [attrs["src"] for attrs in Tags(make_page(tmp_path)).all("img") if attrs["alt"] == "the whole run"]
    data = base64.b64decode(animation.split(",")[1])
    with Image.open(io.BytesIO(data)) as embedded:
        assert len(data) <= 1_200_000 and embedded.n_frames == 40 and embedded.size[0] >= 70
        assert embedded.info["loop"] == 0


def test_a_small_animation_is_embedded_as_it_is(tmp_path):
    path = tmp_path / "small.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert embedded_animation(path, 10_000) == path.read_bytes()
