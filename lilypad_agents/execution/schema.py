"""JSON Schema 2020-12 for inputs, in a subset that is safe to evaluate on anybody's behalf.

Every keyword is honoured or refused. References are local to `$defs` and never circular; strings, arrays and numbers
have bounds; patterns run in linear time. Values are checked by the jsonschema library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from lilypad_agents.execution.patterns import PatternRefused, compile_pattern
from lilypad_agents.execution.strictjson import SAFE_INTEGER, JsonRefused, bound, canonical, normal

MAX_EXPANDED_NODES = 2_000
MAX_PATTERN_STEPS = 5_000_000  # states times characters, over all texts that a document may hold
_ANNOTATIONS = {"title", "description", "examples", "default", "$comment"}
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "array": frozenset({"items", "minItems", "maxItems", "uniqueItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
}
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class SchemaRefused(ValueError):
    """A schema outside the subset; `path` is where, below `inputs`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class ValueRefused(ValueError):
    """A value that does not fit its schema; `path` is where."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path, self.problem = path, problem


def check_schema(schema: Any, path: str) -> None:
    """Raises SchemaRefused unless `schema` is an object schema of the subset; `path` names it in messages."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise SchemaRefused(path, 'must be a schema of {"type": "object"}')
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        raise SchemaRefused(f"{path}.$defs", "must be an object")
    _Checker(definitions).check(schema, path, (), root=True)
    _check_defaults(schema, schema, path)


class _Checker:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._nodes = 0
        self._steps = 0

    def check(self, schema: Any, path: str, inside: tuple[str, ...], *, times: int = 1, root: bool = False) -> None:
        """`inside`: definitions on the way here; `times`: how often a document may hold a value of this schema."""
        self._nodes += 1
        if self._nodes > MAX_EXPANDED_NODES:
            raise SchemaRefused(path, f"expands to more than {MAX_EXPANDED_NODES} schemas")
        if not isinstance(schema, dict):
            raise SchemaRefused(path, "must be an object")
        if "$ref" in schema:
            self._follow(schema, path, inside, times)
            return
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _KEYWORDS:
            raise SchemaRefused(path, f"needs one type of {', '.join(_KEYWORDS)}")
        allowed = _KEYWORDS[kind] | _ANNOTATIONS | {"type", "enum", "const"} | ({"$defs", "$schema"} if root else set())
        for key in schema:
            if key not in allowed:
                raise SchemaRefused(f"{path}.{key}", f"is not supported for type {kind}")
        _check_keywords(schema, path)
        if "pattern" in schema:
            self._count_steps(schema, path, times)
        if "enum" not in schema and "const" not in schema:
            _check_bounded(schema, kind, path)
        if kind == "object":
            self._check_object(schema, path, inside, times)
        if kind == "array" and "items" in schema:
            self.check(schema["items"], f"{path}.items", inside, times=times * schema.get("maxItems", 1))

    def _count_steps(self, schema: Mapping[str, Any], path: str, times: int) -> None:
        if "maxLength" not in schema:
            raise SchemaRefused(path, "needs maxLength beside pattern")
        self._steps += times * (schema["maxLength"] + 1) * compile_pattern(schema["pattern"]).size
        if self._steps > MAX_PATTERN_STEPS:
            raise SchemaRefused(
                f"{path}.pattern", "costs too much over all texts: lower maxLength, maxItems or its counts"
            )

    def _follow(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...], times: int) -> None:
        target = schema["$ref"]
        name = target.removeprefix("#/$defs/") if isinstance(target, str) else ""
        if not isinstance(target, str) or not target.startswith("#/$defs/") or name not in self._definitions:
            raise SchemaRefused(
                f"{path}.$ref", "must name an entry of $defs, as #/$defs/NAME; others are never fetched"
            )
        if name in inside:
            raise SchemaRefused(f"{path}.$ref", "leads back to itself")
        if set(schema) - {"$ref", "description", "title"}:
            raise SchemaRefused(path, "has other keys beside $ref")
        self.check(self._definitions[name], f"$defs.{name}", (*inside, name), times=times)

    def _check_object(self, schema: Mapping[str, Any], path: str, inside: tuple[str, ...], times: int) -> None:
        properties = schema.get("properties", {})
        if not isinstance(properties, dict):
            raise SchemaRefused(f"{path}.properties", "must be an object")
        if schema.get("additionalProperties") is not False:
            raise SchemaRefused(f"{path}.additionalProperties", "must be false")
        required = schema.get("required", [])
        if not isinstance(required, list) or len(set(map(str, required))) != len(required):
            raise SchemaRefused(f"{path}.required", "must be a list of different names")
        for name in required:
            if name not in properties:
                raise SchemaRefused(f"{path}.required", f"names {ascii(name)}, which is no property")
        for name, child in properties.items():
            if (
                not name
                or len(name) > 64
                or not name.isascii()
                or not name.replace("_", "a").replace("-", "a").isalnum()
            ):
                raise SchemaRefused(f"{path}.properties", f"{ascii(name)} is no name of letters, digits, `_` and `-`")
            self.check(child, f"{path}.properties.{name}", inside, times=times)


def _check_keywords(schema: Mapping[str, Any], path: str) -> None:
    for key in _COUNTS:
        if key in schema and (type(schema[key]) is not int or not 0 <= schema[key] <= 1 << 20):
            raise SchemaRefused(f"{path}.{key}", "must be a whole number from 0 to 1048576")
    for key in _NUMBERS:
        if key in schema and (isinstance(schema[key], bool) or not isinstance(schema[key], (int, float))):
            raise SchemaRefused(f"{path}.{key}", "must be a number")
    if "multipleOf" in schema and (type(schema["multipleOf"]) is not int or schema["multipleOf"] < 1):
        raise SchemaRefused(f"{path}.multipleOf", "must be a whole number above 0")
    if not isinstance(schema.get("uniqueItems", False), bool):
        raise SchemaRefused(f"{path}.uniqueItems", "must be true or false")
    items = schema.get("items")
    if schema.get("uniqueItems") and not (
        isinstance(items, dict) and items.get("type") in ("string", "integer", "number")
    ):
        raise SchemaRefused(
            f"{path}.uniqueItems", "is only for lists of texts or numbers: others compare each with each"
        )
    if "enum" in schema and not (isinstance(schema["enum"], list) and 0 < len(schema["enum"]) <= 500):
        raise SchemaRefused(f"{path}.enum", "must be a list of 1 to 500 values")
    if "pattern" in schema:
        try:
            if not isinstance(schema["pattern"], str):
                raise PatternRefused("must be a text")
            compile_pattern(schema["pattern"])
        except PatternRefused as failure:
            raise SchemaRefused(f"{path}.pattern", str(failure)) from None


def _check_bounded(schema: Mapping[str, Any], kind: str, path: str) -> None:
    if kind == "string" and "maxLength" not in schema:
        raise SchemaRefused(path, "needs maxLength")
    if kind == "array" and not ("maxItems" in schema and "items" in schema):
        raise SchemaRefused(path, "needs items and maxItems")
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None or high is None:
            raise SchemaRefused(path, "needs minimum and maximum")
        if kind == "integer" and max(abs(low), abs(high)) > SAFE_INTEGER:
            raise SchemaRefused(path, "has bounds above 2^53 - 1: take a string of digits")


def _check_defaults(schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> None:
    for place, child in _walk(schema, path):
        for key in ("default", "const"):
            if key in child:
                _fits(child[key], child, root, f"{place}.{key}")
        for index, value in enumerate(child.get("enum", ())):
            _fits(value, {**child, "enum": [value]}, root, f"{place}.enum[{index}]")


def _fits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> None:
    try:
        check_value(value, {**schema, "$defs": root.get("$defs", {})}, "")
    except ValueRefused as failure:
        raise SchemaRefused(path, f"does not fit its own schema: {failure}") from None


def _walk(schema: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield path, schema
    for holder in ("properties", "$defs"):
        for name, child in schema.get(holder, {}).items():
            yield from _walk(child, f"{path}.{holder}.{name}")
    yield from _walk(schema.get("items"), f"{path}.items")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compile_pattern(pattern).search(instance):
        yield ValidationError(f"does not match the pattern {pattern}")


_Validator = extend(Draft202012Validator, {"pattern": _pattern})


def check_value(value: Any, schema: Mapping[str, Any], path: str) -> Any:
    """`value` in normal form if it fits `schema` (which passed `check_schema`); raises ValueRefused."""
    try:
        bound(value)
        value = normal(value)
    except JsonRefused as failure:
        raise ValueRefused(path, failure.problem) from None
    failure = next(_Validator(schema).iter_errors(value), None)  # the first only: each builds a message of any length
    if failure is not None:
        raise ValueRefused(_place(path, failure), _message(failure))
    return value


def fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A copy of `value` in which absent properties have their defaults, in objects at every level."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"), {})
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, child in schema.get("properties", {}).items():
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if name in filled:
            filled[name] = fill_defaults(filled[name], child, root)
    return filled


def property_type(schema: Mapping[str, Any], name: str) -> str:
    """The JSON type of a top-level property, references followed."""
    child = schema["properties"][name]
    while "$ref" in child:
        child = schema["$defs"][child["$ref"].removeprefix("#/$defs/")]
    return child["type"]


def _place(path: str, failure: ValidationError) -> str:
    place = path
    for part in failure.absolute_path:
        place += f"[{part}]" if isinstance(part, int) else (f".{part}" if place else str(part))
    return place


def _message(failure: ValidationError) -> str:
    """What is wrong, without repeating a value of any length."""
    if failure.validator == "required":
        missing = [name for name in failure.validator_value if name not in failure.instance]
        return f"is missing {', '.join(missing)}"
    if failure.validator == "additionalProperties":
        unknown = sorted(set(failure.instance) - set(failure.schema.get("properties", {})))
        return f"has no property {ascii(unknown[0])[:80]}" if unknown else "has unknown properties"
    limit = canonical(failure.validator_value).decode() if failure.validator != "pattern" else failure.validator_value
    shown = canonical(failure.instance).decode()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{shown} breaks {failure.validator} {limit[:200]}"
