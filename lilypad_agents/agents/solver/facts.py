"""What the solver knows of the chain's state: view calls by name and arguments, cached, and refreshed in batches.

An answer is kept until an event says that it may have changed; what is kept is refreshed once per cycle in one request,
pinned to the head. Threads that need something new at the same time share a request. A wrong fact costs a skipped pair,
never money: the core checks everything again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from lilypad_agents.agents.solver.book import JobEntry, ResourceEntry
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.protocol.consent import Domain, Proof, Scope, examine
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, Address, OfferHash
from lilypad_agents.protocol.refusals import ChainView
from lilypad_agents.protocol.structs import TypedStruct


class Fact(NamedTuple):
    """One view call of the core: the question, not the answer. `arguments[0]` is the account, but for fundOf."""

    name: str
    arguments: tuple[Any, ...]


def account_fact(token: Address, account: Address) -> Fact:
    return Fact("accountOf", (token, account))


def job_nonce_fact(account: Address, nonce: int) -> Fact:
    return Fact("jobNonce", (account, nonce))


def use_fact(account: Address, nonce: int) -> Fact:
    return Fact("resourceUse", (account, nonce))


def consent_fact(account: Address, struct_hash: bytes, signature: bytes) -> Fact:
    return Fact("consentOf", (account, struct_hash, signature, int(Scope.OFFERS)))


def cap_fact(account: Address, key: Address, token: Address) -> Fact:
    return Fact("delegateOf", (account, key, token))


def fund_fact(strategy: Address, token: Address, pool: bytes) -> Fact:
    return Fact("fundOf", (strategy, token, pool))


def actor_fact(account: Address, caller: Address, scope: int) -> Fact:
    return Fact("isActor", (account, caller, scope))


NonceOf = Callable[[bytes], "tuple[Address, int] | None"]
_RIGHTS = ("consentOf", "delegateOf", "isActor")
_RIGHTS_EVENTS = ("DelegateGranted", "DelegateCapSet", "DelegateRevoked", "DigestApproved")
_SHORT_LIVED = ("isActor",)  # asked for strangers too: not worth keeping for ever


class ChainFacts:
    """Cached answers of the core. Thread safe."""

    def __init__(self, core: Contract, domain: Domain) -> None:
        self._core = core
        self._domain = domain
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._known: dict[Fact, Any] = {}
        self._dirty: set[Fact] = set()
        self._of_account: dict[str, set[Fact]] = {}
        self._wanted: dict[Fact, Future[Any]] = {}
        self._epoch = 0  # grows with every set of events, so that an answer from before them is not kept as new

    # ---- asking

    def get(self, facts: Iterable[Fact]) -> dict[Fact, Any]:
        """Answers, from memory where they are fresh. Raises RpcError, ChainUnreachable; a revert is an answer (None)."""
        asked = list(dict.fromkeys(facts))
        futures: dict[Fact, Future[Any]] = {}
        found: dict[Fact, Any] = {}
        with self._lock:
            for fact in asked:
                if fact in self._known and fact not in self._dirty:
                    found[fact] = self._known[fact]
                else:
                    futures[fact] = self._wanted.setdefault(fact, Future())
        if futures:
            self._ask_waiting()
            found.update({fact: future.result() for fact, future in futures.items()})
        return found

    def _ask_waiting(self) -> None:
        """Whoever comes first asks for everybody who waits; the others find their answers when it is their turn."""
        with self._asking:
            with self._lock:
                wanted, self._wanted, epoch = self._wanted, {}, self._epoch
            if not wanted:
                return
            try:
                answers = self._ask(list(wanted), "latest")
            except BaseException as error:
                for future in wanted.values():
                    future.set_exception(error)
                raise
            self._keep(answers, epoch)
            for fact, future in wanted.items():
                future.set_result(answers[fact])

    def _ask(self, facts: Sequence[Fact], block: Any) -> dict[Fact, Any]:
        calls = [self._core.prepare(fact.name, *fact.arguments) for fact in facts]
        answers = call_many(self._core.rpc, calls, block)
        return {
            fact: None if isinstance(answer, Exception) else answer for fact, answer in zip(facts, answers, strict=True)
        }

    def _keep(self, answers: Mapping[Fact, Any], epoch: int) -> None:
        with self._lock:
            for fact, answer in answers.items():
                self._known[fact] = answer
                if epoch == self._epoch:
                    self._dirty.discard(fact)
                else:
                    self._dirty.add(fact)
                for account in _accounts_of(fact):
                    self._of_account.setdefault(account, set()).add(fact)

    # ---- keeping up

    def note(self, events: Iterable[DecodedEvent], nonce_of: NonceOf) -> None:
        """Marks what events may have changed. `nonce_of`: creator and nonce of a job offer by its hash, where we know it."""
        with self._lock:
            for event in events:
                self._epoch += 1
                self._note(event, nonce_of)

    def _note(self, event: DecodedEvent, nonce_of: NonceOf) -> None:
        args = event.args
        accounts = [value for value in args.values() if isinstance(value, str) and value in self._of_account]
        if event.name in _RIGHTS_EVENTS:
            self._touch([args["account"]], _RIGHTS)
        elif event.name == "OfferNonceCancelled":
            make = use_fact if args["resource"] else job_nonce_fact
            self._dirty |= {make(args["account"], int(args["nonce"]))} & self._known.keys()
        elif event.name == "DealOpened":
            deal = Deal.from_words(args["record"])
            self._touch([deal.creator, deal.provider], ("accountOf", "delegateOf"))
            self._touch([deal.provider], ("resourceUse",))
            known = nonce_of(deal.job_offer_hash)
            if known is None:
                self._touch([deal.creator], ("jobNonce",))
            else:
                self._dirty |= {job_nonce_fact(*known)} & self._known.keys()
        else:
            self._touch(accounts, ("accountOf", "jobNonce") if event.name == "DealDeclined" else ("accountOf",))
        self._dirty |= {fact for fact in self._of_account.get("", ())}  # funds: few, and many events move them

    def _touch(self, accounts: Iterable[str], names: Sequence[str]) -> None:
        for account in accounts:
            self._dirty |= {fact for fact in self._of_account.get(account, ()) if fact.name in names}

    def forget_all(self) -> None:
        """Takes everything for stale: after a reorganisation, and once in a while."""
        with self._lock:
            self._dirty = set(self._known)
            self._epoch += 1

    def doubt_rights(self) -> None:
        """Takes consents and delegations for stale."""
        with self._lock:
            self._dirty |= {fact for fact in self._known if fact.name in _RIGHTS}

    def doubt(self, accounts: Iterable[Address]) -> bool:
        """Takes all that is known of some accounts for stale; False when that is nothing."""
        with self._lock:
            stale = {fact for account in accounts for fact in self._of_account.get(account, ())}
            self._dirty |= stale
        return bool(stale)

    def refresh(self, moment: ChainMoment) -> set[str]:
        """Asks again for what is stale, at one block; returns the accounts concerned ("" for funds)."""
        with self._lock:
            stale = [fact for fact in self._dirty if fact.name not in _SHORT_LIVED]
            for fact in [fact for fact in self._dirty if fact.name in _SHORT_LIVED]:
                self._drop(fact)
            epoch = self._epoch
        if stale:
            self._keep(self._ask(stale, moment), epoch)
        return {account for fact in stale for account in _accounts_of(fact)}

    def keep_only(self, facts: set[Fact]) -> None:
        """Drops what no live offer needs."""
        with self._lock:
            for fact in [fact for fact in self._known if fact not in facts and fact.name not in _SHORT_LIVED]:
                self._drop(fact)
            if len(self._known) > 4 * len(facts) + 10_000:  # strangers' rights, asked for and never again
                for fact in [fact for fact in self._known if fact.name in _SHORT_LIVED]:
                    self._drop(fact)

    def _drop(self, fact: Fact) -> None:
        self._known.pop(fact, None)
        self._dirty.discard(fact)
        for account in _accounts_of(fact):
            facts = self._of_account.get(account)
            if facts is not None:
                facts.discard(fact)
                if not facts:
                    del self._of_account[account]

    def __len__(self) -> int:
        return len(self._known)

    # ---- what follows from the facts

    def speaker(self, message: TypedStruct, account: Address, signature: bytes) -> Address | None:
        """Who consented to an offer: the account, its delegate, or nobody (None).

        An own key is decided here. Raises SignatureMalformed, RpcError, ChainUnreachable.
        """
        consent = examine(account, self._domain.digest(message.struct_hash), signature)
        if not consent.valid:
            return None
        if consent.proof is Proof.KEY and not consent.by_delegate:
            return account
        fact = consent_fact(account, message.struct_hash, signature)
        key = self.get([fact])[fact]
        return None if key in (None, NOBODY) else Address(key)

    def speaker_of(self, entry: JobEntry | ResourceEntry) -> Address | None:
        """As `speaker`, for an offer that was taken: an own key was checked then."""
        if _by_own_key(entry.signature):
            return entry.account
        return self.speaker(entry.offer, entry.account, entry.signature)

    def is_actor(self, account: Address, caller: Address, scope: Scope) -> bool:
        """Whether a key may act for an account. Raises RpcError, ChainUnreachable."""
        if account == caller:
            return True
        fact = actor_fact(account, caller, int(scope))
        return bool(self.get([fact])[fact])

    def known(self, fact: Fact) -> Any:
        """The answer as it was last heard, fresh or not; None when it never was."""
        with self._lock:
            return self._known.get(fact)


def facts_of(entry: JobEntry | ResourceEntry, speaker: Address | None) -> list[Fact]:
    """What must be known of the chain to match an offer."""
    offer, account = entry.offer, entry.account
    needed = [account_fact(offer.token, account)]
    if isinstance(entry, JobEntry):
        needed.append(job_nonce_fact(account, offer.nonce))
        if entry.pool.is_verified:
            needed.append(fund_fact(entry.pool.strategy, offer.token, entry.pool.id))
    else:
        needed.append(use_fact(account, offer.nonce))
    if speaker is not None and speaker != account:
        needed.append(cap_fact(account, speaker, offer.token))
    if not _by_own_key(entry.signature):
        needed.append(consent_fact(account, entry.id, entry.signature))
    return needed


def view_of(
    facts: ChainFacts, jobs: Sequence[JobEntry], resources: Sequence[ResourceEntry], domain: Domain, time: int
) -> ChainView:
    """The view that matching reads, from what is known; offers of which too little is known count as unsigned."""
    view = _ViewParts()
    for job in jobs:
        view.add_job(facts, job)
    for resource in resources:
        view.add_resource(facts, resource)
    return ChainView(
        domain=domain,
        time=time,  # type: ignore[arg-type]
        free=view.free,
        floors=view.floors,
        funds=view.funds,
        used_nonces=frozenset(view.used),
        cancelled_nonces=frozenset(view.cancelled),
        uses=view.uses,
        speakers=view.speakers,
        caps=view.caps,
        lists={entry.offer.modules: entry.versions for entry in resources if entry.tree is not None},
    )


class _ViewParts:
    """The mappings of a ChainView while they are gathered."""

    def __init__(self) -> None:
        self.free: dict[tuple[Address, Address], int] = {}
        self.floors: dict[tuple[Address, Address], tuple[int, int]] = {}
        self.funds: dict[Any, int] = {}
        self.used: set[Any] = set()
        self.cancelled: set[Any] = set()
        self.uses: dict[Any, int] = {}
        self.speakers: dict[OfferHash, Address] = {}
        self.caps: dict[tuple[Address, Address, Address], int] = {}

    def add_job(self, facts: ChainFacts, entry: JobEntry) -> None:
        offer = entry.offer
        nonce = facts.known(job_nonce_fact(offer.creator, offer.nonce))
        if nonce is None or not self._add_account(facts, entry):
            return
        if nonce[0]:
            self.used.add((offer.creator, offer.nonce))
        if nonce[1]:
            self.cancelled.add((offer.creator, offer.nonce))
        if entry.pool.is_verified:
            key = (entry.pool.strategy, offer.token, entry.pool.id)
            self.funds[key] = facts.known(fund_fact(*key)) or 0

    def add_resource(self, facts: ChainFacts, entry: ResourceEntry) -> None:
        use = facts.known(use_fact(entry.account, entry.offer.nonce))
        if use is not None and self._add_account(facts, entry):
            self.uses[entry.account, entry.offer.nonce] = use

    def _add_account(self, facts: ChainFacts, entry: JobEntry | ResourceEntry) -> bool:
        token, account = entry.offer.token, entry.account
        answer = facts.known(account_fact(token, account))
        if answer is None:
            return False
        self.free[token, account] = answer[0]
        self.floors[token, account] = (answer[2], answer[3])
        speaker = self._speaker(facts, entry)
        if speaker is None:
            return False
        self.speakers[entry.id] = speaker
        if speaker != account:
            rights = facts.known(cap_fact(account, speaker, token))
            self.caps[account, speaker, token] = rights[2] if rights else 0
        return True

    def _speaker(self, facts: ChainFacts, entry: JobEntry | ResourceEntry) -> Address | None:
        """Own keys were checked when the offer came; everything else may have been taken back since."""
        if _by_own_key(entry.signature):
            return entry.account
        key = facts.known(consent_fact(entry.account, entry.id, entry.signature))
        return None if key in (None, NOBODY) else Address(key)


def _by_own_key(signature: bytes) -> bool:
    return len(signature) == 66 and signature[0] == 0


def _accounts_of(fact: Fact) -> tuple[str, ...]:
    """Under which accounts a fact is found; funds under the empty one."""
    if fact.name == "fundOf":
        return ("",)
    return (fact.arguments[1],) if fact.name == "accountOf" else (fact.arguments[0],)
