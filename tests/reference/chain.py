"""The contracts under test: deployed once in an in-process EVM, and each step of a trace as the call that it is.

Nothing here foresees anything. `Site.send` answers what happened in the model's words; `image` says what every word should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from coincurve import PrivateKey

from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.parameters import Parameters, devnet
from tests.reference.deals import Clock
from tests.reference.ledger import Accrual
from tests.reference.protocol import Places, Protocol, Skipped, Step
from tests.reference.rounds import Round, seating
from tests.reference.terms import (
    JobOffer,
    ModuleTerms,
    Opening,
    Pair,
    PoolTerms,
    Record,
    digest_of,
    message_hash,
    separator_of,
)
from tests.reference.words import NOBODY, ZERO, Tail, array, joined, keccak, text, word, words
from tests.support.evm import Contract, Evm, Log, error_names, selector_of, topic_of

COIN = 10**18
PERIOD_BLOCKS = 6
UNBONDING, LAST_CALL = 1_000, 60
PEOPLE = ("ada", "ben", "cleo", "dan", "eve")
MEDIATORS = ("mia", "max", "mona", "milo", "meg", "mo")
OTHERS = ("solver", "publisher", "keeper")
WHOLE_GROUP = 2**256 - 1
CALLBACK_GAS = 2_000_000
_TOKEN_ERRORS = ("ERC20InsufficientBalance", "Panic")  # of a plain token, and of one that only subtracts
_PULLS = ("deposit", "stake", "appeal", "gift")


@dataclass
class Site:
    """What is deployed, and the model of it when nothing has happened yet but that everybody has money."""

    evm: Evm
    contracts: dict[str, Contract]
    tokens: tuple[str, str]
    modules: tuple[ModuleTerms, ...]
    pools: tuple[PoolTerms, ...]
    keys: dict[str, PrivateKey]
    separator: bytes
    names: dict[str, str]  # of accounts and contracts, by address
    base: Protocol = field(init=False)
    founding: list[Log] = field(default_factory=list)  # events of how it came to this

    def address(self, name: str) -> str:
        return next(address for address, found in self.names.items() if found == name)

    @property
    def accounts(self) -> list[str]:
        return list(self.keys)

    @property
    def places(self) -> Places:
        return self.base.places

    def balance_question(self, account: str) -> bytes:
        return _call("NoReturnToken", "balanceOf", word(account))

    # ---- sending

    def send(self, step: Step, model: Protocol) -> tuple[str | None, Skipped | None]:
        """The error with which the step was refused, or None; and what a batch left out."""
        make = getattr(self, f"_{step.call}", None)
        if make is None:
            raise ValueError(f"no call {step.call}")
        request = make(model, step.who, *step.args)
        if request is None:  # of the world
            return None, None
        to, data = request
        sender = step.who
        if step.who == self.at("puppet"):
            sender, to, data = self.accounts[0], step.who, _call("Puppet", "execute", word(to), text(data))
        elif step.who == self.at("client"):  # it has functions of its own for what it does
            sender, to = self.accounts[0], step.who
        ok, answer = self.evm.attempt(sender, to, data)
        if ok:
            return None, self._skipped() if step.call in ("open_batch", "submit_signed", "settle_batch") else None
        name = _errors().get(answer[:4], f"unknown error 0x{answer[:4].hex()}")
        return ("TokenRefuses" if name in _TOKEN_ERRORS and step.call in _PULLS else name), None

    def _skipped(self) -> Skipped:
        found: Skipped = {}
        for log in self.evm.logs(topic_of("Lilypad", "Skipped")):
            place = None if log.args["item"] == WHOLE_GROUP else log.args["item"]
            found[log.args["group"], place] = _errors()[bytes(log.args["reason"])[:4]]
        return found

    def at(self, name: str) -> str:
        return self.contracts[name].address

    def sign(self, account: str, struct_hash: bytes, valid: bool = True) -> bytes:
        """By the account's key; an invalid one is of another account's."""
        signer = account if valid else next(a for a in self.accounts if a != account)
        signature = self.keys[signer].sign_recoverable(digest_of(self.separator, struct_hash), hasher=None)
        return b"\0" + signature[:64] + bytes([27 + signature[64]])

    def _signed(self, account: str, struct_hash: bytes, valid: bool = True) -> Tail:
        """Empty where a contract approved by a call."""
        return text(self.sign(account, struct_hash, valid) if account in self.keys else b"")

    def _core(self, function: str, *parts: bytes) -> tuple[str, bytes]:
        return self.at("core"), _call("Lilypad", function, *parts)

    def _resolver(self, function: str, *parts: bytes) -> tuple[str, bytes]:
        return self.at("resolver"), _call("LilypadResolver", function, *parts)

    def _by_record(self, function: str, deal_id: bytes, model: Protocol, *parts: bytes) -> tuple[str, bytes]:
        return self._resolver(function, model.deals.all[deal_id].record.dense, *parts)

    # ---- the world

    def _wait(self, model: Protocol, who: str, seconds: int, blocks: int) -> None:
        self.evm.set_block(self.evm.number + blocks, self.evm.timestamp + seconds)

    def _seed(self, model: Protocol, who: str, period: int, value: bytes | None) -> tuple[str, bytes]:
        if value is None:
            return self.at("randomness"), _call("ScriptedRandomness", "setExpired", word(period))
        return self.at("randomness"), _call("ScriptedRandomness", "setSeed", words(period, value))

    # ---- the ledger

    def _deposit(self, model: Protocol, who: str, token: str, account: str, amount: int) -> tuple[str, bytes]:
        return self._core("deposit", words(token, amount, account))

    def _withdraw(self, model: Protocol, who: str, token: str, to: str, amount: int) -> tuple[str, bytes]:
        if who == self.at("client"):
            return who, _call("RecordingClient", "withdraw", words(token, amount, to))
        return self._core("withdraw", words(token, amount, to))

    def _transfer(self, model: Protocol, who: str, token: str, parts: Sequence[tuple[str, int]]) -> tuple[str, bytes]:
        return self._core("transferCredit", word(token), array([word(to) for to, _ in parts]), array([word(n) for _, n in parts]))

    def _donate(self, model: Protocol, who: str, terms: PoolTerms, amount: int) -> tuple[str, bytes]:
        return self._core("donate", words(terms.strategy, terms.token, terms.id, amount))

    def _gift(self, model: Protocol, who: str, token: str, to: str, amount: int) -> tuple[str, bytes]:
        return token, _call("NoReturnToken", "transfer", words(to, amount))

    def _sweep(self, model: Protocol, who: str, place: Accrual) -> tuple[str, bytes]:
        return self._core("sweep", words(*place))

    def _claim_royalty(self, model: Protocol, who: str, place: Accrual, module: ModuleTerms) -> tuple[str, bytes]:
        return self._core("claimRoyalty", word(place.token), module.argument, word(place.solver))

    def _claim_solver_fee(self, model: Protocol, who: str, place: Accrual) -> tuple[str, bytes]:
        return self._core("claimSolverFee", words(place.token, place.version, place.solver))

    def _cancel(self, model: Protocol, who: str, account: str, resource: bool, nonce: int) -> tuple[str, bytes]:
        return self._core("cancel", words(account, resource), array([word(nonce)]))

    def _cancel_below(self, model: Protocol, who: str, account: str, token: str, job: int, resource: int) -> tuple[str, bytes]:
        return self._core("cancelBelow", word(account), array([word(token)]), words(job, resource))

    def _grant(self, model: Protocol, who: str, key: str, scope: int, expiry: int) -> tuple[str, bytes]:
        return self._core("grantDelegate", words(key, scope, expiry), array([]))

    def _revoke(self, model: Protocol, who: str, key: str) -> tuple[str, bytes]:
        return self._core("revokeDelegate", word(key))

    # ---- deals

    def _opening(self, pairs: Sequence[Pair]) -> Tail:
        first = pairs[0]
        jobs = [joined(pair.job.dense, self._signed(pair.job.creator, pair.job.hash, pair.job_signed)) for pair in pairs]
        resource = first.resource
        signature = self._signed(resource.provider, resource.hash, first.resource_signed)
        return joined(resource.dense(first.solver), signature, first.module.dense, first.pool.dense, array([]), array(jobs))

    def _open(self, model: Protocol, who: str, pairs: Sequence[Pair]) -> tuple[str, bytes]:
        return self._core("open", self._opening(pairs))

    def _open_batch(self, model: Protocol, who: str, groups: Sequence[Sequence[Pair]]) -> tuple[str, bytes]:
        return self._core("openBatch", array([self._opening(pairs) for pairs in groups]))

    def _submit(self, model: Protocol, who: str, deal_id: bytes, commitment: int) -> tuple[str, bytes]:
        return self._core("submitResult", words(deal_id, commitment))

    def _submit_signed(self, model: Protocol, who: str, results: Sequence[tuple[bytes, int, bool]]) -> tuple[str, bytes]:
        items = []
        for deal_id, commitment, valid in results:
            provider = model.deals.all[deal_id].record.provider
            signature = self._signed(provider, message_hash("Result", deal_id, commitment), valid)
            items.append(joined(words(deal_id, commitment), signature))
        return self._core("submitSignedResults", array(items))

    def _submit_and_settle(self, model: Protocol, who: str, deal_id: bytes, opening: Opening, waived: bool) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        waiver = self._signed(record.creator, message_hash("Waiver", deal_id, opening.digest), waived)
        return self._core("submitAndSettle", record.shared, record.details, opening.head, opening.content, waiver)

    def _item(self, record: Record, opening: Opening, agreement: Agreement, valid: bool) -> Tail:
        kind = {Agreement.ACCEPTANCE: "Acceptance", Agreement.WAIVER: "Waiver"}.get(agreement)
        signature = self._signed(record.creator, message_hash(kind, record.id, opening.digest), valid) if kind else text(b"")
        return joined(record.details, *opening, word(agreement), signature)

    def _settle(
        self, model: Protocol, who: str, deal_id: bytes, opening: Opening, agreement: Agreement, valid: bool
    ) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        return self._core("settle", joined(record.shared, array([self._item(record, opening, agreement, valid)])))

    def _settle_batch(self, model: Protocol, who: str, items: Sequence[tuple[bytes, Opening, Agreement, bool]]) -> tuple[str, bytes]:
        """Items that share what a settlement sends once go together, which is how the generator makes them."""
        records = [model.deals.all[item[0]].record for item in items]
        encoded = [self._item(record, *item[1:]) for record, item in zip(records, items, strict=True)]
        return self._core("settleBatch", array([joined(records[0].shared, array(encoded))]))

    def _decline(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("decline", deal_id, model, model.deals.all[deal_id].record.pair.job.dense)

    def _timeout_submit(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("timeoutSubmit", deal_id, model)

    def _timeout_reveal(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("timeoutReveal", deal_id, model)

    def _timeout_mediation(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("timeoutMediation", deal_id, model)

    def _close(
        self, model: Protocol, who: str, deal_id: bytes, to_creator: int, to_provider: int, expiry: int, valid: tuple[bool, bool]
    ) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        said = message_hash("Closing", deal_id, to_creator, to_provider, expiry)
        signatures = (self._signed(record.creator, said, valid[0]), self._signed(record.provider, said, valid[1]))
        return self._by_record("close", deal_id, model, joined(words(to_creator, to_provider, expiry), *signatures))

    def _challenge(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("challenge", deal_id, model)

    def _challenge_delivery(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("challengeDelivery", deal_id, model)

    def _audit(self, model: Protocol, who: str, deal_id: bytes, most: int) -> tuple[str, bytes]:
        return self._by_record("audit", deal_id, model, word(most))

    def _resolve(
        self, model: Protocol, who: str, deal_id: bytes, verdict: Verdict, opening: Opening, claim: int, bounty_to: str
    ) -> tuple[str, bytes]:
        return self._by_record("resolve", deal_id, model, word(verdict), *opening, words(claim, bounty_to))

    def _repay_advance(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._by_record("repayAdvance", deal_id, model)

    # ---- disputes

    def _mediation(self, function: str, *parts: bytes) -> tuple[str, bytes]:
        return self.at("mediation"), _call("LilypadMediation", function, *parts)

    def _seating(self, model: Protocol, deal_id: bytes, round_: Round | None) -> Tail:
        if round_ is None or not round_.is_drawn:
            return Tail(words(NOBODY, 0, 0, ZERO, 160, 0))
        record = model.deals.all[deal_id].record
        return Tail(seating(round_, record.provider, record.pair.pool))

    def _standing(self, model: Protocol, deal_id: bytes) -> Tail:
        """The seating of the round that has seats: the running one or, while that waits for its first draw, the one before."""
        dispute = model.mediation.of(deal_id)
        drawn = [round_ for round_ in dispute.rounds if round_.is_drawn] if dispute else []
        return self._seating(model, deal_id, drawn[-1] if drawn else None)

    def _on_round(self, function: str, model: Protocol, deal_id: bytes) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        return self._mediation(function, record.dense, record.pair.pool.argument, self._standing(model, deal_id))

    def _queue(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._on_round("queue", model, deal_id)

    def _draw(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._on_round("draw", model, deal_id)

    def _appeal(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._on_round("appeal", model, deal_id)

    def _running(self, model: Protocol, deal_id: bytes) -> Tail:
        dispute = model.mediation.disputes.get(deal_id)
        return self._seating(model, deal_id, dispute.last if dispute else None)

    def _commit(self, model: Protocol, who: str, deal_id: bytes, seat: int, commitment: bytes) -> tuple[str, bytes]:
        return self._mediation("commit", deal_id, self._running(model, deal_id), words(seat, commitment))

    def _open_result(self, model: Protocol, who: str, deal_id: bytes, opening: Opening, data_id: bytes) -> tuple[str, bytes]:
        return self._mediation("open", deal_id, self._running(model, deal_id), *opening, data_id)

    def _name_data(self, model: Protocol, who: str, deal_id: bytes, data_id: bytes) -> tuple[str, bytes]:
        return self._mediation("nameData", deal_id, self._running(model, deal_id), data_id)

    def _reveal(
        self, model: Protocol, who: str, deal_id: bytes, seat: int, vote: bytes, salt: bytes, served: bool
    ) -> tuple[str, bytes]:
        return self._mediation("reveal", deal_id, self._running(model, deal_id), words(seat, vote, salt, served))

    def _advance(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._mediation("advance", deal_id, self._running(model, deal_id))

    def _seatings(self, model: Protocol, deal_id: bytes) -> Tail:
        dispute = model.mediation.of(deal_id)
        drawn = [round_ for round_ in dispute.rounds if round_.is_drawn] if dispute else []
        return array([self._seating(model, deal_id, round_) for round_ in drawn])

    def _execute(self, model: Protocol, who: str, deal_id: bytes, opening: Opening) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        return self._mediation("execute", record.dense, record.pair.pool.argument, self._seatings(model, deal_id), *opening)

    def _unwind(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        record = model.deals.all[deal_id].record
        return self._mediation("unwind", record.dense, record.pair.pool.argument, self._seatings(model, deal_id))

    # ---- stakes

    def _staking(self, function: str, *parts: bytes) -> tuple[str, bytes]:
        return self.at("staking"), _call("LilypadStaking", function, *parts)

    def _stake(self, model: Protocol, who: str, terms: PoolTerms, amount: int) -> tuple[str, bytes]:
        return self._staking("stake", terms.argument, word(amount), array([]))

    def _unbond(self, model: Protocol, who: str, terms: PoolTerms, amount: int) -> tuple[str, bytes]:
        return self._staking("requestUnbonding", terms.argument, word(amount))

    def _withdraw_stake(self, model: Protocol, who: str, terms: PoolTerms, account: str) -> tuple[str, bytes]:
        return self._staking("withdraw", terms.argument, word(account))

    def _apply_pending(self, model: Protocol, who: str, terms: PoolTerms, most: int) -> tuple[str, bytes]:
        return self._staking("applyPending", terms.argument, word(most))

    def _draw_cancelled(self, model: Protocol, who: str, terms: PoolTerms, ticket: int) -> tuple[str, bytes]:
        waiting = model.stakes[terms.id][1].tickets[ticket]
        return self._staking("drawCancelled", terms.argument, words(ticket, waiting.round, waiting.seats, *waiting.excluded))

    def _set_operator(self, model: Protocol, who: str, operator: str) -> tuple[str, bytes]:
        return self._staking("setOperator", word(operator))

    # ---- jobs

    def _ask(self, model: Protocol, who: str, offer: JobOffer, callback_gas: int) -> tuple[str, bytes]:
        terms = words(*(getattr(offer, name) for name in JobOffer._fields if name not in ("creator", "inputs")))
        return self.at("client"), _call("RecordingClient", "ask", terms, text(INPUTS), word(callback_gas))

    def _take_back(self, model: Protocol, who: str, request_id: bytes) -> tuple[str, bytes]:
        return self.at("client"), _call("RecordingClient", "cancel", request_id)

    def _refuse(self, model: Protocol, who: str, refuses: bool) -> tuple[str, bytes]:
        return self.at("client"), _call("RecordingClient", "setRefusing", word(refuses))

    def _jobs(self, function: str, *parts: bytes) -> tuple[str, bytes]:
        return self.at("jobs"), _call("LilypadJobs", function, *parts)

    def _deliver(self, model: Protocol, who: str, deal_id: bytes, opening: Opening, stdout: bytes, brought: bool) -> tuple[str, bytes]:
        parts = words(opening.head, keccak(stdout) if stdout else ZERO, ZERO, ZERO, opening.salt)
        return self._jobs("deliver", model.deals.all[deal_id].record.dense, parts, text(stdout if brought else b""))

    def _deliver_failure(self, model: Protocol, who: str, deal_id: bytes) -> tuple[str, bytes]:
        return self._jobs("deliverFailure", model.deals.all[deal_id].record.dense)

    def _deliver_unopened(self, model: Protocol, who: str, offer: JobOffer) -> tuple[str, bytes]:
        terms = words(*(getattr(offer, name) for name in JobOffer._fields if name not in ("creator", "inputs")))
        return self._jobs("deliverUnopened", word(offer.creator), terms, offer.inputs)


INPUTS = b'{"files":{},"module":"0x00","values":{}}'


def content_of(stdout: bytes) -> bytes:
    """Of a result that counts standard output alone."""
    return keccak((keccak(stdout) if stdout else ZERO) + ZERO + ZERO)


@lru_cache(maxsize=None)
def _selector(contract: str, function: str) -> bytes:
    return selector_of(contract, function)


def _call(contract: str, function: str, *parts: bytes) -> bytes:
    return _selector(contract, function) + joined(*parts)


@lru_cache(maxsize=1)
def _errors() -> Mapping[bytes, str]:
    return error_names()


# ---- deployment


def parameters(randomness: Contract) -> Parameters:
    """The devnet's, with time to do things in."""
    return replace(devnet(3_600, randomness.address), reveal_window=200, mediation_limit=900)


def build_site() -> Site:
    """Contracts, accounts with tokens and credit, funds, stakes."""
    evm = Evm()
    accounts = {name: evm.account(name) for name in (*PEOPLE, *MEDIATORS, *OTHERS)}
    keys = {account.address: PrivateKey(account.secret) for account in accounts.values()}
    first, second = evm.deploy("PlainToken", "Main", 18), evm.deploy("NoReturnToken")
    randomness = evm.deploy("ScriptedRandomness", PERIOD_BLOCKS, 36_000, 9)
    chosen = parameters(randomness)
    core = evm.deploy("Lilypad", chosen)
    staking = evm.deploy("LilypadStaking", core, UNBONDING)
    mediation = evm.deploy("LilypadMediation", core, staking, LAST_CALL)
    jobs = evm.deploy("LilypadJobs", core)
    contracts = {
        "core": core, "resolver": evm.at("LilypadResolver", core.resolver()), "staking": staking, "mediation": mediation,
        "jobs": jobs, "client": evm.deploy("RecordingClient", jobs), "puppet": evm.deploy("Puppet"), "randomness": randomness,
    }  # fmt: skip
    separator = separator_of(evm.chain_id, core.address)
    names = {account.address: name for name, account in accounts.items()} | {c.address: name for name, c in contracts.items()}
    names |= {first.address: "first token", second.address: "second token"}
    pools = _pools(mediation.address, contracts["puppet"].address, first.address, second.address)
    site = Site(evm, contracts, (first.address, second.address), _modules(accounts["publisher"].address), pools, keys, separator, names)
    places = Places(core.address, staking.address, mediation.address, contracts["client"].address)
    clock = Clock(evm.timestamp, evm.number, PERIOD_BLOCKS, {})
    site.base = Protocol(places, chosen, separator, clock, pools[:-1], UNBONDING, LAST_CALL)
    for token in (first, second):
        for account in keys:
            token.mint(account, 10**6 * COIN)
            site.base.ledger.wallet[token.address, account] = 10**6 * COIN
            for spender in (core, staking, mediation):
                evm.attempt(account, token.address, _call("NoReturnToken", "approve", words(spender.address, 2**256 - 1)))
    for step in _founding(site):
        error, _ = site.send(step, site.base)
        assert error is None, (step, error)
        site.founding += evm.logs()
        site.base.take(step)
    return site


def _modules(publisher: str) -> tuple[ModuleTerms, ...]:
    """A usual one, a dear one, and one that no offer here covers."""
    return (
        ModuleTerms(publisher, keccak(b"usual"), 500, publisher, True, 0, 0),
        ModuleTerms(publisher, keccak(b"dear"), 3_000, publisher, True, 400, 2 * COIN),
        ModuleTerms(publisher, keccak(b"moody"), 0, publisher, False, 0, 0),
    )


def _pools(mediation: str, puppet: str, first: str, second: str) -> tuple[PoolTerms, ...]:
    """Two before the default strategy, one before a strategy that says anything, and none."""
    return (
        PoolTerms(mediation, first, COIN * 5 // 4, 80 * COIN, 10 * COIN, 12, 8, 12),
        PoolTerms(mediation, second, COIN * 5 // 4 + 1, 100 * COIN + 3, 10 * COIN, 15, 10, 9),
        PoolTerms(puppet, first, COIN * 5 // 4, 80 * COIN, 10 * COIN, 12, 8, 12),
        PoolTerms(),
    )


def _founding(site: Site) -> Iterator[Step]:
    """Credit for everybody, funds, stakes, and a contract that can ask for jobs."""
    keeper, client = site.address("keeper"), site.at("client")
    for token in site.tokens:
        for account in (*site.accounts, client):
            yield Step("deposit", keeper, (token, account, 2_000 * COIN))
    for terms, fund in zip(site.pools, (300 * COIN, 30 * COIN, 30 * COIN), strict=False):
        yield Step("donate", keeper, (terms, fund))
    for number, name in enumerate(MEDIATORS):
        for terms in site.pools[:2]:
            yield Step("stake", site.address(name), (terms, (8 + number) * terms.seat_stake + number))
