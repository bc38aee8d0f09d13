"""The whole protocol: one method a call, `take` for a step of a trace. Sections 3 to 7 and 9.

A step that the contracts refuse raises `Refused` with the error's name, before anything has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.parameters import Parameters
from tests.reference.deals import Clock, Deals
from tests.reference.jobs import Client, Jobs
from tests.reference.ledger import OFFERS, Accrual, Ledger, Refused, require
from tests.reference.mediation import Mediation
from tests.reference.staking import LOST, NOT_KNOWN, PoolModel
from tests.reference.terms import JobOffer, ModuleTerms, Opening, Pair, PoolTerms


class Step(NamedTuple):
    """`who` calls `call`."""

    call: str
    who: str
    args: tuple[Any, ...] = ()


class Places(NamedTuple):
    """Addresses of the contracts."""

    core: str
    staking: str
    mediation: str
    client: str


Skipped = dict[tuple[int, int | None], str]


class Protocol:
    """`pools`: verified ones that the default strategy judges have a book of stakes."""

    def __init__(
        self, places: Places, parameters: Parameters, separator: bytes, clock: Clock, pools: Sequence[PoolTerms],
        unbonding: int, last_call: int,
    ) -> None:  # fmt: skip
        self.places, self.clock, self.pools, self.unbonding = places, clock, tuple(pools), unbonding
        self.ledger = Ledger()
        self.deals = Deals(self.ledger, clock, parameters, places.core, separator)
        judged = [terms for terms in pools if terms.strategy == places.mediation]
        self.stakes = {terms.id: (terms, PoolModel(terms.seat_stake, unbonding, self._seed_of)) for terms in judged}
        operators: dict[str, str] = {}
        for _, pool in self.stakes.values():
            pool.operators = operators
        self.mediation = Mediation(self.deals, self.stakes, places.mediation, places.staking, last_call)
        self.jobs = Jobs(self.deals, Client(places.client))
        self._tell_time()

    def _seed_of(self, period: int) -> bytes | str:
        if period not in self.clock.seeds:
            return NOT_KNOWN
        seed = self.clock.seeds[period]
        return LOST if seed is None else seed

    def _tell_time(self) -> None:
        for _, pool in self.stakes.values():
            pool.period, pool.time = self.clock.period, self.clock.time

    def take(self, step: Step) -> Skipped | None:
        """Raises Refused. Answers what a batch left out."""
        return getattr(self, step.call)(step.who, *step.args)

    # ---- the world: time and seeds

    def wait(self, who: str, seconds: int, blocks: int) -> None:
        self.clock.time += seconds
        self.clock.block += blocks
        self._tell_time()

    def seed(self, who: str, period: int, value: bytes | None) -> None:
        """A seed becomes known, or is lost."""
        self.clock.seeds[period] = value

    # ---- the ledger

    def deposit(self, who: str, token: str, account: str, amount: int) -> None:
        self.ledger.deposit(self.places.core, token, who, account, amount)

    def withdraw(self, who: str, token: str, to: str, amount: int) -> None:
        self.ledger.withdraw(self.places.core, token, who, to, amount)

    def transfer(self, who: str, token: str, parts: Sequence[tuple[str, int]]) -> None:
        self.ledger.move(token, who, parts)

    def donate(self, who: str, terms: PoolTerms, amount: int) -> None:
        self.ledger.donate((terms.strategy, terms.token, terms.id), who, amount)

    def gift(self, who: str, token: str, to: str, amount: int) -> None:
        """Tokens sent to a contract, past every book."""
        self.ledger.pay_token(token, who, to, amount)
        self.ledger.gifts[token, to] += amount

    def sweep(self, who: str, place: Accrual) -> None:
        self.ledger.sweep(place)

    def claim_royalty(self, who: str, place: Accrual, module: ModuleTerms) -> None:
        self.ledger.claim_royalty(place.fees, module.royalty_to, who)

    def claim_solver_fee(self, who: str, place: Accrual) -> None:
        self.ledger.claim_solver_fee(place.fees)

    def cancel(self, who: str, account: str, resource: bool, nonce: int) -> None:
        require(self.ledger.is_actor(account, who, OFFERS, self.clock.time), "NotAuthorised")
        self.ledger.cancel(account, resource, nonce)

    def cancel_below(self, who: str, account: str, token: str, job: int, resource: int) -> None:
        require(self.ledger.is_actor(account, who, OFFERS, self.clock.time), "NotAuthorised")
        self.ledger.cancel_below(account, token, job, resource)

    def grant(self, who: str, key: str, scope: int, expiry: int) -> None:
        self.ledger.grant(who, key, scope, expiry)

    def revoke(self, who: str, key: str) -> None:
        self.ledger.revoke(who, key)

    # ---- deals

    def open(self, who: str, pairs: Sequence[Pair]) -> None:
        self.deals.open(pairs)

    def open_batch(self, who: str, groups: Sequence[Sequence[Pair]]) -> Skipped:
        return self.deals.open_batch(groups)[1]

    def submit(self, who: str, deal_id: bytes, commitment: int) -> None:
        self.deals.submit(who, deal_id, commitment)

    def submit_signed(self, who: str, results: Sequence[tuple[bytes, int, bool]]) -> Skipped:
        """Deal, commitment, and whether its provider signed."""
        return _leaving_out([lambda result=result: self.deals.submit_signed(*result) for result in results])

    def submit_and_settle(self, who: str, deal_id: bytes, opening: Opening, waived: bool) -> None:
        self.deals.submit_and_settle(who, deal_id, opening, waived)

    def settle(self, who: str, deal_id: bytes, opening: Opening, agreement: Agreement, signed: bool) -> None:
        self.deals.settle(who, deal_id, opening, agreement, signed)

    def settle_batch(self, who: str, items: Sequence[tuple[bytes, Opening, Agreement, bool]]) -> Skipped:
        return _leaving_out([lambda item=item: self.deals.settle(who, *item) for item in items])

    def decline(self, who: str, deal_id: bytes) -> None:
        self.deals.decline(who, deal_id)

    def timeout_submit(self, who: str, deal_id: bytes) -> None:
        self.deals.timeout_submit(who, deal_id)

    def timeout_reveal(self, who: str, deal_id: bytes) -> None:
        self.deals.timeout_reveal(who, deal_id)

    def timeout_mediation(self, who: str, deal_id: bytes) -> None:
        self.deals.timeout_mediation(deal_id)

    def close(self, who: str, deal_id: bytes, to_creator: int, to_provider: int, expiry: int, signed: tuple[bool, bool]) -> None:
        self.deals.close(deal_id, to_creator, to_provider, expiry, signed)

    def challenge(self, who: str, deal_id: bytes) -> None:
        self.deals.challenge(who, deal_id)

    def challenge_delivery(self, who: str, deal_id: bytes) -> None:
        self.deals.challenge_delivery(who, deal_id)

    def audit(self, who: str, deal_id: bytes, most: int) -> None:
        self.deals.audit(who, deal_id, most)

    def resolve(self, who: str, deal_id: bytes, verdict: Verdict, opening: Opening, claim: int, bounty_to: str) -> None:
        self.deals.resolve(who, deal_id, verdict, opening, claim, bounty_to)

    def repay_advance(self, who: str, deal_id: bytes) -> None:
        self.deals.repay_advance(deal_id)

    # ---- disputes

    def queue(self, who: str, deal_id: bytes) -> None:
        self.mediation.queue(who, deal_id)

    def draw(self, who: str, deal_id: bytes) -> None:
        self.mediation.draw(who, deal_id)

    def commit(self, who: str, deal_id: bytes, seat: int, commitment: bytes) -> None:
        self.mediation.commit(who, deal_id, seat, commitment)

    def open_result(self, who: str, deal_id: bytes, opening: Opening, data_id: bytes) -> None:
        self.mediation.open(who, deal_id, opening, data_id)

    def name_data(self, who: str, deal_id: bytes, data_id: bytes) -> None:
        self.mediation.name_data(who, deal_id, data_id)

    def reveal(self, who: str, deal_id: bytes, seat: int, vote: bytes, salt: bytes, served: bool) -> None:
        self.mediation.reveal(who, deal_id, seat, vote, salt, served)

    def advance(self, who: str, deal_id: bytes) -> None:
        self.mediation.advance(who, deal_id)

    def appeal(self, who: str, deal_id: bytes) -> None:
        self.mediation.appeal(who, deal_id)

    def execute(self, who: str, deal_id: bytes, opening: Opening) -> None:
        self.mediation.execute(who, deal_id, opening)

    def unwind(self, who: str, deal_id: bytes) -> None:
        self.mediation.unwind(who, deal_id)

    # ---- stakes: ledger credit of the staking contract

    def stake(self, who: str, terms: PoolTerms, amount: int) -> None:
        pool, ledger = self.stakes[terms.id][1], self.ledger
        require(ledger.wallet[terms.token, who] >= amount, "TokenRefuses")
        pool.stake(who, amount)
        ledger.deposit(self.places.core, terms.token, who, self.places.staking, amount)

    def unbond(self, who: str, terms: PoolTerms, amount: int) -> None:
        self.stakes[terms.id][1].unbond(who, amount)

    def withdraw_stake(self, who: str, terms: PoolTerms, account: str) -> None:
        """To its owner, whoever calls."""
        paid = self.stakes[terms.id][1].withdraw(account)
        self.ledger.move(terms.token, self.places.staking, [(account, paid)])

    def apply_pending(self, who: str, terms: PoolTerms, most: int) -> None:
        self.stakes[terms.id][1].step(most)

    def draw_cancelled(self, who: str, terms: PoolTerms, ticket: int) -> None:
        self.stakes[terms.id][1].draw_cancelled(ticket)

    def set_operator(self, who: str, operator: str) -> None:
        next(iter(self.stakes.values()))[1].operators[who] = operator

    # ---- jobs

    def ask(self, who: str, offer: JobOffer, callback_gas: int) -> None:
        self.jobs.ask(offer, callback_gas)

    def take_back(self, who: str, request_id: bytes) -> None:
        self.jobs.take_back(request_id)

    def refuse(self, who: str, refuses: bool) -> None:
        self.jobs.client.refuses = refuses

    def deliver(self, who: str, deal_id: bytes, opening: Opening, stdout: bytes, brought: bool) -> None:
        self.jobs.deliver(who, deal_id, opening, stdout, brought)

    def deliver_failure(self, who: str, deal_id: bytes) -> None:
        self.jobs.deliver_failure(deal_id)

    def deliver_unopened(self, who: str, offer: JobOffer) -> None:
        self.jobs.deliver_unopened(offer)

    # ---- what holds at every moment

    def check(self) -> None:
        """Sums of section 13 and of the invariants I1, I2, I4, I24, I37; raises AssertionError."""
        ledger, core = self.ledger, self.places.core
        for token in {token for token, _ in ledger.wallet}:
            assert ledger.owed(token) == ledger.held[token], "I1: the parts do not add up to what is held"
            assert ledger.wallet[token, core] == ledger.held[token] + ledger.gifts[token, core], "I1: tokens of the core"
        locked: dict[tuple[str, str], int] = {}
        for deal in self.deals.all.values():
            assert self.deals.endings[deal.record.id] == deal.status.is_final, "I4: one ending at most"
            if not deal.status.is_final:
                for account, amount in ((deal.record.creator, deal.price.total), (deal.record.provider, deal.collateral_left)):
                    key = deal.record.token, account
                    locked[key] = locked.get(key, 0) + amount
        assert {key: n for key, n in ledger.locked.items() if n} == {key: n for key, n in locked.items() if n}, "I2, I37"
        for parts in (ledger.free, ledger.locked, ledger.funds, ledger.wallet):
            assert min(parts.values(), default=0) >= 0, "I1, I38: nothing is below zero"
        for token in {terms.token for terms, _ in self.stakes.values()}:
            stakes = sum(pool.held for terms, pool in self.stakes.values() if terms.token == token)
            assert ledger.free[token, self.places.staking] == stakes, "I24: credit of the staking contract"


def _leaving_out(calls: Sequence[Any]) -> Skipped:
    skipped: Skipped = {}
    for place, call in enumerate(calls):
        try:
            call()
        except Refused as refused:
            skipped[0, place] = refused.args[0]
    return skipped

