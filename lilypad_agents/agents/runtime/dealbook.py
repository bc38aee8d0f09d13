"""The deals that an agent is party to, as a table that follows the stored events, and can always be made from them again.

The book reads the log cursor's table from where it stopped, so a crash between the two loses nothing. After a
reorganisation, or when a missed event turns up late, a deal is replayed from all its events in chain order. A periodic
comparison with the chain (`reconcile`) catches what logs missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.logs import LogCursor
from lilypad_agents.chain.types import Notify, silent
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.digest import commitment
from lilypad_agents.protocol.ids import ZERO, Address, DealId
from lilypad_agents.protocol.lifecycle import FINAL, DisputeKind, Status
from lilypad_agents.protocol.units import Period, Timestamp

_SCHEMA = (
    """
    CREATE TABLE deal (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, record BLOB NOT NULL, creator TEXT NOT NULL,
        provider TEXT NOT NULL, job_offer BLOB NOT NULL, resource_offer BLOB NOT NULL, status INTEGER NOT NULL,
        kind INTEGER NOT NULL, challenged INTEGER NOT NULL, deadline INTEGER NOT NULL, period INTEGER NOT NULL,
        commitment BLOB NOT NULL, opened_block INTEGER NOT NULL, opened_at INTEGER NOT NULL, opened_tx BLOB NOT NULL,
        changed_block INTEGER NOT NULL, changed_index INTEGER NOT NULL, changed_at INTEGER NOT NULL,
        changed_tx BLOB NOT NULL, last_log INTEGER NOT NULL, result_digest BLOB, gross TEXT, earlier INTEGER NOT NULL) STRICT;
    CREATE INDEX deal_creator ON deal (creator, seq);
    CREATE INDEX deal_provider ON deal (provider, seq);
    CREATE INDEX deal_job_offer ON deal (job_offer);
    CREATE INDEX deal_open ON deal (status) WHERE status IN (1, 2, 3);
    CREATE INDEX deal_last_log ON deal (last_log);
    CREATE TABLE deal_place (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, floor INTEGER NOT NULL) STRICT;
    INSERT INTO deal_place VALUES (1, 0, 0);
    """,
)
_FINAL_EVENTS: Mapping[str, Status] = {
    "DealAccepted": Status.ACCEPTED,
    "DealDeclined": Status.DECLINED,
    "DealTimedOut": Status.TIMED_OUT,
    "DealClosed": Status.CLOSED_BY_AGREEMENT,
    "DealMediationAccepted": Status.MEDIATION_ACCEPTED,
    "DealMediationRejected": Status.MEDIATION_REJECTED,
    "DealNoFault": Status.NO_FAULT,
}
DEAL_EVENTS = ("DealOpened", "ResultSubmitted", "DisputeOpened", "DeliveryConfirmed", *_FINAL_EVENTS)
_BATCH = 1_000
BlockTimes = Callable[[Iterable[tuple[int, bytes]]], Mapping[bytes, int]]


@dataclass(frozen=True)
class DealView:
    """One deal as the events tell it. Times are block times, unix seconds; transaction hashes 32 bytes.

    `result_digest` and `gross` (smallest units) once it was paid. `seq` orders deals as they were seen. `earlier`: the
    status before the present one.
    """

    id: DealId
    deal: Deal
    state: DealState
    opened_block: int
    opened_at: Timestamp
    opened_tx: bytes
    changed_block: int
    changed_at: Timestamp
    changed_tx: bytes
    earlier: Status = Status.NONE
    result_digest: bytes | None = None
    gross: int | None = None
    seq: int = 0

    @property
    def is_open(self) -> bool:
        return self.state.status not in FINAL


@dataclass(frozen=True)
class _Entry:
    """A view with its place in the logs."""

    view: DealView
    index: int
    last_log: int

    def is_before(self, event: DecodedEvent) -> bool:
        return (self.view.changed_block, self.index) < (event.block_number, event.log_index)


class DealBook:
    """Deals of `party` (creator or provider; None: of everybody). Written by the agent's loop, read by any thread."""

    def __init__(
        self, database: Database, cursor: LogCursor, party: Address | None, times: BlockTimes, notify: Notify = silent
    ) -> None:
        """`times` gives the timestamps of blocks named by number and hash."""
        self._database = database
        self._cursor = cursor
        self._party = party
        self._times = times
        self._notify = notify
        database.migrate("deals", _SCHEMA)
        self._open: dict[DealId, _Entry] = {}
        self._load()
        self._checked = False
        self.vanished: tuple[DealView, ...] = ()  # deals that the last `follow` lost to a reorganisation

    def _load(self) -> None:
        entries = map(_entry, self._database.query("SELECT * FROM deal WHERE status IN (1, 2, 3)"))
        self._open = {entry.view.id: entry for entry in entries}

    # ---- following

    def follow(self, *, reorganised: bool = False) -> list[DealView]:
        """Takes what the cursor stored since the last call; returns the deals that changed, in their newest form.

        Raises what `times` raises; then nothing is lost and the next call goes on.
        """
        changed: dict[DealId, DealView | None] = {}
        self.vanished = ()
        if reorganised or not self._checked:
            for deal_id in self._vanished():
                changed[deal_id] = self._replay(deal_id)
            self._checked = True
        while True:
            place = self._database.query("SELECT seq FROM deal_place")[0]["seq"]
            events = self._cursor.events_after(place, _BATCH)
            if not events:
                return [view for view in changed.values() if view is not None]
            try:
                self._take(events, changed)
            except BaseException:
                self._load()  # what was not stored must not be remembered either
                raise

    def _take(self, events: Sequence[tuple[int, DecodedEvent]], changed: dict[DealId, DealView | None]) -> None:
        ours, late = self._ours(events), self._late(events)
        times = self._times({(event.block_number, event.block_hash) for _, event in ours})
        with self._database.transaction(durable=False) as sql:
            for seq, event in ours:
                deal_id = DealId(event.args["dealId"])
                known = self._entry_of(deal_id)
                if known is not None and known.last_log >= seq:
                    continue  # a replay took it already
                out_of_order = known is not None and not known.is_before(event)
                if (known is None) != (event.name == "DealOpened") or out_of_order or seq in late:
                    changed[deal_id] = self._replay(deal_id)
                    continue
                entry = _after(known, event, seq, times[event.block_hash])
                changed[deal_id] = self._store(sql, entry)
            sql.execute("UPDATE deal_place SET seq = ?", (events[-1][0],))

    def _late(self, events: Sequence[tuple[int, DecodedEvent]]) -> set[int]:
        """Events that were missed and turned up after later ones: what followed them was stored before they were known."""
        lately = "SELECT block_number FROM chain_log WHERE seq < ? ORDER BY seq DESC LIMIT 1000"
        row = self._database.query(f"SELECT max(block_number) AS newest FROM ({lately})", (events[0][0],))
        newest, late = row[0]["newest"] or 0, set()
        for seq, event in events:
            if event.block_number < newest:
                late.add(seq)
            newest = max(newest, event.block_number)
        return late

    def _ours(self, events: Sequence[tuple[int, DecodedEvent]]) -> list[tuple[int, DecodedEvent]]:
        """Events of our deals; some name no party, so a deal that opens among them is remembered."""
        opening: set[bytes] = set()
        ours = []
        for seq, event in events:
            if event.name in DEAL_EVENTS and (event.args["dealId"] in opening or self._concerns(event)):
                opening.add(event.args["dealId"])
                ours.append((seq, event))
        return ours

    def _concerns(self, event: DecodedEvent) -> bool:
        """Whether the deal is, or may be, one of ours."""
        if self._party is None:
            return True
        named = [event.args[role] for role in ("creator", "provider") if role in event.args]
        if event.name == "DealOpened" or self._party in named:
            return self._party in named
        return self._entry_of(DealId(event.args["dealId"])) is not None

    def _vanished(self) -> list[DealId]:
        """Deals whose last event is no longer stored, and not because it was pruned."""
        rows = self._database.query(
            "SELECT id FROM deal LEFT JOIN chain_log ON chain_log.seq = deal.last_log, deal_place "
            "WHERE chain_log.seq IS NULL AND deal.changed_block >= deal_place.floor"
        )
        return [DealId(bytes(row["id"])) for row in rows]

    def _replay(self, deal_id: DealId) -> DealView | None:
        """Makes a deal anew from all its stored events; None when there are none of its opening any more."""
        events = [event for name in DEAL_EVENTS for event in self._cursor.events(name, topic1=deal_id)]
        events.sort(key=lambda event: (event.block_number, event.log_index))
        last = self._database.query("SELECT max(seq) AS seq FROM chain_log")[0]["seq"] or 0
        old = self._entry_of(deal_id)
        entry: _Entry | None = None
        if events and events[0].name == "DealOpened" and self._concerns(events[0]):
            times = self._times({(event.block_number, event.block_hash) for event in events})
            for event in events:
                entry = _after(entry, event, self._seq_of(event) or last, times[event.block_hash])
        with self._database.transaction(durable=False) as sql:
            if entry is not None:
                return self._store(sql, entry)
            sql.execute("DELETE FROM deal WHERE id = ?", (deal_id,))
            self._open.pop(deal_id, None)
        if old is not None:
            self.vanished += (old.view,)
            self._notify("deal_vanished", alert=True, deal=deal_id, status=old.view.state.status.name)
        return None

    def _seq_of(self, event: DecodedEvent) -> int | None:
        rows = self._database.query(
            "SELECT seq FROM chain_log WHERE block_hash = ? AND log_index = ?", (event.block_hash, event.log_index)
        )
        return int(rows[0]["seq"]) if rows else None

    def _store(self, sql: Any, entry: _Entry) -> DealView:
        view, state, deal = entry.view, entry.view.state, entry.view.deal
        values = {
            "id": view.id, "record": b"".join(deal.words), "creator": deal.creator, "provider": deal.provider,
            "job_offer": deal.job_offer_hash, "resource_offer": deal.resource_offer_hash, "status": int(state.status),
            "kind": int(state.kind), "challenged": int(state.delivery_challenged), "deadline": state.deadline,
            "period": state.period, "commitment": state.commitment.to_bytes(22, "big"),
            "opened_block": view.opened_block, "opened_at": view.opened_at, "opened_tx": view.opened_tx,
            "changed_block": view.changed_block, "changed_index": entry.index, "changed_at": view.changed_at,
            "changed_tx": view.changed_tx, "last_log": entry.last_log, "result_digest": view.result_digest,
            "gross": None if view.gross is None else str(view.gross), "earlier": int(view.earlier),
        }  # fmt: skip
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        updates = ", ".join(f"{name} = excluded.{name}" for name in values if name != "id")
        row = sql.execute(
            f"INSERT INTO deal ({columns}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {updates} RETURNING seq",
            tuple(values.values()),
        ).fetchone()
        entry = replace(entry, view=replace(view, seq=row["seq"]))
        if entry.view.is_open:
            self._open[view.id] = entry
        else:
            self._open.pop(view.id, None)
        return entry.view

    # ---- comparing

    def reconcile(self, core: Contract, moment: ChainMoment) -> list[DealId]:
        """Open deals whose state the chain tells otherwise than our events up to `moment`; one request a hundred deals.

        What differs is asked for again by the caller (`LogCursor.rescan`, then `follow`).
        """
        views = self.open_deals()
        answers = call_many(core.rpc, [core.prepare("dealOf", view.id) for view in views], moment)
        differing = []
        for view, answer in zip(views, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            found = DealState.of(answer)
            if (found.status, found.deadline) != (view.state.status, view.state.deadline):
                differing.append(view.id)
        return differing

    # ---- reading

    def open_deals(self) -> list[DealView]:
        """Deals that are not final, oldest first."""
        return sorted((entry.view for entry in list(self._open.values())), key=lambda view: view.seq)

    def get(self, deal_id: bytes) -> DealView | None:
        entry = self._entry_of(DealId(deal_id))
        return None if entry is None else entry.view

    def of_job_offer(self, offer_hash: bytes) -> list[DealView]:
        """Deals that were opened on a job offer: one, or several after declines; oldest first."""
        rows = self._database.query("SELECT * FROM deal WHERE job_offer = ? ORDER BY seq", (offer_hash,))
        return [_entry(row).view for row in rows]

    def page(
        self,
        *,
        party: Address | None = None,
        statuses: Iterable[Status] = (),
        since: int = 0,
        after: int = 0,
        limit: int = 100,
    ) -> list[DealView]:
        """Deals of a party opened at `since` (unix s) or later, in the order they were seen, from sequence `after` on."""
        conditions, values = ["seq > ?", "opened_at >= ?"], [after, since]
        chosen = sorted(int(status) for status in statuses)
        if chosen:
            conditions.append(f"status IN ({', '.join(map(str, chosen))})")
        where = " AND ".join(conditions)
        if party is None:
            rows = self._database.query(f"SELECT * FROM deal WHERE {where} ORDER BY seq LIMIT ?", (*values, limit))
        else:  # one index for each role
            one = f"SELECT * FROM (SELECT * FROM deal WHERE {{role}} = ? AND {where} ORDER BY seq LIMIT ?)"
            arguments = (party, *values, limit)
            rows = self._database.query(
                f"{one.format(role='creator')} UNION {one.format(role='provider')} ORDER BY seq LIMIT ?",
                (*arguments, *arguments, limit),
            )
        return [_entry(row).view for row in rows]

    def counts(self) -> dict[Status, int]:
        rows = self._database.query("SELECT status, count(*) AS n FROM deal GROUP BY status")
        return {Status(row["status"]): row["n"] for row in rows}

    def prune(self, before_block: int) -> None:
        """Lets the cursor forget events below a block, but not those of open deals: call it with finality in mind."""
        oldest = min((entry.view.opened_block for entry in list(self._open.values())), default=before_block)
        floor = min(before_block, oldest)
        with self._database.transaction(durable=False) as sql:
            sql.execute("UPDATE deal_place SET floor = max(floor, ?)", (floor,))
        self._cursor.prune(floor)

    def _entry_of(self, deal_id: DealId) -> _Entry | None:
        if deal_id in self._open:
            return self._open[deal_id]
        rows = self._database.query("SELECT * FROM deal WHERE id = ?", (deal_id,))
        return _entry(rows[0]) if rows else None

    def __iter__(self) -> Iterator[DealView]:
        return iter(self.open_deals())


def _after(known: _Entry | None, event: DecodedEvent, seq: int, time: int) -> _Entry:
    """The entry once an event happened at block time `time`."""
    args = event.args
    if known is None:
        deal = Deal.from_words(args["record"])
        view = DealView(
            id=DealId(args["dealId"]),
            deal=deal,
            state=DealState(Status.AGREED, DisputeKind.NONE, False, Timestamp(time + deal.submit_window), Period(0), 0),
            opened_block=event.block_number,
            opened_at=Timestamp(time),
            opened_tx=event.transaction_hash,
            changed_block=event.block_number,
            changed_at=Timestamp(time),
            changed_tx=event.transaction_hash,
        )
        return _Entry(view, event.log_index, seq)
    view = replace(
        known.view,
        state=_state_after(known.view.state, event, time),
        earlier=known.view.state.status,
        changed_block=event.block_number,
        changed_at=Timestamp(time),
        changed_tx=event.transaction_hash,
        result_digest=args.get("resultDigest", known.view.result_digest),
        gross=args.get("gross", known.view.gross),
    )
    return _Entry(view, event.log_index, max(seq, known.last_log))


def _state_after(state: DealState, event: DecodedEvent, time: int) -> DealState:
    args = event.args
    if event.name == "ResultSubmitted":
        return replace(
            state,
            status=Status.RESULTS_SUBMITTED,
            deadline=Timestamp(args["judgeDeadline"]),
            period=Period(args["period"]),
            commitment=args["commitment"],
        )
    if event.name == "DisputeOpened":
        kind = DisputeKind(args["kind"])
        challenged = state.delivery_challenged or kind == DisputeKind.DELIVERY
        return replace(
            state, status=Status.IN_MEDIATION, kind=kind, delivery_challenged=challenged, deadline=Timestamp(args["deadline"])
        )
    if event.name == "DeliveryConfirmed":
        deadline = Timestamp(args["judgeDeadline"])
        return replace(state, status=Status.RESULTS_SUBMITTED, kind=DisputeKind.NONE, deadline=deadline)
    if event.name == "DealAccepted" and state.status == Status.AGREED:  # posted and settled in one call: the salt is 0
        state = replace(state, commitment=commitment(args["dealId"], args["provider"], args["resultDigest"], ZERO))
    return replace(state, status=_FINAL_EVENTS[event.name], deadline=Timestamp(time))


def _entry(row: Any) -> _Entry:
    record = bytes(row["record"])
    state = DealState(
        Status(row["status"]),
        DisputeKind(row["kind"]),
        bool(row["challenged"]),
        Timestamp(row["deadline"]),
        Period(row["period"]),
        int.from_bytes(row["commitment"], "big"),
    )
    view = DealView(
        id=DealId(bytes(row["id"])),
        deal=Deal.from_words([record[at : at + 32] for at in range(0, len(record), 32)]),
        state=state,
        opened_block=row["opened_block"],
        opened_at=Timestamp(row["opened_at"]),
        opened_tx=bytes(row["opened_tx"]),
        changed_block=row["changed_block"],
        changed_at=Timestamp(row["changed_at"]),
        changed_tx=bytes(row["changed_tx"]),
        earlier=Status(row["earlier"]),
        result_digest=None if row["result_digest"] is None else bytes(row["result_digest"]),
        gross=None if row["gross"] is None else int(row["gross"]),
        seq=row["seq"],
    )
    return _Entry(view, row["changed_index"], row["last_log"])
