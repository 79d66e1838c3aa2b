"""A Trainer that logs every batch: these callbacks read what is logged."""

import pytest


@pytest.fixture
def quiet(quiet):
    return {**quiet, "log_every_n_steps": 1}
