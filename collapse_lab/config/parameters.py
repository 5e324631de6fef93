"""What a constructor takes: read off the class itself, or off its source, without importing what the class needs."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any

# The modules whose names in annotations are imported, because they are imported already, or take no time
LIGHT = ("typing", "collections.abc", "annotated_types", "pathlib", "collapse_lab.types")


@dataclass(frozen=True)
class Parameters:
    """Hold what a constructor takes.

    Attributes:
        of: the name of the class or function.
        hints: the annotation of each parameter, Any where it is not known.
        required: the parameters without a default.
        takes_any: whether it takes names that it does not list.
    """

    of: str
    hints: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    takes_any: bool = False


class UnreadableError(Exception):
    """The source alone does not say it."""


def of_target(target: Any) -> Parameters:
    """Return what a class or a function takes."""
    given = inspect.signature(target).parameters
    many = [p.name for p in given.values() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    hints = _hints(target)
    return Parameters(
        of=target.__name__,
        hints={name: hints.get(name, Any) for name in given},
        required=[name for name, p in given.items() if p.default is p.empty and name not in many],
        takes_any=any(p.kind is p.VAR_KEYWORD for p in given.values()),
    )


def of_source(path: str) -> Parameters | None:
    """Return what the class or the function of a dotted name takes, as its source says it.

    The modules around it are imported, and the module itself is not. None means that the source does not say it: there
    is no such name, it is no Python file, or a base class lies where no source is read.
    """
    module, _, name = path.rpartition(".")
    try:
        return _parameters(*_definition(module, name))
    except (UnreadableError, RecursionError):
        return None


def _hints(target: Any) -> dict[str, Any]:
    # A dataclass may inherit fields from another module, and only the class knows that module's names
    constructor = target.__init__ if inspect.isclass(target) and not is_dataclass(target) else target
    try:
        return typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):  # because some names exist for the type checker alone
        return {}


@dataclass(frozen=True)
class _Source:
    """Hold what a module defines and imports at its top."""

    definitions: dict[str, ast.ClassDef | ast.FunctionDef]
    aliases: dict[str, ast.expr]
    imports: dict[str, tuple[str, str]]  # name -> module and name there


@cache
def _source(module: str) -> _Source:
    try:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            raise UnreadableError(module)
        body = ast.parse(Path(spec.origin).read_bytes()).body
    except (ImportError, ValueError, SyntaxError, OSError) as error:
        raise UnreadableError(module) from error
    found = _Source({}, {}, {})
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.definitions[node.name] = node
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.aliases[node.targets[0].id] = node.value
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.imports.update({alias.asname or alias.name: (node.module, alias.name) for alias in node.names})
    return found


def _definition(module: str, name: str) -> tuple[str, ast.ClassDef | ast.FunctionDef]:
    """Return the definition of a name and the module that holds it, which may be another one."""
    source = _source(module)
    if name in source.definitions:
        return module, source.definitions[name]
    if name in source.imports:
        return _definition(*source.imports[name])
    raise UnreadableError(name)


def _parameters(module: str, node: ast.ClassDef | ast.FunctionDef) -> Parameters:
    if isinstance(node, ast.FunctionDef):
        return _of_function(module, node, node.name)
    methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
    if "__new__" in methods or node.keywords:
        raise UnreadableError(node.name)
    if "__init__" in methods:
        return _of_function(module, methods["__init__"], node.name)
    fields = Parameters(node.name)
    for base in reversed(list(_bases(module, node))):
        fields.hints.update(base.hints)
        fields.required[:] = [name for name in fields.required if name not in base.hints] + base.required
    if _is_dataclass(node):
        own = _of_fields(module, node)
        fields.hints.update(own.hints)
        fields.required[:] = [name for name in fields.required if name not in own.hints] + own.required
        return fields
    takes_any = any(base.takes_any for base in _bases(module, node))
    return Parameters(node.name, fields.hints, fields.required, takes_any)


def _bases(module: str, node: ast.ClassDef) -> Iterator[Parameters]:
    for base in node.bases:
        if not isinstance(base, ast.Name):
            raise UnreadableError(node.name)
        if base.id not in ("ABC", "Protocol", "object"):
            yield _parameters(*_definition(module, base.id))


def _of_function(module: str, node: ast.FunctionDef, name: str) -> Parameters:
    given = [*node.args.posonlyargs, *node.args.args]
    bare = len(given) - len(node.args.defaults)
    required = [argument.arg for argument in given[:bare]]
    required += [a.arg for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is None]
    hints = {a.arg: _hint(module, a.annotation) for a in [*given, *node.args.kwonlyargs]}
    if node.name == "__init__":
        del hints[given[0].arg]
        required = required[1:]
    if node.args.vararg is not None:
        hints[node.args.vararg.arg] = Any
    if node.args.kwarg is not None:
        hints[node.args.kwarg.arg] = Any
    return Parameters(name, hints, required, node.args.kwarg is not None)


def _of_fields(module: str, node: ast.ClassDef) -> Parameters:
    """Return the fields that a dataclass itself adds."""
    own = Parameters(node.name)
    for part in node.body:
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        hint, options = _hint(module, part.annotation), _field_options(part.value)
        is_class_variable = typing.ClassVar in (hint, typing.get_origin(hint))
        if is_class_variable or part.target.id == "_" or options.get("init") is False:  # `_` is that of KW_ONLY
            continue
        own.hints[part.target.id] = hint
        if part.value is None or (_calls_field(part.value) and not {"default", "default_factory"} & set(options)):
            own.required.append(part.target.id)
    return own


def _field_options(value: ast.expr | None) -> dict[str, Any]:
    if value is None or not _calls_field(value):
        return {}
    assert isinstance(value, ast.Call)
    return {k.arg: getattr(k.value, "value", None) for k in value.keywords if k.arg}


def _calls_field(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "field"


def _is_dataclass(node: ast.ClassDef) -> bool:
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(isinstance(d, ast.Name) and d.id == "dataclass" for d in decorators)


def _hint(module: str, annotation: ast.expr | None) -> Any:
    """Return an annotation, Any where its names are not read."""
    if annotation is None:
        return Any
    try:
        return _evaluated(module, annotation)
    except UnreadableError:
        return Any


def _evaluated(module: str, expression: ast.expr) -> Any:
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        expression = ast.parse(expression.value, mode="eval").body
    names = {part.id for part in ast.walk(expression) if isinstance(part, ast.Name)}
    known = {name: _named(module, name) for name in sorted(names)}
    try:
        # As `typing.get_type_hints` does, of the same text
        return eval(compile(ast.Expression(expression), module, "eval"), {"__builtins__": {}}, known)
    except Exception as error:
        raise UnreadableError(module) from error


def _named(module: str, name: str) -> Any:
    """Return what a name in an annotation means."""
    source = _source(module)
    if name in source.imports:
        origin, there = source.imports[name]
        if _is_light(origin):
            return getattr(importlib.import_module(origin), there)
        return _named(origin, there)
    if name in source.aliases:
        return _evaluated(module, source.aliases[name])
    definition = source.definitions.get(name)
    if isinstance(definition, ast.ClassDef) and _is_dataclass(definition):
        return make_dataclass(name, [])  # a stand-in of the class, because a node takes its place
    if definition is None and hasattr(builtins, name):
        return getattr(builtins, name)
    raise UnreadableError(name)


def _is_light(module: str, light: Iterable[str] = LIGHT) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in light)
