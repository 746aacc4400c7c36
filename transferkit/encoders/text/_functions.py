"""The functions that a text encoder makes terms with, under the names that scikit-learn's vectorizers give them."""

from transferkit.encoders.text._analysis import make_analysis, make_vectorizer


class TextFunctionsMixin:
    """Hands out the steps from a document to its terms, as the encoder's parameters say."""

    def decode(self, doc):
        """Return a document as text: read if it is a file or its name, decoded if it is bytes.

        Parameters
        ----------
        doc : str, bytes or file
            A document of the kind that `input` says.

        Returns
        -------
        text : str
            The text.
        """
        return make_vectorizer(self).decode(doc)

    def build_preprocessor(self):
        """Return the function that prepares a text before it is split into terms.

        Returns
        -------
        preprocessor : callable
            From str to str: lower case and accents, or what `preprocessor` says.
        """
        return make_vectorizer(self).build_preprocessor()

    def build_tokenizer(self):
        """Return the function that splits a prepared text into words.

        Returns
        -------
        tokenizer : callable
            From str to a list of str.
        """
        return make_vectorizer(self).build_tokenizer()

    def get_stop_words(self):
        """Return the words that are left out.

        Returns
        -------
        stop_words : frozenset of str or None
            Stop words, those of scikit-learn for "english"; None for none.
        """
        return make_vectorizer(self).get_stop_words()

    def build_analyzer(self):
        """Return the function that turns one document into its terms, repeated as often as they occur.

        Returns
        -------
        analyzer : callable
            From a document to a list of str.
        """
        return make_analysis(self).analyze
