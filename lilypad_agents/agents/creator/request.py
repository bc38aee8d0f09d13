"""What a person asks for, and the checks that come before anything is signed: typed values, files by content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.content.blocks import Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import add_bytes, add_file
from lilypad_agents.execution.errors import InputsInvalid
from lilypad_agents.execution.inputs import Inputs, check_files, check_values, make_inputs, parse_text
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.strictjson import JsonRefused, load
from lilypad_agents.protocol.ids import NOBODY, Address, hex_of
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms

MAX_VALUE_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class Wishes:
    """What the user may set of an offer; None: the default. Amounts in smallest units, times in seconds."""

    max_price: int | None = None
    max_units: int | None = None
    submit_window: int | None = None
    judge_window: int | None = None
    collateral_bps: int | None = None
    audit_bps: int | None = None
    checks: str | None = None  # a name of settings.CHECKS
    pool: PoolTerms | None = None
    provider: Address = NOBODY
    match_seconds: int | None = None


@dataclass(frozen=True)
class JobRequest:
    """A job as asked for: `values` typed, `files` by the module's names. `deprecated`: also of a version that is not for new jobs."""

    module: str
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    wishes: Wishes = Wishes()
    deprecated: bool = False


@dataclass(frozen=True)
class PreparedInputs:
    """The inputs document and what it names, all in the store: `roots` are what has to be uploaded."""

    inputs: Inputs
    document: Cid
    files: Mapping[str, Cid]

    @property
    def roots(self) -> tuple[Cid, ...]:
        return (self.document, *dict.fromkeys(self.files.values()))


def parse_values(manifest: Manifest, assignments: Sequence[str], document: Path | None = None) -> dict[str, Any]:
    """Typed values from `key=value` texts and a JSON file of values; `key=@file` takes the text of a file.

    Raises InputsInvalid for a name or value that the module does not take, or a name given twice.
    """
    values = {} if document is None else _values_of(document)
    given: set[str] = set()
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputsInvalid(name[:80], "is written NAME=VALUE")
        if name in given:
            raise InputsInvalid(name, "is given twice")
        given.add(name)
        values[name] = parse_text(manifest, name, _text_of(name, text[1:]) if text.startswith("@") else text)
    return values


def collect_files(manifest: Manifest, folder: Path | None, assignments: Iterable[str] = ()) -> dict[str, Path]:
    """The module's input files: those of its names that lie in `folder`, and `name=path` texts.

    Raises InputsInvalid for a name that the module does not take; other files in the folder are refused by name too, as
    they would be forgotten silently otherwise.
    """
    files: dict[str, Path] = {}
    if folder is not None:
        if not folder.is_dir():
            raise InputsInvalid("files", f"{folder} is no folder")
        files = {entry.name: entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")}
    for assignment in assignments:
        name, equals, path = assignment.partition("=")
        if not equals:
            name, path = Path(assignment).name, assignment
        files[name] = Path(path)
    sizes = {name: _size(name, path) for name, path in files.items()}
    check_files(manifest, sizes)
    return files


def prepare_inputs(
    store: Store, manifest: Manifest, terms: ModuleTerms, values: Mapping[str, Any], files: Mapping[str, Path]
) -> PreparedInputs:
    """Checks everything against the module's declaration, then puts files and document into the store.

    Raises InputsInvalid, before anything is signed or paid.
    """
    check_values(manifest, values)
    check_files(manifest, {name: _size(name, path) for name, path in files.items()})
    cids = {name: _store_file(store, manifest, name, path) for name, path in files.items()}
    inputs = make_inputs(manifest, hex_of(terms.id), values, {name: str(cid) for name, cid in cids.items()})
    return PreparedInputs(inputs, add_bytes(store, inputs.document), MappingProxyType(cids))


def _store_file(store: Store, manifest: Manifest, name: str, path: Path) -> Cid:
    allowed = next(slot.max_bytes for slot in manifest.files if slot.name == name)
    with path.open("rb") as stream:
        return add_file(store, _Bounded(stream, name, allowed))


class _Bounded:
    """A stream that refuses to be longer than the module allows, should the file grow while it is read."""

    def __init__(self, stream: Any, name: str, allowed: int) -> None:
        self._stream = stream
        self._name = name
        self._left = allowed

    def read(self, size: int, /) -> bytes:
        data: bytes = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputsInvalid(f"files.{self._name}", "grew beyond what the module allows while it was read")
        return data


def _size(name: str, path: Path) -> int:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputsInvalid(f"files.{ascii(name)[1:-1]}", f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputsInvalid(f"files.{ascii(name)[1:-1]}", f"{path} is no plain file")
    return status.st_size


def _text_of(name: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_VALUE_FILE_BYTES + 1)
        if len(data) > MAX_VALUE_FILE_BYTES:
            raise InputsInvalid(name, f"{path} has more than {MAX_VALUE_FILE_BYTES} bytes: use an input file")
        return data.decode("utf-8")
    except OSError as error:
        raise InputsInvalid(name, f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputsInvalid(name, f"{path} is not UTF-8 text") from None


def _values_of(path: Path) -> dict[str, Any]:
    try:
        found = load(path.read_bytes(), max_bytes=MAX_VALUE_FILE_BYTES)
    except OSError as error:
        raise RequestInvalid(f"The inputs file {path} cannot be read: {error.strerror}.") from None
    except JsonRefused as failure:
        raise InputsInvalid(failure.path, f"{path} must be JSON: {failure.problem}") from None
    if not isinstance(found, dict):
        raise InputsInvalid("", f"{path} must hold one JSON object")
    return dict(found)
