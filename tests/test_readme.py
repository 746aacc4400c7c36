"""The README and the map of packages tell the truth."""

import re
import tomllib
from pathlib import Path

import pytest

import transferkit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_example_runs(tmp_path, monkeypatch, capsys):
    [code] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == "['learning' 'running']\n" * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tk"]


def test_map_shows_every_package():
    package = Path(transferkit.__file__).parent
    packages = {path.name for path in package.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    files = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    shown = set(re.findall(r"^  (\w+\.py|\w+/)", CONTRIBUTING, flags=re.MULTILINE))
    assert shown == files | {f"{package}/" for package in packages}


@pytest.mark.parametrize("name", transferkit.__all__)
def test_every_public_name_is_mentioned(name):
    assert f"`{name}`" in README


def test_every_extra_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for extra in project["optional-dependencies"].keys() - {"bench", "dev", "docs", "all"}:
        assert f'".[{extra}]"' in README
        assert f'`pip install ".[{extra}]"`' in install
