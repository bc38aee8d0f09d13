"""`lilypad mediator`: judge disputes for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_settings, running_health
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output, table, time_text

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.amounts import Token
    from lilypad_agents.agents.mediator.draws import CheckedDraw
    from lilypad_agents.agents.mediator.office import Office, PoolStake
    from lilypad_agents.agents.mediator.settings import MediatorSettings

_pool_option = click.option("--pool", "pool_id", metavar="ID", help="Pool, by the first digits of its id; needed with several.")
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def mediator() -> None:
    """Judge disputes for others, and be paid for it. DEAL is a deal id, 0x and 64 digits."""


def _settings(file: Path | None, flags: dict[str, Any]) -> MediatorSettings:
    from lilypad_agents.agents.mediator.settings import MediatorSettings

    return agent_settings(MediatorSettings, file, flags)


@mediator.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad mediator start --config mediator.toml")
@agent_options
@click.option("--solver", "solver_urls", multiple=True, metavar="URL", help="Solver whose relay to ask; repeat for more.")
def start(out: Output, file: Path | None, flags: dict[str, Any], solver_urls: tuple[str, ...]) -> None:
    """Run a mediator until it is asked to stop (SIGTERM finishes, a second one ends at once)."""
    from lilypad_agents.agents.mediator.run import run

    out.exit_code = run(_settings(file, {**flags, "solver_urls": solver_urls or None}))


@mediator.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad mediator status --config mediator.toml\n  lilypad mediator status --json")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether the mediator runs and is ready, its stakes, and what it earned and lost; gas apart."""
    from lilypad_agents.agents.mediator.earnings import read_earnings
    from lilypad_agents.agents.mediator.office import open_office
    from lilypad_agents.protocol.ids import Address

    settings = _settings(file, flags)
    health = running_health(settings)
    running, ready, reasons, metrics = health.running, health.ready, list(map(str, health.reasons)), health.metrics
    with open_office(settings) as office:
        token, account = office.token, office.account
        found = read_earnings(settings, {account, Address(office.key)})
        stakes = [office.stake_in(pool) for pool in settings.pools]

    def show() -> None:
        out.print("ready" if ready else f"not ready: {'; '.join(reasons)}" if running else "not running")
        out.print(table(("pool", "stake", "seats", "open", "unbonding"), [_stake_row(item, token) for item in stakes]))
        out.print(
            f"earned {token.show(found.earned)}, lost {token.show(found.lost)}, appeals {token.show(found.appeals)}: "
            f"net {token.show(found.net)} in {found.seats} ended seats"
        )
        out.print(f"gas {found.gas_wei / 1e18:.6f} of the chain's coin in {found.transactions} transactions")

    data = {
        "running": running, "ready": ready, "reasons": reasons, "data": str(settings.data), "account": account,
        "token": token.symbol, "decimals": token.decimals, "pools": [_stake_json(item) for item in stakes],
        "earnings": found.as_dict(), "metrics": metrics,
    }  # fmt: skip
    out.finish(data, show, exit_code=0 if ready else 10)


@mediator.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad mediator seats --config mediator.toml\n  lilypad mediator seats --all --json")
@agent_options
@click.option("--all", "all_", is_flag=True, help="Also seats in disputes that have ended.")
def seats(out: Output, file: Path | None, flags: dict[str, Any], all_: bool) -> None:
    """Show the seats that it has, what each has to do until when, and how it votes."""
    from lilypad_agents.agents.mediator.office import as_json, open_office

    with open_office(_settings(file, flags)) as office:
        rows = as_json(office.seats(all_=all_))

    def show() -> None:
        cells = [
            (
                row["deal"][:18], row["round"], row["seat"], row["phase"],
                time_text(row["deadline"]) if row["deadline"] else "", row["state"], row["vote"] or "", row["decidedBy"] or "",
            )
            for row in rows
        ]  # fmt: skip
        out.print(table(("deal", "round", "seat", "phase", "until", "state", "our vote", "decided by"), cells) if rows else "No seats.")

    out.finish({"seats": rows}, show)


VOTE_EXAMPLES = """\b
Examples:
  lilypad mediator vote 0x1a2b…                              (what it voted, or will vote)
  lilypad mediator vote 0x1a2b… --override CANNOT_RUN
  lilypad mediator vote 0x1a2b… --override 0x…               (a result digest)
"""


@mediator.command(cls=LilypadCommand, epilog=VOTE_EXAMPLES)
@click.argument("deal")
@agent_options
@click.option("--override", metavar="VOTE", help="UNAVAILABLE, MODULE_BROKEN, CANNOT_RUN, SERVED (delivery), or a digest.")
@_yes_option
def vote(out: Output, file: Path | None, flags: dict[str, Any], deal: str, override: str | None, yes: bool) -> None:
    """Show its votes about a deal, or set the one of the running round by hand, before it is decided."""
    from lilypad_agents.agents.mediator.office import as_json, open_office
    from lilypad_agents.agents.mediator.orders import VOTE, Order
    from lilypad_agents.agents.mediator.votes import name_of, parse_vote
    from lilypad_agents.errors import UsageError

    deal_id = _deal_id(deal)
    with open_office(_settings(file, flags)) as office:
        if override is None:
            rows = [row for row in as_json(office.seats(all_=True)) if row["deal"] == "0x" + deal_id.hex()]
            cells = [(row["round"], row["seat"], row["state"], row["vote"] or "", row["decidedBy"] or "") for row in rows]
            text = table(("round", "seat", "state", "our vote", "decided by"), cells) if rows else "It has no seat there."
            out.finish({"votes": rows, "vote": None}, lambda: out.print(text))
            return
        number, delivery = office.running_round(deal_id)
        wanted = parse_vote(override, delivery=delivery)
        if wanted is None:
            raise UsageError(f"{override!r} is no vote in a dispute about {'delivery' if delivery else 'a result'}.")
        _confirm(out, yes, f"Votes {name_of(wanted)} in round {number}, whatever a run says; a contradicted seat loses its stake.")
        done = office.hand_over(Order(VOTE, deal=deal_id, round=number, vote=wanted))
    out.finish({"votes": [], "vote": done["vote"]}, lambda: out.print(f"It votes {done['vote']}."))


@mediator.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad mediator appeal 0x1a2b… --yes")
@click.argument("deal")
@agent_options
@_yes_option
def appeal(out: Output, file: Path | None, flags: dict[str, Any], deal: str, yes: bool) -> None:
    """Have the running mediator pay for the next round, as soon as the running one has a finding."""
    from lilypad_agents.agents.mediator.office import open_office
    from lilypad_agents.agents.mediator.orders import APPEAL, Order

    deal_id = _deal_id(deal)
    with open_office(_settings(file, flags)) as office:
        number, fee = office.appeal_of(deal_id)
        token = office.token
        office.require_wallet(fee)
        text = (
            f"Pays {token.show(fee)} from the wallet for the next round. It comes back, as far as the losers' stakes reach, "
            "if that round turns the verdict; else it is spent."
        )
        _confirm(out, yes, text)
        office.hand_over(Order(APPEAL, deal=deal_id, round=number))
    data = {"deal": "0x" + deal_id.hex(), "round": number, "fee": str(fee)}
    out.finish(data, lambda: out.print(f"It appeals against round {number} when that has a finding."))


@mediator.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad mediator stake 500 --config mediator.toml\n  lilypad mediator stake 500 --pool 0x3f --yes")
@click.argument("amount")
@agent_options
@_pool_option
@click.option("--proof", multiple=True, metavar="WORD", help="Of membership, 32 bytes each, for a pool with members.")
@_yes_option
def stake(
    out: Output, file: Path | None, flags: dict[str, Any], amount: str, pool_id: str | None, proof: tuple[str, ...], yes: bool
) -> None:
    """Stake AMOUNT tokens of the wallet in a pool. Shows what is locked, for how long, and what can be lost, before it sends."""
    from lilypad_agents.agents.mediator.office import open_office
    from lilypad_agents.agents.mediator.orders import STAKE, Order

    with open_office(_settings(file, flags)) as office:
        pool, token = office.pool(pool_id), office.token
        office.require_own()
        units = int(token.parse(amount))
        office.require_wallet(units)
        before = office.stake_in(pool)
        seats_after = (before.stake.staked + units) // pool.seat_stake
        lines = [
            f"{token.show(units)} leave the wallet for the pool 0x{pool.id.hex()[:8]}, where {token.show(before.stake.staked)} are already.",
            f"That makes {seats_after} seats of {token.show(pool.seat_stake)} each; the rest counts when it makes another.",
            f"It is locked until you ask for it back, and {_duration(before.unbonding_s)} longer; open seats keep theirs until they end.",
            f"A seat that the verdict contradicts loses all of its {token.show(pool.seat_stake)}, an absent one a quarter.",
        ]
        _confirm(out, yes, *lines)
        words = tuple(bytes.fromhex(word.removeprefix("0x")) for word in proof)
        done = office.carry_out(Order(STAKE, pool=pool.id, amount=units, proof=words))
        after = office.stake_in(pool)
    _finish_stake(out, office, after, done)


@mediator.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad mediator unstake 200\n  lilypad mediator unstake all --yes\n  lilypad mediator unstake --withdraw")
@click.argument("amount", required=False)
@agent_options
@_pool_option
@click.option("--withdraw", is_flag=True, help="Take what has finished unbonding; a running mediator does it by itself.")
@_yes_option
def unstake(
    out: Output, file: Path | None, flags: dict[str, Any], amount: str | None, pool_id: str | None, withdraw: bool, yes: bool
) -> None:
    """Take AMOUNT tokens (or `all`) out of the draws; they become free credit when the unbonding time is over."""
    from lilypad_agents.agents.mediator.office import open_office
    from lilypad_agents.agents.mediator.orders import UNSTAKE, WITHDRAW, Order
    from lilypad_agents.errors import UsageError

    if (amount is None) != withdraw:
        raise UsageError("Give an amount, or --withdraw.")
    with open_office(_settings(file, flags)) as office:
        pool, token = office.pool(pool_id), office.token
        before = office.stake_in(pool)
        if amount is None:  # anybody may call it, and the staker gets it
            _confirm(out, yes, f"Credits {token.show(before.stake.unbonding)} of the pool 0x{pool.id.hex()[:8]} to your ledger balance.")
            done = office.carry_out(Order(WITHDRAW, pool=pool.id))
        else:
            office.require_own()
            units = before.stake.staked if amount == "all" else int(token.parse(amount))
            lines = [
                f"{token.show(units)} of {token.show(before.stake.staked)} leave the draws of the pool 0x{pool.id.hex()[:8]}.",
                f"They stay slashable for seats drawn before, and can be withdrawn in {_duration(before.unbonding_s)}: "
                f"{time_text(before.now + before.unbonding_s)}. Asking again restarts the time for all that unbonds.",
            ]
            _confirm(out, yes, *lines)
            done = office.carry_out(Order(UNSTAKE, pool=pool.id, amount=units))
        after = office.stake_in(pool)
    _finish_stake(out, office, after, done)


@mediator.command("verify-draw", cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad mediator verify-draw 0x1a2b…\n  lilypad mediator verify-draw 0x1a2b… --json")
@click.argument("deal")
@agent_options
def verify_draw(out: Output, file: Path | None, flags: dict[str, Any], deal: str) -> None:
    """Recompute from chain data who had to be drawn in a deal's dispute, try by try, and say whether it was so."""
    from lilypad_agents.agents.mediator.draws import require_right
    from lilypad_agents.agents.mediator.office import open_office
    from lilypad_agents.errors import LilypadError

    deal_id = _deal_id(deal)
    with open_office(_settings(file, flags)) as office:
        draws = office.draws(deal_id)
    error: LilypadError | None = None
    try:
        require_right(draws)
    except LilypadError as found:
        error = found
    data = {"deal": "0x" + deal_id.hex(), "right": error is None, "draws": [item.as_json() for item in draws]}
    out.finish(data, lambda: [_show_draw(out, item) for item in draws] and None, error=error)


def _show_draw(out: Output, item: CheckedDraw) -> None:
    again = " again" if item.redraw else ""
    out.print(f"round {item.round}{again}: ticket {item.ticket}, drawn in block {item.block} from the seed of period {item.period}")
    out.print(f"  seed 0x{item.seed.hex()}")
    out.print(f"  {item.stakers} accounts with {item.weight} seats in all; may not sit: {', '.join(item.excluded) or 'nobody'}")
    rows = [
        (try_.seat, try_.attempt + 1, try_.point, try_.account, try_.weight, try_.open_seats, try_.outcome.value)
        for try_ in item.draw.tries
    ]
    out.print(table(("seat", "try", "point", "falls on", "weight", "open", "outcome"), rows))
    out.print("  right: the chain drew the same." if item.is_right else f"  WRONG: the chain drew {', '.join(item.seats)}.")


# ---- parts


def _deal_id(text: str) -> Any:
    from lilypad_agents.errors import UsageError
    from lilypad_agents.protocol.ids import DealId

    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 32:
        raise UsageError(f"{text!r} is no deal id: 0x and 64 hexadecimal digits.")
    return DealId(found)


def _confirm(out: Output, yes: bool, *lines: str) -> None:
    """Says what will happen, and asks where somebody can be asked. Raises UsageError where nobody can."""
    from lilypad_agents.errors import UsageError

    if not yes and not out.is_terminal:
        raise UsageError(f"{' '.join(lines)} Say --yes where nobody can be asked.")
    for line in lines:
        out.note(line)
    if not yes:
        click.confirm("Go on?", err=True, abort=True)


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    if days:
        return f"{days} d" + (f" {rest // 3_600} h" if rest >= 3_600 else "")
    return f"{rest // 60} min" if rest >= 120 else f"{rest} s"


def _stake_row(item: PoolStake, token: Token) -> tuple[object, ...]:
    stake_ = item.stake
    until = f" until {time_text(stake_.withdrawable_at)}" if stake_.unbonding else ""
    return (
        f"0x{item.pool.id.hex()[:8]}", token.show(stake_.staked), stake_.weight, stake_.open_seats,
        token.show(stake_.unbonding) + until if stake_.unbonding else "",
    )  # fmt: skip


def _stake_json(item: PoolStake) -> dict[str, Any]:
    stake_ = item.stake
    return {
        "pool": "0x" + item.pool.id.hex(), "staked": str(stake_.staked), "seats": stake_.weight, "openSeats": stake_.open_seats,
        "unbonding": str(stake_.unbonding), "withdrawableAt": stake_.withdrawable_at if stake_.unbonding else 0,
        "seatStake": str(item.pool.seat_stake), "unbondingSeconds": item.unbonding_s,
    }  # fmt: skip


def _finish_stake(out: Output, office: Office, after: PoolStake, done: dict[str, Any]) -> None:
    token = office.token
    rows = [_stake_row(after, token)]
    out.finish(
        {**_stake_json(after), "transactions": done["transactions"]},
        lambda: out.print(table(("pool", "stake", "seats", "open", "unbonding"), rows)),
    )
