"""
13 Serving a model
==================

Serve a model file over HTTP, with a route of your own: ``python examples/13_serving.py 8000`` keeps serving.
"""

import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import Request, urlopen

import matplotlib.pyplot as plt
import uvicorn

from transferkit import LSAEncoder, TransferClassifier, save
from transferkit.cli import make_app
from transferkit.datasets import load_docstrings

# %%
# A model to serve, fine-tuned on four labels, and an app that loads its file without torch.
encoder = LSAEncoder(n_components=64).fit(load_docstrings(["sklearn", "joblib"], remove_examples=True).data)
texts = ["fit a linear model", "ridge regression", "run jobs in parallel", "cache results on disk"]
labels = ["learning", "learning", "running", "running"]
path = Path(tempfile.mkdtemp()) / "model.tk"
save(TransferClassifier(encoder, strategy="frozen").fit(texts, labels), path, card={"task": "example"})
app = make_app(path, max_texts=20)


@app.get("/classes")
def classes():
    """Answer with the labels that the model knows."""
    return [str(label) for label in app.state.model_file.current().classes_]


# %%
# A server; port 0 finds a free one.
port = int(sys.argv[1]) if sys.argv[1:] else 0
server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off", ws="none"))
threading.Thread(target=server.run).start()
while not server.started:
    time.sleep(0.01)
host, port_found = server.servers[0].sockets[0].getsockname()

# %%
# Requests of a client.
for place, body in {"classes": None, "predict": {"texts": ["L2 penalty"]}, "explain": {"text": "L2 penalty"}}.items():
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"http://{host}:{port_found}/{place}", data, {"content-type": "application/json"})
    with urlopen(request) as response:
        answer = json.load(response)
    print(f"/{place}", answer if body is None else answer.get("predictions", "see the plot"))
plt.barh(*zip(*[(item["term"], item["contribution"]) for item in answer["terms"]["running"]], strict=True))
plt.xlabel("contribution to 'running', against 'learning'")
plt.show()
server.should_exit = port == 0
