from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from conformance.learner.load import load
from learners import SECONDS


@pytest.fixture
def module(tmp_path: Path) -> Callable[..., ModuleType]:
    """A learner's file, imported."""

    def made(text: str, name: str = "my_cnn.py") -> ModuleType:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load(path, SECONDS)

    return made
