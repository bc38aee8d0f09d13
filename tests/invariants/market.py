"""A busy market on the real contracts, with its twin in Python: each action is foretold, taken, and compared.

Several creators, providers and strategies, two tokens, an honest pool, a greedy one and none; anybody may try anything at
any time. The twin is made of the pure protocol package (`refusals`, `payouts`), the model of one deal and `Book`; it reads
nothing from the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.consent import Acceptance, Closing, Domain, Result, Scope, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.digest import commitment, deciding_period, is_drawn, result_digest
from lilypad_agents.protocol.ids import NOBODY, ZERO, DealId, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import (
    NO_OPENING,
    Pair,
    ResultOpening,
    Settling,
    SignedResult,
    closing_of,
    grouped,
    opening_of,
    openings_of,
    settlements_of,
    waived_at_once,
)
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.payouts import Payout
from lilypad_agents.protocol.price import audit_fee, challenge_fee, charge, delivery_fee, penalty, premium_of
from lilypad_agents.protocol.refusals import ChainView, why_not
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import CANCELLED_USES, UNLIMITED_VOLUME
from tests.invariants.book import Book, accrual_key, fee_key, fund_key
from tests.invariants.replay import Replay
from tests.support.deal_model import VERDICTS, Caller, DealModel, Seed, after, opened, refusal
from tests.support.evm import Account, Contract, Evm, Receipt, Reverted, decode_error

COIN = 10**18
PERIOD_BLOCKS = 6
PEOPLE = ("ada", "ben", "cleo", "dan", "eve")  # each may be creator or provider
WHOLE_GROUP = 2**256 - 1
_BY_RECORD = ("timeoutSubmit", "challenge", "challengeDelivery", "timeoutReveal", "timeoutMediation", "repayAdvance")


class Disagreement(AssertionError):
    """Chain and twin say different things."""


@dataclass
class Entry:
    """A deal of the market. `units`: of the result that its provider has; `beginner`: of its last dispute."""

    deal: Deal
    job: JobOffer
    model: DealModel
    result: ResultOpening
    units: int
    beginner: str = NOBODY


def parameters(randomness: Contract) -> Parameters:
    """The devnet's, with time to do things in."""
    return replace(devnet(3_600, randomness.address), reveal_window=200, mediation_limit=900)


@dataclass(frozen=True)
class Site:
    """What is deployed and funded once for all runs."""

    evm: Evm
    core: Contract
    resolver: Contract
    randomness: Contract
    tokens: tuple[Contract, Contract]
    strategies: tuple[Contract, Contract]  # honest, greedy
    modules: tuple[ModuleTerms, ...]
    pools: tuple[PoolTerms, ...]
    accounts: dict[str, Account]


def build_site() -> Site:
    evm = Evm()
    names = (*PEOPLE, "solver", "publisher", "keeper")
    accounts = {name: evm.account(name) for name in names}
    tokens = evm.deploy("PlainToken", "Main", 18), evm.deploy("NoReturnToken")
    randomness = evm.deploy("ScriptedRandomness", PERIOD_BLOCKS, 36_000, 9)
    core = evm.deploy("Lilypad", parameters(randomness))
    strategies = evm.deploy("Puppet"), evm.deploy("Puppet")
    publisher = accounts["publisher"].address
    modules = (
        ModuleTerms(publisher, ZERO, ZERO, ZERO, 500, publisher, True, NOBODY, 0, 0, 1),
        ModuleTerms(publisher, keccak256(b"dear"), ZERO, ZERO, 3_000, publisher, True, NOBODY, 400, 2 * COIN, 1),
    )
    pools = tuple(
        PoolTerms(strategy.address, token.address, 5 * COIN // 4, 1_000 * COIN, 10 * COIN, ZERO, 12, 8, 12, ZERO)
        for strategy, token in ((strategies[0], tokens[0]), (strategies[1], tokens[0]), (strategies[1], tokens[1]))
    )
    resolver = evm.at("LilypadResolver", core.resolver())
    return Site(evm, core, resolver, randomness, tokens, strategies, modules, (*pools, UNVERIFIED), accounts)


@dataclass
class Market:
    """The site in use. Every action answers nothing and raises Disagreement when chain and twin part."""

    site: Site
    book: Book = field(init=False)
    replay: Replay = field(init=False)
    entries: list[Entry] = field(default_factory=list)
    seeds: dict[int, bytes | None] = field(default_factory=dict)  # by period; None: lost
    used: set[tuple[str, int]] = field(default_factory=set)
    cancelled: set[tuple[str, int]] = field(default_factory=set)
    uses: dict[tuple[str, int], int] = field(default_factory=dict)
    floors: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    resources: list[tuple[ResourceOffer, Pair]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=lambda: {"job": 0, "resource": 0, "salt": 0})

    def __post_init__(self) -> None:
        self.parameters = parameters(self.site.randomness)
        self.rate = self.parameters.protocol_fee_bps
        self.book, self.replay = Book(self.rate), Replay(self.rate)
        self.domain = Domain(self.site.evm.chain_id, self.site.core.address)

    @property
    def now(self) -> int:
        return self.site.evm.timestamp

    @property
    def period(self) -> int:
        return self.site.evm.number // PERIOD_BLOCKS

    def account(self, name: str) -> str:
        return self.site.accounts[name].address

    # ---- sending

    def expect(self, expected: str | None, contract: Contract, name: str, *arguments: Any, sender: Any) -> Receipt | None:
        """Sends a call that has to end with the error `expected`; None: it has to succeed. Answers its receipt then."""
        data = contract.calldata(name, *arguments)
        try:
            if isinstance(sender, Contract):
                receipt = sender.execute(contract, data)
            else:
                receipt = self.site.evm.transact(contract, data, sender=sender)
        except Reverted as reverted:
            if reverted.name != expected:
                raise Disagreement(f"{name}: {reverted}, expected {expected}") from None
            return None
        if expected is not None:
            raise Disagreement(f"{name} succeeded, expected {expected}")
        self.replay.read(receipt.logs, self.now)
        return receipt

    # ---- the ledger

    def deposit(self, payer: str, account: str, token: int, amount: int) -> None:
        coin, by = self.site.tokens[token], self.site.accounts[payer]
        coin.mint(by, amount)
        coin.approve(self.site.core, amount, sender=by)
        expected = None if amount else "AmountZero"
        if self.expect(expected, self.site.core, "deposit", coin, amount, self.account(account), sender=by):
            self.book.deposit(coin.address, self.account(account), amount)

    def withdraw(self, account: str, token: int, amount: int) -> None:
        coin, by = self.site.tokens[token], self.account(account)
        has = self.book.free[coin.address, by]
        expected = "AmountZero" if not amount else "CreditInsufficient" if amount > has else None
        if self.expect(expected, self.site.core, "withdraw", coin, amount, by, sender=self.site.accounts[account]):
            self.book.withdraw(coin.address, by, amount)

    def transfer(self, start: str, to: str, token: int, amount: int) -> None:
        coin = self.site.tokens[token].address
        enough = amount <= self.book.free[coin, self.account(start)]
        arguments = (coin, [self.account(to)], [amount])
        sender = self.site.accounts[start]
        if self.expect(None if enough else "CreditInsufficient", self.site.core, "transferCredit", *arguments, sender=sender):
            self.book.move(coin, self.account(start), self.account(to), amount)

    def donate(self, account: str, pool: int, amount: int) -> None:
        terms = self.site.pools[pool]
        key = terms.strategy, terms.token, PoolId(terms.id)
        enough = amount <= self.book.free[terms.token, self.account(account)]
        sender = self.site.accounts[account]
        if self.expect(None if enough else "CreditInsufficient", self.site.core, "donate", *key, amount, sender=sender):
            self.book.donate(key, self.account(account), amount)

    def gift(self, token: int, amount: int) -> None:
        """Tokens for nobody."""
        self.site.tokens[token].mint(self.site.core, amount)
        self.book.gifts[self.site.tokens[token].address] += amount

    def collect(self, index: int) -> None:
        """Anybody sweeps what the deals of these terms accrued; publisher and solver take their fees."""
        deal = self.entries[index % len(self.entries)].deal
        core, key = self.site.core, accrual_key(deal)
        self.expect(None, core, "sweep", *key, sender=self.site.accounts["keeper"])
        self.book.sweep(key)
        module = next(module for module in self.site.modules if module.id == deal.module)
        publisher = self.site.accounts["publisher"]
        self.expect(None, core, "claimRoyalty", deal.token, module, deal.solver, sender=publisher)
        self.book.claim(fee_key(deal), 0, publisher.address)
        self.expect(None, core, "claimSolverFee", deal.token, deal.module, deal.solver, sender=self.site.accounts["keeper"])
        self.book.claim(fee_key(deal), 1, deal.solver)

    # ---- offers

    def resource(self, provider: str, pool: int, **fields: Any) -> Pair:
        """A signed resource offer, as a pair without a job. It may be used again."""
        terms = self.site.pools[pool]
        self.counters["resource"] += 1
        fields = {"volume": UNLIMITED_VOLUME, "module": 0, "price": COIN, "unit_price": 0, "token": 0} | fields
        module = self.site.modules[fields.pop("module")]
        token = terms.token if terms.is_verified else self.site.tokens[fields["token"]].address
        offer = ResourceOffer(
            self.account(provider), token, fields["price"], fields["unit_price"], 1_000, 1_000, 1_000, 1_000, 0, 0, 0, ZERO,
            2**32 - 1, 5, 3_600, terms.id, NOBODY, fields["volume"], self.now + 1_500, self.counters["resource"],
        )  # fmt: skip
        signature = by_own_key(self.site.accounts[provider].sign(self.domain.digest(offer.struct_hash)))
        blank = Pair(None, b"", offer, signature, module, terms)  # type: ignore[arg-type]
        self.resources.append((offer, blank))
        return blank

    def pair(self, creator: str, blank: Pair, **fields: Any) -> Pair:
        """A job offer for a resource offer."""
        self.counters["job"] += 1
        fields = {"preset": (800, 162_000), "units": 5, "windows": (200, 200), "solver": True, "nonce": None} | fields
        audit, collateral = fields["preset"] if blank.pool.is_verified else (0, fields["preset"][1] % 20_000)
        job = JobOffer(
            self.account(creator), blank.module.id, keccak256(self.counters["job"].to_bytes(8, "big")), blank.resource.token,
            500 * COIN, fields["units"], 1, 1, 1, 0, 0, 0, *fields["windows"], collateral, audit, blank.pool.id,
            self.account("solver") if fields["solver"] else NOBODY, 300, NOBODY, self.now + 1_500,
            self.counters["job"] if fields["nonce"] is None else fields["nonce"],
        )  # fmt: skip
        signature = by_own_key(self.site.accounts[creator].sign(self.domain.digest(job.struct_hash)))
        return blank._replace(job=job, job_signature=signature)

    def open(self, pairs: Sequence[Pair], *, batch: bool, sender: str = "keeper") -> None:
        """Opens all or none of one resource offer's pairs, or by `batch` what can be opened of any."""
        ordered = [pair for _, group in grouped(pairs) for pair in group]
        outcome = self._foretell(ordered)
        core, account = self.site.core, self.site.accounts[sender]
        if not batch:
            first = next((found for _, found in outcome if found is not None), None)
            if self.expect(first, core, "open", opening_of(pairs), sender=account) is None:
                return
        else:
            receipt = self.expect(None, core, "openBatch", openings_of(pairs), sender=account)
            assert receipt is not None
            self._compare_skipped(pairs, outcome, receipt)
        for pair, found in outcome:
            if found is None:
                self._opened(pair)

    def _foretell(self, pairs: Sequence[Pair]) -> list[tuple[Pair, str | None]]:
        """For each pair in order the error that keeps it from opening, given those before it."""
        book, uses, used, known = self.book, dict(self.uses), set(self.used), {self._ids(entry) for entry in self.entries}
        free = dict(book.free)
        outcome: list[tuple[Pair, str | None]] = []
        for pair in pairs:
            job, resource = pair.job, pair.resource
            view = ChainView(
                self.domain, self.now, free, self.floors, dict(book.funds), frozenset(used), frozenset(self.cancelled), uses,
                {job.struct_hash: job.creator, resource.struct_hash: resource.provider}, opened=frozenset(known),
            )  # fmt: skip
            refusals = why_not(job, resource, pair.module, pair.pool, self.parameters, view)
            outcome.append((pair, refusals[0].error if refusals else None))
            if refusals:
                continue
            deal = deal_from_offers(job, resource, pair.module, pair.pool)
            free[deal.token, deal.creator] = free.get((deal.token, deal.creator), 0) - payouts.escrow(deal, self.rate) + deal.collateral
            free[deal.token, deal.provider] = free.get((deal.token, deal.provider), 0) - deal.collateral
            used.add((job.creator, job.nonce))
            known.add((job.struct_hash, resource.struct_hash))
            if not resource.is_unlimited:
                key = resource.provider, resource.nonce
                uses[key] = uses.get(key, 0) + 1
        return outcome

    def _ids(self, entry: Entry) -> tuple[bytes, bytes]:
        return entry.deal.job_offer_hash, entry.deal.resource_offer_hash

    def _compare_skipped(
        self, pairs: Sequence[Pair], outcome: list[tuple[Pair, str | None]], receipt: Receipt
    ) -> None:
        found: dict[tuple[int, int], str] = {}
        groups = grouped(pairs)
        for event in receipt.events("Skipped"):
            name = decode_error(event["reason"]).name
            items = range(len(groups[event["group"]][1])) if event["item"] == WHOLE_GROUP else [event["item"]]
            found |= {(event["group"], item): name for item in items}
        places = [(g, i) for g, (_, group) in enumerate(groups) for i in range(len(group))]
        expected = {place: error for place, (_, error) in zip(places, outcome, strict=True) if error is not None}
        if found != expected:
            raise Disagreement(f"openBatch skipped {found}, expected {expected}")

    def _opened(self, pair: Pair) -> None:
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        self.book.open(deal)
        self.used.add((deal.creator, pair.job.nonce))
        if not pair.resource.is_unlimited:
            key = pair.resource.provider, pair.resource.nonce
            self.uses[key] = self.uses.get(key, 0) + 1
        self.counters["salt"] += 1
        units = self.counters["salt"] % 7 if deal.unit_price else 0
        result = ResultOpening(units.to_bytes(32, "big"), keccak256(deal.inputs), keccak256(self.counters["salt"].to_bytes(8, "big")))
        self.entries.append(Entry(deal, pair.job, opened(deal, self.now, self.parameters), result, units))

    def cancel(self, account: str, resource: bool, nonce: int) -> None:
        sender = self.site.accounts[account]
        self.expect(None, self.site.core, "cancel", sender.address, resource, [nonce], sender=sender)
        if resource:
            self.uses[sender.address, nonce] = CANCELLED_USES
        else:
            self.cancelled.add((sender.address, nonce))

    def cancel_below(self, account: str, token: int, job: int, resource: int) -> None:
        sender, coin = self.site.accounts[account], self.site.tokens[token].address
        self.expect(None, self.site.core, "cancelBelow", sender.address, [coin], job, resource, sender=sender)
        old = self.floors.get((coin, sender.address), (0, 0))
        self.floors[coin, sender.address] = max(old[0], job), max(old[1], resource)

    # ---- seeds and time

    def know_seed(self, index: int, *, drawn: bool) -> None:
        """The seed that decides on this deal becomes known, such that it draws or spares it; others go along."""
        entry = self.entries[index % len(self.entries)]
        period = deciding_period(entry.model.period)
        if entry.model.status != Status.RESULTS_SUBMITTED or period in self.seeds:
            return
        self._pass_period(period)
        number = 0
        while is_drawn(seed := keccak256(number.to_bytes(8, "big")), self._id(entry), entry.deal.audit_bps) != drawn:
            number += 1
            if number > 300:
                break
        self.set_seed(period, seed)

    def _pass_period(self, period: int) -> None:
        """To a block in which a seed of this period can be known."""
        ahead = (period + 1) * PERIOD_BLOCKS - self.site.evm.number
        if ahead > 0:
            self.wait(ahead, ahead)

    def set_seed(self, period: int, seed: bytes) -> None:
        self.site.randomness.setSeed(period, seed)
        self.seeds[period] = seed
        self._apply_seeds()

    def lose_seed(self, index: int) -> None:
        entry = self.entries[index % len(self.entries)]
        if entry.model.status != Status.RESULTS_SUBMITTED:
            return
        period = deciding_period(entry.model.period)
        self._pass_period(period)
        self.site.randomness.setExpired(period)
        self.seeds[period] = None
        self._apply_seeds()

    def _apply_seeds(self) -> None:
        for entry in self.entries:
            model = entry.model
            period = deciding_period(model.period)
            if model.status in (Status.RESULTS_SUBMITTED, Status.IN_MEDIATION) and entry.deal.audit_bps and period in self.seeds:
                seed = self.seeds[period]
                drawn = seed is not None and is_drawn(seed, self._id(entry), entry.deal.audit_bps)
                found = Seed.LOST if seed is None else Seed.DRAWN if drawn else Seed.SPARED
                entry.model = replace(model, seed=found)

    def wait(self, seconds: int, blocks: int | None = None) -> None:
        evm = self.site.evm
        evm.set_block(evm.number + (seconds if blocks is None else blocks), self.now + seconds)

    def wait_for(self, index: int, clock: int, shift: int) -> None:
        """To one second around a clock of a deal, when that lies ahead."""
        moments = self.entries[index % len(self.entries)].model.moments
        time = moments[clock % len(moments)] + shift
        if time > self.now:
            self.wait(time - self.now)

    # ---- the life of a deal

    def _id(self, entry: Entry) -> DealId:
        return entry.deal.id(self.domain)

    def caller(self, entry: Entry, name: str) -> Caller:
        strategy = name in ("honest", "greedy")
        account = self._address(name)
        return Caller(
            creator=Scope(7) if account == entry.deal.creator else Scope(0),
            provider=Scope(7) if account == entry.deal.provider else Scope(0),
            is_strategy=strategy and account == entry.deal.strategy,
            credit=self.book.free[entry.deal.token, account],
        )

    def _address(self, name: str) -> str:
        return self._sender(name).address

    def _sender(self, name: str) -> Any:
        if name in ("honest", "greedy"):
            return self.site.strategies[name == "greedy"]
        return self.site.accounts[name]

    def step(self, index: int, call: str, actor: str, *, share: int = 0, advance: int = 0) -> None:
        """Anybody tries any call on any deal. `share`: of a claim or a split, in thousandths of the most; above: too much."""
        entry = self.entries[index % len(self.entries)]
        actor = {"creator": self._name(entry.deal.creator), "provider": self._name(entry.deal.provider)}.get(actor, actor)
        caller, deal, model = self.caller(entry, actor), entry.deal, entry.model
        fund = self.book.funds[fund_key(deal)]
        expected = refusal(model, call, caller, self.now, fund=fund, advance=advance)
        claim = 0
        if expected is None and call in VERDICTS:
            most = self._most_claim(entry, call)
            claim = most * share // 1_000
            expected = "ClaimTooHigh" if claim > most else None
        split = self._split(entry, share) if call == "close" else (0, 0)
        contract, name, arguments = self._request(entry, call, actor, claim=claim, advance=advance, split=split)
        receipt = self.expect(expected, contract, name, *arguments, sender=self._sender(actor))
        if receipt is None:
            return
        self._book_step(entry, call, actor, claim=claim, fund=fund, split=split)
        entry.model = after(
            model, call, self.now, commitment=self._commitment(entry, call), period=self.period, fund=fund
        )
        self._apply_seeds()
        self._compare_state(entry)

    def _name(self, address: str) -> str:
        return next(name for name, account in self.site.accounts.items() if account.address == address)

    def _commitment(self, entry: Entry, call: str = "submitResult") -> int:
        digest = result_digest(entry.result.head, entry.result.content)
        salt = ZERO if call == "submitAndSettle" else entry.result.salt
        return commitment(self._id(entry), entry.deal.provider, digest, salt)

    def _most_claim(self, entry: Entry, call: str) -> int:
        deal, paid = entry.deal, audit_fee(entry.deal) if entry.model.paid_audit else 0
        if call == "resolve Correct":
            return min(challenge_fee(deal), deal.collateral - paid + charge(deal, entry.units, self.rate).gross)
        if call == "resolve Wrong":
            return deal.collateral - paid - premium_of(deal) - deal.value
        if call == "resolve NotDelivered":
            return deal.collateral - penalty(deal) - premium_of(deal)
        return 0

    def _split(self, entry: Entry, share: int) -> tuple[int, int]:
        had_result = entry.model.status == Status.RESULTS_SUBMITTED
        rest = payouts.escrow(entry.deal, self.rate) - (premium_of(entry.deal) if had_result else 0)
        to_creator = rest * min(share, 1_000) // 1_000
        return to_creator, rest - to_creator

    def _sign(self, message: Any, address: str) -> bytes:
        account = self.site.accounts[self._name(address)]
        return by_own_key(account.sign(self.domain.digest(message.struct_hash)))

    def _request(
        self, entry: Entry, call: str, actor: str, *, claim: int, advance: int, split: tuple[int, int]
    ) -> tuple[Contract, str, tuple[Any, ...]]:
        core, resolver, deal, id_ = self.site.core, self.site.resolver, entry.deal, self._id(entry)
        digest = result_digest(entry.result.head, entry.result.content)
        if call == "submitResult":
            return core, "submitResult", (id_, self._commitment(entry))
        if call == "submitAndSettle":
            waiver = self._sign(Waiver(deal_id=id_, result_digest=digest), deal.creator)
            return core, "submitAndSettle", waived_at_once(deal, entry.result, waiver)
        if call.startswith("settle"):
            agreement = {"settle accepted": Agreement.ACCEPTANCE, "settle waived": Agreement.WAIVER}.get(call, Agreement.NONE)
            return core, "settle", (settlements_of([self.settling(entry, agreement)])[0],)
        if call == "decline":
            return resolver, "decline", (deal.words, entry.job.words())
        if call == "audit":
            return resolver, "audit", (deal.words, advance)
        if call == "close":
            terms = Closing(id_, *split, 2**40 - 1)
            both = self._sign(terms, deal.creator), self._sign(terms, deal.provider)
            return resolver, "close", (deal.words, closing_of(terms, *both))
        if call in VERDICTS:
            opening = entry.result if call == "resolve Correct" else NO_OPENING
            return resolver, "resolve", (deal.words, VERDICTS[call], opening, claim, self.account("keeper"))
        assert call in _BY_RECORD, call
        return resolver, call, (deal.words,)

    def settling(self, entry: Entry, agreement: Agreement) -> Settling:
        id_, digest = self._id(entry), result_digest(entry.result.head, entry.result.content)
        messages = {Agreement.ACCEPTANCE: Acceptance(id_, digest), Agreement.WAIVER: Waiver(deal_id=id_, result_digest=digest)}
        signature = self._sign(messages[agreement], entry.deal.creator) if agreement in messages else b""
        return Settling(entry.deal, entry.result, agreement, signature)

    def _book_step(self, entry: Entry, call: str, actor: str, *, claim: int, fund: int, split: tuple[int, int]) -> None:
        """What the call does to the ledger, before the model moves."""
        deal, model, book, by = entry.deal, entry.model, self.book, self._address(actor)
        if call == "challenge":
            book.dispute(deal, by, challenge_fee(deal))
        elif call == "challengeDelivery":
            book.dispute(deal, by, delivery_fee(deal))
        elif call == "audit":
            fee = audit_fee(deal)
            lost = model.lottery == Seed.LOST
            book.dispute(deal, by, fee, 0 if lost else min(fund, fee), fee if lost else 0)
        elif call == "repayAdvance":
            book.repay(deal, entry.beginner, min(model.owed, fund))
        if call in ("challenge", "challengeDelivery", "audit"):
            entry.beginner = by
        if call == "decline":
            self.used.discard((deal.creator, entry.job.nonce))
        payout = self._payout(entry, call, claim, split)
        if payout is not None:
            book.end(
                deal, payout, settled=call.startswith("settle") or call == "submitAndSettle", paid_audit=model.paid_audit,
                keeper=self.account("keeper") if call == "resolve NotDelivered" else by,
                challenger=self.account("keeper"),
            )  # fmt: skip

    def _payout(self, entry: Entry, call: str, claim: int, split: tuple[int, int]) -> Payout | None:
        deal, model, rate, paid = entry.deal, entry.model, self.rate, entry.model.paid_audit
        if call.startswith("settle") or call == "submitAndSettle":
            return payouts.accepted(deal, entry.units, rate)
        if call == "resolve Correct":
            return payouts.accepted(deal, entry.units, rate, claim, paid)
        if call == "resolve Wrong":
            return payouts.found_wrong(deal, rate, claim, model.kind == DisputeKind.CHALLENGE, paid)
        if call == "resolve NotDelivered":
            return payouts.timed_out(deal, rate, True, claim)
        if call in ("resolve NoFault", "timeoutMediation"):
            return payouts.no_fault(deal, rate, paid)
        if call == "decline":
            return payouts.declined(deal, rate)
        if call in ("timeoutSubmit", "timeoutReveal"):
            return payouts.timed_out(deal, rate, call == "timeoutReveal")
        if call == "close":
            return payouts.closed(deal, rate, split[0], model.status == Status.RESULTS_SUBMITTED)
        return None

    def settle_batch(self, indices: Sequence[int], agreement: Agreement, sender: str) -> None:
        """Settles what can be settled of several deals, in groups."""
        chosen = list({index % len(self.entries): None for index in indices})
        entries = [self.entries[index] for index in chosen]
        settlements = settlements_of([self.settling(entry, agreement) for entry in entries])
        receipt = self.expect(None, self.site.core, "settleBatch", settlements, sender=self.site.accounts[sender])
        assert receipt is not None
        found = {(event["group"], event["item"]): decode_error(event["reason"]).name for event in receipt.events("Skipped")}
        call = {Agreement.ACCEPTANCE: "settle accepted", Agreement.WAIVER: "settle waived"}.get(agreement, "settle")
        for place, entry in self._places(settlements, entries):
            expected = refusal(entry.model, call, self.caller(entry, sender), self.now)
            if found.get(place) != expected:
                raise Disagreement(f"settleBatch skipped {found.get(place)} at {place}, expected {expected}")
            if expected is None:
                self._book_step(entry, call, sender, claim=0, fund=0, split=(0, 0))
                entry.model = after(entry.model, call, self.now)
                self._compare_state(entry)

    def _places(self, settlements: Sequence[Any], entries: Sequence[Entry]) -> list[tuple[tuple[int, int], Entry]]:
        by_details = {entry.deal.details: entry for entry in entries}
        return [
            ((g, i), by_details[item.details])
            for g, settlement in enumerate(settlements) for i, item in enumerate(settlement.items)
        ]  # fmt: skip

    def submit_signed(self, indices: Sequence[int]) -> None:
        """Somebody carries the signed results of several deals."""
        chosen = list({index % len(self.entries): None for index in indices})
        entries = [self.entries[index] for index in chosen]
        signed = []
        for entry in entries:
            id_, posted = self._id(entry), self._commitment(entry)
            signed.append(SignedResult(id_, posted, self._sign(Result(id_, posted), entry.deal.provider)))
        receipt = self.expect(None, self.site.core, "submitSignedResults", signed, sender=self.site.accounts["keeper"])
        assert receipt is not None
        found = {event["item"]: decode_error(event["reason"]).name for event in receipt.events("Skipped")}
        for index, entry in enumerate(entries):
            expected = refusal(entry.model, "submitSigned", Caller(), self.now)
            if found.get(index) != expected:
                raise Disagreement(f"submitSignedResults skipped {found.get(index)} at {index}, expected {expected}")
            if expected is None:
                entry.model = after(
                    entry.model, "submitSigned", self.now, commitment=self._commitment(entry), period=self.period
                )
        self._apply_seeds()
        for entry in entries:
            self._compare_state(entry)

    # ---- what must hold

    def state(self, entry: Entry) -> DealState:
        return DealState.of(self.site.core.dealOf(self._id(entry)))

    def _compare_state(self, entry: Entry) -> None:
        found = self.state(entry)
        if found != entry.model.state:
            raise Disagreement(f"the deal reads {found}, expected {entry.model.state}")

    def check_ledger(self) -> None:
        """Chain, twin and what the events say are one; the parts add up to what is held. inv:I1 inv:I2 inv:I28"""
        core, book, replayed = self.site.core, self.book, self.replay.book
        accounts = {address for _, address in (*book.free, *book.locked)}
        for token in self.site.tokens:
            for account in accounts:
                key = token.address, account
                found = tuple(core.accountOf(token, account))
                expected = (book.free[key], book.locked[key], *self.floors.get(key, (0, 0)))
                said = (replayed.free[key], replayed.locked[key], *self.replay.floors.get(key, (0, 0)))
                _same(f"account {account}", found, expected, said)
            held = core.heldOf(token)
            _same(f"held {token.address}", held, book.held[token.address], replayed.held[token.address])
            _same("sum of the parts", book.owed(token.address), held, replayed.owed(token.address))
            balance = token.balanceOf(core)
            _same("tokens of the core", balance, held + book.gifts[token.address])
        for key in {*book.funds, *replayed.funds}:
            _same("fund", core.fundOf(*key), book.funds[key], replayed.funds[key])
        for key in {*book.accrued, *replayed.accrued}:
            _same("accrual", list(core.accruedOf(*key)), book.accrued[key], replayed.accrued[key])
        for key in {*book.fees, *replayed.fees}:
            _same("fees", list(core.feesOf(*key)), book.fees[key], replayed.fees[key])

    def check_locked(self) -> None:
        """What is locked is what the open deals lock by their terms. inv:I2 inv:I37"""
        sums: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            if entry.model.status.is_final:
                continue
            deal, paid = entry.deal, audit_fee(entry.deal) if entry.model.paid_audit else 0
            total = payouts.escrow(deal, self.rate) - deal.collateral
            for account, amount in ((deal.creator, total), (deal.provider, deal.collateral - paid)):
                sums[deal.token, account] = sums.get((deal.token, account), 0) + amount
        nonzero = {key: amount for key, amount in sums.items() if amount}
        _same("locked", {key: amount for key, amount in self.book.locked.items() if amount}, nonzero)

    def check_deals(self) -> None:
        """Every deal stands where twin and events say; nothing but its own calls moved it. inv:I4 inv:I28 inv:I30"""
        for entry in self.entries:
            _same("state", self.state(entry), entry.model.state, self.replay.states[self._id(entry)])

    def check_offers(self) -> None:
        """No offer served more than its volume; nonces read as the twin has them. inv:I15 inv:I16"""
        for offer, _ in self.resources:
            served = sum(entry.deal.resource_offer_hash == offer.struct_hash for entry in self.entries)
            if served > offer.volume:
                raise Disagreement(f"an offer of volume {offer.volume} served {served}")
            expected = self.uses.get((offer.provider, offer.nonce), 0)
            _same("uses", self.site.core.resourceUse(offer.provider, offer.nonce), expected)
        for entry in self.entries:
            key = entry.deal.creator, entry.job.nonce
            found = tuple(self.site.core.jobNonce(*key))
            _same("nonce", found, (key in self.used, key in self.cancelled))

    # ---- the end

    def drain(self, party: str) -> None:
        """After all deadlines the party alone ends each of its deals, and everybody takes out all there is. inv:I5 inv:I6

        `party`: creator, provider, or anybody.
        """
        for index, entry in enumerate(self.entries):
            start = self.now
            for _ in range(5):
                if entry.model.status.is_final:
                    break
                self._push(index, entry, party)
            if not entry.model.status.is_final:
                raise Disagreement(f"the {party} alone cannot end a deal that is {entry.model.status.name}")
            if self.now - start > self._longest(entry.deal):
                raise Disagreement("ending a deal took longer than its windows")
        self._take_all()

    def _longest(self, deal: Deal) -> int:
        limits = self.parameters
        return deal.submit_window + 2 * deal.judge_window + limits.reveal_window + 2 * limits.mediation_limit + 100

    def _push(self, index: int, entry: Entry, party: str) -> None:
        """The next step that the party can take by itself, once it is due."""
        actor = {"creator": "creator", "provider": "provider"}.get(party, "keeper")
        status, lottery = entry.model.status, entry.model.lottery
        if status == Status.AGREED:
            self.wait_for(index, 1, 1)
            return self.step(index, "timeoutSubmit", actor)
        if status == Status.IN_MEDIATION:
            self.wait_for(index, 0, 1)
            return self.step(index, "timeoutMediation", actor)
        if lottery == Seed.PENDING:
            period = deciding_period(entry.model.period)
            self._pass_period(period)
            return self.set_seed(period, keccak256(period.to_bytes(8, "big")))
        if lottery.draws:
            self.wait_for(index, 2, 1)
            return self.step(index, "timeoutMediation", actor)
        if party == "provider" and self.now <= entry.model.reveal_end:
            self.wait_for(index, 0, 1)
            return self.step(index, "settle", actor)
        self.wait_for(index, 1, 1)
        return self.step(index, "timeoutReveal", actor)

    def _take_all(self) -> None:
        for index, entry in enumerate(self.entries):
            self.collect(index)
            if min(entry.model.owed, self.book.funds[fund_key(entry.deal)]):
                self.step(index, "repayAdvance", "keeper")
        for token in self.site.tokens:
            for name in (*self.site.accounts, "honest", "greedy"):
                amount = self.book.free[token.address, self._address(name)]
                if amount:
                    to = self._address(name)
                    self.expect(None, self.site.core, "withdraw", token, amount, to, sender=self._sender(name))
                    self.book.withdraw(token.address, to, amount)
        self.check_ledger()
        for token in self.site.tokens:
            funds = sum(amount for (_, t, _), amount in self.book.funds.items() if t == token.address)
            _same("rest", self.site.core.heldOf(token), funds)
            _same("tokens that stay", token.balanceOf(self.site.core), funds + self.book.gifts[token.address])
        if any(self.book.locked.values()) or any(self.book.free.values()):
            raise Disagreement("something is left of somebody")


def _same(what: str, found: Any, *expected: Any) -> None:
    for each in expected:
        if found != each:
            raise Disagreement(f"{what}: the chain has {found}, expected {each}")
