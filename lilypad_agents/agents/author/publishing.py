"""`module publish`: from a folder to a version that stands for ever, in steps that may be repeated.

Content comes first, the registration last, so that a registered version can be had from the first moment. Every step
looks before it acts: publishing equal content again, or after a crash, does only what is missing. All that the chain
would refuse is refused here first, before anything is signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.author.errors import LineageRefused, LintFailed, NameOwned, VersionTaken
from lilypad_agents.agents.author.packing import Content, contents_of, keep
from lilypad_agents.agents.author.registry import MOST_ANCESTORS, ModuleRegistry, Publication
from lilypad_agents.agents.author.runs import pack_source
from lilypad_agents.agents.creator.errors import ModuleMismatch, ModuleUnknown
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.provider.results import content_cid
from lilypad_agents.errors import ConfigurationError, LilypadError
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.lint import Severity, lint
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.pack import PackedModule, load_source
from lilypad_agents.protocol.ids import NOBODY, Address, VersionId, checksummed, hex_of
from lilypad_agents.protocol.terms import ModuleTerms
from lilypad_agents.protocol.units import WHOLE

PIN = "published modules"
_UPLOAD_S = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A publication before its signature: checked against the chain, nothing sent. `line`: its ancestors, parent first.

    `registered`: this very version stands already. Shares in basis points of income.
    """

    packed: PackedModule
    terms: ModuleTerms
    contents: tuple[Content, ...]
    line: tuple[Publication, ...]
    parent_share_bps: int
    fork_share_bps: int
    registered: bool
    gas: int  # an estimate by the node; 0 when nothing has to be sent

    @property
    def manifest(self) -> Manifest:
        return self.packed.manifest

    @property
    def version(self) -> VersionId:
        return self.terms.id

    @property
    def full_name(self) -> str:
        return f"{self.terms.publisher}/{self.manifest.name}:{self.manifest.version}"

    @property
    def size(self) -> int:
        return sum(item.size for item in self.contents)


@dataclass(frozen=True)
class Published:
    """What a publication did. `transaction` and `gas_used` are None and 0 when the version stood already."""

    plan: Plan
    solvers: tuple[str, ...]
    ipfs: bool
    transaction: bytes | None
    gas_used: int


def plan_publication(
    session: Session, folder: Path, *, parent_share_bps: int | None = None, fork_share_bps: int = 0
) -> Plan:
    """Checks everything that could be refused later. `parent_share_bps` None: the least that the parent asks.

    Raises LintFailed, ManifestInvalid, NameOwned, VersionTaken, LineageRefused, ModuleMismatch, ContractReverted.
    """
    errors = [finding for finding in lint(folder, content_cid=content_cid) if finding.severity is Severity.ERROR]
    if errors:
        told = "; ".join(f"{finding.field}: {finding.message}" for finding in errors[:5])
        raise LintFailed(told + ".", findings=len(errors))
    registry = ModuleRegistry(session.chain)
    source = load_source(folder)
    publisher = _publisher(session, source)
    line = _ancestors(registry, source)
    least = line[0].fork_share_bps if line else 0
    share = least if parent_share_bps is None else parent_share_bps
    _check_shares(line, share, fork_share_bps)
    as_owner = _check_name(session, registry, publisher, source.name)
    needs_registry = bool(source.royalty_bps or share or not as_owner)
    packed = pack_source(folder, publisher, royalty_to=registry.address if needs_registry and source.royalty_to is None else None)
    check_window(packed.manifest, session.chain.parameters.max_submit_window)
    terms = terms_of(packed.manifest)
    _check_royalty(terms, registry.address, share, as_owner)
    registered = _is_registered(session, terms, packed.manifest)
    contents = tuple(contents_of(packed))
    plan = Plan(packed, terms, contents, tuple(line), share, fork_share_bps, registered, 0)
    return plan if registered else replace(plan, gas=_estimate(session, plan))


def check_window(manifest: Manifest, most: int) -> None:
    """`most`: the network's longest submit window, s. Raises LintFailed for a module that nobody could order there."""
    needed = manifest.limits.least_window
    if needed > most:
        raise LintFailed(
            f"limits.wallSeconds: a run of {manifest.limits.wall_seconds} s needs a submit window of {needed} s, and this network "
            f"allows {most} s at most: providers would decline every deal.",
            findings=1,
        )


def _publisher(session: Session, source: Manifest) -> Address:
    if source.publisher is None:
        return session.account
    try:
        return checksummed(source.publisher.lower())
    except ValueError:
        raise ManifestInvalid("publisher", "is an alias; publishing needs the account itself, or none at all") from None


def _ancestors(registry: ModuleRegistry, source: Manifest) -> list[Publication]:
    if source.parent is None or not any(bytes.fromhex(source.parent[2:])):
        return []
    line = registry.line(bytes.fromhex(source.parent[2:]))
    if len(line) > MOST_ANCESTORS:
        raise LineageRefused(f"The line would have {len(line)} ancestors, {MOST_ANCESTORS} are allowed.", found=len(line), most=MOST_ANCESTORS)
    return line


def _check_shares(line: list[Publication], parent_share: int, fork_share: int) -> None:
    for name, share in (("parent's share", parent_share), ("forks' share", fork_share)):
        if not 0 <= share <= WHOLE:
            raise LineageRefused(f"The {name} is {share} basis points, allowed are 0 to {WHOLE}.", found=share, most=WHOLE)
    if not line and parent_share:
        raise LineageRefused("A share for the parent needs a `parent` in the manifest.", found=parent_share)
    if line and parent_share < line[0].fork_share_bps:
        raise LineageRefused(
            f"{line[0].full_name} asks {line[0].fork_share_bps} basis points of its forks, {parent_share} were offered.",
            found=parent_share,
            least=line[0].fork_share_bps,
        )


def _check_name(session: Session, registry: ModuleRegistry, publisher: Address, name: str) -> bool:
    """Whether the account owns the name, or would; False for its operator. Raises NameOwned."""
    record = registry.name(publisher, name)
    owner = record.owner if record.exists else publisher
    if owner == session.account:
        return True
    if record.exists and record.operator == session.account:
        return False
    raise NameOwned(f"{publisher}/{name} is {owner}'s name, not {session.account}'s.", owner=owner, account=session.account)


def _check_royalty(terms: ModuleTerms, registry: Address, share: int, as_owner: bool) -> None:
    if terms.royalty_bps and terms.royalty_to == NOBODY:
        raise ManifestInvalid("royaltyTo", "is nobody, so the royalty would be lost")
    if share and terms.royalty_to != registry:
        raise ManifestInvalid("royaltyTo", f"must be the registry {registry}, which pays the parent its share; leave it out")
    if not as_owner and (terms.royalty_to != registry or share):
        raise ManifestInvalid("royaltyTo", f"must be the registry {registry} when an operator publishes, and nothing goes to a parent")


def _is_registered(session: Session, terms: ModuleTerms, manifest: Manifest) -> bool:
    found = session.chain.version_of(terms.publisher, manifest.name, manifest.version)
    if found is not None and found != terms.id:
        raise VersionTaken(
            f"{manifest.name}:{manifest.version} was published before with other content: {hex_of(found)}, this would be {hex_of(terms.id)}.",
            found=hex_of(found),
            ours=hex_of(terms.id),
        )
    return found is not None


def _call(plan: Plan) -> tuple[Any, ...]:
    return (plan.terms, plan.manifest.name, plan.manifest.version, plan.parent_share_bps, plan.fork_share_bps)


def _estimate(session: Session, plan: Plan) -> int:
    """What the node says the registration costs; it runs it, so a refusal of the contract comes here, unpaid."""
    registry = session.chain.registry
    found = registry.call("publish", *_call(plan), sender=session.account)
    if bytes(found) != plan.version:
        raise ModuleMismatch(f"The registry would give the id {hex_of(bytes(found))}, not {hex_of(plan.version)}.", found=hex_of(bytes(found)))
    data = registry.encode("publish", *_call(plan))
    message = {"from": session.account, "to": registry.address, "data": "0x" + data.hex()}
    return int(session.rpc.request("eth_estimateGas", message), 16)


# ---- carrying out


def publish(session: Session, plan: Plan, say: Say = lambda text: None) -> Published:
    """Stores, pushes, registers; returns what was done. May be repeated after any failure.

    Raises the last solver's refusal when none took the content, IpfsNodeError, and what the outbox raises.
    """
    keep(plan.packed, session.store)
    for item in plan.contents:
        session.store.pin(item.cid, PIN)
    say(f"stored {len(plan.contents)} files, {plan.size} bytes")
    solvers = _push(session, plan, say)
    ipfs = _push_to_ipfs(session, plan, say)
    if plan.registered:
        return Published(plan, solvers, ipfs, None, 0)
    receipt = session.wallet.registry(f"publish:{hex_of(plan.version)}", "publish", *_call(plan))
    if session.chain.version_of(plan.terms.publisher, plan.manifest.name, plan.manifest.version) != plan.version:
        raise VersionTaken("Another version was registered under this name meanwhile.", ours=hex_of(plan.version))
    return Published(plan, solvers, ipfs, receipt.transaction_hash, receipt.gas_used)


def _push(session: Session, plan: Plan, say: Say) -> tuple[str, ...]:
    """Pushes to every solver that is configured; one suffices, the others are told of."""
    from lilypad_agents.agents.solver.client import SolverClient
    from lilypad_agents.agents.solver.wire import PUBLIC, ContentKind

    if not session.settings.solvers:
        raise ConfigurationError("No solver is configured, so nobody could fetch the module.", hint="Set `solvers` in the table [creator].")
    taken, failure = [], None
    for url in session.settings.solvers:
        try:
            with SolverClient(url, session.signer, _UPLOAD_S) as client:
                for index, item in enumerate(plan.contents):
                    client.put_content(item.cid, session.store, PUBLIC, ContentKind.OTHER if index else ContentKind.MANIFEST)
            taken.append(url)
            say(f"pushed to {url}")
        except LilypadError as error:
            failure = error
            say(f"{url} did not take it: {error.message}")
    if not taken and failure is not None:
        raise failure
    return tuple(taken)


def _push_to_ipfs(session: Session, plan: Plan, say: Say) -> bool:
    if not session.settings.ipfs_api:
        return False
    import httpx

    from lilypad_agents.content.kubo import KuboNode

    with httpx.Client(timeout=_UPLOAD_S, trust_env=False) as http:
        node = KuboNode(session.settings.ipfs_api, http)
        for item in plan.contents:
            node.publish(session.store, item.cid)
    say(f"pinned at {session.settings.ipfs_api}")
    return True


def deprecate(session: Session, version: VersionId, note: str) -> bytes | None:
    """Marks a version as not for new jobs, for ever; None when it was before. Raises ModuleUnknown, NameOwned."""
    registry = ModuleRegistry(session.chain)
    record = registry.record(version)
    if record is None:
        raise ModuleUnknown(f"The version {hex_of(version)} is not registered.", tried=["the registry on chain"])
    if record.deprecated:
        return None
    name = registry.name_by_id(record.name_id)
    if session.account not in (name.owner, name.operator):
        raise NameOwned(f"The name of {hex_of(version)} is {name.owner}'s, not {session.account}'s.", owner=name.owner, account=session.account)
    return session.wallet.registry(f"deprecate:{hex_of(version)}", "deprecate", version, note).transaction_hash
