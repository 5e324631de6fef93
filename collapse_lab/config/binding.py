"""Bind a configuration node to the constructor that it names: the constructor is the schema."""

from __future__ import annotations

import importlib
import importlib.util
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, InstanceOf, PydanticUserError, TypeAdapter, ValidationError

from collapse_lab.config.identity import identify
from collapse_lab.config.parameters import Parameters, of_target
from collapse_lab.errors import UnknownArgument, UserError, did_you_mean
from collapse_lab.storage.formats import MOVED
from collapse_lab.types import LARGEST, Infinite

NOTHING: frozenset[str] = frozenset()


def bind(node: Mapping[str, Any], where: str, supplied: frozenset[str] = NOTHING) -> dict[str, Any]:
    """Return the identity of a `_target_` node after its arguments are checked against the constructor.

    Nested nodes are bound too. The identity is {"class", "version", "arguments"}; arguments that equal their
    defaults are left out, so that a new argument with a default changes no key (`identity.identify`).

    Args:
        node: a resolved configuration node with a `_target_`.
        where: the node's place in the configuration, as messages name it.
        supplied: arguments that the program itself supplies, such as the `spec` of a model.

    Raises:
        UserError: the class does not exist; an argument is unknown, missing or of another type; a choice is unknown;
            a number is outside its range or is not finite.
    """
    target = import_target(str(node["_target_"]), where)
    given = check_arguments(node, where, of_target(target), supplied)
    return identify(target, {name: _bound(value, f"{where}.{name}") for name, value in given.items()})


def check_arguments(
    node: Mapping[str, Any], where: str, parameters: Parameters, supplied: frozenset[str] = NOTHING
) -> dict[str, Any]:
    """Return the arguments of a node after they are checked; nodes inside it are left to their own `bind`.

    Raises:
        UserError: an argument is unknown, missing, of another type or out of range.
    """
    given = {str(key): value for key, value in node.items() if not str(key).startswith("_")}
    known = [name for name in parameters.hints if name not in supplied]
    for name in given:
        if name not in known and not parameters.takes_any:
            place = f"{where}.{name}"
            message = f"{place}: {parameters.of} has no such argument; {did_you_mean(name, known)}"
            raise UnknownArgument(place, message)
    missing = [name for name in parameters.required if name in known and name not in given]
    if missing:
        raise UserError(f"{where}: {parameters.of} needs {', '.join(missing)}")
    for name, value in given.items():
        check_type(f"{where}.{name}", value, parameters.hints.get(name, Any))
    return given


def check_type(where: str, value: Any, hint: Any) -> None:
    """Refuse a value that a constructor's annotation does not admit; nodes inside it are left to their own `bind`.

    Raises:
        UserError: another type, an unknown choice, a number outside its range, or one that is not finite.
    """
    if _holds_node(value):
        return
    options = _options(hint)
    if not _finite(value) and not any(_admits_infinity(option) and value == math.inf for option in options):
        raise UserError(f"{where} takes a finite number; got {value!r}")
    adapter = _adapter(hint)
    if adapter is None:
        return
    try:
        adapter.validate_python(_tuples(value, hint))
    except ValidationError as error:
        raise UserError(_refusal(where, value, options)) from error


def import_target(path: str, where: str) -> Any:
    """Return the class or function that a `_target_` names.

    Raises:
        UserError: there is no such module, or it has no such name.
    """
    module, _, name = path.rpartition(".")
    if not module.strip(".") or not name:
        raise UserError(f"{where}._target_ is the dotted name of a class, such as package.module.Class; got '{path}'")
    try:
        owner = importlib.import_module(module)
        target = getattr(owner, name, None) or _submodule(owner, path)
    except Exception as error:  # because a module of a plug-in may fail in any way
        raise UserError(f"{where}._target_ '{path}' cannot be imported: {_cause(path, error)}") from error
    if target is None:
        names = [key for key, value in vars(owner).items() if getattr(value, "__module__", None) == module]
        reason = _cause(path, AttributeError(f"module {module} has no {name}; {did_you_mean(name, names)}"))
        raise UserError(f"{where}._target_ '{path}' cannot be imported: {reason}")
    if not callable(target):
        raise UserError(f"{where}._target_ '{path}' is a {type(target).__name__}; give the name of a class")
    return target


def _submodule(owner: types.ModuleType, path: str) -> types.ModuleType | None:
    """Return the module of a name inside a package, None where there is none."""
    is_there = hasattr(owner, "__path__") and importlib.util.find_spec(path) is not None
    return importlib.import_module(path) if is_there else None


def _cause(path: str, error: Exception) -> str:
    if path in MOVED:
        return f"it is called {MOVED[path]} now; correct the yaml"
    said = " ".join(str(error).split())
    top = path.partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name == top:
        return f"{said}; put the folder that holds '{top}' on PYTHONPATH, as for the run, or install its package"
    return said if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {said}"


def _bound(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return bind(value, where)
        return {str(key): _bound(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bound(item, f"{where}.{index}") for index, item in enumerate(value)]
    return value


def _holds_node(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_holds_node, value.values()))
    return isinstance(value, list | tuple) and any(map(_holds_node, value))


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@cache
def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """Return pydantic's validator of an annotation, None for one that pydantic cannot read."""
    if is_dataclass(hint):
        return TypeAdapter(InstanceOf[hint])  # because a dataclass takes no `config` of ours
    try:
        return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True))
    except (PydanticUserError, TypeError, NameError):
        return None


def _tuples(value: Any, hint: Any) -> Any:
    """Return a list as the tuple that an annotation asks for, because yaml has no tuples."""
    wants_tuple = any(typing.get_origin(_bare(option)) is tuple for option in _options(hint))
    return tuple(value) if wants_tuple and isinstance(value, list) else value


def _options(hint: Any) -> list[Any]:
    """Return the members of a union, or the annotation alone."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return [option for member in typing.get_args(hint) for option in _options(member)]
    return [hint]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _metadata(hint: Any) -> tuple[Any, ...]:
    return tuple(hint.__metadata__) if typing.get_origin(hint) is Annotated else ()


def _admits_infinity(hint: Any) -> bool:
    return any(isinstance(m, Infinite) for m in _metadata(hint))


def _refusal(where: str, value: Any, options: Sequence[Any]) -> str:
    """Return what was expected, what was given, and for choices the nearest one."""
    choices = [
        str(choice) for option in options if typing.get_origin(option) is Literal for choice in typing.get_args(option)
    ]
    if choices and isinstance(value, str):
        return f"{where} is one of {', '.join(choices)}; got '{value}': {did_you_mean(value, choices)}"
    ranged = [option for option in options if typing.get_origin(option) is Annotated]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    for option in ranged:
        if is_number and _adapter(_bare(option)) is not None and _valid(_bare(option), value):
            return f"{where} is {_range(option, value)}; got {value!r}"
    wanted = " or ".join(dict.fromkeys(_words(option) for option in options))
    return f"{where} takes {wanted}; got {value!r}"


def _valid(hint: Any, value: Any) -> bool:
    adapter = _adapter(hint)
    assert adapter is not None
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _range(hint: Any, value: Any = None) -> str:
    """Return the range of an annotated number in words, such as `1 or more` or `in [0, 1)`.

    Of a range of whole numbers, only the end that the value is beyond is said. Without a value both are said, except an
    upper end that only guards against typing errors.
    """
    low = next((m for m in hint.__metadata__ if isinstance(m, Ge | Gt)), None)
    high = next((m for m in hint.__metadata__ if isinstance(m, Le | Lt)), None)
    if _bare(hint) is int and isinstance(high, Le) and value is not None and value > high.le:
        return f"at most {high.le}"
    if _bare(hint) is int and isinstance(high, Le) and isinstance(low, Ge) and value is None and high.le != LARGEST:
        return f"{low.ge} to {high.le}"
    if high is None or (_bare(hint) is int and isinstance(low, Ge)):
        return f"{low.ge} or more" if isinstance(low, Ge) else f"above {low.gt if low else '-inf'}"
    top = f"{high.le}]" if isinstance(high, Le) else f"{high.lt})"
    bottom = f"[{low.ge}" if isinstance(low, Ge) else f"({low.gt if low else '-inf'}"
    return f"in {bottom}, {top}"


def _words(hint: Any) -> str:
    """Return what an annotation admits, as a message says it."""
    bare = _bare(hint)
    if bare in (None, type(None)):
        return "null"
    if typing.get_origin(bare) is Literal:
        return ", ".join(map(str, typing.get_args(bare)))
    if typing.get_origin(bare) is None:
        name = str(getattr(bare, "__name__", bare))
        return f"{name} (a mapping with a _target_)" if is_dataclass(bare) else name
    origin = typing.get_origin(bare)
    items = [item for item in typing.get_args(bare) if item is not Ellipsis]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    ranges = [_range(item) for item in items if any(isinstance(m, Ge | Gt | Le | Lt) for m in _metadata(item))]
    each = f", each {' or '.join(dict.fromkeys(ranges))}" if ranges else ""
    return f"a list of {', '.join(dict.fromkeys(map(_words, items)))}{each}"
