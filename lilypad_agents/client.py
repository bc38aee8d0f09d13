"""The typed client for programs: what the command line does for somebody who has jobs run, without its words and screens.

    from lilypad_agents import run
    outcome = run("cowsay:v0.0.1", {"Message": "moo"})
    print(outcome.delivered.files.stdout.decode())

Settings and key are found as `lilypad run` finds them; every argument of a connection can be given instead. `Client` holds a
connection open for more than one call:

    with Client.connect(network="devnet", account="creator2") as client:
        deal = client.run("cowsay:v0.0.1", {"Message": "moo"}).job.deal_text
        client.wait(deal, until=FINAL)

Amounts are smallest units of the token (`client.token.parse("1.5")`), times seconds. Errors are those of
`lilypad_agents.errors` and docs/errors; nothing here prints or asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.appealing import Appealed, Appealing, AppealPlan
from lilypad_agents.agents.creator.cancelling import Cancelled, Cancelling
from lilypad_agents.agents.creator.challenging import Challenged, Challenging, ChallengePlan
from lilypad_agents.agents.creator.chain import Ledger
from lilypad_agents.agents.creator.client import FINAL, VERIFIED, Creator
from lilypad_agents.agents.creator.decide import Policy
from lilypad_agents.agents.creator.delivery import Delivered
from lilypad_agents.agents.creator.outcome import Outcome
from lilypad_agents.agents.creator.progress import Listener, nobody_listens
from lilypad_agents.agents.creator.quote import Quote
from lilypad_agents.agents.creator.request import JobRequest, Wishes
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.status import JobStatus, status_with_dispute, statuses
from lilypad_agents.chain.outbox import Receipt
from lilypad_agents.cli.settings import Choice, creator_settings, signer_for
from lilypad_agents.protocol.ids import Address

__all__ = ["FINAL", "VERIFIED", "Client", "Outcome", "Policy", "Wishes", "run"]


class Client(Creator):
    """One account on one network; a context manager. Jobs are named as on the command line: deal or offer id, or its first digits."""

    @classmethod
    def connect(
        cls,
        *,
        network: str | None = None,
        config: Path | None = None,
        account: str | None = None,
        password_file: Path | None = None,
        rpc: Sequence[str] = (),
        solvers: Sequence[str] = (),
        **settings: Any,
    ) -> Self:
        """The client that a command with these options would use; `settings` are fields of CreatorSettings.

        Raises ConfigurationError; nothing is connected before it is used.
        """
        choice = Choice(network, config, account, password_file, None, tuple(rpc), tuple(solvers))
        found = creator_settings(choice, **settings)
        return cls(found, session=Session(found, signer=signer_for(choice, found)))

    @property
    def token(self) -> Token:
        """The network's token, which turns amounts into text and back."""
        return self.session.token

    # ---- before a job

    def quote(
        self,
        module: str,
        values: Mapping[str, Any] | None = None,
        files: Mapping[str, Path] | None = None,
        wishes: Wishes = Wishes(),
    ) -> Quote:
        """What the job would cost now; signs nothing. Raises as `prepare` does."""
        return self.prepare(JobRequest(module, dict(values or {}), dict(files or {}), wishes)).quote

    # ---- jobs

    def jobs(self) -> list[JobStatus]:
        """All jobs of the account and where they stand, those of other machines included."""
        self.adopt_all()
        return statuses(self, self.session.journal.list())

    def show(self, job: str) -> JobStatus:
        """One job with its dispute, the next step and what each ending would pay. Raises JobUnknown."""
        return status_with_dispute(self, self.find(job))

    def wait(
        self,
        job: str,
        *,
        until: str = VERIFIED,
        seconds: float | None = None,
        policy: Policy = Policy(),
        listen: Listener = nobody_listens,
    ) -> Outcome:
        """Carries a job on, in this process or after another one, until it is `until`. Raises JobUnknown, JobUnfinished."""
        return self.runner(self.find(job), policy=policy, listen=listen).wait(until, seconds=seconds)

    def accept(self, job: str, *, until: str = VERIFIED, seconds: float | None = None) -> Outcome:
        """Verifies a result and agrees to it, also where an own run contradicted it. Raises as `wait` does."""
        return self.wait(job, until=until, seconds=seconds, policy=Policy(insist=True))

    def fetch_again(self, job: str, folder: Path | None = None) -> tuple[Delivered, Path]:
        """The verified result of a job and the folder that it was written to; agrees to nothing. Raises as `fetch` does."""
        return self.fetch(self.find(job), folder)

    def cancel(self, job: str, *, offer_only: bool = False) -> Cancelled:
        """Takes an offer back, or proposes to close the deal. Raises RequestInvalid when there is nothing left to cancel."""
        work = Cancelling(self, self.find(job))
        return work.carry_out(work.plan(offer_only=offer_only))

    def price_of_challenge(self, job: str, *, delivery: bool = False) -> ChallengePlan:
        """What a challenge costs and what each outcome pays; does nothing. Raises RequestInvalid, InsufficientFunds."""
        return Challenging(self, self.find(job), delivery=delivery).plan()

    def challenge(self, job: str, why: str, *, delivery: bool = False) -> Challenged:
        """Has a panel judge a result, or its delivery, for the price that `price_of_challenge` tells. Raises as that does."""
        work = Challenging(self, self.find(job), delivery=delivery)
        return work.carry_out(work.plan(), why)

    def price_of_appeal(self, job: str) -> AppealPlan:
        """What an appeal against the finding that stands costs; does nothing. Raises RequestInvalid, InsufficientFunds."""
        return Appealing(self, self.find(job)).plan()

    def appeal(self, job: str) -> Appealed:
        """Pays for a larger panel out of the wallet, for the price that `price_of_appeal` tells. Raises as that does."""
        work = Appealing(self, self.find(job))
        return work.carry_out(work.plan())

    def resume(self, *, until: str = VERIFIED, seconds: float | None = None) -> list[Outcome]:
        """Carries on every unfinished job, the oldest first. Raises JobUnfinished at the first that is not done in time."""
        self.adopt_all()
        return [self.runner(job).wait(until, seconds=seconds) for job in reversed(self.session.journal.unfinished())]

    # ---- money

    def balance(self, account: Address | None = None) -> Ledger:
        """Coin, wallet, and ledger balance of an account, by default one's own."""
        return self.session.chain.ledger(account or self.session.account)

    def deposit(self, amount: int) -> list[Receipt]:
        """Moves tokens from the wallet into the ledger balance. Raises InsufficientFunds before anything is sent."""
        return self.session.wallet.deposit(self.token, amount)

    def withdraw(self, amount: int, to: Address | None = None) -> Receipt:
        """Moves tokens from the ledger balance to a wallet. Raises InsufficientFunds before anything is sent."""
        return self.session.wallet.withdraw(self.token, amount, to or self.session.account)


def run(
    module: str,
    values: Mapping[str, Any] | None = None,
    files: Mapping[str, Path] | None = None,
    *,
    wishes: Wishes = Wishes(),
    policy: Policy = Policy(),
    until: str = VERIFIED,
    seconds: float | None = None,
    listen: Listener = nobody_listens,
    **connection: Any,
) -> Outcome:
    """Runs a job on somebody else's computer and returns its outcome with the verified result; one call.

    `connection`: arguments of `Client.connect`. Raises what can fail before anything is paid; how the job ended, failures
    included, is in the outcome.
    """
    with Client.connect(**connection) as client:
        return client.run(
            module, values, files, wishes=wishes, policy=policy, until=until, seconds=seconds, listen=listen
        )
