"""Encoders of texts by word vectors."""
