"""Encoders that are networks: autoencoders, the user's torch modules, sentence models."""
