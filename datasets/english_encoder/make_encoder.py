"""Make the encoder "english" of the package: word vectors of general English.

Run ``python datasets/english_encoder/make_encoder.py WIKI TEACHER OUTPUT``, where WIKI is the corpus of the card
``wiki_en_sample`` (a .txt.gz file), TEACHER the folder of the sentence model all-MiniLM-L6-v2, and OUTPUT the file to
write, for example ``transferkit/encoders/english/english.tk``. It needs ``pip install "transferkit[sentence]"
wordfreq`` and takes some minutes. Nothing in it is random; the same libraries on the same kind of processor give the
same file.

Vocabulary: the words that are most frequent in the mean of two lists of shares, those of the corpus and those of
wordfreq. A vector has two parts of the same mean square: co-occurrences of the word in the corpus, and the principal
components of what the teacher returns for the word as a text.
"""

import argparse
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import wordfreq
from sklearn.decomposition import PCA

import transferkit
from transferkit import SentenceEncoder, WordVectorEncoder
from transferkit.datasets import load_corpus

N_WORDS = 28_000
N_COOCCURRENCE, N_TEACHER = 150, 246  # components of the two parts
PATTERN = r"(?u)\b\w+\b"
LONGEST_WORD = 30  # characters; of longer ones, both sources have few that are words
CARD = {
    "name": "English word vectors of transferkit",
    "language": "English",
    "licence": "CC BY-SA 4.0; see LICENSE.txt beside this file for the sources and their licences",
    "sources": "27,409 articles of English Wikipedia (created since 2018), for co-occurrences; all-MiniLM-L6-v2 "
    "(Apache-2.0), for embeddings of single words; wordfreq 3.1.1, for frequencies",
    "not trained on": "the texts and labels of this project's benchmarks",
    "made by": "datasets/english_encoder/make_encoder.py",
}


def main():
    """Write the encoder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wiki")
    parser.add_argument("teacher")
    parser.add_argument("output")
    arguments = parser.parse_args()
    cooccurring = WordVectorEncoder(N_COOCCURRENCE, min_count=3, token_pattern=PATTERN).fit(load_corpus(arguments.wiki))
    shares = mix_shares(cooccurring)
    words = sorted(shares, key=lambda word: (-shares[word], word))[:N_WORDS]
    parts = look_up(cooccurring, words), embed(arguments.teacher, words)
    source = SimpleNamespace(
        index_to_key=words,
        vectors=np.hstack([part / np.sqrt(mean_square(part)) for part in parts]),
        expandos={"count": np.array([shares[word] for word in words])},
    )
    encoder = WordVectorEncoder.from_gensim(source, token_pattern=PATTERN, min_count=2)
    transferkit.save(encoder.quantise(), arguments.output, card=CARD)


def mix_shares(encoder):
    """Return the mean share of each word in the corpus and in wordfreq, whose words are split as those of texts are."""
    general = Counter()
    for entry, share in wordfreq.get_frequency_dict("en", "large").items():
        for word in re.findall(PATTERN, entry):
            general[word] += share
    total = sum(general.values())
    corpus = dict(zip(encoder.vocabulary_, encoder.frequency_, strict=True))
    words = [word for word in {**general, **corpus} if len(word) <= LONGEST_WORD]
    return {word: (general[word] / total + corpus.get(word, 0.0)) / 2 for word in words}


def look_up(encoder, words):
    """Return the vectors of words, zeros for those that the encoder does not know."""
    vectors, vocabulary = np.zeros((len(words), encoder.vectors_.shape[1]), np.float32), encoder.vocabulary_
    rows = np.array([vocabulary.get(word, -1) for word in words])
    vectors[rows >= 0] = encoder.vectors_[rows[rows >= 0]]
    return vectors


def embed(teacher, words):
    """Return the leading principal components of the teacher's embeddings of words."""
    embeddings = SentenceEncoder(teacher, batch_size=128, device="cpu").transform(words)
    return PCA(N_TEACHER, svd_solver="covariance_eigh").fit_transform(embeddings).astype(np.float32)


def mean_square(vectors):
    """Return the mean squared length of the vectors that are not zero."""
    lengths = np.linalg.norm(vectors, axis=1)
    return np.mean(lengths[lengths > 0] ** 2)


if __name__ == "__main__":
    main()
