"""Serve a model over HTTP, with a route of your own: ``python examples/13_serving.py [--port 8000]``.

Without a port it asks itself a few questions, as a test would, and ends. `transferkit serve MODEL.tk` is the same
without the extra route.
"""

import argparse
import tempfile
from pathlib import Path

from transferkit import LSAEncoder, TransferClassifier, save
from transferkit.cli import make_app
from transferkit.datasets import load_docstrings


def make_model(path):
    docstrings = load_docstrings(["sklearn", "joblib"])
    encoder = LSAEncoder(n_components=64).fit(docstrings.data)  # pretrained on texts without labels
    texts = ["fit a linear model", "ridge regression", "run jobs in parallel", "cache results on disk"]
    labels = ["learning", "learning", "running", "running"]
    save(TransferClassifier(encoder, strategy="frozen").fit(texts, labels), path, card={"task": "example"})


def make_extended_app(path):
    app = make_app(path, max_texts=20)

    @app.get("/classes")
    def classes():
        return [str(label) for label in app.state.model_file.current().classes_]

    return app


def ask(app):
    from fastapi.testclient import TestClient

    with TestClient(app) as client:
        text = "logistic loss with an L2 penalty"
        print("GET /classes ", client.get("/classes").json())
        print("POST /predict", client.post("/predict", json={"texts": [text]}).json()["predictions"])
        terms = client.post("/explain", json={"text": text, "n": 2}).json()["terms"]
        print("POST /explain", {label: [item["term"] for item in items] for label, items in terms.items()})
        print("GET /model   ", client.get("/model").json()["card"])
        print("too many     ", client.post("/predict", json={"texts": [text] * 21}).status_code)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tk"
        make_model(path)
        app = make_extended_app(path)
        if args.port is None:
            ask(app)
        else:
            import uvicorn

            uvicorn.run(app, host="127.0.0.1", port=args.port)


if __name__ == "__main__":
    main()
