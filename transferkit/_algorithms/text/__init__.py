"""Text to counts of terms: bytes, tokens, hashes, vocabularies, TF-IDF weights."""
