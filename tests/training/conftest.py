"""A Trainer that logs every batch: checks and the log are about what is logged."""

import pytest


@pytest.fixture
def quiet(quiet):
    return {**quiet, "log_every_n_steps": 1}
