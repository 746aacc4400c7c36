"""Learning on: more texts, and what other encoders have counted."""

from threading import RLock

from transferkit._algorithms.text.vocabulary_merging import Tally
from transferkit._validation import check_can_merge, fit_context, is_fitted
from transferkit.encoders.text._blocks import TermStatistics
from transferkit.encoders.text._lost_words import warn_of_lost_words
from transferkit.encoders.text._workings import find_workings

settling = RLock()  # one for all encoders: a lock of their own could not be pickled


class TermStreamingMixin:
    """Adds to the terms of an encoder, for which `_store` then chooses columns and weights."""

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
        self : TfidfEncoder
            The encoder; it equals one fitted on all texts so far at once.

        Raises
        ------
        ValueError
            If the encoder was loaded without the terms that its bounds left out.
        """
        known = is_fitted(self)
        if known:
            self._check_can_learn_on()
        analysis = find_workings(self).analysis if known else self._prepare_fit()
        self._add(self._learn(analysis, X))
        if not known:
            warn_of_lost_words(self, analysis.sample)
        return self

    def merge(self, other):
        """Take over what another encoder has learned, as if its texts had been seen here.

        Parameters
        ----------
        other : TfidfEncoder
            A fitted encoder with the same parameters; it stays as it is.

        Returns
        -------
        self : TfidfEncoder
            The encoder; it equals one fitted on the texts of both, in any order.

        Raises
        ------
        ValueError
            If the parameters differ, or one of the two was loaded without the terms that its bounds left out.
        TypeError
            If `other` is no TfidfEncoder.
        """
        check_can_merge(self, other, [name for name in self.get_params() if name not in ("n_jobs", "device")])
        self._check_can_learn_on()
        other._check_can_learn_on()
        self._add(other._statistics())
        return self

    def _add(self, statistics):
        if getattr(self, "_tally", None) is None:
            tally = Tally(None if self.vocabulary is not None else self.max_vocabulary)
            if is_fitted(self):
                tally.add([self._terms()])
                tally.error = self._statistics().error
            self._tally = tally
        self._tally.add([statistics.terms])
        self._tally.error += statistics.error
        self._keeps_all = self._is_complete = True
        self.n_documents_ = getattr(self, "n_documents_", 0) + statistics.n_documents

    def _settle(self):
        """Choose columns and weights, if texts were added since that was last done."""
        if self._tally is None:
            return
        with settling:
            if self._tally is not None:  # another thread may have done it meanwhile
                terms = self._tally.vocabulary()
                self._store(TermStatistics(terms, self.n_documents_, self._tally.error), keeps_all=True)

    def _statistics(self):
        terms = self._terms()
        return TermStatistics(terms, self.n_documents_, getattr(self, "_vocabulary_error", 0))

    def _check_can_learn_on(self, name="TfidfEncoder"):
        """Raise if terms are missing, in the name of the encoder that the user has."""
        if not self._is_complete:
            raise ValueError(
                f"This {name} was fitted with fit and then pickled or saved, which leaves out the terms "
                "that min_df, max_df or max_features exclude, so it cannot learn on exactly. Fit it with partial_fit, "
                "which keeps them."
            )
