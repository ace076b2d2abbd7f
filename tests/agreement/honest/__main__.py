"""`python tests/agreement/honest`: the hunt for false alarms."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path[0] = str(
    Path(__file__).resolve().parents[2]
)  # the folder of tests, not this one: its modules are a package
import_module("agreement.honest.hunt").main()
