"""What every word of the contracts' storage should be, by the model: money, deals, rounds, stakes, requests.

Reading a word costs less than a microsecond, so all of it is compared after each step of a trace. The numbers of the slots are
those of the compiler's storage layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from lilypad_agents.protocol.lifecycle import Status
from tests.reference.deals import Deal
from tests.reference.ledger import Accrual
from tests.reference.protocol import Protocol, Step
from tests.reference.rounds import Phase, Round, Seat, facts_of
from tests.reference.staking import PoolModel
from tests.reference.terms import PoolTerms, accrual_hash
from tests.reference.words import ZERO, address_bits, keccak, number_of, slot_of, word, words

Word = tuple[str, str, int, int]  # what it is, contract, slot, value
_slot = lru_cache(maxsize=200_000)(slot_of)


class Part:
    """Words that one thing consists of, as columns, so that comparing them is one pass without a loop of Python's."""

    def __init__(self, words: Iterable[Word]) -> None:
        columns = tuple(zip(*words, strict=True)) or ((), (), (), ())
        self.names, self.contracts, self.slots, self.values = columns

    def __len__(self) -> int:
        return len(self.values)

    def differences(self, storage: Callable[[str, int], int]) -> Iterator[tuple[str, str, int, int]]:
        """Name, contract, what is there, what should be."""
        found = tuple(map(storage, self.contracts, self.slots))
        if found != self.values:
            for name, contract, there, value in zip(self.names, self.contracts, found, self.values, strict=True):
                if there != value:
                    yield name, contract, there, value


@lru_cache(maxsize=20_000)
def _hash(*parts: str | bytes) -> bytes:
    return keccak(words(*parts))


@lru_cache(maxsize=20_000)
def _accrual_hash(place: Accrual) -> bytes:
    return accrual_hash(place.token, place.solver, place.strategy, place.version, place.pool)



# What a call may change. A part that is not renewed has to stay as it was: if it does not, the comparison says so.
_NO_MONEY = frozenset({"commit", "reveal", "open_result", "name_data", "advance", "set_operator", "refuse", "apply_pending", "unbond",
                       "grant", "revoke", "draw_cancelled", "submit", "submit_signed", "cancel", "ask", "take_back"})  # fmt: skip
_OFFERS = frozenset({"open", "open_batch", "cancel", "decline", "take_back"})
_STAKES = frozenset({"stake", "unbond", "withdraw_stake", "apply_pending", "draw_cancelled"})
_SEATS = frozenset({"queue", "draw", "appeal", "execute", "unwind"})
_JOBS = frozenset({"ask", "take_back", "deliver", "deliver_failure", "deliver_unopened"})
_WORLD = frozenset({"wait", "seed", "refuse"})


class Image:
    """`places`: addresses by the names of `Site.contracts`. `parts`: the words as they should be, renewed where a step went."""

    def __init__(self, places: dict[str, str], tokens: tuple[str, ...], accounts: list[str]) -> None:
        self.places, self.tokens, self.accounts = places, tokens, accounts
        self.parts: dict[bytes | str, Part] = {}

    def renew(self, model: Protocol, step: Step | None = None) -> None:
        """After a step that was taken; None: everything."""
        if step is None:
            self.parts = {}
        elif step.call in _WORLD:
            return
        call = step.call if step else ""
        if not step or call not in _NO_MONEY:
            self.parts["ledger"] = Part(self.ledger(model))
        if not step or call in _OFFERS:
            self.parts["offers"] = Part(self.offers(model))
        if not step or call in _JOBS:
            self.parts["jobs"] = Part(self.jobs(model))
        if not step or call == "execute":
            marks = model.mediation.marks
            self.parts["marks"] = Part(("marks", self.places["mediation"], _slot(6, version), count) for version, count in marks.items())
        for deal_id in model.deals.all:
            if deal_id not in self.parts or (step and _is_about(step, deal_id)):
                self.parts[deal_id] = Part(self.deal(model, deal_id))
        for terms, pool in model.stakes.values():
            about = step and (step.args[0].id == terms.id if call in _STAKES else call in _SEATS)
            if terms.id not in self.parts or about:
                self.parts[terms.id] = Part(self.pool(terms, pool))

    # ---- the core

    def ledger(self, model: Protocol) -> Iterator[Word]:
        ledger, core = model.ledger, self.places["core"]
        for token in self.tokens:
            for account in self.accounts:
                key = token, account
                job, resource = ledger.floors.get(key, (0, 0))
                value = ledger.free[key] | ledger.locked[key] << 96 | job << 192 | resource << 224
                yield "account", core, _slot(1, token, account), value
                yield "tokens", token, _slot(0, account), ledger.wallet[key]
            yield "held", core, _slot(6, token), ledger.held[token]
        for fund, amount in ledger.funds.items():
            yield "fund", core, _slot(2, _hash(*fund)), amount
        for key, (royalty, solver_fee) in ledger.fees.items():
            yield "fees", core, _slot(3, _hash(*key)), royalty | solver_fee << 128
        for place, (royalty, solver_fee, to_fund) in ledger.accrued.items():
            yield "accrual", core, _slot(4, _accrual_hash(place)), royalty | solver_fee << 80 | to_fund << 160

    def offers(self, model: Protocol) -> Iterator[Word]:
        ledger, core = model.ledger, self.places["core"]
        jobs: dict[tuple[str, int], int] = {(account, nonce >> 7): 0 for account, nonce in ledger.used | ledger.cancelled}
        jobs |= {(deal.record.creator, deal.record.pair.job.nonce >> 7): 0 for deal in model.deals.all.values()}
        for account, nonce in ledger.used:
            jobs[account, nonce >> 7] |= 1 << (nonce & 127)
        for account, nonce in ledger.cancelled:
            jobs[account, nonce >> 7] |= 1 << 128 + (nonce & 127)
        for (account, index), value in jobs.items():
            yield "job nonces", core, _slot(10, account, index), value
        uses: dict[tuple[str, int], int] = {}
        for (account, nonce), count in ledger.uses.items():
            uses[account, nonce >> 3] = uses.get((account, nonce >> 3), 0) | count << (nonce & 7) * 32
        for (account, index), value in uses.items():
            yield "resource uses", core, _slot(11, account, index), value

    def deal(self, model: Protocol, deal_id: bytes) -> Iterator[Word]:
        deal = model.deals.all[deal_id]
        yield "deal", self.places["core"], _slot(0, deal_id), deal_word(deal)
        yield "beginner", self.places["resolver"], _slot(0, deal_id), address_bits(deal.beginner) | deal.owed << 160
        dispute, mediation = model.mediation.disputes.get(deal_id), self.places["mediation"]
        if dispute is None:
            yield "round", mediation, _slot(0, deal_id), 0
            return
        last, terms, provider = dispute.last, deal.record.pair.pool, deal.record.provider
        if dispute.over:
            value = Phase.EXECUTED - 1 | last.number << 3 | 1 << 95
        else:
            value = last.phase - 1 | last.deadline << 10 | _round_bits(last, provider, terms)
        yield "round", mediation, _slot(0, deal_id), value
        yield "redraw ticket", mediation, _slot(4, deal_id), dispute.redraw_ticket
        yield "replaced", mediation, _slot(5, deal_id), address_bits(dispute.lone) | dispute.lost << 160
        for earlier in dispute.rounds[:-1]:
            yield "past", mediation, _slot(1, deal_id, earlier.number), earlier.finding | _round_bits(earlier, provider, terms)
        for round_ in dispute.rounds:
            yield "appellant", mediation, _slot(3, deal_id, round_.number), address_bits(round_.appellant)
            if dispute.over:
                continue
            for seat, (state, vote) in enumerate(zip(round_.seats, round_.votes, strict=True)):
                kept = number_of(vote) if state in (Seat.COMMITTED, Seat.OTHER) else 0
                yield "vote", mediation, _slot(2, deal_id, round_.number << 8 | seat), kept

    # ---- staking

    def pool(self, terms: PoolTerms, pool: PoolModel) -> Iterator[Word]:
        staking, id_ = self.places["staking"], terms.id
        value = pool.held | pool.drawn << 96 | pool.stepped << 128 | len(pool.tickets) << 160 | pool.floor << 192 | pool.leaves << 224
        yield "pool", staking, _slot(0, id_), value
        yield "free leaf", staking, _slot(0, id_) + 1, (pool.free_leaves[-1] if pool.free_leaves else 0) | pool.applied << 32 | (
            pool.applied + len(pool.waiting) << 96
        )
        for who, m in pool.members.items():
            first = m.staked | m.leaf << 96 | m.drawn << 128 | m.released << 152 | (who in pool.waiting) << 176 | m.until << 184
            yield "stake", staking, _slot(1, id_, who), first
            yield "unbonding", staking, _slot(1, id_, who) + 1, m.unbonding
        for number, ticket in enumerate(pool.tickets[-40:], max(len(pool.tickets) - 40, 0)):
            bits = number_of(_hash(ticket.round, word(ticket.seats), *ticket.excluded)) >> 80 << 80
            here = bits | ticket.queued_in | ticket.queued_at << 32 | (ticket.state == "cancelled") << 72
            yield "ticket", staking, _slot(5, id_, number), 0 if ticket.state == "gone" else here
        yield from self._tree(id_, pool)

    def _tree(self, pool_id: bytes, pool: PoolModel) -> Iterator[Word]:
        """Sums of four, level by level, up to the first word that covers all leaves."""
        sums = [0] * (pool.leaves + 1)
        for member in pool.members.values():
            if member.leaf:
                sums[member.leaf] = member.weight
        level = 0
        while True:
            sums += [0] * (-len(sums) % 4)
            lanes = [sums[at : at + 4] for at in range(0, len(sums), 4)]
            for index, (a, b, c, d) in enumerate(lanes):
                yield "tree", self.places["staking"], _slot(2, pool_id, level << 64 | index), a | b << 64 | c << 128 | d << 192
            if len(lanes) == 1:
                return
            sums, level = [sum(lane) for lane in lanes], level + 1

    # ---- jobs

    def jobs(self, model: Protocol) -> Iterator[Word]:
        for request_id, request in model.jobs.requests.items():
            offer = request.offer
            value = address_bits(offer.creator) | offer.expiry << 160 | request.callback_gas << 200
            yield "request", self.places["jobs"], _slot(0, request_id), value | request.state << 232 | request.outcome << 240
        client = model.jobs.client
        for name, place, value in (("nonce", 0, client.last_nonce), ("results", 3, client.results), ("failures", 4, client.failures)):
            yield name, self.places["client"], place, value


def deal_word(deal: Deal) -> int:
    """Section 3.4: one word a deal."""
    if deal.status == Status.AGREED:
        auditable = deal.price.audit_bps != 0
        provider = address_bits(deal.record.provider)
        return deal.status | auditable << 4 | deal.deadline << 8 | provider << 80 | deal.record.judge_window << 240
    kept = deal.delivery_challenged << 7 | deal.period << 48 | deal.commitment << 80
    return deal.status | deal.kind << 4 | deal.deadline << 8 | kept


def _round_bits(r: Round, provider: str, terms: PoolTerms) -> int:
    """Section 6.2: one word a round, but for phase and deadline."""
    seats = sum(state << 50 + 3 * seat for seat, state in enumerate(r.seats))
    flags = (r.opened != ZERO) << 6 | r.redrawn << 7 | r.lone_unserved << 8 | r.provider_late << 9
    facts = facts_of(r, provider, terms) if r.is_drawn else r.ticket
    return r.number << 3 | flags | seats | 1 << 95 | facts << 96



def _is_about(step: Step, deal_id: bytes) -> bool:
    if not step.args:
        return False
    first = step.args[0]
    return first == deal_id or (isinstance(first, tuple) and any(isinstance(item, tuple) and deal_id in item[:1] for item in first))
