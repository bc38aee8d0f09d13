"""`lilypad deposit`, `withdraw` and `balance`: an account's money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import with_creator
from lilypad_agents.cli.output import Output, table

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator
    from lilypad_agents.chain.outbox import Receipt

BALANCE_EXAMPLES = """\b
Examples:
  lilypad balance
  lilypad balance --all                        (everybody on the devnet)
  lilypad balance 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --json
"""


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad deposit 25\n  lilypad deposit 0.5 --account mykey")
@click.argument("amount")
@with_creator
def deposit(out: Output, creator: Creator, amount: str) -> None:
    """Move AMOUNT tokens from your wallet into your ledger balance. No allowance is left behind."""
    session, token = creator.session, creator.session.token
    units = token.parse(amount)
    receipts = session.wallet.deposit(token, units)
    _done(out, creator, f"Deposited {token.show(units)}.", receipts)


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad withdraw 25\n  lilypad withdraw all --to 0x…")
@click.argument("amount")
@click.option("--to", metavar="ADDRESS", help="Who gets them; default: your own wallet.")
@with_creator
def withdraw(out: Output, creator: Creator, amount: str, to: str | None) -> None:
    """Move AMOUNT tokens (or `all` that is free) from your ledger balance to a wallet. Nobody's consent is needed."""
    from lilypad_agents.cli.jobspec import account_of
    from lilypad_agents.errors import InsufficientFunds

    session, token = creator.session, creator.session.token
    units = session.chain.ledger(session.account).free if amount == "all" else token.parse(amount)
    if units == 0:
        raise InsufficientFunds("There is nothing to withdraw.", has=0, needed=1)
    receipt = session.wallet.withdraw(token, int(units), session.account if to is None else account_of(to))
    _done(out, creator, f"Withdrew {token.show(int(units))}.", [receipt])


def _done(out: Output, creator: Creator, text: str, receipts: list[Receipt]) -> None:
    session, token = creator.session, creator.session.token
    ledger = session.chain.ledger(session.account)
    fee = sum(receipt.gas_used * receipt.effective_gas_price for receipt in receipts)
    data = {
        "account": session.account,
        "wallet": token.decimal(ledger.wallet),
        "free": token.decimal(ledger.free),
        "locked": token.decimal(ledger.locked),
        "token": token.symbol,
        "gasWei": str(fee),
        "transactions": ["0x" + receipt.transaction_hash.hex() for receipt in receipts],
    }
    out.finish(data, lambda: out.print(f"{text} Ledger: {token.show(ledger.free)} free, {token.show(ledger.locked)} locked."))


@click.command(cls=LilypadCommand, epilog=BALANCE_EXAMPLES)
@click.argument("address", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody on the devnet, with the audit fund and waiting fees.")
@with_creator
def balance(out: Output, creator: Creator, address: str | None, everybody: bool) -> None:
    """Show coin for gas, tokens in the wallet, and the ledger balance: free, and locked in deals."""
    from lilypad_agents.cli.jobspec import account_of

    if everybody:
        _everybody(out, creator)
        return
    account = creator.session.account if address is None else account_of(address)
    row = _row(creator, "you" if address is None else "", account)
    out.finish(row, lambda: out.print(_table(creator, [row])))


def _everybody(out: Output, creator: Creator) -> None:
    from lilypad_agents.cli.parties import parties, waiting_fees

    session, token = creator.session, creator.session.token
    rows = [_row(creator, name, account) for name, account in parties(session)]
    waiting = waiting_fees(session)

    def show() -> None:
        out.print(_table(creator, rows))
        for name, amount in waiting.items():
            out.print(f"{name:<33}  {token.show(amount)}")

    out.finish({"accounts": rows, "waiting": {name: token.decimal(amount) for name, amount in waiting.items()}}, show)


def _row(creator: Creator, name: str, account: str) -> dict[str, Any]:
    token = creator.session.token
    ledger = creator.session.chain.ledger(account)  # type: ignore[arg-type]
    return {
        "name": name,
        "account": account,
        "token": token.symbol,
        "wallet": token.decimal(ledger.wallet),
        "free": token.decimal(ledger.free),
        "locked": token.decimal(ledger.locked),
        "coinWei": str(ledger.coin),
    }


def _table(creator: Creator, rows: list[dict[str, Any]]) -> str:
    symbol = creator.session.token.symbol
    headings = ("who", "account", f"wallet ({symbol})", f"ledger free ({symbol})", "locked", "coin")
    cells = [
        (row["name"], row["account"], row["wallet"], row["free"], row["locked"], f"{int(row['coinWei']) / 1e18:.4f}")
        for row in rows
    ]
    return table(headings, cells)
