"""A process that is killed: the others end with one line, and the run can be resumed."""

import os
import signal
import time

import pytest
from kills import COMMON, MODELS, begun, finish, start

pytestmark = [pytest.mark.resume, pytest.mark.slow]


def test_a_killed_process_ends_the_other_with_one_line(tmp_path):
    folder = tmp_path / "run"
    pids = start(folder, [*COMMON, *MODELS["DCGAN"], "--trainer.devices=2", "--trainer.max_epochs=100"], 2)
    begun(folder, 0, pids)
    time.sleep(2)
    os.kill(pids[1], signal.SIGKILL)
    assert finish(pids) == [1, -signal.SIGKILL]
    said = (folder / "log_0.txt").read_text()
    assert "another process of this run has ended" in said and "Traceback" not in said
