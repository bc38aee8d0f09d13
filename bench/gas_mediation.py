"""Gas of disputes beyond the settled path: every call of every party, from the challenge or audit to the last unit.

Each call runs in an EVM in which nothing is warm (tests/support/evm.py, `exact`), so it costs what it would on a chain, refunds
deducted. Parties, mediators and keeper recur, and another dispute is running, so their ledger words are not zero; the pool
is the tests' (five mediators). What a settlement of the same deal costs is deducted, since the execution stands in its place.

    figures, calls = measure()
"""

from __future__ import annotations

from tests.support.evm import Receipt
from tests.support.panels import RIGHT, Case, Court, build_court

TARGETS = {"mediated_extra_panel3": 450_000, "audit_extra": 250_000}


def measure() -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Gas by path, and of each call of it."""
    court = build_court()
    for person in court.mediators:
        court.world.deposit(person, 1)
    _run(court, court.challenged(), {})  # everybody has been here before
    _run(court, court.audited(), {})
    court.challenged()  # goes on in the background
    settled = _settled(court)
    figures, calls = {}, {}
    for name, begin in (("mediated_extra_panel3", "challenge"), ("audit_extra", "audit")):
        spent: dict[str, int] = {}
        case = court.submitted()
        if begin == "audit":
            court.world.set_seed(case.deal, drawn=True)
        case.beginner = court.world.challenger
        arguments = [0] if begin == "audit" else []
        begun = court.world.resolver.method(begin)(case.deal.words, *arguments, sender=case.beginner, exact=True)
        _note(spent, begin, begun)
        _run(court, case, spent)
        calls[name] = spent
        figures[name] = sum(spent.values()) - settled
    return figures, calls


def _note(spent: dict[str, int], label: str, receipt: Receipt) -> None:
    spent[label] = receipt.gas_used


def _run(court: Court, case: Case, spent: dict[str, int]) -> None:
    """One round in which everybody does its part and agrees."""
    _note(spent, "queue", case.queue(exact=True))
    court.next_seed()
    _note(spent, "draw", case.draw(exact=True))
    seats = range(len(case.word.seats))
    for seat in seats:
        _note(spent, f"commit {seat + 1}", case.commit(seat, RIGHT, exact=True))
    _note(spent, "open", case.open(exact=True))
    for seat in seats:
        _note(spent, f"reveal {seat + 1}", case.reveal(seat, RIGHT, exact=True))
    receipt, _ = case.execute(exact=True)
    _note(spent, "execute", receipt)


def _settled(court: Court) -> int:
    """A settlement after the judge deadline, in a pool and with parties that had some before."""
    for _ in range(2):
        case = court.submitted()
        court.world.set_seed(case.deal, drawn=False)
        court.world.pass_to(court.world.state(case.deal).deadline + 1)
        receipt = court.world.settle(case.deal, case.result, exact=True)
    return receipt.gas_used


def main() -> None:
    figures, calls = measure()
    for name, gas in figures.items():
        print(f"{name}: {gas:,} (target {TARGETS[name]:,})")
        for label, spent in calls[name].items():
            print(f"    {label}: {spent:,}")


if __name__ == "__main__":
    main()
