"""Which attributes a class knows: a model file may set these and no others."""

import inspect
import sys
from functools import lru_cache
from types import CodeType, FunctionType

# What scikit-learn's functions, and not the classes' own code, set on any estimator.
_SET_BY_OTHERS = frozenset({"n_features_in_", "feature_names_in_", "_sklearn_output_config"})


def is_attribute_of(cls, name):
    """Return whether a name is a parameter of the class, or an attribute that its code mentions and does not define.

    Parameters
    ----------
    cls : type
        Class of an estimator.
    name : str
        What a file wants to set.

    Returns
    -------
    is_known : bool
        False for methods, properties and class attributes, which a file must not hide.
    """
    if not name.isidentifier() or name.startswith("__") or hasattr(cls, name):
        return False
    return name in _SET_BY_OTHERS or name in _names_in_class(cls) or name in _names_in_modules(cls)


@lru_cache(maxsize=1024)
def _names_in_class(cls):
    bases = cls.__mro__[:-1]
    names = set(inspect.signature(cls).parameters)
    return frozenset(names.union(*(_names_in(member) for base in bases for member in vars(base).values())))


@lru_cache(maxsize=1024)
def _names_in_modules(cls):
    """Return the names in functions and tuples beside the class and its bases, which may set attributes for it."""
    names = set()
    for module in [sys.modules[base.__module__] for base in cls.__mro__[:-1] if base.__module__ in sys.modules]:
        for member in vars(module).values():
            if isinstance(member, FunctionType) and member.__module__ == module.__name__:
                names |= _names_in(member)
            elif isinstance(member, tuple):
                names |= {item for item in member if type(item) is str}
    return frozenset(names)


def _names_in(member):
    """Return the names and string constants in the code of a method, property or function."""
    for attribute in ("fget", "__func__", "fn"):  # property, staticmethod and classmethod, available_if
        member = getattr(member, attribute, None) or member
    code = getattr(inspect.unwrap(member), "__code__", None) if callable(member) else None
    return _names_in_code(code) if isinstance(code, CodeType) else set()


def _names_in_code(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in_code(constant)
        elif isinstance(constant, (str, tuple)):
            names |= {item for item in ([constant] if isinstance(constant, str) else constant) if type(item) is str}
    return names
