"""Print the lowest versions that users may have, as constraints: ``python tests/lowest.py``."""

import re
import tomllib
from pathlib import Path

LOWER_BOUND = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)$")


def list_lowest(extras=("text", "plot")):
    """Return "name==version" for the dependencies of the package and of some extras."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    found = [match for requirement in requirements if (match := LOWER_BOUND.match(requirement))]
    return [f"{name}=={version}" for name, version in (match.groups() for match in found)]


if __name__ == "__main__":
    print("\n".join(list_lowest()))  # noqa: T201
