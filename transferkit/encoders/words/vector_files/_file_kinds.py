"""Files that hold no readable word vectors, recognised by their first bytes, with advice for error messages."""

import re

__all__ = ["N_BYTES", "describe_kind"]

_UNPACK = "Unpack it, and give the file that holds the vectors as text."
_KINDS = [  # pattern of the first bytes, kind of file, advice
    (rb"PK\x03\x04", "a zip archive, as .zip, .npz and .pt files are", _UNPACK),
    (rb"BZh[1-9]1AY&SY", "compressed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\0", "compressed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"(?s:.{257})ustar", "a tar archive", _UNPACK),
    (
        rb"\xba\x16\x4f\x2f",
        "a model of fastText (.bin)",
        "Give the .vec file that belongs to it, or load it by gensim.models.fasttext.load_facebook_vectors and use "
        "WordVectorEncoder.from_gensim.",
    ),
    (
        rb"\x80[\x02-\x05]",
        "a Python pickle, as gensim's .kv and .model files are",
        "Load it by gensim.models.KeyedVectors.load (or Word2Vec.load) and use WordVectorEncoder.from_gensim.",
    ),
    (
        rb"\x93NUMPY",
        "a NumPy array (.npy), which holds no words",
        "Give a text file of words and numbers.",
    ),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file", "Write its words and vectors to a text file."),
    (
        rb"SQLite format 3\0",
        "an SQLite database, as Magnitude's files are",
        "Give the vectors that it was converted from.",
    ),
    (
        rb"(?s:.{4})\0{4}\{\"",
        "a safetensors or transferkit model file",
        "transferkit.load reads models of transferkit.",
    ),
    (
        rb"(?i)\s*<(!doctype\s+html|html>|html\s+\w+=)",
        "a web page (HTML)",
        "The download failed: open the address in a browser, and download the file itself.",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS in place of the file", "Run 'git lfs pull' to download it."),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16", "Save it as UTF-8."),
]
N_BYTES = 512  # enough for all patterns


def describe_kind(start: bytes) -> str | None:
    """Return the kind of a file that begins with these bytes, with advice; None if it may hold word vectors."""
    for pattern, kind, remedy in _KINDS:
        if re.match(pattern, start):
            return f"It is {kind}. {remedy}"
    return None
