"""Taking delivery: every block, the receipt and the digest are checked before a result counts. Protocol 5.4.

A result is a tree of files (data id), a receipt that the provider signed, and a digest. The digest is computed anew from
the bytes that arrived; only then is anything written where a user looks, all at once or not at all.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.errors import ResultMismatch
from lilypad_agents.agents.runtime.http_signature import personal_digest
from lilypad_agents.content.blocks import Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import (
    ContentError,
    InvalidBlock,
    LimitExceeded,
    TargetExists,
    UnexpectedKind,
    UnsafeName,
)
from lilypad_agents.content.files import export_to_directory
from lilypad_agents.content.importer import add_bytes, put_tree, tree_cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import Contents, check_tree, find, read_tree
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.plainfile import read_plain
from lilypad_agents.execution.receipt import MAX_RECEIPT_BYTES, Receipt, parse_receipt, verify_receipt
from lilypad_agents.execution.result import ResultFiles, counted_parts, folders, parse_result_tree
from lilypad_agents.execution.strictjson import JsonRefused, canonical
from lilypad_agents.protocol.consent import recover
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Opened, open_result
from lilypad_agents.protocol.digest import counted_parts as mask_of
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import DealId, ResultDigest, hex_of, keccak256
from lilypad_agents.protocol.units import Units

RECEIPT_NAME = "receipt.json"
# What is wrong with content itself, from wherever it came; a missing block is not among them.
CONTENT_FAULTS = (InvalidBlock, LimitExceeded, UnexpectedKind, UnsafeName)


@dataclass(frozen=True)
class ResultNote:
    """What the provider says about its result; nothing of it is believed before `verify`."""

    data_id: Cid
    receipt: bytes  # canonical file receipt.json
    digest: ResultDigest


@dataclass(frozen=True)
class Delivered:
    """A verified result. `opened`: head and content as recomputed here."""

    note: ResultNote
    files: ResultFiles
    receipt: Receipt
    opened: Opened

    @property
    def digest(self) -> ResultDigest:
        return self.opened.digest


def read_note(body: Any) -> ResultNote | None:
    """The note in a `result` message; None for what is none."""
    if not isinstance(body, Mapping):
        return None
    try:
        receipt = canonical(dict(body["receipt"]))
        digest = bytes.fromhex(str(body["resultDigest"]).removeprefix("0x"))
        data_id = Cid.parse(body["dataId"])
        parse_receipt(receipt)
    except (KeyError, TypeError, ValueError, JsonRefused, ContentError, ResultRefused):
        return None
    return ResultNote(data_id, receipt, ResultDigest(digest)) if len(digest) == 32 else None


def note_on_disk(folder: Path) -> ResultNote | None:
    """What the receipt in a results folder says; None where there is none that can be read."""
    try:
        raw = read_plain(folder / RECEIPT_NAME, MAX_RECEIPT_BYTES)
        receipt = parse_receipt(raw).receipt
        return ResultNote(Cid.parse(receipt.data_id), raw, ResultDigest(bytes.fromhex(receipt.result_digest[2:])))
    except (OSError, ResultRefused, ContentError):
        return None


def is_here(store: Store, root: Cid, limits: Limits) -> bool:
    """Whether the store holds a whole tree already."""
    try:
        check_tree(store, root, limits)
    except ContentError:
        return False
    return True


def limits_of(manifest: Manifest) -> Limits:
    """How large a result tree of the module can be; a larger one is not even downloaded."""
    bounds = manifest.run_limits()
    return Limits(max_bytes=bounds.result_bytes + 16, max_entries=4 + 32 * (bounds.output_files + 1), max_depth=32)


def verify(store: Store, manifest: Manifest, deal: Deal, deal_id: DealId, note: ResultNote) -> Delivered:
    """The result, if the bytes in the store are what the provider signed.

    Raises ResultMismatch, naming what differs, also for a receipt about another deal, input or module; BlockMissing when
    the tree is not complete here.
    """
    try:
        tree = flat(read_tree(store, note.data_id, limits_of(manifest)))
        files = parse_result_tree(tree, manifest.run_limits())
        receipt = verify_receipt(
            note.receipt,
            _signer_of,
            provider=deal.provider,
            deal=hex_of(deal_id),
            result_digest=hex_of(note.digest),
            data_id=str(note.data_id),
        )
        _require_about(receipt, deal, files)
        _require_units(manifest, deal, receipt)
        opened = recompute(manifest, deal, files, Units(receipt.units))
    except (ResultRefused, FieldInvalid, *CONTENT_FAULTS) as failure:
        raise refused(failure) from failure
    if opened.digest != note.digest:
        raise ResultMismatch(
            f"The delivered bytes have the digest {hex_of(opened.digest)}, the provider signed {hex_of(note.digest)}.",
            found=hex_of(opened.digest),
            signed=hex_of(note.digest),
        )
    return Delivered(note, files, receipt, opened)


def refused(failure: LilypadError) -> ResultMismatch:
    """What is wrong with a delivery, as the error of the job."""
    return ResultMismatch(f"The result is refused: {failure.message}", reason=failure.code)


def recompute(manifest: Manifest, deal: Deal, files: ResultFiles, units: Units) -> Opened:
    """Head and content of the delivered files. Metered units are the provider's word: only a re-run can check them."""
    parts = counted_parts(manifest, files, lambda outputs: tree_cid(folders(outputs)).digest)
    return open_result(
        mask_of(manifest.compare.counts, deal.unit_price),
        exit_code=files.exit_code,
        units=units,
        stdout_hash=None if parts.stdout is None else keccak256(parts.stdout),
        stderr_hash=None if parts.stderr is None else keccak256(parts.stderr),
        outputs_root=parts.outputs_root,
    )


def write_results(store: Store, delivered: Delivered, target: Path) -> Path:
    """Writes `stdout`, `stderr`, `exitCode`, `outputs/` and `receipt.json` as the folder `target`, at once.

    A folder that holds this very result already is left as it is. Raises TargetExists for another one, StoreFull.
    """
    if os.path.lexists(target):
        if (target / RECEIPT_NAME).is_file() and (target / RECEIPT_NAME).read_bytes() == delivered.note.receipt:
            return target
        raise TargetExists("the results folder exists and holds something else", path=str(target))
    root = delivered.note.data_id
    entries: dict[str, Any] = {RECEIPT_NAME: add_bytes(store, delivered.note.receipt)}
    for name in ("exitCode", "stdout", "stderr", "outputs"):
        cid = find(store, root, (name,))
        if cid is not None:
            entries[name] = cid
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        export_to_directory(store, put_tree(store, entries), growing)
        (growing / "outputs").mkdir(exist_ok=True)
        os.rename(growing, target)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return target


def check_folder(folder: Path, manifest: Manifest, deal: Deal, deal_id: DealId) -> Delivered:
    """Verifies a results folder on disk without any network: the receipt's signature, the data id and the digest.

    Raises ResultMismatch, UnsafeFile.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / RECEIPT_NAME]
    tree = {path.relative_to(folder).as_posix(): read_plain(path, limits_of(manifest).max_bytes) for path in paths}
    raw = read_plain(folder / RECEIPT_NAME, MAX_RECEIPT_BYTES)
    receipt = parse_receipt(raw).receipt
    data_id = tree_cid(folders(tree))
    if str(data_id) != receipt.data_id:
        raise ResultMismatch(f"The folder has the data id {data_id}, the receipt names {receipt.data_id}.")
    memory = _Memory()
    put_tree(memory, folders(tree))
    digest = ResultDigest(bytes.fromhex(receipt.result_digest[2:]))
    return verify(memory, manifest, deal, deal_id, ResultNote(data_id, raw, digest))


def flat(tree: Contents, prefix: str = "") -> dict[str, bytes]:
    """Nested folders as paths with slashes: {"a": {"b": x}} becomes {"a/b": x}."""
    found: dict[str, bytes] = {}
    for name, content in tree.items():
        if isinstance(content, bytes):
            found[prefix + name] = content
        else:
            found |= flat(content, f"{prefix}{name}/")
    return found


def _require_about(receipt: Receipt, deal: Deal, files: ResultFiles) -> None:
    expected = {
        "module": (receipt.module, hex_of(deal.module)),
        "inputs": (receipt.inputs, hex_of(deal.inputs)),
        "exit code": (receipt.exit_code, files.exit_code),
    }
    for name, (found, needed) in expected.items():
        if found != needed:
            raise ResultMismatch(f"The receipt's {name} is {found}, not {needed}.", found=found, needed=needed)


def _require_units(manifest: Manifest, deal: Deal, receipt: Receipt) -> None:
    """The units that are billed must follow from the work that the receipt states. Only a re-run can check the work itself."""
    metering = manifest.metering
    expected = 0
    if deal.unit_price and metering.kind == "fuel":
        if receipt.schedule != metering.schedule:
            raise ResultMismatch(f"The work was counted by {receipt.schedule}, the module is billed by {metering.schedule}.")
        expected = receipt.fuel // metering.per
    if receipt.units != expected:
        raise ResultMismatch(f"The receipt bills {receipt.units} units, its work makes {expected}.", found=receipt.units)


def _signer_of(message: bytes, signature: bytes) -> str:
    return recover(personal_digest(message), signature)


class _Memory:
    """Blocks of one small tree."""

    def __init__(self) -> None:
        self._blocks: dict[Cid, bytes] = {}

    def put(self, cid: Cid, data: bytes) -> None:
        self._blocks[cid] = bytes(data)

    def get(self, cid: Cid) -> bytes:
        return self._blocks[cid]

    def size(self, cid: Cid) -> int:
        return len(self._blocks[cid])

    def has(self, cid: Cid) -> bool:
        return cid in self._blocks

    def pin(self, root: Cid, name: str, expires_at: int | None = None) -> None: ...
    def unpin(self, name: str, root: Cid | None = None) -> None: ...
    def delete(self, cid: Cid) -> None: ...

