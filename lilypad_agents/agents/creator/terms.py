"""A module's terms on chain are a function of its manifest: computed here for publishing, compared before signing."""

from __future__ import annotations

from lilypad_agents.agents.creator.errors import ModuleMismatch
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, checksummed, hex_of
from lilypad_agents.protocol.terms import Metering, ModuleTerms, name_hash
from lilypad_agents.protocol.units import Amount, Bps

_METERING = {"none": Metering.NONE, "fuel": Metering.FUEL, "tokens": Metering.TOKENS, "bytes": Metering.BYTES}


def terms_of(manifest: Manifest) -> ModuleTerms:
    """The terms that the manifest stands for (the fields marked T in notes/modules-and-api.md section 3).

    A manifest without `royaltyTo` pays nobody, so it needs a royalty of zero. Raises ConfigurationError for a source
    manifest (it has no publisher yet), ModuleMismatch for a publisher that is an alias instead of an account.
    """
    if manifest.publisher is None:
        raise ConfigurationError("A source manifest has no terms yet: it is packed with a publisher first.")
    verification = manifest.verification
    return ModuleTerms(
        publisher=_account(manifest.publisher),
        name_hash=name_hash(manifest.name, manifest.version),
        manifest=manifest.digest,
        parent=bytes.fromhex(manifest.parent[2:]) if manifest.parent else ZERO,
        royalty_bps=Bps(manifest.royalty_bps),
        royalty_to=_account(manifest.royalty_to) if manifest.royalty_to else NOBODY,
        deterministic=manifest.deterministic,
        strategy=_account(verification.strategy) if verification.strategy else NOBODY,
        min_audit_bps=Bps(verification.min_audit_bps),
        min_seat_fee=Amount(verification.min_seat_fee),
        metering=_METERING[manifest.metering.kind],
    )


def require_terms(manifest: Manifest, terms: ModuleTerms) -> None:
    """Raises ModuleMismatch, naming the field, when manifest and terms are not of one version."""
    expected = terms_of(manifest)
    for member in ModuleTerms.TYPE.members:
        ours, theirs = getattr(expected, member.attribute), getattr(terms, member.attribute)
        if ours != theirs:
            raise ModuleMismatch(
                f"The manifest says {member.name} = {_shown(ours)}, the terms say {_shown(theirs)}.",
                field=member.name,
                manifest=_shown(ours),
                terms=_shown(theirs),
            )


def _account(text: str) -> Address:
    try:
        return checksummed(text.lower())
    except ValueError:
        raise ModuleMismatch(f"The manifest names {text!r} where terms need an account.", found=text) from None


def _shown(value: object) -> object:
    return hex_of(value) if isinstance(value, bytes) else value
