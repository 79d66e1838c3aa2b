"""The page about a run: everything is in it, nothing is fetched, nothing leaks, and the run never suffers."""

import base64
import io
import json
import math
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from PIL import Image

from lightning_gans.callbacks import Report, SampleGrid
from lightning_gans.callbacks.health.readings import Reading
from lightning_gans.callbacks.report import charts as report_charts
from lightning_gans.callbacks.report import report
from lightning_gans.callbacks.report.charts import charts, read_columns
from lightning_gans.callbacks.report.page import page, shown

HEALTH = {
    "verdict": "mode collapse (hard)",
    "events": [
        {"batch": 2, "state": "mode collapse (hard)", "evidence": "diversity <0.1", "remedies": ["packing & noise"]}
    ],
}


class Watches(Callback):
    """Leaves a verdict at the end of the run, as the monitor does, and scores on the way."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.log_dict({"val/fd": 3.0 - batch_idx, "val/fd_floor": 0.1, "health/energy": 0.5, "mine": 7.0})

    def on_train_end(self, trainer, pl_module):
        Path(trainer.log_dir, "health.json").write_text(json.dumps(HEALTH))


class Fails(Callback):
    """Breaks the run off at the last batch."""

    def __init__(self, error):
        self.error = error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 1:
            raise self.error


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
    from conftest import _batches, _make_image_gan
    from torch.utils.data import DataLoader

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(
        accelerator="cpu",
        logger=logger_in(folder),
        callbacks=[SampleGrid(4), Watches(), Report()],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        max_epochs=3,
    )
    trainer.fit(_make_image_gan(), DataLoader(_batches(2, (1, 8, 8)), batch_size=None))
    run = folder / "mine" / "version_0"
    return (run / "report.html").read_text(), run


@pytest.fixture
def blank(monkeypatch):
    """Pages without content, where only whether and when they are written matters; the states they tell."""
    told = []
    monkeypatch.setattr(report, "page", lambda *args: told.append(args[3:5]) or "a page")
    return told


# ---------------------------------------------------------------- what is in it


def test_the_page_tells_the_run(made):
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
    for title in ("Verdict", "Samples", "Scores", "The game", "Health", "Other figures", "Config"):
        assert f"<h2>{title}</h2>" in made[0], title


def test_the_verdict_that_another_callback_leaves_at_the_end_is_there_with_its_mark_in_the_curves(made):
    text = " ".join(Tags(made[0]).text)
    assert "1. mode collapse (hard)" in text and "diversity <0.1" in text and "packing & noise" in text
    marked = [svg for svg in re.findall(r"<svg.*?</svg>", made[0], re.S) if "stroke-dasharray" in svg]
    assert len(marked) == made[0].count("<svg") > 5


def test_every_curve_has_a_caption(made):
    figures = re.findall(r'<figure class="card chart">.*?<figcaption>(.*?)</figcaption>', made[0], re.S)
    assert len(figures) == made[0].count("<svg")
    assert [caption for caption in figures if not caption] == [""], "that of a figure which nobody here knows"


def test_pictures_are_the_files_of_the_run(made):
    html, run = made
    images = {attrs["alt"]: attrs["src"] for attrs in Tags(html).all("img")}
    assert set(images) == {"epoch 1", "epoch 2", "epoch 3", "real samples", "the whole run"}
    for name, file in (("epoch 1", "epoch_0001.png"), ("real samples", "real.png"), ("the whole run", "training.gif")):
        kind, data = images[name].split(";base64,")
        assert kind in ("data:image/png", "data:image/gif")
        assert base64.b64decode(data) == (run / "samples" / file).read_bytes()


def test_scores_are_a_table_with_their_best(made):
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", made[0])]
    assert cells[:4] == ["fd", "2", "2 (batch 2)", "3 (batch 1)"]
    assert cells[4] == "fd_floor"


def test_nothing_is_fetched_and_nothing_runs(made):
    html = made[0]
    tags = Tags(html)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in tags.tags}
    assert all(attrs["src"].startswith("data:image/") for attrs in tags.all("img"))
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names, not addresses"
    assert "@import" not in html and "url(http" not in html and not re.search(r"\son\w+=", html)
    (policy,) = (attrs for attrs in tags.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_the_page_is_for_phones_and_for_dark_rooms(made):
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


def test_a_page_of_large_pictures_stays_below_two_megabytes(tmp_path):
    (tmp_path / "samples").mkdir()
    noise = torch.randint(256, (1100, 1100, 3), dtype=torch.uint8).numpy()
    for name in ("epoch_0001.png", "epoch_0002.png", "real.png", "training.gif"):
        Image.fromarray(noise).save(tmp_path / "samples" / name)
    html = make_page(tmp_path)
    assert 100_000 < len(html) < 2_000_000
    images = {attrs["alt"]: attrs["src"] for attrs in Tags(html).all("img")}
    assert set(images) == {"epoch 1", "epoch 2", "real samples"} and "samples/training.gif" in html
    embedded = Image.open(io.BytesIO(base64.b64decode(images["epoch 1"].split(",")[1])))
    assert embedded.size == (720, 720) and embedded.format == "JPEG"


def test_of_many_pictures_some_are_shown(tmp_path):
    (tmp_path / "samples").mkdir()
    for epoch in range(1, 42):
        Image.new("RGB", (4, 4)).save(tmp_path / "samples" / f"epoch_{epoch:04d}.png")
    shown = [attrs["alt"] for attrs in Tags(make_page(tmp_path)).all("img")]
    assert shown == ["epoch 1", "epoch 9", "epoch 17", "epoch 25", "epoch 33", "epoch 41"]


def test_a_run_that_left_nothing_has_a_page_too(tmp_path):
    text = " ".join(Tags(make_page(tmp_path)).text)
    assert "Nothing was logged" in text and "not watched" in text and "Samples" not in text
    (tmp_path / "health.json").write_text("{ not json")
    assert "not watched" in make_page(tmp_path)


def test_a_healthy_run_is_said_to_be_so(tmp_path):
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "healthy", "events": []}))
    html = make_page(tmp_path)
    assert 'class="card verdict good"><h3>healthy</h3>' in html and "No failure was seen" in html
    assert 'class="card verdict bad"' in make_page_of(tmp_path, {"verdict": "not a number", "events": []})


def make_page_of(folder, health):
    (folder / "health.json").write_text(json.dumps(health))
    return make_page(folder)


def test_many_events_are_cut_short(tmp_path):
    events = [{"batch": batch, "state": "oscillation"} for batch in range(30)]
    (tmp_path / "health.json").write_text(json.dumps({"verdict": "oscillation", "events": events}))
    text = " ".join(Tags(make_page(tmp_path)).text)
    assert "12. oscillation" in text and "13. oscillation" not in text and "18 more are in health.json" in text


# ---------------------------------------------------------------- what is not in it


@pytest.mark.parametrize(
    "text",
    [
        "wandb_api_key: SECRET",
        "  api_key: 'SECRET'",
        "lightning-gans fit --logger.api_key SECRET",
        "lightning-gans fit --logger.api-key=SECRET",
        "{class_path: X, init_args: {token: SECRET, size: 3}}",
        '{"hub_token": "SECRET"}',
        "password: SECRET",
        "https://me:SECRET@host/data",
        f"{Path.home()}/data",
    ],
)
def test_secrets_and_the_home_folder_are_hidden(text):
    assert "SECRET" not in shown(text) and str(Path.home()) not in shown(text)
    assert "hidden" in shown(text) or "~/data" in shown(text)


@pytest.mark.parametrize("text", ["num_tokens: 3", "size: 3", "keys: [a, b]", "token: null", "seed: 1", "a monkey: b"])
def test_what_is_no_secret_stays(text):
    assert shown(text) == text


def test_the_page_hides_secrets_wherever_they_could_be(tmp_path):
    (tmp_path / "config.yaml").write_text("logger: {api_key: SECRET}\n")
    secret = {"command": "fit --api_key SECRET"}
    html = make_page(tmp_path, status="failed: token=SECRET", facts=secret, environment=secret, commands=secret)
    assert "SECRET" not in html and html.count("(hidden)") == 5


def test_the_command_is_that_of_the_run():
    assert report._command_line(["/usr/bin/lightning-gans", "fit", "--x=a b"]) == "lightning-gans fit '--x=a b'"
    assert report._command_line(["/a/lightning_gans/__main__.py", "fit"]) == "lightning-gans fit"
    assert report._command_line(["/home/me/train.py", "1"]) == "train.py 1"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.4, "3 s"), (61, "1 min 1 s"), (3599.6, "1 h 0 min"), (7322, "2 h 2 min")]
)
def test_durations_are_in_words(seconds, words):
    assert report._duration(seconds) == words


# ---------------------------------------------------------------- when it is written


def test_a_run_that_fails_or_is_stopped_has_its_page(make_gan, fit, blank, tmp_path):
    with pytest.raises(RuntimeError, match="out of\nmemory"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(RuntimeError("out of\nmemory")), Report()])
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(KeyboardInterrupt()), Report()])
    with pytest.raises(SIGTERMException):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Fails(SIGTERMException(143)), Report()])
    told = [("failed: RuntimeError: out of memory", False), ("stopped by hand", None)]
    assert blank == [*told, ("stopped by a signal; it can be resumed", None)]
    assert (tmp_path / "mine/version_0/report.html").read_text() == "a page"


def test_a_run_that_never_began_has_none(make_gan, fit, blank, tmp_path):
    class Early(Callback):
        def on_fit_start(self, trainer, pl_module):
            raise RuntimeError("before training")

    with pytest.raises(RuntimeError, match="before training"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Early(), Report()])
    assert not blank


@pytest.mark.parametrize(
    ("minutes", "told"), [(0, ["running"] * 3 + ["finished"]), (10, ["finished"]), (math.inf, ["finished"])]
)
def test_the_page_is_renewed_during_the_run(make_gan, fit, blank, tmp_path, minutes, told):
    fit(make_gan(), max_epochs=3, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=minutes)])
    assert [status for status, _ in blank] == told


@pytest.mark.parametrize(("argument", "settings"), [({"enabled": False}, {}), ({}, {"fast_dev_run": True})], ids=str)
def test_it_can_be_switched_off(make_gan, fit, blank, tmp_path, argument, settings):
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report(**argument)], **settings)
    assert not blank and not list(tmp_path.rglob("report.html"))


def test_without_a_csv_logger_there_is_none(make_gan, fit, blank):
    fit(make_gan(), callbacks=[Report()])
    assert not blank


def test_one_process_writes(make_gan, fit, blank, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    assert not blank


@pytest.mark.parametrize("minutes", [-1, math.nan])
def test_minutes_below_zero_are_refused(minutes):
    with pytest.raises(ValueError, match=rf"Report\(every_n_minutes={minutes}\): expected 0 or more, such as 10"):
        Report(every_n_minutes=minutes)


# ---------------------------------------------------------------- the run does not suffer


def test_a_page_that_cannot_be_written_is_a_warning(make_gan, fit, tmp_path, monkeypatch):
    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(report, "page", broken)
    gan = make_gan()
    with pytest.warns(UserWarning, match=r"Report: .*report\.html was not written: OSError: disk full"):
        fit(gan, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=0)])
    assert gan.discriminator_updates == 2


def test_the_last_page_stays_where_a_new_one_cannot_be_made(make_gan, fit, blank, tmp_path, monkeypatch):
    fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    monkeypatch.setattr(report.os, "replace", lambda *args: (_ for _ in ()).throw(OSError("read-only")))
    with pytest.warns(UserWarning, match="read-only"):
        fit(make_gan(), logger=logger_in(tmp_path), callbacks=[Report()])
    assert (tmp_path / "mine/version_0/report.html").read_text() == "a page"


def test_the_game_is_not_touched(make_gan, fit, weights, tmp_path):
    plain, watched = make_gan(dropout=0.3), make_gan(dropout=0.3)
    fit(plain, 3, max_epochs=2)
    trainer = fit(watched, 3, max_epochs=2, logger=logger_in(tmp_path), callbacks=[Report(every_n_minutes=0)])
    assert torch.equal(weights(plain), weights(watched)) and (tmp_path / "mine/version_0/report.html").is_file()
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert "Report" not in torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]


# ---------------------------------------------------------------- figures and charts


def test_figures_are_read_with_the_batches_played(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,epoch,step,b\n1.5,0,9,\n,0,11,nan\n2,0,19,inf\n")
    columns = read_columns(tmp_path / "metrics.csv")
    assert set(columns) == {"a", "b"} and columns["a"] == ([10.0, 20.0], [1.5, 2.0])
    assert columns["b"][0] == [12.0, 20.0] and math.isnan(columns["b"][1][0]) and columns["b"][1][1] == math.inf


def of(*names, values=(1.0, 2.0)):
    return {name: ([1.0, 2.0], list(values)) for name in names}


def test_whatever_is_logged_is_drawn_once():
    names = [
        *("loss/generator", "loss/discriminator", "loss/penalty", "val/generator_loss", "val/real_logit", "val/fd"),
        *("gradients/generator", "discriminator/separation", "generator/saturated", "mine", "health/energy"),
        *("generator/learning_rate", "discriminator/learning_rate"),
    ]
    sections = charts(of(*names, "progress/images"))
    drawn = [column for found in sections.values() for chart in found for column in chart.lines.values()]
    assert sorted(drawn) == sorted(names)
    assert [chart.title for chart in sections["Other figures"]] == ["generator/saturated", "mine"]
    assert charts({}) == {}


def test_a_constant_rate_needs_no_curve():
    names = ("generator/learning_rate", "discriminator/learning_rate")
    assert "The game" not in charts(of(*names, values=(0.1, 0.1)))
    assert charts(of(*names))["The game"][0].title == "Learning rates"


def test_a_floor_is_drawn_beside_its_figure():
    (chart,) = charts(of("val/reverse_kl", "val/reverse_kl_floor"))["Scores"]
    assert chart.lines == {"reverse_kl": "val/reverse_kl", "floor": "val/reverse_kl_floor"}
    (alone,) = charts(of("val/x_floor"))["Scores"]
    assert alone.lines == {"x_floor": "val/x_floor"}


def test_both_sides_of_a_health_figure_share_a_panel():
    found = charts(of("health/fake_slope", "health/generator_gradient", "health/energy", "health/real_slope"))["Health"]
    assert list(found[0].lines) == ["real", "generated"], "in the same colours everywhere"
    assert {chart.title: chart.lines for chart in found} == {
        "Slope": {"real": "health/real_slope", "generated": "health/fake_slope"},
        "Gradient": {"generator": "health/generator_gradient"},
        "Energy": {"": "health/energy"},
    }


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("fd", "Fréchet"),
        ("fd_digits", "Fréchet"),
        ("kd_std", "standard deviation of kd"),
        ("ndb_js", "Jensen"),
        ("x", ""),
    ],
)
def test_scores_are_explained_by_the_longest_name_that_fits(figure, words):
    assert words in report_charts._explained(figure, report_charts._SCORES)
    assert bool(words) == bool(report_charts._explained(figure, report_charts._SCORES))


def test_every_panel_of_a_game_has_a_caption_and_so_has_every_reading():
    assert all(chart.caption for chart in report_charts.GAME)
    names = [f"health/{name}" for name in Reading(0).figures()]
    assert [chart.title for chart in charts(of(*names))["Health"] if not chart.caption] == []
