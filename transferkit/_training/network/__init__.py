"""Feed-forward networks: layers, losses, optimisers, the training loop."""
