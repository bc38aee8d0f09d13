"""`lilypad economics`: does honesty pay under given terms, and from which share of hostile stake on not."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output, table

_NAMES = ("standard", "light", "strict", "every time")
EXAMPLES = """\b
Examples:
  lilypad economics
  lilypad economics --preset strict --share 30
  lilypad economics --audit-bps 1000 --collateral-bps 120000 --no-appeals --json
"""


class Share(click.ParamType):
    """Per cent, as an exact fraction."""

    name = "per cent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            share = Fraction(str(value)) / 100
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is not a number", param, ctx)
        if not 0 <= share <= 1:
            self.fail(f"{value} is not between 0 and 100", param, ctx)
        return share


@click.command(cls=LilypadCommand, epilog=EXAMPLES)
@click.option("--preset", "name", type=click.Choice(_NAMES), default="standard", show_default=True, help="Terms by name.")
@click.option("--audit-bps", type=click.IntRange(1, 10_000), help="Audit rate, basis points; instead of the preset's.")
@click.option("--collateral-bps", type=click.IntRange(0, 2**32 - 1), help="Collateral, basis points of the value; likewise.")
@click.option("--share", type=Share(), default="20", show_default=True, help="Share of the pool's stake that is hostile.")
@click.option("--appeals/--no-appeals", default=True, show_default=True, help="Whether wronged seats and parties appeal.")
def economics(
    out: Output, name: str, audit_bps: int | None, collateral_bps: int | None, share: Fraction, appeals: bool
) -> None:
    """Show the margin, what checking costs, how likely hostile seats capture a round, and what each actor can expect.

    All amounts are of the value of a deal: the most that its provider can earn. Explained in docs/deterrence.md.
    """
    from lilypad_agents.protocol.deterrence import margin, preset
    from lilypad_agents.protocol.units import Bps

    chosen = preset(name)
    audit = Bps(chosen.audit_bps if audit_bps is None else audit_bps)
    collateral = Bps(chosen.collateral_bps if collateral_bps is None else collateral_bps)
    data = _figures(audit, collateral, share, appeals)
    out.finish(data, lambda: _show(out, str(margin(audit, collateral)), data))


def _figures(audit_bps: Any, collateral_bps: Any, share: Fraction, appeals: bool) -> dict[str, Any]:
    from lilypad_agents.protocol.deterrence import margin
    from lilypad_agents.protocol.economics import (
        ROUND_SIZES,
        RUN,
        SEAT_FEE,
        SEAT_STAKE,
        Terms,
        actors,
        capture_chance,
        escape_chance,
        lazy_limit,
    )

    terms, found = Terms.of_bps(audit_bps, collateral_bps), margin(audit_bps, collateral_bps)
    return {
        "auditBps": audit_bps,
        "collateralBps": collateral_bps,
        "accepted": found.holds,
        "strength": decimal(Fraction(found.strength_bps, 10_000)),
        "share": decimal(share),
        "appeals": appeals,
        "checking": {
            "run": decimal(RUN), "seatFee": decimal(SEAT_FEE), "seatStake": decimal(SEAT_STAKE),
            "premium": decimal(terms.premium), "expectedFee": decimal(terms.audit * SEAT_FEE),
            "lazyLimit": decimal(lazy_limit()),
        },
        "capture": [{"seats": seats, "chance": decimal(capture_chance(share, seats))} for seats in ROUND_SIZES],
        "escape": decimal(escape_chance(share, appeals=appeals)),
        "actors": [
            {"name": one.name, "profit": decimal(one.profit), "paysFrom": None if one.pays_from is None else decimal(one.pays_from)}
            for one in actors(terms, share, appeals=appeals)
        ],
        "presets": preset_rows(),
    }  # fmt: skip


def preset_rows() -> list[dict[str, Any]]:
    """The presets with their margins, and from which share of hostile stake on it pays to skip the work."""
    from lilypad_agents.protocol.deterrence import PRESETS, margin
    from lilypad_agents.protocol.economics import Terms, breaks_even, skipping

    rows = []
    for one in PRESETS:
        terms = Terms.of(one)
        ways = {
            "paysFrom": lambda share, terms=terms: skipping(terms, share),
            "paysFromNoAppeals": lambda share, terms=terms: skipping(terms, share, appeals=False),
            "paysFromStarving": lambda share, terms=terms: skipping(terms, share, starves=True),
        }
        shares = {name: breaks_even(profit) for name, profit in ways.items()}
        rows.append({
            "name": one.name, "auditBps": one.audit_bps, "collateralBps": one.collateral_bps,
            "premium": decimal(terms.premium), "strength": decimal(Fraction(margin(one.audit_bps, one.collateral_bps).strength_bps, 10_000)),
            **{name: None if share is None else decimal(share) for name, share in shares.items()},
        })  # fmt: skip
    return rows


def decimal(amount: Fraction) -> str:
    """Six digits, rounded to even."""
    millionths = round(amount * 1_000_000)
    sign, millionths = ("-" if millionths < 0 else ""), abs(millionths)
    return f"{sign}{millionths // 1_000_000}.{millionths % 1_000_000:06d}"


def per_cent(text: str | None, digits: int = 1) -> str:
    """A decimal as per cent; `never` for None."""
    return "never" if text is None else f"{round(Fraction(text) * 100 * 10**digits) / 10**digits:g} %"


def _show(out: Output, words: str, data: dict[str, Any]) -> None:
    checking = data["checking"]
    out.print(words)
    out.print(
        f"Checking: a run costs {per_cent(checking['run'])} of the value, a seat's fee is {per_cent(checking['seatFee'])}, its stake "
        f"{per_cent(checking['seatStake'])}; the premium is {per_cent(checking['premium'])}, for fees of {per_cent(checking['expectedFee'])} on average."
    )
    out.print(f"Seats that copy what the provider leaks gain by it while fewer than {per_cent(checking['lazyLimit'])} of results are false.")
    out.print(f"\nHostile stake: {per_cent(data['share'])}; appeals: {'yes' if data['appeals'] else 'no'}.\n")
    out.print(table(("seats", "captured"), [(str(row["seats"]), per_cent(row["chance"], 3)) for row in data["capture"]]))
    out.print(f"\nA drawn cheat escapes with {per_cent(data['escape'])}.\n")
    rows = [(row["name"], per_cent(row["profit"], 2), "" if _is_honest(row) else per_cent(row["paysFrom"])) for row in data["actors"]]
    out.print(table(("actor", "expects, of the value", "pays from a share of"), rows))
    out.print("")
    presets = [
        (row["name"], f"{row['auditBps'] / 100:g} %", f"{row['collateralBps'] / 10_000:g}", per_cent(row["premium"]),
         f"{float(row['strength']):.2f}", per_cent(row["paysFrom"]), per_cent(row["paysFromNoAppeals"]), per_cent(row["paysFromStarving"]))
        for row in data["presets"]
    ]  # fmt: skip
    heads = ("preset", "audits", "collateral", "premium", "strength", "skipping pays from", "nobody appeals", "starving")
    out.print(table(heads, presets))


def _is_honest(row: dict[str, Any]) -> bool:
    return row["name"].endswith(("that works", "that work"))
