"""
13 Serving a model
==================

Serve a model file over HTTP, with a route of your own: ``python examples/13_serving.py --port 8000``.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from fastapi.testclient import TestClient

from transferkit import LSAEncoder, TransferClassifier, save
from transferkit.cli import make_app
from transferkit.datasets import load_docstrings

# %%
# A model to serve, fine-tuned on four labels.
encoder = LSAEncoder(n_components=64).fit(load_docstrings(["sklearn", "joblib"], remove_examples=True).data)
texts = ["fit a linear model", "ridge regression", "run jobs in parallel", "cache results on disk"]
labels = ["learning", "learning", "running", "running"]
path = Path(tempfile.mkdtemp()) / "model.tk"
save(TransferClassifier(encoder, strategy="frozen").fit(texts, labels), path, card={"task": "example"})

# %%
# The app loads the file without torch, and reloads it when it is replaced.
app = make_app(path, max_texts=20)


@app.get("/classes")
def classes():
    """Answer with the labels that the model knows."""
    return [str(label) for label in app.state.model_file.current().classes_]


# %%
# Requests of a client. Too many texts at once are rejected.
with TestClient(app) as client:
    text = "logistic loss with an L2 penalty"
    print("GET /classes ", client.get("/classes").json())
    print("POST /predict", client.post("/predict", json={"texts": [text]}).json()["predictions"])
    terms = client.post("/explain", json={"text": text, "n": 5}).json()["terms"]["running"]
    print("POST /explain", [item["term"] for item in terms])
    print("too many     ", client.post("/predict", json={"texts": [text] * 21}).status_code)

plt.barh([item["term"] for item in terms], [item["contribution"] for item in terms])
plt.xlabel("contribution to 'running', against 'learning'")
plt.show()

# %%
# With a port, requests may come from anywhere on this machine.
parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
if (port := parser.parse_args().port) is not None:
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=port)
