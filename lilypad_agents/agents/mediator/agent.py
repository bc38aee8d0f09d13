"""The mediator's part of the loop: see, decide, act. Level-triggered: whatever was missed is found in the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import Gauge

from lilypad_agents.agents.mediator.actor import Actor, Subject, occasion_of, subject_of
from lilypad_agents.agents.mediator.bench import Bench
from lilypad_agents.agents.mediator.decide import Intent, decide
from lilypad_agents.agents.mediator.evidence import Evidence
from lilypad_agents.agents.mediator.keeping import Lookup, turn_of
from lilypad_agents.agents.mediator.orders import Orders
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.mediator.store import MediatorStore, StoredVote
from lilypad_agents.agents.mediator.view import (
    Action,
    DisputeView,
    DrawnDeal,
    MediatorView,
    Money,
    PoolView,
    SeatView,
)
from lilypad_agents.agents.mediator.votes import NAMES, name_of, salt_of
from lilypad_agents.agents.provider.view import Lottery
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView as BookEntry
from lilypad_agents.agents.runtime.disputes import Dispute
from lilypad_agents.agents.runtime.loop import Observation
from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.agents.runtime.seeds import SeedStatus
from lilypad_agents.chain.contract import call_many
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.protocol.dispute import Phase, SeatState
from lilypad_agents.protocol.digest import deciding_period, is_drawn
from lilypad_agents.protocol.ids import Address, DealId, PoolId
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.mediation import vote_commitment
from lilypad_agents.protocol.price import audit_fee
from lilypad_agents.protocol.rounds import QueuedRound
from lilypad_agents.protocol.units import Amount, Period, Timestamp

UnderWay = Mapping[DealId, frozenset[Action]]
MONEY_EVERY_S = 3  # block time between two looks at coin and stakes when nothing happens
ASKED_AGAIN_BLOCKS = 8  # at least, between two questions for events that a node seems to keep back
COLLECT_EVERY_S = 600
GAS_FOR_OBLIGATIONS = 2_000_000  # what the coin of a seated mediator must pay for, at twice the base fee


@dataclass
class MediatorAgent:
    """One mediator. `account`: whose seats it works for."""

    context: AgentContext
    settings: MediatorSettings
    account: Address
    store: MediatorStore
    panels: Panels
    bench: Bench
    actor: Actor
    lookup: Lookup
    evidence: Evidence
    orders: Orders
    salts: Salts
    last_call_s: int
    crash: CrashPlan = field(default_factory=lambda: NEVER)
    tested: bool = True
    disputes: dict[DealId, Dispute] = field(default_factory=dict)
    entries: dict[DealId, BookEntry] = field(default_factory=dict)
    _commitments: dict[tuple[DealId, int], bytes] = field(default_factory=dict)
    _since: dict[bytes, Timestamp] = field(default_factory=dict)
    _missed_blocks: int = 0  # how far back was asked for events that seem to be missing
    _missed_at: int = 0  # block
    _unrecoverable: set[tuple[DealId, int]] = field(default_factory=set)
    _short: set[DealId] = field(default_factory=set)
    _finished: set[DealId] = field(default_factory=set)
    _head: bytes = b""
    _looked_at: int = 0
    _collected_at: int = 0
    _unfinished: bool = True

    def __post_init__(self) -> None:
        registry = self.context.health.registry
        gauges: dict[str, Callable[[], float]] = {
            "lilypad_mediator_disputes": lambda: len(self.disputes),
            "lilypad_mediator_seats_open": lambda: sum(len(self._mine(item)) for item in self.disputes.values()),
            "lilypad_mediator_running_jobs": lambda: len(self.bench.running),
        }
        for name, read in gauges.items():
            Gauge(name, name.replace("_", " "), registry=registry).set_function(read)

    # ---- the loop's part

    def cycle(self, observation: Observation) -> bool:
        """One look, one decision, what follows from it. True when more is to be expected at once."""
        changed = self.bench.collect(self.context.now) | self.evidence.collect() | self.orders.take()
        if self._head == observation.head.hash and not (changed or observation.changed or observation.first):
            if not self._unfinished:
                return False
        self._head, self._unfinished = observation.head.hash, True
        self.panels.follow(observation.head)
        self.actor.settle_outcomes(min(observation.advance.cursor, self.panels.place))
        self._look()
        view = self.view()
        made = self._act(decide(view, self.settings), view)
        made += self.orders.advance()
        self._drop_ended()
        self._tidy(view)
        self._unfinished = False
        return made > 0

    def sandbox_tested(self, holds: bool) -> None:
        """From here on jobs are run, where the sandbox holds; also while no block comes. Any thread may call."""
        self.tested, self._unfinished = holds, True

    def stop(self) -> None:
        """Ends runs and threads; seats go on with the next start."""
        self.evidence.close()
        self.bench.close()

    # ---- seeing

    def _look(self) -> None:
        """Disputes of our pools at the cycle's block, and what draws and audits wait for."""
        self.entries = {}
        for entry in self._candidates():
            self.entries[entry.id] = entry
        wanted = {entry.id: self._is_delivery(entry) for entry in self.entries.values() if self._is_disputed(entry)}
        self.disputes = self.panels.look(wanted, self.context.head)
        self._commitments = self._look_at_commitments()
        if self.context.now - self._looked_at >= MONEY_EVERY_S or self.entries or self._head == b"":
            self._looked_at = self.context.now
            self.lookup.look_at_pools()
            self._find_missed()
        self.lookup.look_at_seeds(self._periods())

    def _find_missed(self) -> None:
        """Asks again, further back each time, while a round seems to wait that the chain's queue has passed.

        A node kept back how it left. Until that is known no ticket that nobody wants would be drawn by us. A long history is asked
        for more rarely.
        """
        head, every = self.context.head.number, self.context.settings.reconcile_blocks
        fronts = [(self._front(pool.id), self.lookup.queues[pool.id].next) for pool in self.settings.pools]
        passed = any(front is not None and front.ticket < next_ for front, next_ in fronts)
        if not passed or self.panels.place < head:  # events that are held back for confirmations are rightly not here
            self._missed_blocks = 0
        elif self._missed_blocks == 0 or head >= self._missed_at + max(ASKED_AGAIN_BLOCKS, self._missed_blocks // 64):
            self._missed_at, self._missed_blocks = head, min(max(4 * every, 4 * self._missed_blocks), max(1, head))
            self.panels.ask_again(self._missed_blocks)

    def _front(self, pool_id: PoolId) -> QueuedRound | None:
        """The round that is next by the events that we know."""
        log = self.panels.pools.get(pool_id)
        return None if log is None else log.queue.front

    def _candidates(self) -> list[BookEntry]:
        """Deals of our pools that may need us: submitted, in mediation, or ended without their dispute being cleared."""
        pools = {pool.id for pool in self.settings.pools}
        found = [
            entry
            for entry in self.context.deals.open_deals()
            if entry.deal.pool in pools and entry.state.status is not Status.AGREED
        ]
        waiting = {*self.panels.live(), *self.store.unshown()}
        self._finished &= waiting
        for deal_id in sorted(waiting - self._finished):
            entry = self.context.deals.get(deal_id)
            if entry is not None and not entry.is_open and entry.deal.pool in pools:
                found.append(entry)
        return found

    def _is_disputed(self, entry: BookEntry) -> bool:
        if entry.state.status is Status.RESULTS_SUBMITTED:
            return False
        return entry.state.status is Status.IN_MEDIATION or bool(self.panels.events(entry.id))

    def _is_delivery(self, entry: BookEntry) -> bool:
        if entry.state.kind is not DisputeKind.NONE:
            return entry.state.kind is DisputeKind.DELIVERY
        return entry.state.status is Status.TIMED_OUT

    def _mine(self, dispute: Dispute) -> list[int]:
        """Our seats in the round that stands; none while its seats are not drawn."""
        if dispute.phase in (Phase.NONE, Phase.EXECUTED) or not dispute.facts.drawn:
            return []
        drawn = dispute.facts.drawn[-1]
        if drawn.number != dispute.round:
            return []
        return [seat for seat, account in enumerate(drawn.seating.accounts) if account == self.account]

    def _look_at_commitments(self) -> dict[tuple[DealId, int], bytes]:
        """What the chain has of our seats that are committed and not revealed."""
        asked = [
            (dispute, seat)
            for dispute in self.disputes.values()
            for seat in self._mine(dispute)
            if seat < len(dispute.seats) and dispute.seats[seat] is SeatState.COMMITTED
        ]
        calls = [self.panels.mediation.prepare("commitmentOf", item.deal_id, item.round, seat) for item, seat in asked]
        answers = call_many(self.context.rpc, calls, self.context.head) if calls else []
        return {
            (item.deal_id, seat): bytes(answer)
            for (item, seat), answer in zip(asked, answers, strict=True)
            if not isinstance(answer, Exception)
        }

    def _periods(self) -> set[Period]:
        """Periods whose seed something of our pools waits for."""
        wanted = {queue.period for queue in self.lookup.queues.values() if queue.next < queue.end}
        for entry in self.entries.values():
            if entry.state.status is Status.RESULTS_SUBMITTED and entry.deal.audit_bps:
                wanted.add(deciding_period(entry.state.period))
        return wanted

    def view(self) -> MediatorView:
        """Everything that a decision depends on."""
        under_way = self.actor.under_way()
        disputes = tuple(self._dispute(dispute, under_way) for dispute in self.disputes.values())
        appealable = [item for item in disputes if item.phase is Phase.APPEALABLE]
        return MediatorView(
            time=self.context.now,
            account=self.account,
            disputes=disputes,
            drawn=tuple(self._drawn(under_way)),
            pools=tuple(self._pool(pool.id, under_way) for pool in self.settings.pools),
            money=self._money(appealable),
            seeds=self.lookup.seed_views(self.actor.is_recording),
            free_slots=self.bench.free_slots if self.tested else 0,
            free=self.bench.free,
        )

    def _dispute(self, dispute: Dispute, under_way: UnderWay) -> DisputeView:
        entry = self.entries[dispute.deal_id]
        pool = self.settings.pool(entry.deal.pool)
        assert pool is not None
        vote = self.store.vote(dispute.deal_id, dispute.round, self.account)
        job = self.bench.job(dispute.deal_id, entry.deal, entry.opened_tx)
        subject = self._subject(dispute)
        seating = subject.seating
        drawn_now = bool(dispute.facts.drawn) and dispute.facts.drawn[-1].number == dispute.round
        opened = seating.opened if drawn_now else bytes(32)
        actions = {action for action in Action if action in under_way.get(subject_of(action, subject), ())}
        return DisputeView(
            id=dispute.deal_id,
            deal=entry.deal,
            state=entry.state,
            pool=pool,
            phase=dispute.phase,
            round=dispute.round,
            deadline=dispute.deadline,
            last_call=Timestamp(entry.state.deadline - self.last_call_s),
            delivery=dispute.delivery,
            standing=dispute.standing,
            opened=opened,
            seats=tuple(self._seat(dispute, seat, vote, subject, under_way) for seat in self._mine(dispute)),
            vote=None if vote is None else vote.vote,
            work=job.work(),
            data=self.bench.data(dispute.deal_id, self.panels.data_id(dispute.deal_id)),
            next_in_queue=self._is_next(dispute, entry.deal.pool),
            since=self._first_seen(dispute.deal_id + bytes((dispute.round, dispute.phase, subject.asked & 255))),
            turn=turn_of(self.panels, pool, dispute.deal_id + bytes((subject.asked & 255,)), self.account,
                         self.settings.keeper_turn_s),
            ended=bool(dispute.facts.ended) or (not entry.is_open and self.panels.is_over(dispute.deal_id)),
            recoverable=(dispute.deal_id, dispute.round) not in self._unrecoverable,
            evidence_due=self.evidence.is_due(dispute, self.account),
            appeal_asked=self.orders.appeals.get(dispute.deal_id) == dispute.round,
            under_way=frozenset(actions),
        )  # fmt: skip

    def _seat(
        self, dispute: Dispute, seat: int, vote: StoredVote | None, subject: Subject,
        under_way: UnderWay,
    ) -> SeatView:  # fmt: skip
        found = self._commitments.get((dispute.deal_id, seat))
        matches = None
        if found is not None:
            matches = vote is not None and found == vote_commitment(
                dispute.deal_id, dispute.round, self.account, vote.vote, vote.salt
            )
        state = dispute.seats[seat] if seat < len(dispute.seats) else SeatState.SILENT
        actions = {
            action
            for action in (Action.COMMIT, Action.REVEAL)
            if action in under_way.get(subject_of(action, subject, seat), ())
        }
        return SeatView(seat, state, matches, frozenset(actions))

    def _subject(self, dispute: Dispute) -> Subject:
        entry = self.entries[dispute.deal_id]
        pool = self.settings.pool(entry.deal.pool)
        assert pool is not None
        asked = sum(event.name == "RoundQueued" for event in self.panels.events(dispute.deal_id))
        return Subject(
            dispute.deal_id, entry.deal, pool, dispute.round, asked, dispute.facts.seating, dispute.facts.seatings,
            dispute.facts.opening,
        )  # fmt: skip

    def _is_next(self, dispute: Dispute, pool: PoolId) -> bool:
        queue = self.lookup.queues.get(pool)
        if queue is None or dispute.phase is not Phase.QUEUED:
            return False
        return queue.next == self.panels.ticket(dispute.deal_id) and self.lookup.is_known(queue.period)

    def _first_seen(self, what: bytes) -> Timestamp:
        return self._since.setdefault(what, self.context.now)

    def _drawn(self, under_way: UnderWay) -> list[DrawnDeal]:
        """Deals of our pools that the lottery drew, with what their fund lacks."""
        found = []
        for entry in self.entries.values():
            lottery = self._lottery(entry)
            pool = self.settings.pool(entry.deal.pool)
            if lottery not in (Lottery.DRAWN, Lottery.LOST) or pool is None:
                continue
            lacking = 0
            if lottery is Lottery.DRAWN:
                fund = int(
                    self.context.core.call("fundOf", pool.strategy, pool.token, pool.id, block=self.context.head)
                )
                lacking = max(0, audit_fee(entry.deal) - fund)
            self._alert_of_fund(entry.id, lacking)
            found.append(
                DrawnDeal(
                    id=entry.id,
                    deal=entry.deal,
                    lottery=lottery,
                    until=Timestamp(entry.state.deadline + self.context.parameters.mediation_limit),
                    lacking=Amount(lacking),
                    since=self._first_seen(b"audit" + entry.id),
                    turn=turn_of(self.panels, pool, b"audit" + entry.id, self.account, self.settings.keeper_turn_s),
                    under_way=under_way.get(entry.id, frozenset()),
                )
            )
        return found

    def _alert_of_fund(self, deal_id: DealId, lacking: int) -> None:
        if lacking and deal_id not in self._short:
            self._short.add(deal_id)
            self.context.log("audit_fund_short", alert=True, deal=deal_id, lacking=lacking)

    def _lottery(self, entry: BookEntry) -> Lottery:
        if entry.deal.audit_bps == 0 or entry.state.status is not Status.RESULTS_SUBMITTED:
            return Lottery.NONE
        period = deciding_period(entry.state.period)
        status = self.lookup.seeds.get(period)
        if status is None or status is SeedStatus.PENDING:
            return Lottery.PENDING
        if status is SeedStatus.EXPIRED:
            return Lottery.LOST
        return Lottery.DRAWN if is_drawn(self.lookup.values[period], entry.id, entry.deal.audit_bps) else Lottery.SPARED

    def _pool(self, pool_id: PoolId, under_way: UnderWay) -> PoolView:
        pool = self.settings.pool(pool_id)
        assert pool is not None
        stake = self.lookup.stakes[pool_id]
        free = stake.withdrawable(self.context.now)
        backs = stake.open_seats * pool.seat_stake > stake.staked
        cancelled, queue = self._cancelled(pool_id), self.lookup.queues[pool_id]
        occasion = occasion_of(pool_id, int(queue.period) if cancelled is None else cancelled.ticket)
        self._since = {what: at for what, at in self._since.items() if what == occasion or not what.startswith(pool_id)}
        return PoolView(
            terms=pool,
            frozen=stake.frozen,
            ours_pending=stake.weight != stake.staked // pool.seat_stake,
            postponed=stake.pending > 0 and self._is_postponed(pool_id),
            cancelled=cancelled is not None,
            withdrawable=Amount(0) if backs or stake.frozen else free,
            occasion=occasion,
            since=self._first_seen(occasion),
            turn=turn_of(self.panels, pool, occasion, self.account, self.settings.keeper_turn_s),
            under_way=under_way.get(DealId(pool_id), frozenset()) | under_way.get(occasion, frozenset()),
        )

    def _is_postponed(self, pool_id: PoolId) -> bool:
        """Whether the round in front waits for a later period than its own."""
        front = self._front(pool_id)
        return front is not None and front.period < self.lookup.queues[pool_id].period

    def _cancelled(self, pool_id: PoolId) -> QueuedRound | None:
        """The round at the front of the queue, when nobody wants it and its seed is there."""
        queue, front = self.lookup.queues[pool_id], self._front(pool_id)
        if front is None or not front.unwanted or front.ticket != queue.next or not self.lookup.is_known(queue.period):
            return None
        return front

    def _money(self, appealable: Sequence[DisputeView]) -> dict[Address, Money]:
        if not appealable:
            return {}
        appealed: dict[Address, int] = {}
        for dispute in self.disputes.values():
            token = self.entries[dispute.deal_id].deal.token
            appealed[token] = appealed.get(token, 0) + dispute.facts.paid_by(self.context.address)
        return self.lookup.money((item.deal.token for item in appealable), appealed)

    # ---- acting

    def _act(self, intents: Sequence[Intent], view: MediatorView) -> int:
        local = 0
        for intent in intents:
            handler = _LOCAL.get(intent.action)
            if handler is not None and intent.deal is not None:
                local += handler(self, intent)
        subjects = {deal_id: self._subject(dispute) for deal_id, dispute in self.disputes.items()}
        for drawn in view.drawn:
            pool = self.settings.pool(drawn.deal.pool)
            assert pool is not None
            subjects[drawn.id] = Subject(drawn.id, drawn.deal, pool)
        cancelled = {pool.id: found for pool in self.settings.pools if (found := self._cancelled(pool.id)) is not None}
        pools = {pool.id: pool for pool in self.settings.pools}
        return local + self.actor.act(intents, subjects, pools, cancelled)

    def _fetch(self, intent: Intent) -> int:
        self.bench.fetch(self.bench.jobs[DealId(intent.deal or b"")], self.context.now)
        return 0

    def _run(self, intent: Intent) -> int:
        self.bench.run(self.bench.jobs[DealId(intent.deal or b"")])
        return 0

    def _stop(self, intent: Intent) -> int:
        self.bench.stop(self.bench.jobs[DealId(intent.deal or b"")])
        return 0

    def _check(self, intent: Intent) -> int:
        dispute = self.disputes[DealId(intent.deal or b"")]
        opening = None if dispute.delivery else dispute.facts.opening
        self.bench.check(dispute.deal_id, self.panels.data_id(dispute.deal_id), opening, self.context.now)
        return 0

    def _vote(self, intent: Intent) -> int:
        """Decides on a vote: from here on it is durable, and the only one of its round. 1: the next look commits to it."""
        dispute = self.disputes[DealId(intent.deal or b"")]
        assert intent.vote is not None
        vote = self._made(dispute, intent.vote, "run")
        self.crash.point("mediator.before_vote")
        self.store.add_vote(vote)
        self.crash.point("mediator.vote_stored")
        self.context.log("vote_decided", deal=dispute.deal_id, round=dispute.round, vote=name_of(vote.vote))
        return 1

    def _made(self, dispute: Dispute, vote: bytes, why: str) -> StoredVote:
        salt = salt_of(self.salts, dispute.deal_id, dispute.round, self.account, vote)
        return StoredVote(dispute.deal_id, dispute.round, self.account, vote, salt, why, self.context.now)

    def _recover(self, intent: Intent) -> int:
        """Looks for the vote behind a commitment that an earlier life made: salts follow from key and vote."""
        dispute = self.disputes[DealId(intent.deal or b"")]
        word = self.bench.jobs[dispute.deal_id].word
        candidates = [*NAMES.values(), *([] if word is None else [word.vote])]
        wanted = {self._commitments.get((dispute.deal_id, seat)) for seat in self._mine(dispute)}
        for vote in candidates:
            made = self._made(dispute, vote, "chain")
            if vote_commitment(dispute.deal_id, dispute.round, self.account, vote, made.salt) in wanted:
                self.store.correct_vote(made)
                self.context.log("vote_recovered", deal=dispute.deal_id, round=dispute.round, vote=name_of(vote))
                return 1
        if word is not None or dispute.delivery:
            self._unrecoverable.add((dispute.deal_id, dispute.round))
            self.context.log("vote_lost", alert=True, deal=dispute.deal_id, round=dispute.round)
        return 0

    def _show(self, intent: Intent) -> int:
        dispute = self.disputes[DealId(intent.deal or b"")]
        word = self.bench.jobs[dispute.deal_id].word
        self.evidence.leave(dispute, self.account, b"" if word is None else word.receipt)
        return 0

    # ---- tidying

    def _drop_ended(self) -> None:
        """Disputes that are over leave the memory, once their evidence is out."""
        for deal_id in list(self.bench.jobs):
            entry = self.context.deals.get(deal_id)
            if entry is None or (not entry.is_open and self.panels.is_over(deal_id)):
                dispute = self.disputes.get(deal_id)
                if dispute is None or not self.evidence.is_due(dispute, self.account):
                    self.bench.forget(deal_id)
                    self.actor.forget(deal_id)
                    self._since = {what: at for what, at in self._since.items() if deal_id not in what}
                    self._finished.add(deal_id)

    def _tidy(self, view: MediatorView) -> None:
        seated = any(item.seats for item in view.disputes)
        needed = GAS_FOR_OBLIGATIONS * 2 * max(1, self.context.head.base_fee)
        if seated or view.drawn:
            coin = int(self.context.rpc.request("eth_getBalance", self.context.address, "latest"), 16)
            lacking = f"the account has {coin} wei, votes and steps may need {needed}" if coin < needed else None
            self.context.health.set("gas", lacking)
        if abs(self.context.now - self._collected_at) >= COLLECT_EVERY_S:
            self._collected_at = self.context.now
            self.bench.tidy(self.context.now)


Handler = Callable[[MediatorAgent, Intent], int]
_LOCAL: dict[Action, Handler] = {
    Action.FETCH: MediatorAgent._fetch,
    Action.RUN: MediatorAgent._run,
    Action.STOP: MediatorAgent._stop,
    Action.CHECK: MediatorAgent._check,
    Action.VOTE: MediatorAgent._vote,
    Action.RECOVER: MediatorAgent._recover,
    Action.EVIDENCE: MediatorAgent._show,
}
