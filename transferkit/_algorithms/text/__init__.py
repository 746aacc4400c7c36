"""Counting the terms of texts with array operations, and TF-IDF.

A text becomes an array of bytes, its tokens become hashes, and counting becomes sorting: no Python code runs for each
token. The modules, in the order in which a block of documents passes through them:

- `text_bytes`: documents as one array of UTF-8 bytes, lowercased, with spaces where no token is.
- `tokens`: where words lie, and n-grams of words or characters, as hashed spans of the text. Of the two independent
  64-bit hashes of a span, the first (`hashes`) sorts terms, the second (`checks`) distinguishes terms that share it.
- `term_counts`: how often each distinct term occurs in each document of a block, by term (:class:`TermCounts`) and by
  document, as CSR matrices; inverse document frequencies, and the weights of TF-IDF.
- `vocabulary`: distinct terms, sorted by hash, with their text, document frequency and total frequency
  (:class:`Vocabulary`): lookup, alphabetical order, choice of columns. Vocabularies of blocks, batches or shards are
  merged into one, optionally in bounded memory (:class:`TermAccumulator`).

Block: some documents that are processed at once, so that the arrays fit into the cache. Part: anything with distinct
terms (counts of a block, or a vocabulary). Span: start and length of bytes in an array. Place: index into an array.
"""
