"""Learning on: more texts, other encoders, a domain's own texts."""

from dataclasses import replace
from numbers import Integral
from threading import RLock

from transferkit._algorithms.words.pooling import rotation_onto
from transferkit._validation import check_can_merge, check_is_fitted, fit_context, is_fitted
from transferkit.encoders.text._analyzer import TextSample, make_analyzer
from transferkit.encoders.text._counting import check_documents
from transferkit.encoders.text._lost_words import warn_of_lost_words
from transferkit.encoders.text._parameters import warn_for_parameters
from transferkit.encoders.words._counts import Bounds, WordCounts

_settling = RLock()  # one for all encoders: a lock of their own could not be pickled


class WordStreamingMixin:
    """Adds to the counts of an encoder, from which `_learn` makes its vectors."""

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn from more texts, as if they had been there from the start.

        Parameters
        ----------
        X : iterable of str, length n_texts
            A batch of texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. Vectors are computed when they are next asked for, and :meth:`adapt_idf` is undone.

        Raises
        ------
        ValueError
            If the encoder holds no counts: its vectors were loaded, or it was fitted with `fit` and then loaded.
        """
        known, sample = is_fitted(self), TextSample()
        counts = self._count(self._known_counts() if known else WordCounts(), X, sample)
        vars(self).update(_counts=tuple(counts), _keeps_counts=True, _is_stale=True)
        if not known:
            warn_of_lost_words(self, sample)
        return self

    def merge(self, other):
        """Take over what another encoder has counted, as if its texts had been seen here.

        Parameters
        ----------
        other : WordVectorEncoder
            A fitted encoder with the same parameters; it stays as it is.

        Returns
        -------
        self : WordVectorEncoder
            The encoder; it equals one fitted on the texts of both, in any order.

        Raises
        ------
        ValueError
            If the parameters differ, or one of the two holds no counts.
        TypeError
            If `other` is no WordVectorEncoder.
        """
        check_can_merge(self, other, [name for name in self.get_params() if name not in ("n_jobs", "device")])
        counts = self._known_counts().merge(other._known_counts(), self._bounds(), self.n_jobs)
        vars(self).update(_counts=tuple(counts), _keeps_counts=True, _is_stale=True)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def continue_fit(self, X, y=None, *, weight=1):
        """Learn on from a domain's own texts, in the coordinates that the vectors have.

        Words that become frequent enough join. The new vectors are rotated onto the old ones (if these are as long), so
        that what was trained on the old ones (a classifier on pooled rows) keeps its meaning as far as the words
        kept theirs.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts of the domain.
        y : None
            Ignored; here for scikit-learn's API.
        weight : int, default=1
            How often the texts are counted, as if they had been given that many times: more than once lets a small
            domain speak up against a large corpus.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. Up to the rotation it equals one fitted on all texts; :meth:`adapt_idf` is undone.

        Raises
        ------
        ValueError
            If `weight` is no positive int, or the encoder holds no counts: its vectors were loaded, or it was fitted
            with `fit` and then loaded.

        References
        ----------
        .. [1] P. Schönemann (1966). A generalized solution of the orthogonal Procrustes problem.
           Psychometrika 31 (1), 1-10.
        """
        check_is_fitted(self)
        if not isinstance(weight, Integral) or weight < 1:
            raise ValueError(f"The 'weight' of continue_fit must be an int of at least 1. Got {weight!r} instead.")
        self._settle()
        known = self._known_counts()
        counts = known.merge(self._count(WordCounts(), X).times(int(weight)), self._bounds(), self.n_jobs)
        learned = self._learn(counts)
        before, now = self._words.terms_, learned["_words"].terms_
        columns = now.columns_of(before.vocabulary.hashes, before.vocabulary.checks)
        shared = columns >= 0
        old = self._vectors[before.columns[shared]]
        new = learned["_vectors"][columns[shared]]
        if old.shape[1] == new.shape[1]:
            rotation = rotation_onto(new, old)
            learned["_vectors"] = learned["_vectors"] @ rotation
            learned["_common"] = learned["_common"] @ rotation
            if self.subword:
                learned["_ngram_vectors"] = learned["_ngram_vectors"] @ rotation
        vars(self).update(learned, _counts=tuple(counts), _keeps_counts=True)
        return self

    def _settle(self):
        """Compute the vectors, if texts were added since that was last done."""
        if self._is_stale:
            with _settling:
                if self._is_stale:  # another thread may have done it meanwhile
                    learned = self._learn(WordCounts(*self._counts))
                    is_stale = learned.pop("_is_stale")
                    vars(self).update(learned)
                    self._is_stale = is_stale  # at last, as other threads take the vectors for current from here on

    def _count(self, counts, X, sample=None):
        words = self._make_words()
        analyzer = replace(make_analyzer(words), sample=sample)
        warn_for_parameters(analyzer.vectorizer)
        documents = check_documents(X, (str,))
        return counts.add(analyzer, documents, self.window, self._bounds(), self.n_jobs)

    def _bounds(self):
        return Bounds(self.max_pairs, self.max_vocabulary)

    def _known_counts(self):
        if self._counts is None:
            raise ValueError(
                "This WordVectorEncoder holds no counts, so it cannot learn on: its vectors were loaded, or it was "
                "fitted with fit and then pickled or saved. Fit it with partial_fit, which keeps the counts."
            )
        return WordCounts(*self._counts)
