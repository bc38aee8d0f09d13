"""Contract interfaces: encodes calls, decodes returns, events and custom errors, all from the compiler's JSON.

Nothing here knows a name of our contracts: functions, events and errors come from the ABI files beside this module,
which the Solidity build writes. Structs decode to named tuples (field names as in Solidity) and encode from named
tuples, dataclasses, mappings or plain sequences; user-defined value types are their underlying ABI type already.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from types import MappingProxyType
from typing import Any

from lilypad_agents.chain.errors import AbiError
from lilypad_agents.protocol import abi_codec
from lilypad_agents.protocol.ids import keccak256

_ARRAY = re.compile(r"^(.*)\[(\d*)\]$")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# The two errors of the language itself, in the form of an ABI.
_LANGUAGE_ERRORS = (
    {"type": "error", "name": "Error", "inputs": [{"name": "reason", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


@dataclass(frozen=True)
class Parameter:
    """One input, output or struct field; `type` is canonical (`(uint256,bytes32)[]` for structs)."""

    name: str
    type: str
    components: tuple[Parameter, ...] = ()
    indexed: bool = False

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Parameter:
        components = tuple(cls.parse(component) for component in entry.get("components", ()))
        kind = entry["type"]
        if kind.startswith("tuple"):
            kind = f"({','.join(component.type for component in components)}){kind[5:]}"
        return cls(entry.get("name", ""), kind, components, bool(entry.get("indexed", False)))

    @cached_property
    def struct(self) -> Any:
        return _record([component.name for component in self.components])

    def lower(self, value: Any) -> Any:
        """The value as the codec wants it: structs as tuples. Raises AbiError when fields are missing or unknown."""
        if not self.components:
            return value
        return _lower(self, self.type, value)

    def lift(self, value: Any) -> Any:
        """The value as callers want it: structs as named tuples."""
        if not self.components:
            return value
        return _lift(self, self.type, value)


def _record(names: Sequence[str]) -> Any:
    return namedtuple("Record", [name or f"_{index}" for index, name in enumerate(names)], rename=True)


def _lower(parameter: Parameter, kind: str, value: Any) -> Any:
    array = _ARRAY.match(kind)
    if array:
        return [_lower(parameter, array.group(1), item) for item in value]
    names = [component.name for component in parameter.components]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        value = _in_order(parameter, names, value)
    if len(value) != len(names):
        raise AbiError(f"A struct of {len(names)} fields got {len(value)}.", struct=parameter.name or kind)
    return tuple(component.lower(item) for component, item in zip(parameter.components, value, strict=True))


def _in_order(parameter: Parameter, names: Sequence[str], value: Mapping[str, Any]) -> list[Any]:
    """Field values by name; keys may be the Solidity name or its snake case."""
    by_name = {}
    for name in names:
        snake = _SNAKE.sub("_", name).lower()
        key = name if name in value else snake
        if key not in value:
            raise AbiError(f"The struct {parameter.name!r} lacks its field {name!r}.", field=name)
        by_name[key] = value[key]
    unknown = set(value) - set(by_name)
    if unknown:
        raise AbiError(f"The struct {parameter.name!r} has no field {sorted(unknown)[0]!r}.", field=sorted(unknown)[0])
    return list(by_name.values())


def _lift(parameter: Parameter, kind: str, value: Any) -> Any:
    array = _ARRAY.match(kind)
    if array:
        return tuple(_lift(parameter, array.group(1), item) for item in value)
    return parameter.struct(
        *(component.lift(item) for component, item in zip(parameter.components, value, strict=True))
    )


def _encode(parameters: Sequence[Parameter], values: Sequence[Any], what: str) -> bytes:
    if len(parameters) != len(values):
        raise AbiError(f"{what} takes {len(parameters)} arguments, not {len(values)}.")
    try:
        lowered = [parameter.lower(value) for parameter, value in zip(parameters, values, strict=True)]
        return abi_codec.encode([parameter.type for parameter in parameters], lowered)
    except (TypeError, ValueError) as error:
        raise AbiError(f"The arguments do not fit {what}: {error}") from error


def _decode(parameters: Sequence[Parameter], data: bytes, what: str) -> tuple[Any, ...]:
    try:
        values = abi_codec.decode([parameter.type for parameter in parameters], bytes(data))
    except ValueError as error:
        raise AbiError(f"The chain's bytes for {what} do not decode: {error}") from error
    return tuple(parameter.lift(value) for parameter, value in zip(parameters, values, strict=True))


@dataclass(frozen=True)
class Function:
    """A function by name; `selector` is 4 bytes."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]

    @cached_property
    def signature(self) -> str:
        return _signature(self.name, self.inputs)

    @cached_property
    def selector(self) -> bytes:
        return keccak256(self.signature.encode())[:4]

    @cached_property
    def _result(self) -> Any:
        return _record([output.name for output in self.outputs])

    def encode(self, *arguments: Any) -> bytes:
        """Calldata. Raises AbiError when the arguments do not fit."""
        return self.selector + _encode(self.inputs, arguments, self.signature)

    def decode_arguments(self, calldata: bytes) -> tuple[Any, ...]:
        """The arguments in `calldata`, selector included. Raises AbiError."""
        if calldata[:4] != self.selector:
            raise AbiError(f"The calldata is not a call of {self.signature}.")
        return _decode(self.inputs, calldata[4:], self.signature)

    def decode(self, data: bytes) -> Any:
        """None, the value, or a named tuple for several outputs. Raises AbiError."""
        values = _decode(self.outputs, data, self.signature)
        if not values:
            return None
        return values[0] if len(values) == 1 else self._result(*values)


@dataclass(frozen=True)
class DecodedEvent:
    """An event with its arguments by name and its place in the chain; hashes are 32 bytes, the address is checksummed."""

    name: str
    args: Mapping[str, Any]
    address: str
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    log_index: int


@dataclass(frozen=True)
class Event:
    """An event by name; `topic` is its first topic (32 bytes). Indexed dynamic arguments decode to their hash."""

    name: str
    inputs: tuple[Parameter, ...]

    @cached_property
    def signature(self) -> str:
        return _signature(self.name, self.inputs)

    @cached_property
    def topic(self) -> bytes:
        return keccak256(self.signature.encode())

    @cached_property
    def _plain(self) -> tuple[Parameter, ...]:
        return tuple(parameter for parameter in self.inputs if not parameter.indexed)

    @cached_property
    def _words(self) -> tuple[Parameter, ...]:
        """What topics hold: the value of a word, the hash of anything longer."""
        indexed = (parameter for parameter in self.inputs if parameter.indexed)
        return tuple(p if _is_word(p.type) else Parameter(p.name, "bytes32") for p in indexed)

    def decode(self, topics: Sequence[bytes], data: bytes) -> Mapping[str, Any]:
        """Arguments by name, in declared order. Raises AbiError."""
        if not topics or topics[0] != self.topic or len(topics) != len(self.inputs) - len(self._plain) + 1:
            raise AbiError(f"The topics are not those of {self.signature}.")
        from_data = iter(_decode(self._plain, data, self.signature))
        if any(len(topic) != 32 for topic in topics):
            raise AbiError(f"The topics of {self.signature} are not words.")
        from_topics = iter(_decode(self._words, b"".join(topics[1:]), self.signature))
        values = {}
        for index, parameter in enumerate(self.inputs):
            values[_name(parameter, index)] = next(from_topics if parameter.indexed else from_data)
        return MappingProxyType(values)


@dataclass(frozen=True)
class DecodedError:
    """A custom error by name with its arguments; an unknown selector has no name and its bytes as the only argument."""

    name: str
    args: Mapping[str, Any]
    data: bytes = field(repr=False, default=b"")

    def __str__(self) -> str:
        if not self.name:
            return f"unknown error 0x{self.data.hex()}" if self.data else "no reason given"
        return f"{self.name}({', '.join(f'{name}={show(value)}' for name, value in self.args.items())})"


@dataclass(frozen=True)
class ErrorTable:
    """Custom errors by selector, over all contracts that a call may pass through."""

    by_selector: Mapping[bytes, tuple[str, tuple[Parameter, ...]]]

    @classmethod
    def of(cls, *abis: Abi) -> ErrorTable:
        """The table of the errors in `abis` and of the language's own two."""
        entries = [*_LANGUAGE_ERRORS, *(entry for abi in abis for entry in abi.error_entries)]
        table = {}
        for entry in entries:
            inputs = tuple(Parameter.parse(item) for item in entry.get("inputs", ()))
            table[keccak256(_signature(entry["name"], inputs).encode())[:4]] = (entry["name"], inputs)
        return cls(MappingProxyType(table))

    def decode(self, data: bytes) -> DecodedError:
        """The error in revert data; never raises, since a hostile contract may revert with anything."""
        known = self.by_selector.get(bytes(data[:4]))
        if known is None:
            return DecodedError("", MappingProxyType({}), bytes(data))
        name, inputs = known
        try:
            values = _decode(inputs, data[4:], name)
        except AbiError:
            return DecodedError("", MappingProxyType({}), bytes(data))
        args = {_name(parameter, n): value for n, (parameter, value) in enumerate(zip(inputs, values, strict=True))}
        return DecodedError(name, MappingProxyType(args), bytes(data))


class Abi:
    """One contract's interface. `function`, `event` look up by name and raise AbiError for unknown ones."""

    def __init__(self, name: str, entries: Iterable[Mapping[str, Any]]) -> None:
        self.name = name
        self.functions: dict[str, list[Function]] = {}
        self.events: dict[str, Event] = {}
        self.events_by_topic: dict[bytes, Event] = {}
        self.error_entries: list[Mapping[str, Any]] = []
        self.constructor: tuple[Parameter, ...] = ()
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Mapping[str, Any]) -> None:
        inputs = tuple(Parameter.parse(item) for item in entry.get("inputs", ()))
        kind = entry.get("type")
        if kind == "function":
            outputs = tuple(Parameter.parse(item) for item in entry.get("outputs", ()))
            self.functions.setdefault(entry["name"], []).append(Function(entry["name"], inputs, outputs))
        elif kind == "event" and not entry.get("anonymous", False):
            event = Event(entry["name"], inputs)
            self.events[event.name] = self.events_by_topic[event.topic] = event
        elif kind == "error":
            self.error_entries.append(entry)
        elif kind == "constructor":
            self.constructor = inputs

    @classmethod
    def parse(cls, name: str, text: str) -> Abi:
        """From JSON: a bare ABI list, or a build artefact with an `abi` field. Raises AbiError."""
        try:
            document = json.loads(text)
            return cls(name, document["abi"] if isinstance(document, dict) else document)
        except (ValueError, KeyError, TypeError) as error:
            raise AbiError(f"The interface file of {name} is no ABI: {error}") from error

    @classmethod
    def load(cls, name: str) -> Abi:
        """From the packaged file `chain/abi/<name>.json`. Raises AbiError when there is none."""
        file = resources.files("lilypad_agents.chain").joinpath("abi", f"{name}.json")
        try:
            return cls.parse(name, file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise AbiError(f"There is no interface file for the contract {name}.", contract=name) from None

    def function(self, name: str, argument_count: int | None = None) -> Function:
        """By name, or by full signature where a name is overloaded in ways the argument count does not decide."""
        candidates = self.functions.get(name.partition("(")[0], [])
        if "(" in name:
            candidates = [function for function in candidates if function.signature == name]
        elif len(candidates) > 1 and argument_count is not None:
            candidates = [function for function in candidates if len(function.inputs) == argument_count]
        if len(candidates) != 1:
            problem = "has no function" if not candidates else "has several functions"
            raise AbiError(f"{self.name} {problem} {name}.", contract=self.name, function=name)
        return candidates[0]

    def event(self, name: str) -> Event:
        """Raises AbiError when the contract declares no such event."""
        try:
            return self.events[name]
        except KeyError:
            raise AbiError(f"{self.name} has no event {name}.", contract=self.name, event=name) from None

    def encode_constructor(self, *arguments: Any) -> bytes:
        """Constructor arguments as appended to creation code. Raises AbiError."""
        return _encode(self.constructor, arguments, f"the constructor of {self.name}")


def show(value: Any) -> str:
    """A value as people read it: bytes in hex, structs with their field names."""
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    if hasattr(value, "_asdict"):
        return "{" + ", ".join(f"{name}={show(item)}" for name, item in value._asdict().items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(item) for item in value) + "]"
    return str(value)


def _signature(name: str, inputs: Sequence[Parameter]) -> str:
    return f"{name}({','.join(parameter.type for parameter in inputs)})"


def _name(parameter: Parameter, index: int) -> str:
    return parameter.name or f"_{index}"


def _is_word(kind: str) -> bool:
    """Whether an indexed argument of this type stands in the topic itself (else its hash does)."""
    return kind not in ("bytes", "string") and not kind.endswith(("]", ")"))
