"""Dependencies between packages, and the order in which files are written."""

import ast
import importlib
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "transferkit"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MOST_FILES, MOST_REACHES, MOST_BY_NAME = 16, 40, 5

# Private names of other projects that have no public counterpart.
FOREIGN = {
    "_replace": "NamedTuple: public in spite of its name",
    "_init_callback_context": "scikit-learn's callbacks are new; estimators call this",
    "_skl_callbacks": "scikit-learn's callbacks are new; there is no other way to ask whether there are any",
    "_parameter_constraints": "scikit-learn's constraints of parameters, which estimators declare",
    "_validate_params": "scikit-learn's validation of parameters, which estimators call",
    "_non_persistent_buffers_set": "torch: which buffers a module leaves out of its state",
    "_parameters": "torch: the parameters of a module without those of its children",
    "_buffers": "torch: the buffers of a module without those of its children",
    "_modules": "torch: the children of a module, None among them",
    "_fused_adam_": "torch: the fused step of Adam",
    "_stop_words_id": "scikit-learn: remembers that stop words were checked",
    "_warn_for_unused_params": "scikit-learn: the warnings of its text vectorizers",
    "_getframe": "sys: where a warning points",
    "_tfidf": "scikit-learn: the transformer inside TfidfVectorizer",
    "_label_binarizer": "scikit-learn: the binarizer inside MLPClassifier",
    "_n_features_out": "scikit-learn: number of outputs, which feature names are made from",
    "_n_threads": "scikit-learn: threads of KMeans",
    "_kwargs": "scikit-learn: further arguments of a scorer",
    "_response_method": "scikit-learn: what a scorer calls",
    "_accept_sample_weight": "scikit-learn: whether a scorer takes weights",
    "_score_func": "scikit-learn: the function inside a scorer",
    "_default_to_infrequent_mappings": "scikit-learn: state of OneHotEncoder that its code trusts",
    "_infrequent_indices": "scikit-learn: state of OneHotEncoder that its code trusts",
    "_infrequent_enabled": "scikit-learn: state of OneHotEncoder that its code trusts",
    "_build_f": "scikit-learn: rebuilds the function of IsotonicRegression",
    "_n_components": "scikit-learn: state of NMF that its code trusts",
}


def package_of(path):
    """Return the package of the first level that a file belongs to, such as "encoders"."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def place(path, node):
    return f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}"


def imported_modules(node):
    """Return pairs of module and names that an import statement takes from it."""
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", [alias.name for alias in node.names])]
    return [(alias.name, []) for alias in node.names] if isinstance(node, ast.Import) else []


def test_packages_import_only_what_others_offer():
    wrong = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            for module, names in imported_modules(node):
                root, package, *rest = [*module.split("."), ""][: max(2, len(module.split(".")))]
                is_other = root == "transferkit" and not is_private(package) and package != package_of(path)
                if is_other and any(map(is_private, [*rest, *names])):
                    wrong.append(place(path, node))
    assert wrong == []


def private_reaches(tree):
    """Yield private attributes of objects other than the own one, its class, and modules or classes named as such."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = node.value
            is_own = isinstance(base, ast.Name) and (base.id in ("self", "cls") or base.id[:1].isupper())
            is_own = is_own or (isinstance(base, ast.Call) and getattr(base.func, "id", "") in ("super", "type"))
            if not is_own:
                yield node


def defined_names(folder):
    """Return the private names that files of a folder define or set on their own objects."""
    names = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(TREES[path]):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                names.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return names


def test_private_attributes_are_read_within_their_own_folder_and_seldom():
    reaches = [(path, node) for path, tree in TREES.items() for node in private_reaches(tree)]
    reaches = [(path, node) for path, node in reaches if node.attr not in FOREIGN]
    known = {folder: defined_names(folder) for folder in {path.parent for path, _ in reaches}}
    assert [place(path, node) for path, node in reaches if node.attr not in known[path.parent]] == []
    assert len(reaches) <= MOST_REACHES


def test_private_attributes_are_hardly_asked_for_by_name():
    asked = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
                name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
                if isinstance(name, str) and is_private(name) and name not in FOREIGN:
                    asked.append(place(path, node))
    assert len(asked) <= MOST_BY_NAME, asked


def test_every_foreign_private_name_is_still_used():
    used = {node.attr for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.value for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {name for name in FOREIGN if name not in used} == set()


def test_no_folder_is_an_alphabet():
    counts = Counter(path.parent.relative_to(PACKAGE) for path in FILES)
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_others_may_take(path):
    names = [*path.relative_to(PACKAGE.parent).with_suffix("").parts]
    if names[-1] == "__main__":
        return
    module = importlib.import_module(".".join(names[:-1] if names[-1] == "__init__" else names))
    holds_code = any(not isinstance(node, ast.Expr) for node in TREES[path].body)
    assert hasattr(module, "__all__") or not holds_code
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_warnings_refer_to_the_line_of_the_user(path):
    calls = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
    warned = [call for call in calls if ast.unparse(call.func) == "warnings.warn"]
    levels = [ast.unparse(next(k.value for k in call.keywords if k.arg == "stacklevel")) for call in warned]
    assert set(levels) <= {"count_inner_frames()"}


# Methods of estimators come in this order; those that are not listed stand where they belong. Constructors from other
# things follow `__init__`; methods of protocols such as `__sklearn_tags__` come last, and private ones after them.
ORDER = [
    "__init__",
    "fit",
    "fit_transform",
    "partial_fit",
    "merge",
    "transform",
    "inverse_transform",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score",
    "get_feature_names_out",
    "__sklearn_tags__",
]
PROTOCOL_NAMES = ("_n_features_out", "_sk_visual_block_")  # scikit-learn's, in spite of the one underscore
ESTIMATOR_PACKAGES = ("encoders", "heads", "adaptation", "transfer")


def estimator_classes():
    for path, tree in TREES.items():
        if package_of(path) in ESTIMATOR_PACKAGES:
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and any(
                    getattr(part, "name", "") in ("fit", "transform", "predict") for part in node.body
                ):
                    yield pytest.param(path, node, id=node.name)


@pytest.mark.parametrize(("path", "node"), list(estimator_classes()))
def test_methods_of_estimators_come_in_one_order(path, node):
    names = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    listed = [name for name in names if name in ORDER]
    assert listed == sorted(listed, key=ORDER.index)
    kinds = [
        1 if name in PROTOCOL_NAMES else 2 if is_private(name) else int(name[:2] == "__" and name != "__init__")
        for name in names
    ]
    assert kinds == sorted(kinds)  # public methods, those of Python's and scikit-learn's protocols, private ones
