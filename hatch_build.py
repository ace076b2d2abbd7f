"""The build hook that puts adapters/ into wheels, as conformance/_bundled/adapters.

adapters/ is no import package (a package of that name exists elsewhere), so that hatchling does not collect it by
itself.  An editable install needs no copy: it finds the checkout's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "adapters"
TARGET = "conformance/_bundled"


class BundleAdapters(BuildHookInterface):
    """Adds every file below adapters/ that git does not ignore."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before a wheel is built; `version` is ``standard`` or ``editable``."""
        if version == "editable":
            return
        bundled = {str(path): f"{TARGET}/{relative}" for path, relative in self._files()}
        if not bundled:
            raise FileNotFoundError(f"no adapters to bundle in {Path(self.root, SOURCE)}")
        build_data["force_include"].update(bundled)

    def _files(self) -> list[tuple[Path, str]]:
        """(path, path relative to the root), sorted: the same tree gives the same wheel."""
        found = sorted(path for path in Path(self.root, SOURCE).rglob("*") if path.is_file())
        named = [(path, path.relative_to(self.root).as_posix()) for path in found]
        return [(path, name) for path, name in named if not self.build_config.path_is_excluded(name)]
