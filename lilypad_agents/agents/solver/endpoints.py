"""The table of the API: each address with its method, rights, parameters, bodies and answers.

Routes and the OpenAPI document both come from it, so that what is published is what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lilypad_agents.agents.solver.errors import BadRequest
from lilypad_agents.agents.solver.service import MOST_PAGE, PAGE, SolverService
from lilypad_agents.agents.solver.wire import MessageKind, OfferState, bytes32
from lilypad_agents.protocol.ids import Address, DealId, OfferHash, checksummed
from lilypad_agents.protocol.lifecycle import Status

JSON_BYTES = 128 * 1024
LIST_BYTES = 1024 * 1024  # a resource offer with its list of versions
_NUMBER_DIGITS = 15


class Asked(NamedTuple):
    """A request that may be served: who asks (None: anybody), what the path names, the query and the JSON body."""

    caller: Address | None
    path: dict[str, str]
    query: dict[str, str]
    body: Any

    @property
    def account(self) -> Address:
        """The caller of an address that wants a signature."""
        assert self.caller is not None
        return self.caller


Handler = Callable[[SolverService, Asked], Any]


@dataclass(frozen=True)
class Endpoint:
    """One method of one address. `query` and `body` name schemas of the OpenAPI document; so does `answer`."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answer: str
    signed: bool = True
    query: tuple[str, ...] = ()
    body: str = ""
    most_bytes: int = 0
    refusals: tuple[int, ...] = field(default=())


# ---- handlers: JSON in, JSON out; they run in threads


def _info(service: SolverService, asked: Asked) -> Any:
    return service.info().to_json()


def _post_job(service: SolverService, asked: Asked) -> Any:
    return service.post_job(_object(asked.body, "offer", "signature", "module", optional=("pool", "inputs", "document")),
                            asked.account).to_json()  # fmt: skip


def _post_resource(service: SolverService, asked: Asked) -> Any:
    body = _object(asked.body, "offer", "signature", optional=("modules",))
    listed = body.get("modules")
    if listed is not None and not isinstance(listed, list):
        raise BadRequest("modules must be a list.", field="modules", problem="not a list")
    return service.post_resource(body, asked.account).to_json()


def _offers(service: SolverService, asked: Asked) -> Any:
    query = asked.query
    kind = _choice(query, "kind", ("job", "resource"))
    state = _choice(query, "state", tuple(str(item) for item in OfferState))
    page = service.offers(
        kind=kind, account=_account(query, "party"), state=state, since=_number(query, "since"), **_page(query)
    )
    return {"items": [view.to_json() for view in page.items], "cursor": page.cursor}


def _offer(service: SolverService, asked: Asked) -> Any:
    return service.offer(OfferHash(_id(asked, "offer"))).to_json()


def _withdraw(service: SolverService, asked: Asked) -> Any:
    return service.withdraw(OfferHash(_id(asked, "offer")), asked.account).to_json()


def _why(service: SolverService, asked: Asked) -> Any:
    found = service.why(OfferHash(_id(asked, "offer")), asked.account)
    return {"items": [reason.to_json() for reason in found], "cursor": None}


def _matches(service: SolverService, asked: Asked) -> Any:
    page = service.matches(**_page(asked.query))
    return {"items": list(page.items), "cursor": page.cursor}


def _deals(service: SolverService, asked: Asked) -> Any:
    query = asked.query
    names = [name for name in query.get("state", "").split(",") if name]
    if any(name not in Status.__members__ for name in names):
        raise BadRequest("state must be names of deal states.", field="state", problem="unknown state")
    page = service.deals(
        _account(query, "party") or asked.account,
        asked.account,
        [Status[name] for name in names],
        _number(query, "since"),
        **_page(query),
    )
    return {"items": [view.to_json() for view in page.items], "cursor": page.cursor}


def _deal(service: SolverService, asked: Asked) -> Any:
    with_patience(service, asked)
    return service.deal(DealId(_id(asked, "deal")), asked.account).to_json()


def _post_message(service: SolverService, asked: Asked) -> Any:
    body = _object(asked.body, "kind", "body")
    if not isinstance(body["kind"], str):
        raise BadRequest("kind must be text.", field="kind", problem="not text")
    with_patience(service, asked)
    deal_id = DealId(_id(asked, "deal"))
    seq, receiver = service.notes.post(deal_id, body["kind"], body["body"], asked.account)
    service.hub.publish("message", deal_id, body["kind"], (receiver,))
    return {"seq": seq}


def _messages(service: SolverService, asked: Asked) -> Any:
    with_patience(service, asked)
    found = service.notes.of_deal(DealId(_id(asked, "deal")), asked.account)
    return {"items": [message.to_json() for message in found], "cursor": None}


def _inbox(service: SolverService, asked: Asked) -> Any:
    account = _account(asked.query, "party") or asked.account
    found = service.notes.inbox(account, asked.account, _number(asked.query, "after"), _limit(asked.query))
    return {"items": [message.to_json() for message in found], "cursor": None}


def with_patience(service: SolverService, asked: Asked) -> None:
    """A party may see its deal on the chain before this solver did: then the solver looks once more before it says no."""
    if service.context.deals.get(_id(asked, "deal")) is None:
        service.wait_for_cycle(2.0)


ENDPOINTS = (
    Endpoint("GET", "/v1/info", "info", "What this solver is and serves", _info, "Info", signed=False),
    Endpoint(
        "POST", "/v1/job-offers", "postJobOffer", "Hand over a signed job offer; repeating it is harmless",
        _post_job, "Offer", body="JobOfferPost", most_bytes=JSON_BYTES, refusals=(403, 409, 413, 415, 422),
    ),
    Endpoint(
        "POST", "/v1/resource-offers", "postResourceOffer", "Hand over a signed resource offer; repeating it is harmless",
        _post_resource, "Offer", body="ResourceOfferPost", most_bytes=LIST_BYTES, refusals=(403, 413, 415, 422),
    ),
    Endpoint(
        "GET", "/v1/offers", "offers", "Offers, oldest first; inputs appear as hashes only", _offers, "OfferPage",
        signed=False, query=("kindQuery", "party", "offerState", "since", "cursor", "limit"),
    ),
    Endpoint("GET", "/v1/offers/{offer}", "offer", "One offer", _offer, "Offer", signed=False, refusals=(404,)),
    Endpoint(
        "DELETE", "/v1/offers/{offer}", "withdrawOffer", "Take one's own offer out of this solver's book", _withdraw,
        "Offer", refusals=(403, 404, 409),
    ),
    Endpoint(
        "GET", "/v1/offers/{offer}/why", "why", "What keeps one's own offer from each counterpart", _why, "WhyPage",
        refusals=(403, 404, 409),
    ),
    Endpoint(
        "GET", "/v1/matches", "matches", "Which pairs this solver chose, oldest first", _matches, "MatchPage",
        signed=False, query=("cursor", "limit"),
    ),
    Endpoint(
        "GET", "/v1/deals", "deals", "Deals of one's own, oldest first", _deals, "DealPage",
        query=("party", "dealStates", "since", "cursor", "limit"), refusals=(403,),
    ),
    Endpoint("GET", "/v1/deals/{deal}", "deal", "One deal, for its parties", _deal, "Deal", refusals=(403, 404)),
    Endpoint(
        "POST", "/v1/deals/{deal}/messages", "postMessage", "Leave a note for the other party; repeating it is harmless",
        _post_message, "Sequence", body="MessagePost", most_bytes=JSON_BYTES, refusals=(403, 404, 409, 413, 415),
    ),
    Endpoint(
        "GET", "/v1/deals/{deal}/messages", "messages", "The notes of a deal, for its parties", _messages, "MessagePage",
        refusals=(403, 404),
    ),
    Endpoint(
        "GET", "/v1/messages", "inbox", "Notes to an account in all its deals", _inbox, "MessagePage",
        query=("party", "after", "limit"), refusals=(403,),
    ),
)  # fmt: skip
MESSAGE_KINDS = tuple(str(kind) for kind in MessageKind)


# ---- reading parameters


def _object(body: Any, *names: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", field="", problem="not an object")
    for name in names:
        if name not in body:
            raise BadRequest(f"The body lacks {name}.", field=name, problem="missing")
    for name in body:
        if name not in (*names, *optional):
            raise BadRequest(f"The body has a field that is not known: {name[:40]!r}.", field=name[:40], problem="unknown")
    return body


def _id(asked: Asked, name: str) -> bytes:
    return bytes32(name, asked.path[name])


def _choice(query: dict[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = query.get(name)
    if value is not None and value not in choices:
        raise BadRequest(f"{name} must be one of {', '.join(choices)}.", field=name, problem="unknown")
    return value


def _account(query: dict[str, str], name: str) -> Address | None:
    value = query.get(name)
    if value is None:
        return None
    try:
        return checksummed(value)
    except ValueError:
        raise BadRequest(f"{name} must be an address.", field=name, problem="no address") from None


def _number(query: dict[str, str], name: str) -> int:
    value = query.get(name, "0")
    if not (value.isascii() and value.isdecimal() and len(value) <= _NUMBER_DIGITS):
        raise BadRequest(f"{name} must be a whole number.", field=name, problem="no number")
    return int(value)


def _limit(query: dict[str, str]) -> int:
    found = _number(query, "limit") if "limit" in query else PAGE
    if not 1 <= found <= MOST_PAGE:
        raise BadRequest(f"limit must be from 1 to {MOST_PAGE}.", field="limit", problem="out of range")
    return found


def _page(query: dict[str, str]) -> dict[str, int]:
    return {"after": _number(query, "cursor"), "limit": _limit(query)}
