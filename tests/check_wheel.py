"""Check what a wheel holds, and use it where it is installed, from a folder outside the checkout: `make test-lowest`.

`python tests/check_wheel.py WHEEL BIN`, with BIN the folder of the programs of the environment that has the wheel.
"""

import subprocess
import sys
import tempfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = """text,label
friendly staff and a lovely room,praise
a dirty room,complaint
we enjoyed the breakfast,praise
rude staff,complaint
"""
WHERE = "import transferkit; print(transferkit.__file__)"


def check_content(wheel):
    """Check that the wheel holds the files of the package, its licence and its description, and nothing else."""
    package = {path for path in ROOT.joinpath("transferkit").rglob("*") if path.is_file()}
    expected = {path.relative_to(ROOT).as_posix() for path in package if "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if not name.endswith("/")}
        [info] = {name.partition("/")[0] for name in found if ".dist-info/" in name}
        metadata = HeaderParser().parsestr(file.read(f"{info}/METADATA").decode())
    assert {name for name in found if not name.startswith(info)} == expected
    assert expected >= {"transferkit/py.typed", "transferkit/encoders/english/english.tk"}
    assert f"{info}/licenses/LICENSE" in found
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_payload().startswith("# transferkit")


def use(programs, folder):
    """Import the package, fine-tune a model and predict with it, in an empty folder."""
    (folder / "labelled.csv").write_text(TABLE)
    module = run([programs / "python", "-c", WHERE], folder)
    assert programs.parent in Path(module.strip()).parents, module
    run([programs / "transferkit", "finetune", "labelled.csv", "-o", "model.tk"], folder)
    answer = run([programs / "transferkit", "predict", "model.tk", "a friendly breakfast"], folder)
    assert "praise" in answer, answer


def run(command, folder):
    """Return what a command writes."""
    return subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


def main():
    wheel, programs = Path(sys.argv[1]), Path(sys.argv[2]).absolute()
    check_content(wheel)
    with tempfile.TemporaryDirectory() as folder:
        use(programs, Path(folder))


if __name__ == "__main__":
    main()
