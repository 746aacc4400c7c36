"""Heads that are multilayer perceptrons."""
