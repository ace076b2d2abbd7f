"""The targets under atheris, which looks for input that reaches new code: each for a bounded time.

python tests/fuzz/coverage_guided.py SECONDS [TARGET ...]

What breaks a target is shown and written to the working directory; the exit code is then 1.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["conformance", "tomllib", "targets"]):
    from targets import FOUND, SEEDS, TARGETS

LONGEST = 8192
"""Bytes of an input."""
HANG = 30
"""Seconds after which an input counts as one that does not end."""
ONE = "--one"


def fuzzed(name: str, seconds: int) -> bool:
    """One target, in a process of its own: atheris ends the process that it runs in."""
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate((*SEEDS[name], *FOUND[name])):
            (Path(folder) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={HANG}"]
        quiet = ["-print_final_stats=1", "-verbosity=0", f"-artifact_prefix=fuzz-{name}-"]
        command = [sys.executable, __file__, ONE, name, *limits, *quiet, folder]
        return subprocess.run(command, check=False).returncode == 0


def main() -> None:
    if sys.argv[1] == ONE:
        atheris.Setup([sys.argv[0], *sys.argv[3:]], TARGETS[sys.argv[2]])
        atheris.Fuzz()
    seconds, *names = sys.argv[1:]
    broken = [name for name in names or TARGETS if not fuzzed(name, int(seconds))]
    sys.exit(f"broken: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
