"""Follow serving/Dockerfile in a virtual environment, without Docker, and ask its server: `make test-serving`.

`python tests/serving_image.py FOLDER` copies and runs what the file says, FOLDER/bin first in the path, then starts
the server with a saved model, and checks its health, a prediction and its end.
"""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "saved" / "format2-text.tk"
SECONDS = 60  # until the server must be ready


def read_instructions():
    """Return the instructions of the Dockerfile as pairs of a word and its arguments."""
    lines = (ROOT / "serving" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip() and not line.startswith("#")]


def build(instructions, work, environment):
    """Copy and run what the instructions say; the working directory of the image is the folder `work`."""
    for word, arguments in instructions:
        if word == "COPY":
            *sources, target = shlex.split(arguments)
            for source in map(ROOT.joinpath, sources):
                copy(source, work / target)
        elif word == "RUN":
            sys.stdout.write(f"RUN {arguments}\n")
            sys.stdout.flush()
            subprocess.run(arguments, shell=True, cwd=work, env=environment, check=True, stdout=subprocess.DEVNULL)


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def serve(instructions, work, environment):
    """Start the image's command with a saved model, and return the exit code after a prediction and SIGTERM."""
    words = dict(instructions)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    command = [*json.loads(words["ENTRYPOINT"]), str(MODEL), "--port", port]
    is_healthy = json.loads(words["HEALTHCHECK"].removeprefix("CMD").replace(words["EXPOSE"], port))
    server = subprocess.Popen(command, cwd=work, env=environment)
    with contextlib.ExitStack() as at_end:
        at_end.callback(server.kill)
        deadline = time.monotonic() + SECONDS
        while subprocess.run(is_healthy, cwd=work, env=environment, stderr=subprocess.DEVNULL, check=False).returncode:
            assert time.monotonic() < deadline, "the server is not ready"
            assert server.poll() is None, "the server has ended"
            time.sleep(0.2)
        expected = json.loads(MODEL.with_suffix(".json").read_text())
        body = json.dumps({"texts": expected["rows"]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            found = json.load(answer)["probabilities"]
        for one, other in zip(found, expected["output"], strict=True):
            assert all(abs(a - b) < 1e-4 for a, b in zip(one, other, strict=True)), f"{one} differs from {other}"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=SECONDS) as page:
            assert b"fetch" in page.read()
        server.terminate()
        return server.wait(timeout=SECONDS)


def main():
    folder = Path(sys.argv[1]).absolute()
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
    instructions = read_instructions()
    with tempfile.TemporaryDirectory() as work:
        build(instructions, Path(work), environment)
        return serve(instructions, Path(work), environment)


if __name__ == "__main__":
    sys.exit(main())
