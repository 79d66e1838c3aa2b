"""What the page says of a run's command and duration."""

import pytest

from lightning_gans.callbacks.report.facts import command_line, duration


def test_the_command_is_that_of_the_run():
    assert command_line(["/usr/bin/lightning-gans", "fit", "--x=a b"]) == "lightning-gans fit '--x=a b'"
    assert command_line(["/a/lightning_gans/__main__.py", "fit"]) == "lightning-gans fit"
    assert command_line(["/home/me/train.py", "1"]) == "train.py 1"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.4, "3 s"), (61, "1 min 1 s"), (3599.6, "1 h 0 min"), (7322, "2 h 2 min")]
)
def test_durations_are_in_words(seconds, words):
    assert duration(seconds) == words
