"""From the end of a run to what is promised about it: digest, commitment, result tree, signed receipt. Protocol 5.2, 5.3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lilypad_agents.agents.runtime.http_signature import personal_digest
from lilypad_agents.chain.keys import Signer
from lilypad_agents.content.blocks import BlockSink, Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import HashOnly, add_bytes, put_tree, tree_cid
from lilypad_agents.execution.inputs import Inputs
from lilypad_agents.execution.job import JobSpec, RunResult
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.metering import units as billed_units
from lilypad_agents.execution.prepare import prepare
from lilypad_agents.execution.receipt import Receipt, SignedReceipt, run_facts, sign_receipt
from lilypad_agents.execution.result import counted_parts as parts_of
from lilypad_agents.execution.result import folders, result_tree
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Opened, commitment, counted_parts, open_result
from lilypad_agents.protocol.ids import Commitment, DealId, hex_of, keccak256
from lilypad_agents.protocol.opening import ResultOpening
from lilypad_agents.protocol.units import Units


@dataclass(frozen=True)
class Module:
    """A module version, obtained and checked: its manifest, its wasm, and its other files by path."""

    manifest: Manifest
    wasm: bytes
    artifacts: Mapping[str, bytes]

    @property
    def size(self) -> int:
        return len(self.wasm) + sum(map(len, self.artifacts.values()))


def content_cid(data: bytes) -> str:
    """The CID of a file of any size, as IPFS computes it."""
    return str(add_bytes(HashOnly(), data))


def job_of(deal: Deal, deal_id: DealId, module: Module, inputs: Inputs, files: Mapping[str, bytes]) -> JobSpec:
    """The run that a deal is about; whoever judges it makes the same one.

    The seed that a module may ask of its deal is the deal id. Where units are priced, the fuel ends at the units that
    the creator signed: a job that reaches them has a valid, paid result (protocol 3.5).
    Raises ContentMismatch, InputsInvalid, ModuleBroken, ScheduleUnsupported.
    """
    spec = prepare(
        module.manifest,
        module.wasm,
        inputs,
        files=files,
        artifacts=module.artifacts,
        deal_seed=deal_id,
        content_cid=content_cid,
    )
    return replace(spec, limits=replace(spec.limits, fuel=fuel_of(module.manifest, deal)))


def fuel_of(manifest: Manifest, deal: Deal) -> int:
    """The fuel of a run: the module's limit, and where units are priced not more than the signed units cover."""
    declared = manifest.limits.fuel
    if deal.unit_price == 0 or manifest.metering.kind != "fuel":
        return declared
    return min(declared, deal.max_units * manifest.metering.per)


@dataclass(frozen=True)
class Opening:
    """What a settlement opens, and where the data lies."""

    opened: Opened
    salt: bytes
    data_id: Cid
    units: Units

    @property
    def words(self) -> ResultOpening:
        return ResultOpening(self.opened.head, self.opened.content, self.salt)

    def commitment(self, deal_id: DealId, deal: Deal) -> Commitment:
        return commitment(deal_id, deal.provider, self.opened.digest, self.salt)


def opened_of(manifest: Manifest, deal: Deal, result: RunResult) -> tuple[Opened, Units]:
    """Head, content and billed units of a run. Raises ScheduleUnsupported."""
    mask = counted_parts(manifest.compare.counts, deal.unit_price)
    counted = parts_of(manifest, result, _folder_root)
    metered = Units(billed_units(manifest, result) if deal.unit_price else 0)
    opened = open_result(
        mask,
        exit_code=result.exit_code,
        units=metered,
        stdout_hash=None if counted.stdout is None else keccak256(counted.stdout),
        stderr_hash=None if counted.stderr is None else keccak256(counted.stderr),
        outputs_root=counted.outputs_root,
    )
    return opened, metered


def store_result(store: Store, result: RunResult) -> Cid:
    """Puts the result directory into the store; its CID is the data id."""
    return put_tree(store, folders(result_tree(result)))


def receipt_of(
    deal_id: DealId,
    deal: Deal,
    artefact: bytes,
    result: RunResult,
    opening: Opening,
    *,
    isa: str,
    started_at: int,
    ended_at: int,
    signer: Signer,
) -> SignedReceipt:
    """The provider's signed statement about the run. `artefact`: sha256 of the wasm; times: unix s of this machine."""
    facts: dict[str, Any] = run_facts(result)
    receipt = Receipt(
        deal=hex_of(deal_id),
        provider=deal.provider,
        module=hex_of(deal.module),
        inputs=hex_of(deal.inputs),
        result_digest=hex_of(opening.opened.digest),
        data_id=str(opening.data_id),
        artefact=f"sha256:{artefact.hex()}",
        isa=isa,
        started_at=started_at,
        ended_at=ended_at,
        units=opening.units,
        **facts,
    )
    return sign_receipt(receipt, lambda message: signer.sign_digest(personal_digest(message)))


def store_receipt(store: BlockSink, receipt: SignedReceipt) -> Cid:
    return add_bytes(store, receipt.to_bytes())


def _folder_root(files: Mapping[str, bytes]) -> bytes:
    return tree_cid(folders(files)).digest
