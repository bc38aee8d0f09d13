"""`lilypad provider`: run jobs for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_request, agent_settings, show_status, token_and_account
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import PATH
from lilypad_agents.cli.output import Output, table

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.amounts import Token
    from lilypad_agents.agents.provider.store import StoredDispute

START_EXAMPLES = """\b
Examples:
  lilypad provider start --config provider.toml
  lilypad provider start --rpc http://127.0.0.1:8545 --data ./provider --solver http://127.0.0.1:8100 \\
      --keystore key.json --password-file pass --price 1000000000000000000
"""


@click.group()
def provider() -> None:
    """Run jobs for others on this machine, and be paid. Deals in the Unverified pool are checked by nobody."""


@provider.command(cls=LilypadCommand, epilog=START_EXAMPLES)
@agent_options
@click.option("--solver", "solver_urls", multiple=True, metavar="URL", help="Solver to offer to; repeat for more.")
@click.option("--price", type=click.IntRange(0), metavar="UNITS", help="Fixed part of a job's price, smallest units.")
@click.option("--unit-price", type=click.IntRange(0), metavar="UNITS", help="Price of each metered unit, smallest units.")
def start(out: Output, file: Path | None, flags: dict[str, Any], solver_urls: tuple[str, ...], **prices: Any) -> None:
    """Run a provider until it is asked to stop (SIGTERM finishes, a second one ends at once)."""
    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.agents.provider.run import run

    given = {**flags, **prices, "solver_urls": solver_urls or None}
    out.exit_code = run(agent_settings(ProviderSettings, file, given))


@provider.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad provider status --config provider.toml")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether the provider of these settings runs, is ready, and what it counts."""
    from lilypad_agents.agents.provider.config import ProviderSettings

    show_status(out, agent_settings(ProviderSettings, file, flags))


@provider.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad provider earnings --config provider.toml\n  lilypad provider earnings --since 2026-11-01 --json")
@agent_options
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Only deals that ended since then (UTC).")
def earnings(out: Output, file: Path | None, flags: dict[str, Any], since: Any) -> None:
    """Show what ended deals brought, by how they ended, the disputes over them, and the gas that they cost."""
    from datetime import UTC

    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.agents.provider.income import read_earnings

    settings = agent_settings(ProviderSettings, file, flags)
    token, account = token_and_account(settings)
    least = 0 if since is None else int(since.replace(tzinfo=UTC).timestamp())
    found = read_earnings(settings, account, least)

    def show() -> None:
        rows = [(status.name, count, token.show(amount)) for status, (count, amount) in found.by_status.items()]
        out.print(table(("ending", "deals", "to you"), rows))
        if found.disputes:
            out.print("")
            rows = [_dispute_row(dispute, token) for dispute in found.disputes]
            out.print(table(("dispute over", "why", "now", "finding", "appeals cost", "came back"), rows))
        out.print(f"net {token.show(found.net)}, {found.running} deals running")
        out.print(f"gas {found.gas_wei / 1e18:.6f} of the chain's coin in {found.transactions} transactions")

    data = {**found.as_dict(), "account": account, "token": token.symbol, "decimals": token.decimals}
    out.finish(data, show)


def _dispute_row(dispute: StoredDispute, token: Token) -> tuple[str, ...]:
    from lilypad_agents.agents.creator.disputes import FINDINGS, KINDS
    from lilypad_agents.cli.disputescreens import PHASES

    deal = "0x" + dispute.deal_id.hex()[:10]
    finding, now = FINDINGS[dispute.finding], PHASES[dispute.phase]
    return deal, KINDS[dispute.kind], now, finding, token.show(dispute.paid), token.show(dispute.back)


@provider.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad provider drain --config provider.toml")
@agent_options
def drain(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Ask a running provider to take no more deals, to end those it has, and to stop. Costs no penalty."""
    from lilypad_agents.agents.provider.agent import drain_file
    from lilypad_agents.agents.provider.config import ProviderSettings

    settings = agent_settings(ProviderSettings, file, flags)
    agent_request(settings, "/livez")  # says so when there is none
    drain_file(settings.data).touch(mode=0o600)
    out.finish({"data": str(settings.data)}, lambda: out.print("Draining: it takes no more deals, and stops when the last has ended."))


@provider.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad provider why --config provider.toml")
@agent_options
def why(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show what keeps the provider's standing offers from the jobs that wait at its solvers."""
    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.cli.agentcommands import standing_offers
    from lilypad_agents.execution.display import printable

    settings = agent_settings(ProviderSettings, file, flags)
    rows = standing_offers(settings)

    def show() -> None:
        if not rows:
            out.print("No offer stands: it is full, draining, or not ready (`lilypad provider status`).")
        for row in rows:
            out.print(f"offer {row['offer']} at {row['solver']}, {row['state']}")
            for item in row["jobs"]:
                out.print(f"  job {item['job'][:18]}  {printable(item['reason'])}")
            if not row["jobs"]:
                out.print("  no jobs wait there")

    out.finish({"offers": rows}, show)


@provider.command("open", cls=LilypadCommand, epilog="\b\nExample:\n  lilypad provider open job-offer.json --config provider.toml")
@click.argument("offer_file", type=PATH)
@agent_options
def open_offer(out: Output, offer_file: Path, file: Path | None, flags: dict[str, Any]) -> None:
    """Hand a creator's signed offer (a file) to the running provider, which opens the deal itself: no solver."""
    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.agents.provider.opening import hand_over

    settings = agent_settings(ProviderSettings, file, flags)
    agent_request(settings, "/livez")
    target = hand_over(settings.data, offer_file)
    out.finish({"handedOver": str(target)}, lambda: out.print("Handed over; the provider's log says whether it opened the deal."))
