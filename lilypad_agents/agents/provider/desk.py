"""What the provider has to do with one solver: its offers there, notes of creators, content over its relay.

A thread of its own per solver, so that one that hangs holds up nothing else. What it says is checked by whoever uses
it; its silence costs new deals and nothing more.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.offers import Template, offer_of, plan
from lilypad_agents.agents.provider.store import OFFERS_UNTIL, ProviderStore, StandingOffer
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.solver.client import EventListener, SolverClient
from lilypad_agents.agents.solver.errors import Busy, Forbidden, NotFound, SolverUnreachable, WrongState
from lilypad_agents.agents.solver.wire import Event, Message, MessageKind
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.types import Notify
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.consent import Domain, by_own_key
from lilypad_agents.protocol.ids import Address, DealId, hex_of
from lilypad_agents.protocol.units import Timestamp

INBOX_S = 5.0  # without a hint; also tells the solver that we are there
CHECK_S = 20.0  # between two looks at whether our offers still stand
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 5.0
_PAGE = 500
Item = TypeVar("Item")


@dataclass(frozen=True)
class Wanted:
    """What the desk should bring about: offers by these templates at block time `now` (none: withdraw all)."""

    templates: tuple[Template, ...]
    now: Timestamp


class Desk:
    """One solver. `wanted` is set by the loop; notes come out of `notes`; `wake` is called when there are any."""

    def __init__(
        self,
        client: SolverClient,
        store: ProviderStore,
        signer: Signer,
        domain: Domain,
        token: Address,
        max_judge_window: int,
        config: ProviderConfig,
        log: Notify,
        wake: Callable[[], None],
    ) -> None:
        self.client = client
        self._store = store
        self._signer = signer
        self._domain = domain
        self._token = token
        self._max_judge_window = max_judge_window
        self._config = config
        self._log = log
        self._wake_loop = wake
        self._wanted: Wanted | None = None
        self._hint = threading.Event()
        self._stopped = threading.Event()
        self._inbox_due = self._check_due = True
        self._asked: queue.SimpleQueue[DealId] = queue.SimpleQueue()  # deals whose notes are wanted
        self._refused = ""
        self._notes: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._events = EventListener(client, self._on_event)
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self.reachable = False

    @property
    def url(self) -> str:
        return self.client.base_url

    def start(self) -> Desk:
        self._events.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        """Leaves the offers as they are: they stop matching when we are silent, and a restart takes them up again."""
        self._stopped.set()
        self._events.stop()
        self._hint.set()

    def close(self, timeout_s: float) -> None:
        self.stop()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self.client.close()

    def want(self, wanted: Wanted) -> None:
        """Sets what should stand; acted on when it differs in what is offered, or when an offer grows old."""
        before, self._wanted = self._wanted, wanted
        if before is None or [t.label for t in before.templates] != [t.label for t in wanted.templates]:
            self._hint.set()

    def notes(self) -> list[Message]:
        """Notes that came since the last call."""
        return list(_all_of(self._notes))

    def ask(self, deals: Iterable[DealId]) -> None:
        """Wants all notes of these deals, also those that were read before."""
        for deal_id in deals:
            self._asked.put(deal_id)
        self._hint.set()

    @property
    def standing(self) -> list[StandingOffer]:
        return [offer for offer in self._store.offers() if offer.url == self.url]

    # ---- the thread

    def _on_event(self, event: Event) -> None:
        if event.type in ("message", "resync"):
            self._inbox_due = True
        if event.type == "message" and len(event.id) == 32:
            self._asked.put(DealId(event.id))
        if event.type in ("offer", "resync"):
            self._check_due = True
        self._hint.set()
        self._wake_loop()

    def _run(self) -> None:
        inbox_at = check_at = 0.0
        pause = FIRST_PAUSE_S
        while not self._stopped.is_set():
            now = time.monotonic()
            self._inbox_due |= now >= inbox_at
            self._check_due |= now >= check_at
            try:
                if self._inbox_due or not self._asked.empty():
                    self._inbox_due, inbox_at = False, now + INBOX_S
                    self._read_notes()
                if self._check_due:
                    self._check_due, check_at = False, now + CHECK_S
                    self._check_standing()
                self._bring_about()
                self._say(True)
                pause, self._refused = FIRST_PAUSE_S, ""
            except LilypadError as error:
                self._complain(error)
                self._inbox_due = self._check_due = True
                self._stopped.wait(pause)
                pause = min(LAST_PAUSE_S, pause * 2)
                continue
            except Exception as error:  # the desk outlives its errors
                self._log("solver_desk_failed", alert=True, url=self.url, **figures_of(error))
                self._stopped.wait(LAST_PAUSE_S)
                continue
            self._hint.wait(max(0.0, min(inbox_at, check_at, now + 1.0) - time.monotonic()))
            self._hint.clear()

    def _complain(self, error: LilypadError) -> None:
        """A solver that is there and refuses says why; one that is not there, or serves nobody, is lost."""
        if isinstance(error, (SolverUnreachable, Busy)):
            self._say(False, error)
            return
        self._say(True)
        code = str(error.as_dict()["code"])
        if code != self._refused:
            self._refused = code
            self._log("solver_refuses", alert=True, url=self.url, **figures_of(error))

    def _say(self, reachable: bool, error: LilypadError | None = None) -> None:
        if reachable != self.reachable:
            self.reachable = reachable
            details = {} if error is None else figures_of(error)
            self._log("solver_back" if reachable else "solver_lost", alert=not reachable, url=self.url, **details)

    def _read_notes(self) -> None:
        """Notes since the place we stored, then those of deals that were hinted at and were not among them.

        The second look finds what the first cannot: notes of a solver whose numbers began anew, and notes that an
        earlier life had read and not yet acted on. A note that is read twice does no harm.
        """
        wanted = set(_all_of(self._asked))
        try:
            wanted -= self._read_inbox()
            while wanted:
                deal_id = wanted.pop()
                try:
                    found = self.client.messages(deal_id)
                except (NotFound, Forbidden):
                    continue  # not a deal of this solver, or not yet
                self._take([note for note in found if note.kind != MessageKind.RESULT])
        finally:
            self.ask(wanted)  # what an error left undone

    def _read_inbox(self) -> set[DealId]:
        """The deals that new notes are about."""
        name, about = f"inbox {self.url}", set()
        while True:
            found = self.client.inbox(int(self._store.meta(name) or 0), _PAGE)
            self._take(found)
            if found:
                self._store.set_meta(name, str(max(message.seq for message in found)))
            about |= {message.deal_id for message in found}
            if len(found) < _PAGE:
                return about

    def _take(self, notes: Iterable[Message]) -> None:
        for note in notes:
            self._notes.put(note)
        if not self._notes.empty():
            self._wake_loop()

    def _check_standing(self) -> None:
        """Forgets offers that the solver does not hold (any more), so that they are posted anew."""
        for offer in self.standing:
            try:
                view = self.client.offer(bytes.fromhex(offer.id[2:]))
                if str(view.state) == "open":
                    continue
                reason = str(view.state)
            except NotFound:
                reason = "unknown"
            self._log("offer_gone", offer=offer.id, url=self.url, state=reason)
            self._store.remove_offer(offer)

    def _bring_about(self) -> None:
        wanted = self._wanted
        if wanted is None:
            return
        todo = plan(self.standing, wanted.templates, wanted.now, self._config)
        for template in todo.post:
            self._post(template, wanted.now)
        for offer in todo.withdraw:
            self._withdraw(offer, wanted.now)

    def _post(self, template: Template, now: Timestamp) -> None:
        offer = offer_of(
            template, self._config, Address(self._signer.address), self._token, self._max_judge_window, now
        )
        signature = by_own_key(self._signer.sign_digest(self._domain.digest(offer.struct_hash)))
        self._store.set_meta(OFFERS_UNTIL, str(offer.expiry))  # before anybody has it
        offer_id = hex_of(self.client.post_resource_offer(offer, signature, template.modules))
        self._store.add_offer(StandingOffer(offer_id, self.url, template.label, offer.expiry))
        self._log("offer_posted", offer=offer_id, url=self.url, price=offer.price, expiry=offer.expiry)

    def _withdraw(self, offer: StandingOffer, now: Timestamp) -> None:
        if offer.expiry >= now:
            try:
                self.client.withdraw_offer(bytes.fromhex(offer.id[2:]))
            except (NotFound, WrongState):
                pass  # what is not there is withdrawn
        self._store.remove_offer(offer)
        self._log("offer_withdrawn", offer=offer.id, url=self.url)


def _all_of(items: queue.SimpleQueue[Item]) -> Iterator[Item]:
    """Everything that waits in a queue now."""
    while True:
        try:
            yield items.get_nowait()
        except queue.Empty:
            return


def relay_order(desks: Sequence[Desk]) -> list[Desk]:
    """Those that answer first."""
    return sorted(desks, key=lambda desk: not desk.reachable)
