"""Change one line of the package at a time, each a rule that decides something, and see whether a test fails.

`make mutants` tries all of MUTANTS in a few minutes; `python tests/mutants.py WORD ...` those whose names hold one of
the words. Each is tried in a copy of the package by the few tests that are to notice it, which pass without the change.
A mutant that no test notices is an error, unless SURVIVORS says why none can.
"""

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SECONDS = 120  # for one of the arguments of pytest


class Mutant(NamedTuple):
    """One line that is changed, and the tests that are to fail then."""

    name: str
    file: str  # in the package
    old: str  # is there once
    new: str
    tests: str  # arguments of pytest, from the folder of the tests


FITTED_TERMS, OF_TFIDF = "encoders/text/_fitted_terms.py", "encoders/text/test_tfidf.py"
WORDS = "encoders/text/_parameters.py"
LOST = "encoders/text/test_parameters.py"
PRETRAINING, OF_PRETRAINING = "encoders/_pretraining.py", "encoders/test_pretraining.py"
EMBEDDINGS, PRETRAINED = "encoders/_embedding_cache.py", "encoders/test_pretrained.py"
BOUNDS, OF_BOUNDS = "persistence/_bounds.py", "persistence/test_bounds.py"
PAIRS, OF_PAIRS = "_algorithms/words/cooccurrence.py", "_algorithms/words/test_cooccurrence.py"
DIAGNOSTICS, OF_DIAGNOSTICS = "_algorithms/domains/diagnostics.py", "_algorithms/domains/test_diagnostics.py"
TRANSFERABILITY, RANKING = "_algorithms/linear/transferability.py", "_algorithms/linear/test_transferability.py"
POINTS, OF_POINTS = "_training/clustering/points.py", "_training/clustering/test_points.py"
DECOMPOSITIONS, LINALG = "_algorithms/linalg/decompositions.py", "_algorithms/linalg/test_decompositions.py"
CONSENSUS, TARGET_CLASSES = "transfer/domains/_consensus.py", "_algorithms/domains/discriminant.py"
DOMAIN = "transfer/domains/test_domain_classifier.py"
ROUNDS = "transfer/strategies/test_rounds.py"
NEAR_STARTS = (
    "_training/linear/test_search_offsets.py::test_fits_start_near_those_of_other_scales_and_of_some_of_the_blocks"
)
OF_COLUMNS = (
    "_training/linear/test_preconditioning.py"
    "::test_columns_of_sparse_blocks_are_decomposed_if_they_are_few_and_replaced_by_rows_if_they_are_very_many"
)
EVALUATION, HELD_OUT = "transfer/_evaluation.py", "heads/linear/evaluation.py"
DEFAULT_ENCODER = "transfer/test_default_encoder.py"
SUMMARY, OF_SUMMARY = "transfer/_summary.py", "transfer/test_summary.py"
REPORT, OF_REPORT = "cli/_report.py", "cli/test_report.py"
JUDGED, EVALUATE, OF_JUDGED = "cli/_evaluation.py", "cli/commands/_evaluate.py", "cli/test_evaluation.py"
CALLBACKS = "test_callbacks.py"
OF_MISTAKES = "cli/test_mistakes.py"
OF_COMMANDS = "cli/test_commands.py::test_pretrain_shows_what_was_learned"
EXPLAIN, OF_EXPLAIN = "cli/commands/_explain.py", "cli/test_explain.py"
PREDICT, OF_PREDICT = "cli/commands/_predict.py", "cli/test_predict.py"
SHARES, OF_SHARES = "_algorithms/proportions.py", "_algorithms/test_proportions.py"
FINETUNE = "transfer/strategies/_fine_tuning.py"
RULES, MISSING = "transfer/strategies/test_rules.py", "transfer/test_missing_classes.py"
CHARACTERS, OF_CHARACTERS = "encoders/term_union.py", "transfer/strategies/test_characters.py"
SCRATCH, TERM_VECTORS = "transfer/strategies/_scratch.py", "transfer/strategies/_term_vectors.py"
SINGLE = "_algorithms/linear/logistic_regression.py"
OF_SINGLE = "_algorithms/linear/test_logistic_regression.py"
LBFGS, STOP = "_training/linear/lbfgs.py", "_training/linear/test_lbfgs.py"
LOOP, DATA, TRAINING = "_training/network/loop.py", "_training/network/data.py", "_training/network/test_training.py"
MLP, NETWORKS = "heads/mlp/test_mlp_training.py", "_training/network/training.py"
DEVICE, THREADS = "_training/device.py", "_training/test_threads.py"
CPUS, OF_CPUS = "_algorithms/linalg/threads.py", "_algorithms/linalg/test_threads.py"
TASKS, FITTING = "distributed/_map_reduce.py", "distributed/test_fitting.py"
DISCRIMINANT, OF_DISCRIMINANT = "_algorithms/linear/soft_labels.py", "_algorithms/linear/test_soft_labels.py"
EVIDENCE, OF_EVIDENCE = "transfer/strategies/_evidence.py", "transfer/test_evidence.py"
SEARCH, CV = "heads/linear/_search_table.py", "heads/linear/test_logistic_cv.py"
DISTILLATION, OF_DISTILLATION = "encoders/words/_distillation.py", "encoders/words/test_distillation.py"
LOSSES, OF_LOSSES = "_training/linear/losses.py", "_training/linear/test_losses.py"
SOFT = "heads/test_soft_targets.py"
REJECTION, OF_REJECTION = "_algorithms/rows/rejection.py", "_algorithms/rows/test_rejection.py"
SELECTIVE, OF_SELECTIVE = "selection/_selective_classifier.py", "selection/test_selective_classifier.py"
PROPORTIONS = "_algorithms/rows/class_proportions.py"
OF_PROPORTIONS = "_algorithms/rows/test_class_proportions.py"
LABEL_SHIFT, OF_LABEL_SHIFT = "adaptation/_label_shift_weighting.py", "adaptation/test_label_shift_weighting.py"
COVERAGE, OF_COVERAGE = "_algorithms/rows/coverage.py", "_algorithms/rows/test_coverage.py"
SUGGEST, SUGGESTIONS = "selection/_suggest_labels.py", "selection/test_suggest_labels.py"
ENCODINGS, OF_ENCODINGS = "datasets/_encodings.py", "datasets/test_encodings.py"
SEPARATORS, OF_SEPARATORS = "datasets/_delimited.py", "datasets/test_separators.py"
COLUMNS, OF_COLUMNS = "datasets/_columns.py", "datasets/test_columns.py"
CHECKS, OF_CHECKS = "datasets/_checks.py", "datasets/test_checks.py"
NEW_CLASSES, OF_NEW_CLASSES = "transfer/strategies/_new_classes.py", "transfer/strategies/test_new_classes.py"

SERVER, OF_SERVER = "cli/_http.py", "cli/test_serve.py"
STOPPING = f"{OF_SERVER}::test_server_that_is_told_to_stop_answers_open_requests_and_waits_for_no_endless_one"
MUTANTS = [
    # How files are read.
    Mutant(
        "encodings: a damaged file is Western European",
        ENCODINGS,
        "if 2 * sum(map(len, _UTF_8.findall(data))) > n_high:",
        "if False:",
        f"{OF_ENCODINGS}::test_other_encodings_and_damaged_files_are_not_guessed",
    ),
    Mutant(
        "encodings: no sequence may be UTF-8",
        ENCODINGS,
        "if 2 * sum(map(len, _UTF_8.findall(data))) > n_high:",
        "if _UTF_8.findall(data):",
        f"{OF_ENCODINGS}::test_typographic_signs_of_windows_are_kept",
    ),
    Mutant(
        "encodings: Cyrillic is Western European",
        ENCODINGS,
        "> MOST_IN_RUNS * n_high",
        "> n_high",
        f"{OF_ENCODINGS}::test_other_encodings_and_damaged_files_are_not_guessed",
    ),
    Mutant(
        "encodings: signs within words",
        ENCODINGS,
        "<= MOST_MISPLACED * len(within)",
        "<= len(within)",
        f"{OF_ENCODINGS}::test_other_encodings_and_damaged_files_are_not_guessed",
    ),
    Mutant(
        "encodings: control characters",
        ENCODINGS,
        "\\x00-\\x08\\x0e-\\x19\\x1c-\\x1f\\x81",
        "\\x81",
        f"{OF_ENCODINGS}::test_other_encodings_and_damaged_files_are_not_guessed",
    ),
    Mutant(
        "encodings: a guess is never taken back",
        ENCODINGS,
        "if self._error is not None and not _is_western(chunk):",
        "if False:",
        f"{OF_ENCODINGS}::test_a_guess_that_later_bytes_contradict_is_an_error",
    ),
    Mutant(
        "encodings: UTF-8 before the first invalid byte",
        ENCODINGS,
        'self.encoding == "utf-8" and self._is_ascii',
        'self.encoding == "utf-8"',
        f"{OF_ENCODINGS}::test_a_guess_that_later_bytes_contradict_is_an_error",
    ),
    Mutant(
        "encodings: zeros at both halves",
        ENCODINGS,
        "if min(even, odd) > MOST_ODD_ZEROS * max(even, odd):",
        "if False:",
        f"{OF_ENCODINGS}::test_zero_characters_do_not_make_utf_16",
    ),
    Mutant(
        "encodings: lines of UTF-16",
        ENCODINGS,
        'or 2 * text.count("\\n") > start.count(b"\\n")',
        'or "\\n" in text',
        f"{OF_ENCODINGS}::test_zero_characters_do_not_make_utf_16",
    ),
    Mutant(
        "separators: number of fields",
        SEPARATORS,
        "((n_different, -lengths[0],",
        "((0, -lengths[0],",
        f"{OF_SEPARATORS}::test_separator_is_the_one_that_splits_best",
    ),
    Mutant(
        "separators: most fields",
        SEPARATORS,
        "((n_different, -lengths[0],",
        "((n_different, 0,",
        f"{OF_SEPARATORS}::test_separator_is_the_one_that_splits_best",
    ),
    Mutant(
        "separators: the default one",
        SEPARATORS,
        "separator != by_default), separator",
        "separator == by_default), separator",
        f"{OF_SEPARATORS}::test_separator_is_the_one_that_splits_best",
    ),
    Mutant(
        "columns: the only one with letters",
        COLUMNS,
        "if any(map(_LETTERS.search, values[name])) and not _is_of_labels(name)]",
        "if not _is_of_labels(name)]",
        f"{OF_COLUMNS}::test_columns_that_must_be_meant_are_guessed_and_reported",
    ),
    Mutant(
        "columns: names of labels are none of texts",
        COLUMNS,
        "if any(map(_LETTERS.search, values[name])) and not _is_of_labels(name)]",
        "if any(map(_LETTERS.search, values[name]))]",
        f"{OF_COLUMNS}::test_usual_names_of_labels_are_none_of_texts",
    ),
    Mutant(
        "columns: keys of objects are data",
        COLUMNS,
        "is_data = rows.errors is None and any(",
        "is_data = any(",
        f"{OF_COLUMNS}::test_keys_of_objects_are_never_data",
    ),
    Mutant(
        "columns: words of a text",
        COLUMNS,
        "n_words >= LEAST_WORDS",
        "n_words >= 1",
        f"{OF_COLUMNS}::test_columns_that_must_be_meant_are_guessed_and_reported",
    ),
    Mutant(
        "columns: ideographs of a text",
        COLUMNS,
        ">= LEAST_IDEOGRAPHS",
        "> 100",
        f"{OF_COLUMNS}::test_the_only_column_of_a_corpus_is_no_guess",
    ),
    Mutant(
        "columns: labels repeat",
        COLUMNS,
        "name != text and _repeats(values[name])]",
        "name != text]",
        f"{OF_COLUMNS}::test_ambiguous_columns_are_listed",
    ),
    Mutant(
        "columns: labels of larger tables",
        COLUMNS,
        "if len(values) == 2 else []",
        "if True else []",
        f"{OF_COLUMNS}::test_ambiguous_columns_are_listed",
    ),
    Mutant(
        "columns: the first row is data",
        COLUMNS,
        "is_data = rows.errors is None and any(name in values[name] for name in values)",
        "is_data = False",
        f"{OF_COLUMNS}::test_a_table_without_names_of_columns_is_an_error",
    ),
    Mutant(
        "encodings: runs of dashes",
        ENCODINGS,
        r"[\xa1-\xaa\xac-\xba\xbc-\xff]{4,}",
        r"[\x80-\xff]{4,}",
        f"{OF_ENCODINGS}::test_typographic_signs_of_windows_are_kept",
    ),
    Mutant(
        "workbooks: a column without a name",
        "datasets/_workbooks.py",
        "filled[place] == 1 and row[0] is not None",
        "filled[place] == 1",
        "datasets/test_workbooks.py::test_titles_above_the_names_of_columns_are_left_out",
    ),
    Mutant(
        "workbooks: titles above the names of columns",
        "datasets/_workbooks.py",
        "if filled[place] and not is_title:",
        "if filled[place]:",
        "datasets/test_workbooks.py::test_titles_above_the_names_of_columns_are_left_out",
    ),
    Mutant(
        "checks: blanks in all labels",
        CHECKS,
        "if found != label and counts[label] > 1]",
        "if found != label]",
        f"{OF_CHECKS}::test_nothing_is_reported_without_need",
    ),
    Mutant(
        "checks: equal texts of one label",
        CHECKS,
        "first.setdefault(text, label) != label and text",
        "first.setdefault(text, label) and text",
        f"{OF_CHECKS}::test_nothing_is_reported_without_need",
    ),
    # What the server answers, and when it ends.
    Mutant(
        "server: a large body is not read",
        SERVER,
        'while (await receive()).get("more_body"):',
        "while False:",
        STOPPING,
    ),
    Mutant(
        "server: a body that has been read is waited for",
        SERVER,
        "receive if unread else _nothing",
        "receive",
        f"{OF_SERVER}::test_body_that_is_too_large_is_read_to_its_end_and_no_further",
    ),
    Mutant(
        "server: no hint for another content type",
        SERVER,
        "and not _is_json(content_type)",
        "and False",
        f"{OF_SERVER}::test_body_that_is_not_json_is_answered_with_the_reason",
    ),
    Mutant(
        "server: ready without a trial",
        "cli/_serve.py",
        "check_predictions(self.current())",
        "self.current()",
        f"{OF_SERVER}::test_health_is_that_of_a_trial_prediction",
    ),
    Mutant(
        "server: killed by the signal that ends it",
        "cli/_serve.py",
        "with _signals_that_stop(server):",
        "if True:",
        STOPPING,
    ),
    # What editors and type checkers know of parameters.
    Mutant(
        "a strategy that no annotation names",
        "transfer/_classifier.py",
        'Literal["auto", "term_vectors", "frozen", "finetune", "scratch"] =',
        'Literal["auto", "term_vectors", "frozen", "scratch"] =',
        "test_types.py::test_annotations_of_parameters_are_their_constraints",
    ),
    Mutant(
        "fit loses its types to a decorator",
        "_validation.py",
        "def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[F], F]:",
        "def fit_context(*, prefer_skip_nested_validation: bool) -> Any:",
        "test_types.py::test_mypy_finds_the_wrong_calls_of_a_script_and_no_others",
    ),
    # When pretraining is said to be lost, or never to have been.
    Mutant(
        "encoders that are not fitted leave unlabelled rows alone",
        "transfer/pretrained.py",
        "other.encoder = clone(encoder).fit(X_unlabelled)",
        "pass",
        "transfer/test_evidence.py::test_encoder_that_is_not_fitted_is_fitted_to_the_unlabelled_texts",
    ),
    Mutant(
        "encoders fitted to the labelled rows count as pretrained",
        "transfer/strategies/_auto.py",
        'return strategy == "scratch" or is_frozen(estimator.encoder)',
        "return True",
        "transfer/strategies/test_strategies.py"
        "::test_encoder_fitted_to_the_labelled_rows_that_helps_gives_no_warning_and_is_no_transfer",
    ),
    Mutant(
        "encoders fitted to few labelled rows are used in silence",
        "transfer/strategies/_auto.py",
        "if helps and (is_pretrained or is_tested):",
        "if helps:",
        "transfer/strategies/test_strategies.py::test_encoder_that_is_fitted_to_the_labelled_rows_is_no_transfer",
    ),
    Mutant(
        "clones of pretrained encoders forget that they were",
        PRETRAINING,
        "degree > _WITH_LABELS:",
        "False:",
        f"{OF_PRETRAINING}::test_copies_of_a_clone_know_that_it_was_pretrained",
    ),
    Mutant(
        "labels are no sign of a model",
        PRETRAINING,
        "_WITH_LABELS if y is not None else",
        "",
        f"{OF_PRETRAINING}::test_encoder_pretrained_within_a_pipeline_is_missed_by_a_model",
    ),
    Mutant(
        "models without labels lose pretraining in silence",
        PRETRAINING,
        "_IN_MODEL if _is_called_by_model() else _BY_USER",
        "_BY_USER",
        f"{OF_PRETRAINING}::test_model_that_refits_a_pretrained_encoder_warns_with_the_remedy",
    ),
    Mutant(
        "users are warned of fitting again by hand",
        PRETRAINING,
        "while frame.f_back is not None and",
        "while False and",
        f"{OF_PRETRAINING}::test_encoder_from_a_file_is_pretrained",
    ),
    Mutant(
        "a warning as an error comes too late",
        PRETRAINING,
        "        if _read_degree(self) > degree:\n            _warn(self)\n        result = fit(self, X, y)\n",
        "        before = _read_degree(self)\n        result = fit(self, X, y)\n"
        "        if before > degree:\n            _warn(self)\n",
        f"{OF_PRETRAINING}::test_warning_as_an_error_leaves_the_encoder_as_it_was",
    ),
    # Which predictions are rejected.
    Mutant(
        "terms of a file: alphabetical order first",
        FITTED_TERMS,
        "self._n_sought <= len(self._packed.lengths)",
        "self._n_sought <= 0",
        f"{OF_TFIDF}::test_terms_of_a_model_file_are_hashed_when_as_many_have_been_looked_up",
    ),
    Mutant(
        "sif: weights of words kept for other parameters",
        "encoders/words/_word_vectors.py",
        "_sif_weights.get(self, sources,",
        "_sif_weights.get(self, sources[:1],",
        "encoders/words/test_word_vectors.py::test_weights_of_words_follow_their_parameter",
    ),
    Mutant(
        "rejection: texts encoded again for distances",
        "selection/_acceptance.py",
        "_steps(space) == _steps(self.parts.encoder)",
        "space is self.parts.encoder",
        "cli/test_serve.py::test_texts_are_encoded_once",
    ),
    Mutant(
        "rejection: texts of unknown words",
        "selection/_selective_classifier.py",
        "accepted & ~samples.find_unknown()",
        "accepted",
        "cli/test_serve.py::test_texts_are_encoded_once",
    ),
    Mutant(
        "terms of a file: hashes later",
        FITTED_TERMS,
        "self._n_sought <= len(self._packed.lengths)",
        "self._n_sought >= 0",
        f"{OF_TFIDF}::test_terms_of_a_model_file_are_hashed_when_as_many_have_been_looked_up",
    ),
    Mutant(
        "rejection: unseen sample of a coverage",
        REJECTION,
        "kept = np.flatnonzero(rejected + 1 <=",
        "kept = np.flatnonzero(rejected <=",
        f"{OF_REJECTION}::test_one_more_sample_is_accepted_with_the_probability_asked_for",
    ),
    Mutant(
        "rejection: unseen sample of an error",
        REJECTION,
        "bound = (curve.wrong + 1) / (curve.weight + 1)",
        "bound = curve.wrong / curve.weight",
        f"{OF_REJECTION}::test_the_most_samples_that_keep_the_error_are_accepted",
    ),
    Mutant(
        "rejection: classes that share a threshold",
        REJECTION,
        "while shared < len(counts) and together[shared - 1] < least:",
        "while shared < 0:",
        f"{OF_REJECTION}::test_small_classes_share_a_threshold",
    ),
    Mutant(
        "rejection: classes with a threshold of their own",
        SELECTIVE,
        "FEWEST_REJECTED = 20.0",
        "FEWEST_REJECTED = 1e9",
        f"{OF_SELECTIVE}::test_one_class_may_be_rejected_more_than_another",
    ),
    Mutant(
        "rejection: reject label that is a class",
        SELECTIVE,
        "if label in classes.tolist():",
        "if label in ():",
        f"{OF_SELECTIVE}::test_bad_input_of_fit_is_named",
    ),
    Mutant(
        "rejection: weight of probabilities",
        "selection/_acceptance.py",
        "WEIGHT_OF_PROBABILITY = 2.0",
        "WEIGHT_OF_PROBABILITY = 1.0",
        f"{OF_SELECTIVE}::test_both_is_a_weighted_sum_of_standardised_scores",
    ),
    Mutant(
        "rejection: space of distances",
        "selection/_acceptance.py",
        "return PretrainedEncoder(encoder).fit() if is_pretrained else classifier.encoder_",
        "return classifier.encoder_",
        f"{OF_SELECTIVE}::test_texts_unlike_those_of_training_are_rejected",
    ),
    Mutant(
        "rejection: arguments that are not split",
        "selection/_held_out.py",
        "if name in _NOT_OF_ROWS or value is None",
        "if value is None",
        f"{OF_SELECTIVE}::test_other_arguments_of_fit_reach_the_estimator",
    ),
    # What a student learns from its teacher, and what it is evaluated on.
    Mutant(
        "distillation: held-out texts",
        DISTILLATION,
        "if text not in is_held_out]",
        "if text]",
        f"{OF_DISTILLATION}::test_vectors_are_those_of_a_ridge_regression",
    ),
    Mutant(
        "distillation: order of texts",
        DISTILLATION,
        "return nsmallest(n_held_out, digests, key=digests.__getitem__)",
        "return texts[:n_held_out]",
        f"{OF_DISTILLATION}::test_order_copies_and_batches_do_not_matter",
    ),
    Mutant(
        "distillation: most held out",
        DISTILLATION,
        "MOST_HELD_OUT = 1000",
        "MOST_HELD_OUT = 10_000",
        f"{OF_DISTILLATION}::test_held_out_texts_are_a_share_up_to_a_thousand",
    ),
    Mutant(
        "distillation: fewest texts",
        DISTILLATION,
        "FEWEST_TEXTS = 20",
        "FEWEST_TEXTS = 10",
        f"{OF_DISTILLATION}::test_bad_texts_are_named",
    ),
    Mutant(
        "distillation: mean of the teacher",
        DISTILLATION,
        "cosines_of_rows(rows @ fitted, embeddings - mean)",
        "cosines_of_rows(rows @ fitted, embeddings)",
        f"{OF_DISTILLATION}::test_vectors_are_those_of_a_ridge_regression",
    ),
    Mutant(
        "distillation: scale beside other vectors",
        DISTILLATION,
        "scale *= np.sqrt(student.shape[1] / known.shape[1])",
        "scale *= 1.0",
        f"{OF_DISTILLATION}::test_vectors_beside_are_kept_and_the_others_have_their_mean_square",
    ),
    Mutant(
        "distillation: equal embeddings",
        DISTILLATION,
        "if not sums[0].spread > ",
        "if False and not sums[0].spread > ",
        f"{OF_DISTILLATION}::test_bad_embeddings_are_named",
    ),
    Mutant(
        "distillation: mean of words",
        "_algorithms/words/distillation.py",
        "products -= np.outer(row_sums, shift)",
        "products -= 0",
        "_algorithms/words/test_distillation.py",
    ),
    # Probabilities as targets.
    Mutant("soft targets: curvature", LOSSES, "total + loss.label_variance", "total", OF_LOSSES),
    Mutant("soft targets: the other class", LOSSES, "if self.label_variance is not None:", "if False:", OF_LOSSES),
    Mutant("soft targets: tolerance of sums", "_validation.py", "SUM_TOLERANCE = 1e-3", "SUM_TOLERANCE = 1e-2", SOFT),
    Mutant("soft targets: normalisation", "_validation.py", "[:, order] / sums[:, None]", "[:, order]", SOFT),
    Mutant("soft targets: order of columns", "_validation.py", "[:, order] / sums", " / sums", SOFT),
    Mutant(
        "soft targets: class weights in the weights of samples",
        "heads/linear/_linear_classifier.py",
        "weights = (weights * sums).astype(weights.dtype)",
        "weights = (weights * (sums > 0)).astype(weights.dtype)",
        SOFT,
    ),
    Mutant(
        "soft targets: classes with weight",
        "heads/linear/_linear_classifier.py",
        "check_total_weights(classes, sum_class_weights(probabilities",
        "len, (classes, sum_class_weights(probabilities",
        SOFT,
    ),
    Mutant(
        "soft targets: classes missing from a fold",
        "_algorithms/linear/targets.py",
        "np.asarray(weights @ targets,",
        "np.asarray(weights @ targets + 1,",
        "_training/linear/test_logistic.py",
    ),
    Mutant("soft targets: smoothing", DATA, "1 / n_outputs if examples.exclusive", "1 / 2 if examples.exclusive", SOFT),
    Mutant(
        "soft targets: score of held-out samples",
        "_training/network/losses.py",
        "targets.gather(1, scores.argmax(1, keepdim=True))[:, 0]",
        "targets.amax(1)",
        SOFT,
    ),
    Mutant("soft targets: held-out samples", "heads/mlp/_base.py", "self.targets.argmax(1)", "None", SOFT),
    Mutant(
        "soft targets: labels for callbacks",
        "heads/linear/_logistic.py",
        "y if to_labels is None else to_labels(y)",
        "y",
        SOFT,
    ),
    # Progress.
    Mutant(
        "progress: inner estimators are watched",
        "_estimator.py",
        "propagates = isinstance(estimator, CallbackSupportMixin)",
        "propagates = False",
        f"{CALLBACKS}::test_inner_estimators_are_watched_by_callbacks_that_propagate",
    ),
    Mutant(
        "progress: inner estimators without callbacks",
        "_estimator.py",
        "propagates = isinstance(estimator, CallbackSupportMixin)",
        "propagates = True",
        f"{CALLBACKS}::test_inner_estimators_without_callbacks_are_fitted_without_a_warning",
    ),
    Mutant(
        "progress: thresholds are set on the folds before a stop",
        "selection/_held_out.py",
        "if progress.stopped:",
        "if False:",
        f"{CALLBACKS}::test_thresholds_are_set_on_the_folds_before_a_stop",
    ),
    Mutant(
        "progress: clusters of a stopped fit",
        "_training/clustering/kmeans.py",
        "if stops or float",
        "if float",
        f"{CALLBACKS}::test_clusters_of_a_stopped_fit_are_those_of_its_last_iteration",
    ),
    Mutant(
        "progress: every sample is encoded in spite of a stop",
        "encoders/_steps.py",
        "        progress.step()\n",
        "        if progress.step():\n            break\n",
        f"{CALLBACKS}::test_frozen_encoders_report_what_they_encode",
    ),
    Mutant(
        "progress: clones keep the callbacks",
        "_estimator.py",
        "clone._skl_callbacks = estimator._skl_callbacks",
        "pass",
        f"{CALLBACKS}::test_callbacks_are_cloned_and_pickled_but_not_part_of_model_files",
    ),
    Mutant(
        "progress: lines only after some time",
        "cli/_progress.py",
        'self.text, self.last = "", time.monotonic()',
        'self.text, self.last = "", 0.0',
        "cli/test_progress.py::test_predictions_of_many_texts_are_counted_in_lines",
    ),
    Mutant(
        "many tasks: warnings name the task",
        "transfer/_multitask.py",
        'text = f"Task {task!r}: {warning.message}"',
        "text = str(warning.message)",
        "transfer/test_multitask.py::test_warnings_name_the_task_and_point_to_the_caller",
    ),
    Mutant(
        "evidence: a source is refused before the labels are compared",
        "transfer/_classifier.py",
        "if names and classifier.source is not None:",
        "if False:",
        "transfer/test_evidence.py::test_class_prior_with_a_source_is_refused_as_such",
    ),
    Mutant(
        "summary of numbers: the mean of the others",
        SUMMARY,
        "(total / (total - weights))[:, None]",
        "1",
        f"{OF_SUMMARY}::test_summary_of_numbers_compares_r2_of_left_out_samples",
    ),
    Mutant(
        "summary of numbers: term vectors without influence are no transfer",
        SUMMARY,
        'losses["without_transfer"] += [-row["mean"] for row in other.rows if row["alpha"] == 0]',
        "pass",
        f"{OF_SUMMARY}::test_summary_of_numbers_with_one_strategy",
    ),
    # What is learned beside labels.
    Mutant(
        "evidence: the covariance is shrunk",
        DISCRIMINANT,
        "SHRINKAGE = 0.1",
        "SHRINKAGE = 0.9",
        f"{OF_DISCRIMINANT}::test_shrinkage_keeps_rows_in_few_dimensions_apart",
    ),
    Mutant(
        "evidence: labels are aligned",
        DISCRIMINANT,
        "discriminant.fit(align_proportions(soft_labels, proportions), proportions)",
        "discriminant.fit(soft_labels, proportions)",
        f"{OF_DISCRIMINANT}::test_self_training_aligns_the_labels",
    ),
    Mutant(
        "label shift: steps until the proportions have converged",
        PROPORTIONS,
        "MAX_STEPS = 1000",
        "MAX_STEPS = 5",
        f"{OF_PROPORTIONS}::test_proportions_of_overlapping_classes_have_the_largest_likelihood",
    ),
    Mutant(
        "label shift: the steps do not end early",
        PROPORTIONS,
        "TOL = 1e-7",
        "TOL = 1e-3",
        f"{OF_PROPORTIONS}::test_proportions_of_overlapping_classes_have_the_largest_likelihood",
    ),
    Mutant(
        "self-test: texts for an encoder of several parts within a classifier",
        "persistence/_probe.py",
        '("encoder_", "estimator_")',
        '("estimator_",)',
        "persistence/test_self_test.py::test_encoders_of_several_parts_within_a_transfer_classifier_are_compared",
    ),
    Mutant(
        "label shift: the error of the simplex, not of all vectors",
        PROPORTIONS,
        "confusion - predicted[:, None]",
        "confusion",
        f"{OF_PROPORTIONS}::test_shares_of_predictions_give_the_proportions",
    ),
    Mutant(
        "evidence: proportions are shrunk to the base",
        PROPORTIONS,
        "(shares + strength * base) / (1 + strength)",
        "shares",
        f"{OF_PROPORTIONS}::test_proportions_are_those_of_the_rows_or_of_the_base",
    ),
    Mutant(
        "evidence: other features keep the direction of their mean",
        EVIDENCE,
        "removes_common=removes_common",
        "removes_common=True",
        f"{OF_EVIDENCE}::test_features_far_from_the_origin_keep_their_digits",
    ),
    Mutant(
        "evidence: rounding is that of the features",
        "_algorithms/linear/term_prior.py",
        "np.finfo(rows.dtype).eps",
        "np.finfo(np.float32).eps",
        f"{OF_EVIDENCE}::test_features_far_from_the_origin_keep_their_digits",
    ),
    Mutant(
        "evidence: few labels trust estimated proportions less",
        EVIDENCE,
        "STRENGTH + STRENGTH_OF_FEW / max(counts.mean(), 1)",
        "STRENGTH",
        f"{OF_EVIDENCE}::test_few_labels_trust_estimated_proportions_less",
    ),
    Mutant(
        "evidence: folds learn without their own labels",
        EVIDENCE,
        "search.fit(settings.nearest_C(C_OF_LABELLER)).models()",
        "[search.fit(settings.nearest_C(C_OF_LABELLER)).models()[-1]] * n_models",
        f"{OF_EVIDENCE}::test_folds_do_not_learn_from_their_own_labels",
    ),
    Mutant(
        "evidence: none of it is a candidate",
        "transfer/strategies/_term_vectors.py",
        "tried = [*tried, *with_evidence] if task.has_folds else with_evidence",
        "tried = with_evidence",
        f"{OF_EVIDENCE}::test_the_table_shows_every_source_and_none",
    ),
    Mutant(
        "evidence: unlabelled rows decide without folds",
        "transfer/strategies/_auto.py",
        "evidence.unlabelled is not None and not task.has_folds",
        "False",
        f"{OF_EVIDENCE}::test_without_folds_the_discriminant_of_unlabelled_rows_is_the_model",
    ),
    Mutant(
        "evidence: tasks without labels share the terms of the others",
        "transfer/strategies/_auto.py",
        "join_terms(projection, X) if terms is None else terms\n        encoder, encode",
        "join_terms(projection, X)\n        encoder, encode",
        "transfer/test_multitask_evidence.py::test_tasks_without_labels_and_with_few_share_the_pass_over_a_text",
    ),
    Mutant(
        "evidence: folds of the command line have the unlabelled texts",
        "cli/_commands.py",
        "predict_folds(classifier, texts, labels, cv, advance.detail, **others)",
        "predict_folds(classifier, texts, labels, cv, advance.detail)",
        "cli/test_evidence_options.py::test_folds_are_evaluated_with_the_unlabelled_texts",
    ),
    Mutant(
        "evidence: descriptions of a task replace those of all",
        "transfer/_multitask.py",
        "check_parameters(estimators[task].set_params(class_descriptions=descriptions))",
        "check_parameters(clone(estimator).set_params(class_descriptions=descriptions))",
        "transfer/test_multitask_evidence.py::test_descriptions_given_to_fit_replace_those_of_the_estimator",
    ),
    Mutant(
        "evidence: the file of tasks holds no teacher",
        "transfer/_estimator.py",
        'state | {"teacher": None} if "teacher" in state else state',
        "state",
        "transfer/test_multitask_evidence.py::test_the_file_of_tasks_does_not_hold_the_teacher",
    ),
    Mutant(
        "evidence: progress is measured without the offset",
        "_training/linear/problem.py",
        "if self.offset is None or self.is_informed:",
        "if self.offset is None:",
        "_training/linear/test_search_offsets.py::test_an_offset_that_knows_the_labels_ends_training_soon",
    ),
    # What a fit with shards checks after each pass.
    Mutant(
        "shards: rows of later passes",
        TASKS,
        "partial.n_rows != n_rows",
        "False",
        f"{FITTING}::test_shards_that_change_between_passes_are_an_error",
    ),
    Mutant(
        "shards: skipped in the first pass only",
        TASKS,
        "used, False, first.n_rows",
        "used, skips, first.n_rows",
        f"{FITTING}::test_shard_lost_in_a_later_pass_is_an_error",
    ),
    Mutant(
        "shards: earlier fits",
        "distributed/_fitting.py",
        "vars(encoder).keys() - parameters.keys()",
        "()",
        f"{FITTING}::test_fit_forgets_what_an_earlier_partial_fit_left",
    ),
    # When n-grams of characters are tried beside words.
    Mutant(
        "characters: long texts",
        CHARACTERS,
        "<= MOST_CHARACTERS",
        "<= 2 * MOST_CHARACTERS",
        "encoders/test_term_union.py::test_characters_are_tried_beside_words_in_short_texts_only",
    ),
    Mutant(
        "characters: without held-out labels",
        SCRATCH,
        "if task.has_folds else None",
        "",
        f"{OF_CHARACTERS}::test_without_held_out_labels_characters_are_not_tried",
    ),
    Mutant(
        "characters: near the best C of words",
        "transfer/strategies/_average.py",
        "settings.Cs.index(C)",
        "0",
        f"{OF_CHARACTERS}::test_characters_at_the_best_C_of_words_and_near_it_are_tried",
    ),
    Mutant(
        "characters: without a weight",
        SCRATCH,
        'if all(candidate.row["terms"] != describe_terms(union) for candidate in average.kept)',
        "if False",
        f"{OF_CHARACTERS}::test_words_are_kept_alone_where_characters_do_harm",
    ),
    Mutant(
        "characters: beside vectors without held-out labels",
        TERM_VECTORS,
        "if characters is not None and task.has_folds",
        "if characters is not None",
        f"{OF_CHARACTERS}::test_without_held_out_labels_characters_are_not_tried",
    ),
    Mutant(
        "characters: of several tasks",
        TERM_VECTORS,
        "found.characters = characters  #",
        "pass  #",
        f"{OF_CHARACTERS}::test_tasks_predict_what_they_did_before_they_were_saved",
    ),
    Mutant(
        "characters: alphas beside vectors",
        TERM_VECTORS,
        "alphas = sorted({0.0, alpha}) if",
        "alphas = ALPHAS[:-1] if",
        f"{OF_CHARACTERS}::test_characters_are_tried_near_the_best_candidate_of_words_and_without_transfer",
    ),
    Mutant(
        "characters: clearly lower loss",
        TERM_VECTORS,
        "gain > found.average.margin",
        "gain > 0",
        f"{OF_CHARACTERS}::test_characters_replace_words_alone_only_if_the_loss_is_clearly_lower",
    ),
    Mutant(
        "characters: warning of unknown texts",
        CHARACTERS,
        "min(n_unknown for",
        "max(n_unknown for",
        "encoders/test_term_union.py::test_a_warning_is_given_only_if_both_kinds_of_terms_are_unknown",
    ),
    # What a text encoder says of texts whose words it does not find.
    Mutant("words: length of a phrase", WORDS, "_PHRASE_LENGTH = 3.0", "_PHRASE_LENGTH = 30.0", LOST),
    Mutant("words: share without spaces", WORDS, "_UNSPACED_SHARE = 0.2", "_UNSPACED_SHARE = 0.9", LOST),
    Mutant("words: share with marks", WORDS, "_MARKED_SHARE = 0.1", "_MARKED_SHARE = 0.9", LOST),
    Mutant("words: fewest with marks", WORDS, "_FEWEST_MARKED = 2", "_FEWEST_MARKED = 1", LOST),
    Mutant("words: share of one letter", WORDS, "_SINGLE_SHARE = 0.5", "_SINGLE_SHARE = 0.1", LOST),
    Mutant("words: share of one sign", WORDS, "SHARE_UNSPACED = 0.25", "SHARE_UNSPACED = 0.9", LOST),
    Mutant("words: several texts", WORDS, "_SEVERAL = 3", "_SEVERAL = 1", LOST),
    Mutant("words: as prepared", WORDS, "if problem is not None and (", "if False and (", LOST),
    # Which embeddings of frozen encoders are kept.
    Mutant(
        "embeddings: cost rule",
        EMBEDDINGS,
        "cost < _SECONDS_TO_KEEP",
        "cost > _SECONDS_TO_KEEP",
        PRETRAINED + "::test_many_rows_of_numbers_are_kept_only_where_encoding_takes_longer",
    ),
    Mutant(
        "embeddings: bound on memory",
        EMBEDDINGS,
        "while self._n_bytes > max_bytes",
        "while False",
        PRETRAINED + "::test_cache_stays_below_its_bound",
    ),
    Mutant(
        "embeddings: least recently used",
        EMBEDDINGS,
        "self._blocks.move_to_end(key)",
        "pass",
        PRETRAINED + "::test_rows_that_were_used_last_are_kept",
    ),
    Mutant(
        "embeddings: few are always kept",
        EMBEDDINGS,
        "or count_rows(X) < _MANY",
        "",
        PRETRAINED + "::test_many_rows_of_numbers_are_kept_only_where_encoding_takes_longer",
    ),
    # What a model file may ask for.
    Mutant(
        "bounds: memory",
        BOUNDS,
        "_PROPORTION = 64",
        "_PROPORTION = 1 << 40",
        OF_BOUNDS + "::test_budget_is_64_megabytes_or_64_times_the_file",
    ),
    Mutant("bounds: header", BOUNDS, "if cost > max(", "if False and cost > max(", OF_BOUNDS),
    Mutant(
        "bounds: strings",
        BOUNDS,
        "return 4 * n_texts",
        "return False and 4 * n_texts",
        OF_BOUNDS + "::test_strings_as_long_as_the_longest_are_in_proportion_to_their_text",
    ),
    Mutant(
        "bounds: equal hashes",
        BOUNDS,
        "if len(keys) > _FEW_KEYS and",
        "if False and",
        OF_BOUNDS + "::test_keys_of_one_hash_are_refused",
    ),
    # Pairs of words that are counted and dropped.
    Mutant("pairs: the rarest go", PAIRS, "kept = pairs.data > bound", "kept = pairs.data < bound", OF_PAIRS),
    Mutant("pairs: ties by hash", PAIRS, "np.argpartition(keys, n_more)", "np.arange(len(keys))", OF_PAIRS),
    Mutant("pairs: error bound", PAIRS, "int(bound)", "0", OF_PAIRS),
    # Whether domains differ.
    Mutant("gap: folds widen", DIAGNOSTICS, "variance *= 1 + n_folds / (n_folds - 1)", "pass", OF_DIAGNOSTICS),
    Mutant(
        "gap: half a pair",
        DIAGNOSTICS,
        "error = max(float(np.sqrt(variance)), half)",
        "error = variance**0.5",
        OF_DIAGNOSTICS,
    ),
    Mutant("gap: constants", DIAGNOSTICS, "spread <= 1e-7", "spread < 0", OF_DIAGNOSTICS),
    # How well an adapted model may do, and which adaptation is taken.
    Mutant(
        "consensus: check on the source",
        CONSENSUS,
        "    if not check.is_passed:",
        "    if False:",
        DOMAIN + "::test_classes_that_are_not_clusters_are_left_as_they_are",
    ),
    Mutant(
        "consensus: most that may be lost",
        CONSENSUS,
        "MOST_LOST = 0.1",
        "MOST_LOST = 0.2",
        DOMAIN + "::test_adaptations_must_keep_most_of_what_the_head_knows",
    ),
    Mutant(
        "consensus: least that may be lost",
        CONSENSUS,
        "MOST_LOST = 0.1",
        "MOST_LOST = 0.05",
        DOMAIN + "::test_adaptations_must_keep_most_of_what_the_head_knows",
    ),
    Mutant(
        "consensus: one standard error",
        CONSENSUS,
        "lost = np.sqrt(np.square(change).sum()) - change.sum()",
        "lost = -change.sum()",
        DOMAIN + "::test_adaptations_must_keep_most_of_what_the_head_knows",
    ),
    Mutant(
        "consensus: beyond the most frequent class",
        CONSENSUS,
        "(plain.sum() - self.n_of_largest)",
        "plain.sum()",
        DOMAIN + "::test_adaptations_must_keep_most_of_what_the_head_knows",
    ),
    Mutant(
        "consensus: adaptations checked alone",
        CONSENSUS,
        "for first in (1, 0)",
        "for first in (0, 0)",
        DOMAIN + "::test_adaptations_are_checked_without_the_head",
    ),
    Mutant(
        "consensus: weights of the candidates",
        CONSENSUS,
        "n_right = is_right.sum(1) + 1",
        "n_right = np.ones(len(is_right))",
        DOMAIN + "::test_candidates_that_fail_on_the_source_count_less",
    ),
    Mutant(
        "consensus: weights in the mean",
        CONSENSUS,
        "return np.tensordot(self.weights, self.probabilities, 1)",
        "return self.probabilities.mean(0)",
        DOMAIN + "::test_candidates_that_fail_on_the_source_count_less",
    ),
    Mutant(
        "consensus: weights in the mean of the target",
        CONSENSUS,
        "consensus = replace(consensus, weights=check.weights)",
        "consensus = replace(consensus)",
        DOMAIN + "::test_the_head_learns_from_the_labels_and_from_the_consensus",
    ),
    Mutant(
        "consensus: reflection",
        CONSENSUS,
        "self.is_reflected = transport.reflected_",
        "self.is_reflected = False",
        DOMAIN + "::test_inverted_contrast_is_found_and_undone",
    ),
    Mutant(
        "consensus: reflected source of the head",
        CONSENSUS,
        "    if consensus.is_reflected:",
        "    if False:",
        DOMAIN + "::test_the_head_is_trained_on_a_reflected_source",
    ),
    Mutant(
        "consensus: disagreement",
        CONSENSUS,
        "LEAST_AGREEMENT = 0.5",
        "LEAST_AGREEMENT = 0.0",
        DOMAIN + "::test_adaptations_that_disagree_are_said_to",
    ),
    Mutant(
        "consensus: few rows to compare",
        CONSENSUS,
        "FEWEST_COMPARED = 20",
        "FEWEST_COMPARED = 0",
        DOMAIN + "::test_very_few_target_rows_are_enough",
    ),
    Mutant(
        "consensus: sample of rows",
        CONSENSUS,
        "if n_rows <= MOST_ROWS:",
        "if True:",
        DOMAIN + "::test_of_very_many_rows_a_sample_is_labelled",
    ),
    Mutant(
        "target classes: proportions of the target",
        TARGET_CLASSES,
        " + np.log(shares)",
        "",
        "_algorithms/domains/test_discriminant.py::test_proportions_are_those_of_the_target",
    ),
    Mutant(
        "target classes: rounds",
        TARGET_CLASSES,
        "range(N_ROUNDS)",
        "range(1)",
        "_algorithms/domains/test_discriminant.py::test_wrong_labels_are_corrected_where_classes_are_clusters",
    ),
    Mutant(
        "domain: share of the denoised model",
        "transfer/domains/_candidates.py",
        "DENOISED_SHARE = 0.67",
        "DENOISED_SHARE = 0.5",
        DOMAIN + "::test_the_blend_decides_as_the_weighted_mean_of_its_two_models",
    ),
    Mutant(
        "domain: no leak",
        "transfer/domains/_features.py",
        "_encode_with(clone(encoder), domains, train)",
        "_encode_with(clone(encoder), domains, np.arange(len(domains.y)))",
        DOMAIN + "::test_labels_of_held_out_rows_do_not_leak_through_the_encoder",
    ),
    Mutant(
        "pretrained: pipelines that end without a fit",
        "_validation.py",
        "if get_tags(step).requires_fit), None)",
        "if True), None)",
        PRETRAINED + "::test_pipeline_whose_last_step_needs_no_fit_may_not_be_fitted",
    ),
    Mutant(
        "joint distributions: scale of the discrepancies",
        "_algorithms/domains/joint_distributions.py",
        "np.sqrt(weights / norm)",
        "np.sqrt(weights)",
        "adaptation/test_joint_distributions.py::test_agrees_with_matrices_over_all_rows",
    ),
    Mutant(
        "joint distributions: pseudo-labels that settled",
        "adaptation/_joint_distributions.py",
        "n_iter + 1, np.array_equal(previous, pseudo_labels)",
        "n_iter + 1, n_iter > 0",
        "adaptation/test_joint_distributions.py::test_iteration_ends_when_pseudo_labels_stay_the_same",
    ),
    Mutant(
        "moments: proportions of reflected rows",
        "adaptation/_moment_matching.py",
        "if sign < 0:",
        "if sign < -1:",
        "adaptation/test_class_proportions.py::test_proportions_are_estimated_from_reflected_rows",
    ),
    Mutant(
        "moments: shrinkage of weighted rows",
        "_algorithms/linalg/moments.py",
        "np.sqrt(weights)",
        "weights",
        "adaptation/test_class_proportions.py::test_weights_count_as_repetitions_of_rows",
    ),
    Mutant(
        "mirror: evidence",
        "adaptation/_moment_matching.py",
        "> LEAST_EVIDENCE",
        "> -LEAST_EVIDENCE",
        "adaptation/test_moment_matching.py::test_nothing_is_reflected_without_evidence",
    ),
    Mutant(
        "weights: few rows",
        "adaptation/_source_weighting.py",
        "FEWEST_EFFECTIVE = 0.05",
        "FEWEST_EFFECTIVE = 0.0",
        "adaptation/test_methods.py::test_weights_that_rest_on_few_rows_are_warned_of",
    ),
    Mutant(
        "source domains: weights are relative to their sizes",
        "adaptation/_domain_weighting.py",
        ".mean(0) * counts.sum() / counts",
        ".mean(0) * len(counts)",
        "adaptation/test_domain_weighting.py::test_sources_that_are_alike_have_equal_weights",
    ),
    Mutant(
        "source domains: their numbers reach the adaptation",
        "transfer/domains/_features.py",
        "return np.concatenate([self.labelled_domain, np.full(self.n_unlabelled, -1)])",
        "return np.concatenate([np.sign(self.labelled_domain), np.full(self.n_unlabelled, -1)])",
        "adaptation/test_domain_weighting.py::test_the_transfer_classifier_learns_from_sources_like_the_target",
    ),
    Mutant(
        "label shift: predictions of held-out rows",
        "adaptation/_held_out.py",
        "held_out[test] = fit_and_predict(estimator, X[train], y[train], X[test])",
        "held_out[test] = fit_and_predict(estimator, X, y, X[test])",
        f"{OF_LABEL_SHIFT}::test_held_out_predictions_correct_for_those_of_training_rows",
    ),
    Mutant(
        "label shift: relative to the mean prediction for the source",
        LABEL_SHIFT,
        "np.maximum(held_out.mean(0), LEAST_PROBABILITY)",
        "source_proportions",
        f"{OF_LABEL_SHIFT}::test_without_a_shift_the_weights_are_one",
    ),
    Mutant(
        "label shift: classes that are not distinguished",
        LABEL_SHIFT,
        "if np.linalg.svd(confusion, compute_uv=False)[-1] < min(len(held_out), len(predicted)) ** -0.5:",
        "if False:",
        f"{OF_LABEL_SHIFT}::test_classes_that_cannot_be_distinguished_are_warned_of",
    ),
    # k-means.
    Mutant("k-means: blocks", POINTS, "max(_CACHED // n_centres, 1)", "max(_CACHED, 1)", OF_POINTS),
    Mutant(
        "k-means: threads",
        POINTS,
        "with threads_for(self._count_entries() * n_points / self.n_points * n_centres)",
        "with threads_for(float('inf'))",
        OF_POINTS,
    ),
    # Singular vectors.
    Mutant("svd: width of blocks", DECOMPOSITIONS, "_WIDTH = 0.5", "_WIDTH = 0.1", LINALG),
    Mutant("svd: noise", DECOMPOSITIONS, "lengths > _NOISE * lengths[-1]", "lengths > -1", LINALG),
    Mutant("svd: rest of the last image", DECOMPOSITIONS, " + ends.T @ (rest.T @ rest) @ ends", "", LINALG),
    Mutant(
        "svd: small sides are exact",
        DECOMPOSITIONS,
        "return (size, 1) if size",
        "return (size, 1) if 10 * size",
        LINALG,
    ),
    # Which encoder suits a task.
    Mutant("ranking: ties of neighbours", TRANSFERABILITY, "_TIE = 32", "_TIE = -1", RANKING),
    Mutant("ranking: shared places", TRANSFERABILITY, "(nearer + tied * share[:, None])", "(nearer + tied)", RANKING),
    Mutant(
        "ranking: shrinkage",
        "_algorithms/linalg/moments.py",
        "error = (float((squares**2).mean()) - size)",
        "error = 0 * (float((squares**2).mean()) - size)",
        RANKING,
    ),
    Mutant(
        "ranking: kind of target",
        "selection/_rank_encoders.py",
        '(task == "auto" and type_of',
        '(task == "none" and type_of',
        "selection/test_rank_encoders.py::test_regression",
    ),
    # What to label next.
    Mutant(
        "suggestions: near duplicates come last",
        COVERAGE,
        "is_distinct &= similarities[best] <= most_similar",
        "pass",
        f"{OF_COVERAGE}::test_near_duplicates_come_last_and_all_are_found",
    ),
    Mutant(
        "suggestions: near duplicates of labelled samples come last",
        COVERAGE,
        "is_distinct = nearest <= most_similar",
        "is_distinct = nearest <= 2",
        f"{OF_COVERAGE}::test_near_duplicates_of_earlier_choices_come_last",
    ),
    Mutant(
        "suggestions: labelled samples represent others",
        SUGGEST,
        "covered=covered, most_similar",
        "most_similar",
        f"{SUGGESTIONS}::test_subjects_without_labels_come_first",
    ),
    Mutant(
        "suggestions: the model directs them",
        SUGGEST,
        "factors=uncertainties, ",
        "",
        f"{SUGGESTIONS}::test_a_model_directs_to_what_it_is_uncertain_about",
    ),
    Mutant(
        "suggestions: no model that is certain about everything decides",
        SUGGEST,
        "np.maximum(1 - margins, LEAST_UNCERTAINTY)",
        "1 - margins",
        f"{SUGGESTIONS}::test_reason_of_a_text_of_which_the_model_is_certain_is_that_it_is_typical",
    ),
    Mutant(
        "suggestions: the order of samples does not matter",
        SUGGEST,
        "first[digest] for digest in sorted(first)",
        "first[digest] for digest in first",
        f"{SUGGESTIONS}::test_order_and_copies_of_texts_do_not_matter",
    ),
    Mutant(
        "suggestions: texts of unknown words come last",
        COVERAGE,
        "similarities.diagonal() > 0",
        "similarities.diagonal() >= 0",
        f"{SUGGESTIONS}::test_texts_of_unknown_words_come_last",
    ),
    Mutant(
        "suggestions: numbers are compared by distance",
        SUGGEST,
        "angular=texts",
        "angular=True",
        f"{SUGGESTIONS}::test_groups_on_a_line_are_found",
    ),
    Mutant(
        "suggestions: similarities are squared",
        COVERAGE,
        "return np.square(products, out=products)",
        "return products",
        f"{OF_COVERAGE}::test_angular_similarity_is_the_squared_cosine_of_centred_samples",
    ),
    Mutant(
        "suggestions: a bound from an earlier step is not what a sample adds",
        COVERAGE,
        "if bounds[best] >= bounds[free].max():",
        "if True:",
        f"{OF_COVERAGE}::test_each_step_adds_most",
    ),
    Mutant(
        "suggestions: later samples know earlier suggestions",
        SUGGEST,
        "represented = _stack(represented, features[chosen])",
        "pass",
        f"{SUGGESTIONS}::test_later_samples_know_what_was_suggested_before",
    ),
    Mutant(
        "suggestions: a table that may hold labels is not overwritten",
        "cli/_commands.py",
        "if Path(output).exists():",
        "if False:",
        "cli/test_suggest.py::test_labels_are_not_overwritten",
    ),
    # Classes that come later.
    Mutant(
        "new classes: weight of a mean",
        NEW_CLASSES,
        "of_means = np.full(n_known, weights.sum() / (1 + targets.max()))",
        "of_means = np.full(n_known, 1.0)",
        f"{OF_NEW_CLASSES}::test_a_mean_weighs_as_much_as_all_rows_of_a_new_class",
    ),
    Mutant(
        "new classes: source without held-out rows",
        NEW_CLASSES,
        "np.log(len(self.classes)) if self.log_sum is None",
        "10.0 if self.log_sum is None",
        f"{OF_NEW_CLASSES}::test_a_source_without_held_out_rows_is_taken_to_be_unsure",
    ),
    Mutant(
        "new classes: shift",
        NEW_CLASSES,
        "intercept + held_out.shift, means",
        "intercept, means",
        f"{OF_NEW_CLASSES}::test_the_shift_is_added_to_scores_of_new_classes",
    ),
    Mutant(
        "new classes: scatter",
        NEW_CLASSES,
        "steps = deviation * norm.ppf",
        "steps = 0 * norm.ppf",
        f"{OF_NEW_CLASSES}::test_means_scatter_as_rows_of_new_classes_do",
    ),
    Mutant(
        "new classes: share of models with the mean",
        NEW_CLASSES,
        "SHARE_SEEN * seen + (1 - SHARE_SEEN) * held_out",
        "held_out",
        f"{OF_NEW_CLASSES}::test_words_unknown_to_the_encoder_are_learned",
    ),
    Mutant(
        "new classes: term vectors",
        NEW_CLASSES,
        "if classifier.encoder is None:",
        "if True:",
        f"{OF_NEW_CLASSES}::test_pretrained_vectors_help_words_that_the_new_texts_lack",
    ),
    Mutant(
        "new classes: held-out scores of the source",
        "transfer/strategies/_class_statistics.py",
        "task.held_out.decide(scores)[counted]",
        "scores[:, -1][counted]",
        f"{OF_NEW_CLASSES}::test_class_statistics",
    ),
    # How much to transfer.
    Mutant(
        "transfer: clearly better",
        EVALUATION,
        "return difference.mean() > max(",
        "return False and difference.mean() > max(",
        MISSING + "::test_clearly_better_is_by_more_than_one_standard_error_and_at_no_higher_loss",
    ),
    Mutant(
        "transfer: loss of a challenger",
        EVALUATION,
        "challenger.loss > incumbent.loss",
        "False",
        MISSING + "::test_clearly_better_is_by_more_than_one_standard_error_and_at_no_higher_loss",
    ),
    Mutant(
        "transfer: one standard error",
        EVALUATION,
        "difference.std(ddof=1) / np.sqrt(len(difference))",
        "0.0",
        MISSING + "::test_clearly_better_is_by_more_than_one_standard_error_and_at_no_higher_loss",
    ),
    Mutant(
        "transfer: unknown classes",
        HELD_OUT,
        "True if self.multilabel else self.trained[fold, self.targets[test]]",
        "True",
        MISSING + "::test_rows_of_a_class_that_training_lacks_do_not_count_in_the_loss",
    ),
    Mutant("summary: small alphas", SUMMARY, "SMALL_ALPHA = 0.25", "SMALL_ALPHA = 0.0", OF_SUMMARY),
    Mutant("summary: share of pretraining", SUMMARY, "LEAST_SHARE = 0.5", "LEAST_SHARE = 0.0", OF_SUMMARY),
    Mutant("summary: errors of the gain", SUMMARY, "STANDARD_ERRORS = 2.0", "STANDARD_ERRORS = 1.0", OF_SUMMARY),
    Mutant("summary: few labels", SUMMARY, "np.sqrt(abs(gain) / n_labels)", "0.0", OF_SUMMARY),
    Mutant("summary: least loss", SUMMARY, "(np.isnan(pair[0]), pair[0])", "0", OF_SUMMARY),
    Mutant(
        "summary: candidates without transfer",
        "transfer/strategies/_average.py",
        'row["alpha"] == 0 and not row["evidence"]',
        'row["alpha"] == 0.25 and not row["evidence"]',
        f"{OF_SUMMARY}::test_strategy_with_term_vectors_alone_is_compared_with_alpha_of_zero",
    ),
    Mutant("report: largest weights", REPORT, ', -table["weight"]', ', table["weight"]', OF_REPORT),
    Mutant("report: number of candidates", REPORT, "MOST_CANDIDATES = 20", "MOST_CANDIDATES = 30", OF_REPORT),
    Mutant("report: classes of a matrix", REPORT, "MOST_CLASSES = 30", "MOST_CLASSES = 31", OF_REPORT),
    Mutant("report: markup in cells", REPORT, "<td{mark}>{escape(str(value))}", "<td{mark}>{str(value)}", OF_REPORT),
    Mutant("shares: 95 %", SHARES, "_Z = 1.959964", "_Z = 1.0", OF_SHARES),
    Mutant("shares: pairs", SHARES, "first + second - (second", "n_all - (second", OF_SHARES),
    Mutant("evaluate: few texts in folds", JUDGED, "WIDEST_INTERVAL = 0.2 ", "WIDEST_INTERVAL = 1.0 ", OF_JUDGED),
    Mutant("evaluate: confidence by chance", JUDGED, "STANDARD_ERRORS = 2.0", "STANDARD_ERRORS = 0.0", OF_JUDGED),
    Mutant("evaluate: worst confusions first", JUDGED, "(-len(pair[1]), pair[0])", "pair[0]", OF_JUDGED),
    Mutant("evaluate: confident examples", JUDGED, "-found.confidence[place]", "found.confidence[place]", OF_JUDGED),
    Mutant("evaluate: classes of a matrix", EVALUATE, "MOST_IN_MATRIX = 10", "MOST_IN_MATRIX = 11", OF_JUDGED),
    Mutant("evaluate: classes of a table", EVALUATE, "MOST_IN_TABLE = 30", "MOST_IN_TABLE = 31", OF_JUDGED),
    Mutant("evaluate: clear differences", EVALUATE, "if high < 0 else", "if True else", OF_JUDGED),
    Mutant("explain: the other class", EXPLAIN, "else -values", "else values", OF_EXPLAIN),
    Mutant("explain: other terms", EXPLAIN, "- sum(row[", "- 0 * sum(row[", OF_EXPLAIN),
    Mutant("explain: colours", EXPLAIN, "_POSITIVE if share > 0", "_POSITIVE if True", OF_EXPLAIN),
    Mutant("pretrain: common words", "cli/_output.py", "is_rare[row] and", "True and", OF_COMMANDS),
    Mutant("pretrain: short words", "cli/_output.py", "SHORTEST = 4", "SHORTEST = 1", OF_COMMANDS),
    Mutant(
        "mistakes: models over tables",
        "cli/_output.py",
        "if kind_of(path) in _TABLES or is_pickle(path):",
        "if False:",
        OF_MISTAKES,
    ),
    Mutant("mistakes: one class", "cli/_evidence.py", "len(classes) == 1 and source", "False and source", OF_MISTAKES),
    Mutant("mistakes: options", "cli/_output.py", "message = message.replace(sentence, other)", "pass", OF_MISTAKES),
    Mutant("predict: the input is kept", PREDICT, "os.path.samefile(texts, output)", "False", OF_PREDICT),
    Mutant("predict: columns of the input", PREDICT, "if not clashes:", "if True:", OF_PREDICT),
    Mutant("predict: the best labels", PREDICT, "-np.where(predicted", "np.where(predicted", OF_PREDICT),
    Mutant("predict: below the threshold", "cli/_rejection.py", "confidence < threshold", "False", OF_PREDICT),
    Mutant("predict: missing files", PREDICT, 'kind_of(argument) in ("txt", *TABLE_KINDS)', "False", OF_PREDICT),
    Mutant("transfer: fewest labels", EVALUATION, "FEWEST_LABELS = 4", "FEWEST_LABELS = 0", RULES),
    Mutant(
        "transfer: folds of many rows",
        EVALUATION,
        "MOST_FOLDS_OF_MANY = 2500, 3",
        "MOST_FOLDS_OF_MANY = 2500, 9",
        RULES,
    ),
    Mutant(
        "transfer: rows for rounds",
        EVALUATION,
        "FEWEST_ROWS_FOR_ROUNDS = 2500",
        "FEWEST_ROWS_FOR_ROUNDS = 2502",
        RULES,
    ),
    Mutant(
        "transfer: folds that may differ",
        EVALUATION,
        "isinstance(cv, Integral) and groups is None:",
        "True:",
        ROUNDS + "::test_folds_that_may_differ_are_all_used",
    ),
    Mutant(
        "transfer: strategies that are left out",
        "transfer/strategies/_average.py",
        "self.best.loss > self.task.to_beat",
        "False",
        ROUNDS + "::test_strategies_that_are_clearly_worse_in_the_first_fold_are_left_out",
    ),
    Mutant(
        "transfer: terms that the first round leaves in doubt",
        TERM_VECTORS,
        "if abs(gain - found.average.margin) < found.average.doubt:",
        "if False:",
        ROUNDS + "::test_all_folds_decide_on_further_terms_where_the_first_leaves_it_in_doubt",
    ),
    Mutant(
        "transfer: loss that scratch must reach",
        "transfer/strategies/_average.py",
        "known = [] if task.to_beat is None else [task.to_beat.loss]",
        "known = [np.inf]",
        ROUNDS + "::test_a_search_ends_where_the_strategies_before_are_clearly_better",
    ),
    Mutant(
        "term vectors: models that are left out",
        "transfer/strategies/_term_vectors.py",
        "other.average.kept = []",
        "pass",
        "transfer/strategies/test_rounds.py",
    ),
    Mutant(
        "term vectors: fits in memory",
        "transfer/strategies/_term_vectors.py",
        "before.fits = near[-1:]",
        "pass",
        "transfer/strategies/test_rounds.py",
    ),
    Mutant(
        "search: copies of features",
        "_training/linear/search.py",
        "design.X = None",
        "pass",
        "_training/linear/test_search_rows.py::test_scaled_copies_of_features_are_not_kept",
    ),
    Mutant(
        "search: rows that are held out",
        "_training/linear/search.py",
        "if bool(is_used.all()):",
        "if True:",
        "_training/linear/test_search_rows.py::test_steps_use_no_row_that_is_held_out",
    ),
    Mutant(
        "search: mean of the rows that are used",
        "_training/linear/preconditioning.py",
        "last + sign * scores",
        "last + 0 * scores",
        "_training/linear/test_search_rows.py::test_one_fold_alone_is_like_the_same_fold_among_others",
    ),
    Mutant(
        "logistic: start at other scales",
        "_training/linear/search.py",
        "same[-2:] or nearest[-1:]",
        "same[-2:]",
        NEAR_STARTS,
    ),
    Mutant(
        "logistic: blocks that are not there",
        "_training/linear/problem.py",
        "return None if given else np.hstack(parts)",
        "return np.hstack(parts)",
        NEAR_STARTS,
    ),
    Mutant(
        "logistic: sparse columns decomposed",
        "_training/linear/problem.py",
        "MAX_SPARSE_DECOMPOSED = 500",
        "MAX_SPARSE_DECOMPOSED = 501",
        OF_COLUMNS,
    ),
    Mutant(
        "logistic: sparse columns per row",
        "_training/linear/problem.py",
        "MOST_COLUMNS_PER_ROW = 4",
        "MOST_COLUMNS_PER_ROW = 5",
        OF_COLUMNS,
    ),
    Mutant(
        "transfer: floor of the loss",
        HELD_OUT,
        "LOWEST_LOG_PROBABILITY = -30.0",
        "LOWEST_LOG_PROBABILITY = -1e30",
        RULES,
    ),
    Mutant(
        "transfer: margin of a descent",
        "_algorithms/linear/grid_descent.py",
        "loss <= least + margin",
        "loss <= least",
        "_algorithms/linear/test_grid_descent.py",
    ),
    Mutant(
        "transfer: descent beside a known loss",
        "_algorithms/linear/grid_descent.py",
        "min(known, *losses.values())",
        "min(losses.values())",
        "_algorithms/linear/test_grid_descent.py",
    ),
    Mutant(
        "transfer: further terms begin at what is known",
        TERM_VECTORS,
        "known = before.average.first_loss",
        "known = np.inf",
        "transfer/strategies/test_strategies.py::test_further_terms_are_left_alone_where_they_begin_far_above_the_best",
    ),
    *(
        Mutant(f"rows: {name}", f"_algorithms/linear/{file}.py", old, new, "_algorithms/linear/test_kernel_search.py")
        for name, file, old, new in [
            ("most rows", "kernel_search", "MOST_ROWS = 2500", "MOST_ROWS = 10**9"),
            ("rows per column", "kernel_search", "MOST_ROWS_PER_COLUMN = 4", "MOST_ROWS_PER_COLUMN = 10**9"),
            ("float64", "kernel_search", "MOST_PRECISE_ROWS = 200", "MOST_PRECISE_ROWS = 0"),
            ("rounding", "kernel_search", "LARGEST_ERROR = 0.1", "LARGEST_ERROR = 1e30"),
            ("rounding of eigenvalues", "kernel_search", "of_eigenvalues = len(self.targets)", "of_eigenvalues = 0"),
            ("large C", "kernel_search", "LARGE_C = 10.0", "LARGE_C = 1e30"),
            ("start of other features", "kernel_search", "if size > self.size / MOST_GROWTH", "if size < 0"),
            ("end without gain", "kernel_lbfgs", "STEPS_TO_STALL = 10", "STEPS_TO_STALL = 10**9"),
            ("gains of several steps", "kernel_lbfgs", "GAINS_KEPT = 3", "GAINS_KEPT = 1"),
            ("scale of the last step", "kernel_lbfgs", "product / expected, one)", "one, one)"),
            ("no longer steps", "kernel_lbfgs", "(product < expected)", "(expected > 0)"),
            ("easy Hessians", "kernel_lbfgs", "EASY_CONDITION = 1e4", "EASY_CONDITION = 1e30"),
        ]
    ),
    Mutant(
        "linear: history of long steps", LBFGS, "MOST_HISTORY_BYTES = 30_000_000", "MOST_HISTORY_BYTES = 10**18", STOP
    ),
    Mutant("linear: least history", LBFGS, "LEAST_HISTORY = 5", "LEAST_HISTORY = 0", STOP),
    Mutant(
        "rows: features that are all alike",
        "_algorithms/linear/kernel_search.py",
        "MOST_GROWTH = 1000.0",
        "MOST_GROWTH = 1e300",
        "_algorithms/linear/test_kernel_search.py",
    ),
    Mutant("tuning: rows held out", FINETUNE, "if len(chosen) < FEWEST_TO_HOLD_OUT:", "if True:", RULES),
    Mutant("tuning: anchor", FINETUNE, "anchor_strength=pace.anchor_strength", "anchor_strength=0.0", RULES),
    Mutant(
        "tuning: frozen at first",
        FINETUNE,
        "pace.encoder_learning_rate, pace.unfreeze_at,",
        "pace.encoder_learning_rate, 0,",
        RULES,
    ),
    # When a solver ends, and how networks are trained.
    Mutant(
        "solver: failed search is no success",
        LBFGS,
        "running.record(solution, failed, n_iter, running.is_near_optimum(failed, gaps))",
        "running.record(solution, failed, n_iter, failed)",
        "heads/test_outliers.py::test_a_failed_line_search_is_no_convergence",
    ),
    Mutant(
        "solver: steps that change the curvature",
        LBFGS,
        "done &= ~self._changes_curvature(direction)",
        "pass",
        "heads/test_outliers.py::test_an_outlier_does_not_end_training_early",
    ),
    Mutant("solver: five times the gain", LBFGS, "gaps = 5 * gains", "gaps = 1 * gains", STOP),
    Mutant(
        "solver: start at the log odds",
        "_training/linear/problem.py",
        "return self.zeros() if self.offset is not None else",
        "return self.zeros() if True else",
        "_training/linear/test_problem.py",
    ),
    Mutant("solver: last five gains", LBFGS, "slope / 2][-GAINS_KEPT:]", "slope / 2][-1:]", STOP),
    Mutant("solver: plausible gains", LBFGS, "self.rounding)) & plausible", "self.rounding))", STOP),
    Mutant("solver: first gains", LBFGS, "len(self.past_objectives) > STEPS_WITHOUT_SCALE", "True", STOP),
    Mutant("solver: stalled", LBFGS, "done |= self._is_stalled()", "pass", STOP),
    Mutant(
        "threads: overlapping blocks",
        "_algorithms/linalg/threads.py",
        "if not self.limits:",
        "if True:",
        "_algorithms/linalg/test_threads.py",
    ),
    Mutant("small problem: steep intercepts", SINGLE, "POWER_ITERATIONS = 4", "POWER_ITERATIONS = 1", OF_SINGLE),
    Mutant("small problem: five times the gain", SINGLE, "5 * gain <=", "gain <=", OF_SINGLE),
    Mutant("small problem: start", SINGLE, "if self.fit_intercept and self.offset is None:", "if False:", OF_SINGLE),
    Mutant("small problem: plausible gains", SINGLE, "rounding) and plausible)", "rounding))", OF_SINGLE),
    Mutant("small problem: first gains", SINGLE, "problem.knows_scale or n_iter", "True or n_iter", OF_SINGLE),
    Mutant("small problem: stalled", SINGLE, "and not is_stalled:", "and True:", OF_SINGLE),
    Mutant(
        "small problem: proven gap", SINGLE, "SURE_GAP * tol or not check_bound)", "SURE_GAP * tol or True)", OF_SINGLE
    ),
    Mutant("small problem: large means", SINGLE, "LARGEST_MEAN = 0.9", "LARGEST_MEAN = 2", OF_SINGLE),
    Mutant("small problem: sample of rows", SINGLE, "GRAM_ROWS_PER_COLUMN = 8", "GRAM_ROWS_PER_COLUMN = 1", OF_SINGLE),
    Mutant("small problem: cost of the Gram matrix", SINGLE, "STEPS_PER_GRAM = 2", "STEPS_PER_GRAM = 0", OF_SINGLE),
    Mutant("small problem: curvature", SINGLE, "CHANGE_OF_CURVATURE = 1.25", "CHANGE_OF_CURVATURE = 1e9", OF_SINGLE),
    Mutant(
        "solver: exact rows",
        "_training/linear/logistic.py",
        "max(FEWEST_EXACT_ROWS, EXACT_ROWS_PER_VARIABLE * rows.shape[1])",
        "len(rows)",
        "_training/linear/test_logistic.py",
    ),
    Mutant(
        "small problem: outliers",
        "_training/linear/logistic.py",
        "is_plain = start is None and not is_lopsided",
        "is_plain = start is None",
        "heads/test_outliers.py::test_an_outlier_does_not_end_training_early",
    ),
    Mutant(
        "small problem: size",
        "_training/linear/logistic.py",
        "PER_SCORE * len(targets)) < LARGE_STEP",
        "PER_SCORE * len(targets)) < 1e99",
        "_training/linear/test_single_problem.py",
    ),
    Mutant(
        "small problem: cost of the loss",
        "_training/linear/logistic.py",
        "max(per_output, PER_SCORE * len(targets)) <",
        "per_output <",
        "_training/linear/test_single_problem.py",
    ),
    Mutant(
        "solver: what training has gained", LBFGS, "torch.minimum(goal, self.at_zero - self.objectives)", "goal", STOP
    ),
    Mutant(
        "solver: share of the intercept",
        "_training/linear/preconditioning.py",
        "gap += gradient.coords[-1].square().sum(1)",
        "gap += 0 * gradient.coords[-1].square().sum(1)",
        "heads/linear/test_logistic.py",
    ),
    Mutant(
        "range test: a third of the rate",
        "_training/network/schedules.py",
        "rates[fallen.argmax()] / 3",
        "rates[fallen.argmax()] / 30",
        "heads/mlp/test_mlp.py::test_range_test_finds_a_rate_that_learns",
    ),
    Mutant(
        "network: mixed targets",
        DATA,
        "targets = torch.lerp(",
        "torch.lerp(",
        TRAINING + "::test_mixup_mixes_rows_targets_and_weights_alike",
    ),
    Mutant(
        "network: statistics of averages",
        LOOP,
        "        if not layers:\n            return\n",
        "        return\n",
        TRAINING + "::test_averages_have_batch_statistics_of_their_own",
    ),
    Mutant(
        "network: what a plateau watches",
        LOOP,
        "rates.observe(watched)",
        "rates.observe(loss)",
        TRAINING + "::test_plateau_watches_the_held_out_rows_if_there_are_any",
    ),
    Mutant(
        "network: best epoch",
        "_training/network/schedules.py",
        "is_best = value < self.best",
        "is_best = True",
        MLP + "::test_early_stopping_restores_the_best_weights",
    ),
    Mutant(
        "network: diverged",
        LOOP,
        "if not math.isfinite(loss):",
        "if False:",
        MLP + "::test_training_ends_in_the_epoch_without_a_finite_loss",
    ),
    Mutant(
        "network: stalled epochs",
        "_training/network/schedules.py",
        "STALLED_EPOCHS = 3",
        "STALLED_EPOCHS = 9",
        "_training/network/test_schedules.py",
    ),
    Mutant(
        "network: weights of held-out rows",
        LOOP,
        "self.validation_weights = None if weights is None else",
        "self.validation_weights = None if True else",
        TRAINING + "::test_held_out_rows_count_by_their_weights",
    ),
    Mutant(
        "network: a row that is left over",
        DATA,
        "            del bounds[-2]",
        "            pass",
        MLP + "::test_left_over_row_is_trained_on_with_the_batch_before_it",
    ),
    Mutant(
        "network: statistics of one row",
        "_training/network/layers.py",
        "training and len(x) > 1",
        "training",
        MLP + "::test_single_row_of_partial_fit_is_normalised_by_the_running_statistics",
    ),
    Mutant(
        "network: exploded at the end",
        NETWORKS,
        "(grew and loss > EXPLODED * objective.loss_of_zeros())",
        "False",
        MLP + "::test_explosion_of_the_last_step_is_named",
    ),
    Mutant(
        "network: explosion of statistics",
        NETWORKS,
        "grew = not has_statistics and loss",
        "grew = loss",
        MLP + "::test_running_statistics_catch_up_on_features_far_from_zero",
    ),
    Mutant(
        "network: statistics far behind",
        NETWORKS,
        "if has_statistics and not is_partial and loss > USELESS * objective.loss_of_zeros():",
        "if False:",
        MLP + "::test_running_statistics_catch_up_on_features_far_from_zero",
    ),
    Mutant(
        "network: worse than zeros",
        NETWORKS,
        "if loss > USELESS * of_zeros > 0:",
        "if False:",
        MLP + "::test_regression_that_learned_nothing_of_unscaled_features_warns",
    ),
    Mutant(
        "network: averages of pruned weights",
        NETWORKS,
        "max(options.average_from, settled)",
        "options.average_from",
        MLP + "::test_average_keeps_pruned_weights_at_zero",
    ),
    Mutant(
        "network: class of one row",
        "heads/mlp/_base.py",
        "return np.concatenate([kept, single]), held",
        "return kept, held",
        MLP + "::test_class_of_one_row_is_trained_on_and_not_held_out",
    ),
    Mutant(
        "network: few rows to hold out",
        "heads/mlp/_base.py",
        "n_classes == 0 or min(n_held, n_others - n_held) < n_classes",
        "n_classes == 0",
        MLP + "::test_rows_are_held_out_class_by_class_as_far_as_that_goes",
    ),
    # What is left of a head that gets smaller.
    Mutant(
        "compression: the better of two",
        "compression.py",
        "return refitted if refitted.score(X, y) >= pruned.score(X, y) else pruned",
        "return refitted",
        "test_compression.py::test_refit_that_scores_worse_is_not_taken",
    ),
    Mutant(
        "compression: steps of a refit",
        "heads/mlp/_base.py",
        "max(LEAST_EPOCHS, math.ceil(LEAST_STEPS * options.batch_size / n_samples))",
        "LEAST_EPOCHS",
        "test_compression.py::test_weights_that_are_left_are_refitted_on_data",
    ),
    Mutant(
        "compression: units that are off",
        "compression.py",
        "[*([of_layer.max()] for of_layer in largest[:-1]), largest[-1]]",
        "largest",
        "test_compression.py::test_one_output_of_tiny_weights_is_refused_and_a_hidden_unit_that_is_off_is_not",
    ),
    # Which C and which alpha are best.
    Mutant(
        "search: smallest of equals",
        SEARCH,
        "if n_scores else 0.0, -fit.C,",
        "if n_scores else 0.0, fit.C,",
        CV + "::test_of_equal_candidates_the_smallest_C_is_best",
    ),
    Mutant(
        "search: folds without a score",
        SEARCH,
        "key = (n_scores, ",
        "key = (0, ",
        "heads/linear/test_fold_scores.py::test_a_loss_of_nan_does_not_win_against_one_that_is_known",
    ),
    Mutant(
        "search: blocks of past fits",
        "_training/linear/search.py",
        "preconditioner=replace(preconditioner, hessian=None)",
        "preconditioner=preconditioner",
        "_training/linear/test_logistic.py::test_search_with_blocks_finds_the_same_optima",
    ),
    Mutant(
        "search: blocks once they were needed",
        "_training/linear/search.py",
        "needed_hessian=is_refined or",
        "needed_hessian=False and",
        "_training/linear/test_logistic.py::test_search_with_blocks_finds_the_same_optima",
    ),
    Mutant(
        "search: one row that outweighs the others",
        "_training/linear/search.py",
        "        if not self.is_lopsided:\n",
        "        if True:\n",
        "heads/test_outliers.py::test_folds_of_a_search_are_not_ended_early_either",
    ),
    Mutant(
        "search: least loss",
        "heads/linear/_ridge.py",
        "errors.argmin()",
        "errors.argmax()",
        "heads/linear/test_ridge.py::test_chooses_like_ridge_cv",
    ),
    Mutant(
        "average: negligible weights",
        HELD_OUT,
        "weights[weights < NEGLIGIBLE_WEIGHT] = 0",
        "pass",
        CV + "::test_average_weights_candidates_by_their_likelihood",
    ),
    Mutant(
        "progress: request to stop",
        "transfer/_evaluation.py",
        "        if progress.stopped:",
        "        if False:",
        "transfer/test_progress.py::test_request_to_stop_after_a_candidate_ends_it_too",
    ),
    Mutant(
        "progress: lines without a terminal",
        "cli/_progress.py",
        "if is_new or time.monotonic() - self.last > _SECONDS_BETWEEN_DETAILS:",
        "if is_new:",
        "cli/test_progress.py::test_finetune_says_in_lines_what_it_tries_without_a_terminal",
    ),
    # How many threads compute a step.
    Mutant(
        "threads: size from which a step has several",
        DEVICE,
        "1 if n_products < LARGE_STEP else",
        "1 if n_products < 0 else",
        f"{THREADS}::test_only_large_steps_have_several_threads_also_within_small_ones",
    ),
    Mutant(
        "threads: quota of the process",
        DEVICE,
        "min(before if given is None else given, count_threads())",
        "(before if given is None else given)",
        f"{THREADS}::test_no_step_has_more_threads_than_the_process_may_use",
    ),
    Mutant(
        "threads: cost of a sparse entry",
        DEVICE,
        "n_entries = PER_SPARSE_ENTRY * len(left.values())",
        "n_entries = len(left.values())",
        f"{THREADS}::test_products_have_threads_by_their_size",
    ),
    Mutant(
        "threads: products within small steps",
        DEVICE,
        "    if n_products < LARGE_STEP:\n        return left @ right\n    with",
        "    if True:\n        return left @ right\n    with",
        f"{THREADS}::test_products_have_threads_by_their_size",
    ),
    Mutant(
        "threads: steps of a linear model",
        LBFGS,
        "with threads_for(PER_SCORE *",
        "with threads_for(1e99 *",
        f"{THREADS}::test_linear_models_are_trained_by_one_thread_unless_they_are_large",
    ),
    Mutant(
        "threads: searches of few rows",
        "_algorithms/linear/kernel_lbfgs.py",
        "    with blas_threads_for(kernels[0].size * n_vectors):",
        "    with blas_threads_for(1e99):",
        f"{OF_CPUS}::test_few_rows_are_searched_by_one_thread_of_blas",
    ),
    Mutant(
        "threads: of BLAS",
        CPUS,
        "1 if n_products < LARGE_STEP else count_threads()",
        "count_threads()",
        f"{OF_CPUS}::test_small_steps_get_one_thread_of_blas_and_large_ones_no_more_than_allowed",
    ),
    Mutant(
        "threads: workers in threads",
        CPUS,
        "return 1 if in_thread and",
        "return 1 if False and",
        f"{OF_CPUS}::test_workers_in_threads_share_the_cpus",
    ),
    Mutant(
        "other languages",
        "encoders/_pretrained.py",
        "    if share < LEAST_KNOWN:",
        "    if share < 0.1:",
        f"{DEFAULT_ENCODER}::test_other_languages_give_a_warning",
    ),
    Mutant(
        "English texts",
        "encoders/_pretrained.py",
        "    if share < LEAST_KNOWN:",
        "    if share < 0.99:",
        f"{DEFAULT_ENCODER}::test_english_gives_no_warning",
    ),
    Mutant(
        "no default from scratch",
        "transfer/pretrained.py",
        '    needs_one = estimator.strategy != "scratch" and',
        "    needs_one =",
        f"{DEFAULT_ENCODER}::test_no_encoder_is_taken_where_none_is_needed",
    ),
    Mutant(
        "default that a second fit forgets",
        "transfer/_estimator.py",
        "    estimator.default_encoder_ = encoder if estimator.encoder is None else None",
        "    estimator.default_encoder_ = encoder",
        f"{DEFAULT_ENCODER}::test_second_fit_forgets_the_default",
    ),
    Mutant(
        "weights of words continued",
        "encoders/words/_word_vectors.py",
        "        idf = np.full(len(all_columns), self._idf.max(), np.float32)",
        "        idf = np.full(len(all_columns), self._idf.min(), np.float32)",
        "encoders/words/test_word_vectors.py::test_vectors_without_counts_get_further_components",
    ),
    Mutant(
        "vectors that stay rounded",
        "encoders/words/_word_vectors.py",
        '            "_levels": None,',
        '            "_levels": vars(self).get("_levels"),',
        "encoders/words/test_word_vectors.py::test_vectors_that_are_trained_again_are_not_rounded",
    ),
]

SURVIVORS: dict[str, str] = {}  # names of mutants, and why no test can notice them


def run_tests(package, tests):
    """Return the exit status of pytest with that copy of the package, None if it does not end, and its last lines."""
    paths = [str(ROOT / "tests" / path) for path in tests]
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *paths]
    environment = os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    options = {"cwd": ROOT, "env": environment, "text": True, "check": False, "timeout": SECONDS * len(tests)}
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    except subprocess.TimeoutExpired:
        return None, f"not done after {SECONDS * len(tests)} s"
    return result.returncode, "\n".join(result.stdout.splitlines()[-3:])


def try_mutant(mutant, original):
    """Return "killed", "survived" or what went wrong, and what the tests said."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(original / "transferkit", Path(folder, "transferkit"))
        path = Path(folder, "transferkit", mutant.file)
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            return f"the line is there {text.count(mutant.old)} times", ""
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        status, output = run_tests(folder, mutant.tests.split())
    return {0: "survived", 1: "killed"}.get(status, "the tests could not be run"), output


def find_error(mutant, found):
    """Return whether a result is not what it should be."""
    return found != ("survived" if mutant.name in SURVIVORS else "killed")


def report(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    every = sorted({path for mutant in chosen for path in mutant.tests.split()})
    shares = [every[number :: os.cpu_count()] for number in range(min(os.cpu_count(), len(every)))]
    n_errors, began = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        original = Path(folder)
        shutil.copytree(ROOT / "transferkit", original / "transferkit", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(original / "transferkit", quiet=1)  # once, and not again for each copy
        unchanged = pool.map(lambda tests: run_tests(original, tests), shares)
        changed = pool.map(lambda mutant: try_mutant(mutant, original), chosen)
        for status, output in unchanged:
            if status != 0:
                n_errors += 1
                report(f"A test fails without any change:\n{output}")
        for mutant, (found, output) in zip(chosen, changed, strict=True):
            is_error = find_error(mutant, found)
            n_errors += is_error
            report(f"{found}: {mutant.name}" + f"\n{output}" * is_error)
    report(f"{len(chosen)} mutants in {time.perf_counter() - began:.0f} s, {n_errors} errors")
    return 1 if n_errors else 0


if __name__ == "__main__":
    sys.exit(main())
