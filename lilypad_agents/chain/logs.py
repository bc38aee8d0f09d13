"""Log cursor: reads the events of our contracts by block range into SQLite, exactly once, and follows reorganisations.

The cursor is a block number and its hash. Every advance first asks whether that block is still the chain's; if not, it
walks back over stored checkpoints (each block that had a log, and each end of a range) to the last common one and
deletes what came later. A range is fetched between two looks at its last block, which must agree, so that logs of two
forks are never mixed, and is stored in one transaction with the cursor. While blocks keep coming, the look and the logs
go in one request; cursors that follow another one take the head that it saw, and ask nothing when they are there. Events only wake an agent; what to do is
decided from state, so `new_logs` that a crash swallowed are not missed: they stand in the table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from lilypad_agents.chain.abi import Abi, DecodedEvent, Event
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.errors import ChainReset, RpcError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import BlockRef, Notify, silent
from lilypad_agents.errors import ChainUnreachable
from lilypad_agents.protocol.ids import checksummed, keccak256

_SCHEMA = (
    """
    CREATE TABLE chain_cursor (
        name TEXT PRIMARY KEY, chain_id INTEGER NOT NULL, genesis BLOB NOT NULL, filter BLOB NOT NULL,
        number INTEGER NOT NULL, hash BLOB) STRICT;
    CREATE TABLE chain_checkpoint (
        cursor TEXT NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (cursor, number)) STRICT, WITHOUT ROWID;
    CREATE TABLE chain_log (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, cursor TEXT NOT NULL, block_number INTEGER NOT NULL,
        block_hash BLOB NOT NULL, log_index INTEGER NOT NULL, transaction_hash BLOB NOT NULL, address TEXT NOT NULL,
        event TEXT NOT NULL, topic0 BLOB NOT NULL, topic1 BLOB, topic2 BLOB, topic3 BLOB, data BLOB NOT NULL,
        UNIQUE (cursor, block_hash, log_index)) STRICT;
    CREATE INDEX chain_log_block ON chain_log (cursor, block_number, log_index);
    CREATE INDEX chain_log_event ON chain_log (cursor, event, topic1);
    """,
)
_COLUMNS = "seq, block_number, block_hash, log_index, transaction_hash, address, topic0, topic1, topic2, topic3, data"
_STORED = ("cursor", "event", *_COLUMNS.split(", ")[1:])
_INSERT = f"INSERT OR IGNORE INTO chain_log ({', '.join(_STORED)}) VALUES ({', '.join(':' + name for name in _STORED)})"
_INCONSISTENT_LIMIT = 5
_PAGE = 1_000
_LEAST_PIECE, _MOST_PIECES = 32, 16  # of a rescan, blocks and pieces


@dataclass(frozen=True)
class EventSource:
    """A contract whose events are read; `events` None means all that its ABI declares."""

    address: str
    abi: Abi
    events: tuple[str, ...] | None = None

    def by_topic(self) -> dict[bytes, Event]:
        """The chosen events by their topic. Raises AbiError for a name the ABI lacks."""
        if self.events is None:
            return dict(self.abi.events_by_topic)
        return {event.topic: event for event in map(self.abi.event, self.events)}


@dataclass(frozen=True)
class CursorConfig:
    """`confirmations`: blocks below the head that are left alone; spans and pages in blocks."""

    confirmations: int = 0
    first_span: int = 2_000
    max_span: int = 50_000
    ranges_per_advance: int = 16
    keep_checkpoints: int = 4_096


@dataclass(frozen=True)
class Reorganisation:
    """The chain below the cursor changed: `common` is the last shared block (None: nothing is shared but the genesis).

    `depth`: blocks from the old cursor to the common block. `replaced` False: the node only has fewer blocks.
    """

    old: BlockRef
    common: BlockRef | None
    depth: int
    replaced: bool


@dataclass(frozen=True)
class Advance:
    """What one advance found: new events in chain order, events that are no more, and the head that was seen."""

    new_logs: tuple[DecodedEvent, ...]
    removed_logs: tuple[DecodedEvent, ...]
    head: ChainMoment
    cursor: int
    caught_up: bool
    reorganisation: Reorganisation | None = None


@dataclass(frozen=True)
class _Place:
    number: int
    hash: bytes | None


class LogCursor:
    """Reads `sources` from `start_block` on. One cursor per name and database; `advance` may be called by any thread."""

    def __init__(
        self,
        database: Database,
        rpc: Rpc,
        sources: Sequence[EventSource],
        *,
        start_block: int = 0,
        name: str = "main",
        topics: Sequence[Any] = (),
        config: CursorConfig | None = None,
        notify: Notify = silent,
        crash: CrashPlan = NEVER,
        learn_time: Callable[[bytes, int], None] | None = None,
    ) -> None:
        """`topics`: further positions (1 to 3) of the JSON-RPC topic filter, after the events' own at position 0.

        `learn_time` hears hash and timestamp (unix seconds) of blocks with events, where the node tells them.
        """
        self._database = database
        self._rpc = rpc
        self._config = config or CursorConfig()
        self._name = name
        self._start = start_block
        self._notify = notify
        self._crash = crash
        self._events: dict[str, dict[bytes, Event]] = {}
        for source in sources:
            self._events.setdefault(checksummed(source.address), {}).update(source.by_topic())
        topic0 = sorted({"0x" + topic.hex() for events in self._events.values() for topic in events})
        self._filter = {"address": sorted(self._events), "topics": [topic0, *topics]}
        self._span = self._config.first_span
        self._inconsistent = 0
        self._lock = threading.Lock()
        self._chain_checked = False
        self._learn_time = learn_time
        self._moving = False  # the last advance found new blocks
        database.migrate("chain_logs", _SCHEMA)

    # --- advancing -------------------------------------------------------------------------------------------------

    def advance(self, seen: ChainMoment | None = None) -> Advance:
        """Reads on from the cursor, for a bounded number of ranges; call again while not `caught_up`.

        `seen`: the head as somebody saw it just now; the cursor reads up to there without looking for a newer one.
        Raises ChainReset (other genesis: nothing is touched), ChainUnreachable, WrongChain, RpcError (a node that
        keeps contradicting itself), AbiError (events that do not decode).
        """
        with self._lock:
            if not self._chain_checked:
                self._check_chain()
            place = self._place()
            head, still_there, new = self._step(place, seen)
            removed: list[DecodedEvent] = []
            reorganisation = None
            if not still_there:
                reorganisation, removed = self._walk_back(place, head)
            target = head.number - self._config.confirmations
            moved = head.number > place.number
            for _ in range(self._config.ranges_per_advance):
                place = self._place()
                if place.number >= target:
                    break
                taken = self._take_range(place, target, head)
                if taken is None:
                    break
                new += taken
            cursor = self._place().number
            self._moving = moved and cursor >= target  # far behind, ranges are asked for by their span
            return Advance(tuple(new), tuple(removed), head, cursor, cursor >= target, reorganisation)

    def rescan(self, blocks: int) -> tuple[DecodedEvent, ...]:
        """Asks again for the last `blocks` up to the cursor and stores what was missed; part of a periodic reconcile.

        In pieces: what a long range of a busy chain brings at once, an agent would keep in its memory's gaps for good.
        """
        with self._lock:
            place, missed = self._place(), list[DecodedEvent]()
            if place.hash is None:
                return ()
            piece = max(_LEAST_PIECE, blocks // _MOST_PIECES)
            for first in range(max(self._start, place.number - blocks + 1), place.number + 1, piece):
                fetched = self._fetch(first, min(first + piece - 1, place.number), below=place)
                if fetched is None:
                    break
                missed += self._store(fetched[1], place)
            return tuple(missed)

    def _check_chain(self) -> None:
        """Binds the cursor to chain id and genesis on first use; later refuses another genesis."""
        chain_id = self._rpc.chain_id()
        genesis = ChainMoment.parse(self._rpc.request("eth_getBlockByNumber", "0x0", False)).hash
        wanted = keccak256(repr((self._start, self._filter)).encode())
        rows = self._database.query("SELECT * FROM chain_cursor WHERE name = ?", (self._name,))
        if rows and bytes(rows[0]["genesis"]) != genesis:
            stored = bytes(rows[0]["genesis"])
            raise ChainReset(
                f"The chain {chain_id} was started anew: its first block is 0x{genesis.hex()}, "
                f"the database was built on 0x{stored.hex()}.",
                expected="0x" + stored.hex(),
                found="0x" + genesis.hex(),
            )
        if not rows or bytes(rows[0]["filter"]) != wanted:
            if rows:
                self._notify("log_cursor_restarted", reason="other contracts, events or start block", cursor=self._name)
            with self._database.transaction() as sql:
                for table in ("chain_log", "chain_checkpoint"):
                    sql.execute(f"DELETE FROM {table} WHERE cursor = ?", (self._name,))
                row = (self._name, int(chain_id), genesis, wanted, self._start - 1, None)
                sql.execute("INSERT OR REPLACE INTO chain_cursor VALUES (?, ?, ?, ?, ?, ?)", row)
        self._chain_checked = True

    def _place(self) -> _Place:
        row = self._database.query("SELECT number, hash FROM chain_cursor WHERE name = ?", (self._name,))[0]
        return _Place(row["number"], None if row["hash"] is None else bytes(row["hash"]))

    def _step(self, place: _Place, seen: ChainMoment | None) -> tuple[ChainMoment, bool, list[DecodedEvent]]:
        """The head, whether the cursor's block is still part of the chain, and what could be stored by the same request."""
        if seen is not None and place.hash is not None:
            if seen.hash == place.hash:
                return seen, True, []
            if seen.number > place.number and self._config.confirmations == 0 and seen.number - place.number <= self._span:
                return self._leap(place, seen)
        if seen is None and self._moving and place.hash is not None and self._config.confirmations == 0:
            return self._leap(place, None)
        return *self._look(place), []

    def _leap(self, place: _Place, seen: ChainMoment | None) -> tuple[ChainMoment, bool, list[DecodedEvent]]:
        """As `_look` and `_take_range` together, in one request. What does not fit together is left for those two.

        The range ends at `seen`, or (None) at whatever is the head before and after its logs.
        """
        block: int | str = "latest" if seen is None else seen.number
        scope = {
            **self._filter,
            "fromBlock": hex(place.number + 1),
            "toBlock": block if isinstance(block, str) else hex(block),
        }
        looks = [_block(block)] if seen is None else []
        outcomes = self._rpc.batch([*looks, Call("eth_getLogs", (scope,)), _block(block), _block(place.number)])
        logs, after, ours = outcomes[-3:]
        head = seen or ChainMoment.parse(_value(outcomes[0]))
        if _hash(_value(ours)) != place.hash:  # looked at last: what is there now was there all the time
            return (head, False, []) if seen is None else (*self._look(place), [])
        fits = not isinstance(logs, Exception) and _hash(_value(after)) == head.hash
        if not fits or not place.number < head.number <= place.number + self._span:
            return head, True, []
        fetched = self._consistent(head, place.number + 1, logs)
        if fetched is None:
            return head, True, []
        return head, True, self._store(fetched[1], _Place(head.number, head.hash), advance=True)

    def _look(self, place: _Place) -> tuple[ChainMoment, bool]:
        """The head, and whether the cursor's block is still part of the chain; one request."""
        calls = [_block("latest")]
        if place.hash is not None:
            calls.append(_block(place.number))
        outcomes = [_value(outcome) for outcome in self._rpc.batch(calls)]
        head = ChainMoment.parse(outcomes[0])
        if place.hash is None:
            return head, True
        return head, _hash(outcomes[1]) == place.hash

    def _take_range(self, place: _Place, target: int, head: ChainMoment) -> list[DecodedEvent] | None:
        """Fetches and stores one range after `place`; None when the node's view moved meanwhile (try again later)."""
        first = place.number + 1
        while True:
            last = min(target, first + self._span - 1)
            try:
                fetched = self._fetch(first, last, head if last == head.number else None)
                break
            except ChainUnreachable:
                self._span = max(1, self._span // 2)  # the range may be what the node cannot answer in time
                raise
            except RpcError as error:
                if last == first:
                    raise
                self._span = max(1, (last - first + 1) // 2)
                self._notify("log_range_halved", span=self._span, reason=error.message)
        if fetched is None:
            self._inconsistent += 1
            if self._inconsistent >= _INCONSISTENT_LIMIT:
                raise RpcError(
                    f"The node contradicts itself about the blocks {first} to {last}.", first=first, last=last
                )
            return None
        self._inconsistent = 0
        if last - first + 1 >= self._span:
            self._span = min(self._config.max_span, self._span + max(1, self._span // 8))
        end, logs = fetched
        return self._store(logs, _Place(end.number, end.hash), advance=True)

    def _fetch(
        self, first: int, last: int, head: ChainMoment | None = None, below: _Place | None = None
    ) -> tuple[ChainMoment, list[dict[str, Any]]] | None:
        """The last block of a range and the range's logs, or None when they do not belong together, or not `below` a block."""
        if head is not None and first == last:
            logs = self._rpc.request("eth_getLogs", {**self._filter, "blockHash": "0x" + head.hash.hex()})
            return self._consistent(head, first, logs)
        scope = {**self._filter, "fromBlock": hex(first), "toBlock": hex(last)}
        above = [] if below is None else [_block(below.number)]
        outcomes = self._rpc.batch([_block(last), Call("eth_getLogs", (scope,)), _block(last), *above])
        before, logs, after, *held = (_value(outcome) for outcome in outcomes)
        if _hash(before) is None or _hash(before) != _hash(after):
            return None
        if below is not None and _hash(held[0]) != below.hash:
            return None
        return self._consistent(ChainMoment.parse(after), first, logs)

    def _consistent(self, end: ChainMoment, first: int, logs: Any) -> tuple[ChainMoment, list[dict[str, Any]]] | None:
        """The rows of a range's logs; None for logs outside it or two hashes for one block. Drops what was not asked for."""
        if not isinstance(logs, list):
            raise RpcError("The node sent no list of logs.")
        hashes = {end.number: end.hash}
        kept = []
        for log in logs:
            if isinstance(log, dict) and log.get("removed"):
                continue
            row = _row(log)
            if row["address"] not in self._events:
                continue
            if self._learn_time is not None and log.get("blockTimestamp") is not None:
                self._learn_time(row["block_hash"], quantity(log["blockTimestamp"]))
            number, block_hash = row["block_number"], row["block_hash"]
            if not first <= number <= end.number or hashes.setdefault(number, block_hash) != block_hash:
                return None
            kept.append(row)
        return end, sorted(kept, key=lambda row: (row["block_number"], row["log_index"]))

    # --- storing ---------------------------------------------------------------------------------------------------

    def _store(self, rows: Sequence[Mapping[str, Any]], end: _Place, *, advance: bool = False) -> list[DecodedEvent]:
        """One transaction: events (repeated ones are ignored), checkpoints, cursor. Returns the events that were new."""
        new = []
        with self._database.transaction(durable=False) as sql:
            for row in rows:
                event = self._events[row["address"]].get(row["topic0"])
                if event is None:
                    continue  # a node that ignores the topic filter
                decoded = _decode(event, row)
                if self._insert(sql, row, event.name):
                    new.append(decoded)
                checkpoint = (self._name, row["block_number"], row["block_hash"])
                sql.execute("INSERT OR REPLACE INTO chain_checkpoint VALUES (?, ?, ?)", checkpoint)
            if advance:
                self._crash.point("logs.before_cursor")
                self._move(sql, end)
            self._crash.point("logs.before_commit")
        self._crash.point("logs.after_commit")
        return new

    def _insert(self, sql: Any, row: Mapping[str, Any], event: str) -> bool:
        return bool(sql.execute(_INSERT, {**row, "cursor": self._name, "event": event}).rowcount == 1)

    def _move(self, sql: Any, end: _Place) -> None:
        sql.execute("UPDATE chain_cursor SET number = ?, hash = ? WHERE name = ?", (end.number, end.hash, self._name))
        if end.hash is None:
            return
        sql.execute("INSERT OR REPLACE INTO chain_checkpoint VALUES (?, ?, ?)", (self._name, end.number, end.hash))
        sql.execute(
            "DELETE FROM chain_checkpoint WHERE cursor = ?1 AND number < "
            "(SELECT number FROM chain_checkpoint WHERE cursor = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (self._name, self._config.keep_checkpoints),
        )

    # --- reorganisations -------------------------------------------------------------------------------------------

    def _walk_back(self, old: _Place, head: ChainMoment) -> tuple[Reorganisation, list[DecodedEvent]]:
        """Goes to the newest checkpoint that the chain still has, and deletes the events above it."""
        self._check_chain()  # another genesis is no reorganisation
        common, replaced = self._common(head)
        place = common or _Place(self._start - 1, None)
        with self._database.transaction() as sql:
            above = (self._name, place.number)
            rows = sql.execute(
                f"SELECT {_COLUMNS} FROM chain_log WHERE cursor = ? AND block_number > ? ORDER BY block_number, log_index",
                above,
            ).fetchall()
            removed = list(self._decoded(rows))
            sql.execute("DELETE FROM chain_log WHERE cursor = ? AND block_number > ?", above)
            sql.execute("DELETE FROM chain_checkpoint WHERE cursor = ? AND number > ?", above)
            self._move(sql, place)
            self._crash.point("logs.walk_back.before_commit")
        reorganisation = Reorganisation(
            old=BlockRef(old.number, old.hash or b""),
            common=BlockRef(common.number, common.hash or b"") if common else None,
            depth=old.number - place.number,
            replaced=replaced,
        )
        deep = replaced and reorganisation.depth > self._config.confirmations > 0
        self._notify(
            "chain_reorganised",
            alert=deep,
            depth=reorganisation.depth,
            removed=len(removed),
            common=str(reorganisation.common),
        )
        return reorganisation, removed

    def _common(self, head: ChainMoment) -> tuple[_Place | None, bool]:
        """The newest checkpoint that still holds, and whether any at or below the head does not."""
        rows = self._database.query(
            "SELECT number, hash FROM chain_checkpoint WHERE cursor = ? AND number <= ? ORDER BY number DESC",
            (self._name, head.number),
        )
        replaced, start = False, 0
        for size in (4**exponent for exponent in count(1)):
            group = rows[start : start + min(size, 256)]
            if not group:
                return None, replaced
            blocks = [_value(outcome) for outcome in self._rpc.batch([_block(row["number"]) for row in group])]
            for row, block in zip(group, blocks, strict=True):
                if _hash(block) == bytes(row["hash"]):
                    return _Place(row["number"], bytes(row["hash"])), replaced
                replaced = True
            start += len(group)
        raise AssertionError("unreachable")

    # --- reading ---------------------------------------------------------------------------------------------------

    def events(self, event: str | Collection[str] | None = None, *, topic1: bytes | None = None) -> Iterator[DecodedEvent]:
        """Stored events in chain order, all or those of one name, or several, and first indexed argument (32 bytes).

        They are read in pages, so that a long history needs no memory; what is stored or deleted meanwhile may show.
        """
        sql = f"SELECT {_COLUMNS} FROM chain_log WHERE cursor = ?"
        values: list[str | bytes | int] = [self._name]
        if event is not None:
            names = (event,) if isinstance(event, str) else tuple(event)
            sql += f" AND event IN ({', '.join('?' * len(names))})"
            values += names
        if topic1 is not None:
            sql += " AND topic1 = ?"
            values.append(topic1)
        sql += f" AND (block_number, log_index) > (?, ?) ORDER BY block_number, log_index LIMIT {_PAGE}"
        place = (-1, -1)
        while True:
            rows = self._database.query(sql, (*values, *place))
            yield from self._decoded(rows)
            if len(rows) < _PAGE:
                return
            place = (rows[-1]["block_number"], rows[-1]["log_index"])

    @property
    def reached(self) -> int:
        """The block up to which events are stored; the one before the first where none was read yet."""
        rows = self._database.query("SELECT number FROM chain_cursor WHERE name = ?", (self._name,))
        return int(rows[0]["number"]) if rows else self._start - 1

    def events_after(self, sequence: int, limit: int = 1_000) -> list[tuple[int, DecodedEvent]]:
        """Stored events in the order of their storing, with their sequence numbers, for readers that keep their own place.

        A reorganisation deletes rows; a reader that keeps derived state listens to `removed_logs` as well.
        """
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM chain_log WHERE cursor = ? AND seq > ? ORDER BY seq LIMIT ?",
            (self._name, sequence, limit),
        )
        return [(row["seq"], event) for row in rows for event in self._decoded([row])]

    def prune(self, before_block: int) -> int:
        """Forgets events below a block, once nothing needs them; returns how many. The cursor stays."""
        with self._database.transaction(durable=False) as sql:
            return sql.execute(
                "DELETE FROM chain_log WHERE cursor = ? AND block_number < ?", (self._name, before_block)
            ).rowcount

    def _decoded(self, rows: Sequence[Any]) -> Iterator[DecodedEvent]:
        """Events of stored rows; those of contracts no longer read (before the next advance drops them) are left out."""
        for row in rows:
            event = self._events.get(row["address"], {}).get(bytes(row["topic0"]))
            if event is not None:
                yield _decode(event, row)


def _block(number: int | str) -> Call:
    return Call("eth_getBlockByNumber", (hex(number) if isinstance(number, int) else number, False))


def _value(outcome: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _hash(block: Any) -> bytes | None:
    """The hash of a block object of JSON-RPC, None for a block that the node does not have."""
    return None if block is None else ChainMoment.parse(block).hash


def _row(log: Any) -> dict[str, Any]:
    """The columns of a log object of JSON-RPC. Raises RpcError when it is malformed."""
    try:
        if max(quantity(log["blockNumber"]), quantity(log["logIndex"])) >= 2**63:
            raise ValueError("a number out of range")
        topics: list[bytes | None] = [to_bytes(topic) for topic in log["topics"]]
        topics += [None] * (4 - len(topics))
        return {
            "block_number": quantity(log["blockNumber"]),
            "block_hash": to_bytes(log["blockHash"]),
            "log_index": quantity(log["logIndex"]),
            "transaction_hash": to_bytes(log["transactionHash"]),
            "address": checksummed(log["address"]),
            "topic0": topics[0] or b"",
            "topic1": topics[1],
            "topic2": topics[2],
            "topic3": topics[3],
            "data": to_bytes(log["data"]),
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RpcError(f"The node sent a malformed log: {error!r}.") from error


def _decode(event: Event, row: Any) -> DecodedEvent:
    topics = [bytes(row[name]) for name in ("topic0", "topic1", "topic2", "topic3") if row[name] is not None]
    return DecodedEvent(
        name=event.name,
        args=event.decode(topics, bytes(row["data"])),
        address=row["address"],
        block_number=row["block_number"],
        block_hash=bytes(row["block_hash"]),
        transaction_hash=bytes(row["transaction_hash"]),
        log_index=row["log_index"],
    )
