"""Does honesty pay? The inequality of protocol section 6.6, its margin in words and numbers, and the presets.

A provider that skips the work saves SAVING of its price and is caught with probability `audit rate * DETECTION`; then
it loses the payment and its collateral. All rates are basis points; of collateral and money: of the deal's value.
"""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.protocol.errors import TermsUnsafe
from lilypad_agents.protocol.price import AUDIT_SEATS, premium_up, seat_fee_up
from lilypad_agents.protocol.units import DETECTION_BPS, DETERRENCE_BPS, UINT32_MAX, WHOLE, Bps

SAVING_BPS = Bps(8_000)  # what a cheat saves; DETERRENCE is 1.2 times this
_NEEDED = DETERRENCE_BPS * WHOLE * WHOLE


@dataclass(frozen=True)
class Preset:
    """A named pair of terms. `premium_bps`: of the value, at the usual seat fee of 125 %, rounded up."""

    name: str
    audit_bps: Bps
    collateral_bps: Bps

    @property
    def premium_bps(self) -> Bps:
        return Bps(premium_up(seat_fee_up(WHOLE, 0, 0), self.audit_bps))


PRESETS = (
    Preset("standard", Bps(800), Bps(162_000)),
    Preset("light", Bps(400), Bps(333_000)),
    Preset("strict", Bps(2_000), Bps(65_000)),
    Preset("every time", Bps(10_000), Bps(80_000)),
)


@dataclass(frozen=True)
class Margin:
    """How far terms are on the safe side.

    `strength_bps`: left side of the inequality over its right side; 10,000 just passes.
    `cheat_loses_bps`: what a cheat loses on average, of the value, after what it saved; negative: it gains.
    """

    audit_bps: Bps
    collateral_bps: Bps
    strength_bps: int
    cheat_loses_bps: int

    @property
    def holds(self) -> bool:
        return is_deterrent(self.audit_bps, self.collateral_bps)

    def __str__(self) -> str:
        rate, bond = self.audit_bps / 100, self.collateral_bps / WHOLE
        strength, loses = self.strength_bps / WHOLE, self.cheat_loses_bps / 100
        verdict = "accepted" if self.holds else "refused"
        outcome = f"loses {loses:.1f} %" if loses >= 0 else f"gains {-loses:.1f} %"
        return (
            f"Audit rate {rate:g} %, collateral {bond:g} times the value: {verdict}, at {strength:.2f} times what is needed; "
            f"who skips the work {outcome} of the value on average."
        )


def is_deterrent(audit_bps: int, collateral_bps: int) -> bool:
    """The core's own test: `auditBps/1e4 * DETECTION * (1 + collateralBps/1e4) >= DETERRENCE`."""
    return _strength(audit_bps, collateral_bps) >= _NEEDED


def margin(audit_bps: Bps, collateral_bps: Bps) -> Margin:
    """Both figures are rounded down, towards the unsafe side."""
    strength = _strength(audit_bps, collateral_bps)
    expected_loss = strength // (WHOLE * WHOLE)  # basis points of the value
    return Margin(audit_bps, collateral_bps, strength * WHOLE // _NEEDED, expected_loss - SAVING_BPS)


def audit_rate_floor(collateral_bps: Bps) -> Bps:
    """Smallest audit rate, rounded up, at which the core accepts this collateral.

    Raises TermsUnsafe when no rate up to 10,000 suffices. Source: docs/protocol.md section 6.6.
    """
    rate = -(-_NEEDED // (DETECTION_BPS * (WHOLE + collateral_bps)))
    if rate > WHOLE:
        raise TermsUnsafe(
            f"With a collateral of {collateral_bps} basis points of the value no audit rate makes cheating lose.",
            collateral_bps=collateral_bps,
        )
    return Bps(rate)


def collateral_floor(audit_bps: Bps) -> Bps:
    """Smallest collateral, rounded up, that satisfies the inequality at this audit rate and covers what 6.6 asks of it.

    The second is value + premium + four seat fees at the usual seat fee of 125 %; pools and modules with a larger seat
    fee need more. Raises TermsUnsafe when 32 bits cannot hold it, as for an audit rate of zero.
    """
    least = -(-_NEEDED // (DETECTION_BPS * audit_bps)) - WHOLE if audit_bps else UINT32_MAX + 1
    seat_fee = seat_fee_up(WHOLE, 0, 0)
    least = max(least, WHOLE + premium_up(seat_fee, audit_bps) + AUDIT_SEATS * seat_fee)
    if least > UINT32_MAX:
        raise TermsUnsafe(f"An audit rate of {audit_bps} basis points needs more collateral than can be named.", audit_bps=audit_bps)
    return Bps(least)


def preset(name: str) -> Preset:
    """Raises TermsUnsafe, which lists the names, for an unknown one."""
    for candidate in PRESETS:
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in PRESETS)
    raise TermsUnsafe(f"There is no preset {name!r}; there are {names}.", name=name)


def _strength(audit_bps: int, collateral_bps: int) -> int:
    return audit_bps * DETECTION_BPS * (WHOLE + collateral_bps)
