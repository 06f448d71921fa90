"""What the build adds to wheel and sdist: the repository's files that `kennel init` makes a project
of. The list stands in pyproject.toml; an editable install reads them where they are.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INTO = "kennel/project/repository"


class ProjectFiles(BuildHookInterface):  # type: ignore[type-arg]
    """Copies them beside kennel/project/templates.py, which looks for them there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        wheel = self.target_name == "wheel"
        for name in self.config["project-files"]:
            to = f"{INTO}/{name}" if wheel else name
            build_data["force_include"][name] = to
