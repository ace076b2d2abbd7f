"""What holds for all tests: which conformance is tested, and how Hypothesis draws."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

import conformance

HOME = Path(conformance.__file__).resolve().parent

# Never flaky: the same examples in every run.  `pytest --hypothesis-profile=explore` looks for more.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("suite")


def pytest_configure() -> None:
    """Under tox the built wheel is tested; a path setting that brings in the checkout must not pass unseen."""
    environment = os.environ.get("TOX_ENV_DIR")
    if environment and not HOME.is_relative_to(Path(environment).resolve()):
        raise pytest.UsageError(
            f"tox tests the built wheel in {environment}, but conformance is imported from {HOME}"
        )


def pytest_report_header() -> str:
    return f"conformance {conformance.__version__} from {HOME}"
