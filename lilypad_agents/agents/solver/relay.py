"""Content that parties leave here for each other: who may push and read it, how much, and when it goes.

A right is a row: root, scope, owner. Content of an offer belongs to its creator and, once a deal of it is open, to that
deal's provider; content of a deal to both. Mediators who sit in its dispute read inputs from their draw on, and results
once their commits are closed. Everything stays until the deal is final and `keep_s` longer, so it outlives
the last dispute window. Rights go by the root: knowing the CID of a stranger's block opens nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from lilypad_agents.agents.runtime.dealbook import DealBook, DealView
from lilypad_agents.agents.solver.book import OfferBook
from lilypad_agents.agents.solver.errors import Forbidden, RateLimited, TooLarge
from lilypad_agents.agents.solver.parties import Parties
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.store import SolverStore, StoredContent
from lilypad_agents.agents.solver.wire import ContentKind, Scope
from lilypad_agents.chain.types import Notify
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.store import LocalStore
from lilypad_agents.protocol.ids import Address, DealId, OfferHash
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.units import Timestamp

_AT_ONCE = 500  # deals whose notes are looked at


class Relay:
    """Rights and retention over one block store. Thread safe; `now` gives block time, unix seconds."""

    def __init__(
        self,
        settings: SolverSettings,
        blocks: LocalStore,
        store: SolverStore,
        book: OfferBook,
        deals: DealBook,
        parties: Parties,
        now: Callable[[], int],
        notify: Notify,
    ) -> None:
        self._settings = settings
        self.blocks = blocks
        self._store = store
        self._book = book
        self._deals = deals
        self._parties = parties
        self._now = now
        self._notify = notify
        self._uploads: Counter[Address] = Counter()
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """Of one pushed tree."""
        return Limits(max_bytes=self._settings.upload_bytes)

    # ---- reading

    def may_read(self, root: Cid, requester: Address | None) -> bool:
        """Whether somebody may read what is below a root. May raise RpcError or ChainUnreachable about a delegate."""
        rows = self._store.content(str(root))
        if any(row.scope == "public" for row in rows):
            return True
        return requester is not None and any(self._may_read(row, requester) for row in rows)

    def _may_read(self, row: StoredContent, requester: Address) -> bool:
        if row.owner == requester:
            return True
        if row.scope == "deal":
            view = self._deals.get(row.scope_id)
            return view is not None and self._parties.may_read(view, requester, row.kind)
        for view in self._deals.of_job_offer(row.scope_id):
            # Only what the creator itself attached to its offer is part of the deal.
            if self._parties.acts_for(view.deal.creator, row.owner) and self._parties.may_read(view, requester, row.kind):
                return True
        job = self._book.job(row.scope_id)
        return job is not None and self._parties.acts_for(job.account, requester) and self._parties.acts_for(job.account, row.owner)

    def has(self, root: Cid, scope: Scope) -> bool:
        """Whether content was pushed for a scope."""
        rows = self._store.content(str(root))
        return any((row.scope, row.scope_id) == (scope.kind, scope.id) or row.scope == "public" for row in rows)

    # ---- pushing

    @contextmanager
    def upload(self, root: Cid, scope: Scope, owner: Address, size: int | None) -> Iterator[None]:
        """A place for one upload; checked before a byte is read. `size`: what the request announces, None if it does not.

        Raises Forbidden, NotFound, TooLarge, RateLimited.
        """
        self._check_scope(scope, owner)
        most = min(self.limits.max_wire_bytes, self._settings.upload_bytes + (1 << 20))
        if size is not None and size > most:
            raise TooLarge(f"The upload has {size} bytes, {most} are allowed.", found=size, allowed=most)
        kept = self._store.content_bytes(owner)
        if kept + (size or 0) > self._settings.quota_bytes:
            raise RateLimited(
                f"{owner} keeps {kept} bytes here, {self._settings.quota_bytes} are allowed.",
                retry_after=60,
                what="bytes",
                found=kept,
                allowed=self._settings.quota_bytes,
            )
        with self._lock:
            if self._uploads[owner] >= self._settings.uploads_per_account:
                raise RateLimited(
                    f"{owner} has {self._uploads[owner]} uploads under way.", retry_after=1, what="uploads"
                )
            self._uploads[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._uploads[owner] -= 1
                if not self._uploads[owner]:
                    del self._uploads[owner]

    def keep(self, root: Cid, scope: Scope, owner: Address, kind: ContentKind, size: int) -> None:
        """Takes the right to a complete tree and pins it. Raises StoreFull, BlockMissing."""
        self.blocks.pin(root, _pin(scope.kind, scope.id, owner))
        now = self._now()
        self._store.add_content(
            StoredContent(
                str(root), scope.kind, scope.id, owner, str(kind), size, Timestamp(now), self._expiry_of(scope, now)
            )
        )

    def keep_document(self, document: bytes, offer_id: OfferHash, owner: Address) -> None:
        """Takes an inputs document that came along with its offer."""
        root = Cid.of(document)
        self.blocks.put(root, document)
        self.keep(root, Scope("offer", offer_id), owner, ContentKind.INPUTS, len(document))

    def _check_scope(self, scope: Scope, owner: Address) -> None:
        if scope.kind == "deal":
            self._parties.require_role(self._parties.deal(scope.id), owner)
        elif scope.kind == "offer":
            stored = self._store.offer(scope.id)
            if stored is not None and not self._parties.acts_for(stored.account, owner):
                raise Forbidden(f"{owner} does not act for the account of that offer.", account=owner)

    def _expiry_of(self, scope: Scope, now: int) -> int | None:
        if scope.kind == "public":
            return now + self._settings.keep_public_s
        if scope.kind == "deal":
            view = self._deals.get(scope.id)
            return None if view is not None and view.is_open else now + self._settings.keep_s
        stored = self._store.offer(scope.id)
        if stored is None:
            return now + self._settings.keep_unbound_s
        return None if self._needs_inputs(OfferHash(scope.id)) else now + self._settings.keep_s

    def _needs_inputs(self, offer_id: OfferHash) -> bool:
        """Whether an offer may still open, or a deal of it is not final."""
        return self._book.job(offer_id) is not None or any(view.is_open for view in self._deals.of_job_offer(offer_id))

    # ---- keeping and letting go

    def bind(self, offer_id: OfferHash) -> None:
        """An offer came: what was pushed for it stays as long as the offer is live."""
        self._store.set_expiry("offer", [offer_id], None)

    def release_offers(self, offer_ids: Iterable[OfferHash]) -> None:
        """Offers closed without a deal."""
        self._store.set_expiry("offer", list(offer_ids), self._now() + self._settings.keep_s)

    def follow(self, changed: Iterable[DealView]) -> None:
        """Deals moved: content of final ones gets its end; of a declined one only what was pushed for the deal."""
        now = self._now()
        final = [view for view in changed if not view.is_open]
        ended = [view for view in final if view.state.status is not Status.DECLINED]
        self._store.set_expiry("deal", [view.id for view in final], now + self._settings.keep_s)
        self._store.set_expiry("offer", [view.deal.job_offer_hash for view in ended], now + self._settings.keep_s)

    def reconcile(self) -> None:
        """After a start: gives an end to content whose offer or deal ended meanwhile, and none to that of live offers.

        The latter matters where a kill came between an offer and its `bind`: who posts it again hears that it is known.
        """
        over = self._now() + self._settings.keep_s
        self._store.set_expiry("offer", [job.id for job in self._book.jobs()], None)
        offers = [OfferHash(found) for found in self._store.scopes_with_content("offer")]
        self._store.set_expiry("offer", [found for found in offers if not self._needs_inputs(found)], over)
        deals = self._store.scopes_with_content("deal")
        ended = [found for found in deals if (view := self._deals.get(found)) is None or not view.is_open]
        self._store.set_expiry("deal", ended, over)

    def sweep(self) -> int:
        """Lets go what expired, forgets old offers and notes, and frees the space; returns how many rights ended."""
        now, ended = self._now(), 0
        while expired := self._store.expired_content(now):
            for row in expired:
                self.blocks.unpin(_pin(row.scope, row.scope_id, row.owner), Cid.parse(row.root))
            self._store.forget_content(expired)
            ended += len(expired)
        before = now - self._settings.keep_s
        self._store.forget_offers(before)
        self._store.forget_matches(before)
        self._forget_messages(before)
        collected = self.blocks.collect(now, grace_seconds=self._settings.keep_unbound_s)
        if ended or collected.blocks:
            self._notify("content_let_go", rights=ended, blocks=collected.blocks, bytes=collected.bytes)
        return ended

    def _forget_messages(self, before: int) -> None:
        """Of deals that ended before, some at a time."""
        last = b""
        while found := self._store.deals_with_messages(before, last, _AT_ONCE):
            last = found[-1]
            self._store.forget_messages([deal_id for deal_id in found if self._is_silent(deal_id, before)])

    def _is_silent(self, deal_id: DealId, before: int) -> bool:
        view = self._deals.get(deal_id)
        return view is None or (not view.is_open and view.changed_at < before)


def _pin(scope: str, scope_id: bytes, owner: str) -> str:
    return f"{scope}:{scope_id.hex()}:{owner}"


