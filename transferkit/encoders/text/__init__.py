"""Encoders of texts by their terms: TF-IDF and LSA."""
