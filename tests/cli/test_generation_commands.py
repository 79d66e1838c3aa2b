"""Commands that use a trained generator: sample, interpolate, arithmetic, neighbours."""

import shutil
from pathlib import Path

import torch
from PIL import Image
from short_runs import FUNCTIONS, LIGHTNING_WARNINGS, draw, last

from lightning_gans.cli.main import main
from lightning_gans.data import Digits

pytestmark = LIGHTNING_WARNINGS


def test_sample_depends_only_on_its_seed(run, folder, capsys):
    first = draw(run, "a.png")
    assert capsys.readouterr().out == "64 samples of DCGAN after 6 generator updates: a.png\n"
    torch.rand(3)
    assert draw(run, "b.png", "--seed=0") == first
    assert draw(run, "b.png", "--seed=1") != first, "and an existing file is replaced"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"], "nothing else is left"


def test_sample_in_other_formats_and_numbers(run, folder):
    draw(run, "new/folder/grid.jpg", "--num=3")
    draw(run, "grid.png")
    sizes = [Image.open(name).size for name in ("new/folder/grid.jpg", "grid.png")]
    assert sizes[0][1] < sizes[1][1] and sizes[1][0] == sizes[1][1], "one row, eight rows"


def test_sample_takes_labels(conditional_run, folder):
    every_class = draw(conditional_run, "all.png", "--num=20")
    three = draw(conditional_run, "three.png", "--num=20", "--labels=[3]")
    assert three != every_class
    assert draw(conditional_run, "both.png", "--num=20", "--labels=[3,7]") not in (every_class, three)
    assert Image.open("all.png").size[0] > Image.open("both.png").size[0], "one column per class"


def generate(capsys, command, run, out, *args):
    """Run a command on a run's checkpoint, and return the bytes of its image and what it printed."""
    capsys.readouterr()
    main([command, "--checkpoint", str(last(run)), "--out", out, *args])
    return Path(out).read_bytes(), capsys.readouterr().out


CONCEPTS = ["--a=[1,2]", "--b=[3]", "--c=[4,5,6]"]


def test_interpolate(run, conditional_run, folder, capsys):
    first, said = generate(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3")
    assert said == "1 path of 3 samples each, linear, of DCGAN after 6 generator updates: a.png\n"
    torch.rand(3)
    assert generate(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3")[0] == first
    assert generate(capsys, "interpolate", run, "a.png", "--seeds=[3,8]", "--steps=3", "--spherical=true")[0] != first
    generate(capsys, "interpolate", conditional_run, "a.gif", "--rows=2", "--steps=3", "--labels=[3,7]")
    assert Image.open("a.gif").n_frames == 4


def test_arithmetic(run, conditional_run, folder, capsys):
    first, said = generate(capsys, "arithmetic", run, "a.png", *CONCEPTS)
    assert said == "a - b + c of 2, 1 and 3 samples of DCGAN after 6 generator updates: a.png\n"
    assert generate(capsys, "arithmetic", run, "b.png", *CONCEPTS)[0] == first
    assert generate(capsys, "arithmetic", run, "b.png", *CONCEPTS, "--seed=1")[0] != first
    generate(capsys, "arithmetic", conditional_run, "b.png", *CONCEPTS, "--labels=[3,7,1]")


def test_neighbours(run, conditional_run, folder, capsys):
    first, said = generate(capsys, "neighbours", run, "a.png", "--num=2", "--k=3")
    lines = said.splitlines()
    training = f"{len(Digits().load('train')):,}"
    assert lines[0] == (
        f"2 samples of DCGAN after 6 generator updates beside the 3 closest of {training} training samples: a.png"
    )
    assert "Mean distance to the closest training sample" in lines[1] and len(lines) == 2
    given = ["--data=Digits", "--data.batch_size=7"]
    assert generate(capsys, "neighbours", run, "b.png", "--num=2", "--k=3", *given)[0] == first
    other, said = generate(capsys, "neighbours", run, "b.png", "--num=2", "--k=3", "--features=DigitFeatures")
    assert other != first and said.splitlines()[1] != lines[1]
    generate(capsys, "neighbours", conditional_run, "b.png", "--num=2", "--labels=[3]")


def test_mistakes_of_the_other_commands(refused, run, conditional_run, folder):
    for args, says in (
        (["interpolate", "--seeds=[3]"], "seeds=[3]"),
        (["interpolate", "--labels=[1]"], "labels=[1]"),
        (["interpolate", "--steps=1"], "steps=1"),
        (["arithmetic", *CONCEPTS[:2], "--c=[]"], "c=[]"),
        (["arithmetic", *CONCEPTS, "--out=a.xyz"], "a.xyz"),
        (["neighbours", "--k=9999"], "k=9999"),
        (["neighbours", "--data=GaussianRing"], "(2,)"),
        (["neighbours", "--features=torch.nn.Identity"], "Identity"),
        (["sample", "--numbered=true", "--routes=2"], "routes=2"),
    ):
        assert says in refused(args[0], "--checkpoint", last(run), *args[1:])
    assert "10" in refused("interpolate", "--checkpoint", last(conditional_run), "--labels=[10]")
    shutil.copy(last(run), "alone.ckpt")
    assert "config.yaml" in refused("neighbours", "--checkpoint=alone.ckpt")
    assert not list(folder.glob("*.png"))
    for command in FUNCTIONS:
        Path("wrong.file").write_bytes(b"hello")
        concepts = CONCEPTS if command == "arithmetic" else []
        assert "wrong.file" in refused(command, "--checkpoint=wrong.file", *concepts)


def test_mistakes_of_sample(refused, run, conditional_run):
    assert "labels=[3]" in refused("sample", "--checkpoint", last(run), "--labels=[3]")
    assert "10" in refused("sample", "--checkpoint", last(conditional_run), "--labels=[3,10]")
    assert "num=0" in refused("sample", "--checkpoint", last(run), "--num=0")
    assert "many" in refused("sample", "--checkpoint", last(run), "--num=many")
    for out in ("grid.xyz",):
        assert f"'{out}'" in refused("sample", "--checkpoint", last(run), "--out", out)
        assert not Path(out).exists()
