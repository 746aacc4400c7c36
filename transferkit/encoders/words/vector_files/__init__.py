"""Files of word vectors: word2vec (text and binary), GloVe and fastText (.vec).

`read_vectors` (`_files`) opens a file, plain or gzip-compressed, recognises its form by its first bytes, and has
`_text` or `_binary` read it into a table (`_table`): words, their ranks, and one array of vectors. The table decides
what happens to entries that cannot be read. `_file_kinds` describes files of other kinds, for error messages.
"""

from transferkit.encoders.words.vector_files._files import read_vectors

__all__ = ["read_vectors"]
