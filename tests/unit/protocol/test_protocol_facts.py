"""Facts about a party by the published formula, and that no contract knows a score. beh:G9"""

from __future__ import annotations

import json
import re
from typing import Any

from lilypad_agents.protocol.facts import ENDINGS, DealFacts, SeatFacts, deal_facts, seat_facts
from lilypad_agents.protocol.ids import Address, checksummed
from tests.docs.markdown import ABIS, DOCS

P, Q = (checksummed("0x" + byte * 20) for byte in ("aa", "bb"))


def event(name: str, number: int, provider: Address = P, creator: Address = Q, **more: Any) -> tuple[str, dict[str, Any]]:
    return name, {"dealId": number.to_bytes(32, "big"), "provider": provider, "creator": creator, **more}


def test_deal_facts__one_deal_of_each_ending__are_counted_exactly() -> None:
    opened = [event("DealOpened", number) for number in range(9)]
    ended = [event(name, number) for number, name in enumerate(ENDINGS)]
    expected = DealFacts(opened=9, settled=2, late=1, wrong=1, declined=1, no_fault=1, closed=1)
    assert deal_facts([*opened, *ended], "provider", P) == deal_facts([*ended, *opened], "provider", P) == expected
    assert expected.running == 2
    assert deal_facts([*opened, *ended], "creator", Q) == expected
    assert deal_facts([*opened, *ended], "provider", Q) == deal_facts([*opened, *ended], "creator", P) == DealFacts()


def test_deal_facts__strangers_repeated_and_passing_events__count_nothing() -> None:
    """A log that comes twice, other people's deals, and events that end nothing."""
    events = [
        event("DealOpened", 1), event("DealOpened", 1), event("DealAccepted", 1), event("DealAccepted", 1),
        event("DealOpened", 2, provider=Q), event("DealMediationRejected", 2, provider=Q), event("ResultSubmitted", 1),
        ("DisputeOpened", {"dealId": bytes(32), "by": P}),
    ]  # fmt: skip
    assert deal_facts(events, "provider", P) == DealFacts(opened=1, settled=1)


def test_deal_facts__of_a_branch_that_is_gone__are_those_of_the_other() -> None:
    """A reorganisation: the facts are a function of the events alone, so nothing of the old branch is left."""
    common = [event("DealOpened", 1), event("DealOpened", 2), event("DealAccepted", 1)]
    old, new = [event("DealMediationRejected", 2)], [event("DealTimedOut", 2), event("DealOpened", 3)]
    assert deal_facts([*common, *old], "provider", P) == DealFacts(opened=2, settled=1, wrong=1)
    assert deal_facts([*common, *new], "provider", P) == DealFacts(opened=3, settled=1, late=1)


def test_seat_facts__seats_with_and_without_loss__add_up_by_pool() -> None:
    events = [
        ("SeatReleased", {"pool": pool, "account": account, "loss": loss})
        for pool, account, loss in ((b"\1" * 32, P, 0), (b"\1" * 32, P, 5), (b"\2" * 32, P, 7), (b"\1" * 32, P, 1), (b"\1" * 32, Q, 9))
    ]
    assert seat_facts(events, P) == SeatFacts(4, 3, {b"\1" * 32: 6, b"\2" * 32: 7})
    assert seat_facts([], P) == SeatFacts(0, 0, {})


def test_formula__of_the_page__names_each_ending_that_the_contracts_have() -> None:
    """The final events of the ABIs, of the code and of docs/protocol.md section 10 are the same."""
    text = (DOCS / "protocol.md").read_text(encoding="utf-8").partition("## 10. Directory")[2].partition("## 11.")[0]
    events = {
        entry["name"]
        for name in ("Lilypad", "LilypadResolver")
        for entry in json.loads((ABIS / f"{name}.json").read_text(encoding="utf-8"))["abi"]
        if entry["type"] == "event" and {"dealId", "creator", "provider"} <= {item["name"] for item in entry["inputs"]}
    }
    assert events == {"DealOpened", *ENDINGS}
    assert events <= set(re.findall(r"`(Deal\w+)`", text))


def test_contracts__know_no_score() -> None:
    """beh:G9: no function, argument, event or error of any contract is about a score, rating or reputation."""
    words = re.compile(r"score|rating|reputation|karma|ranking", re.IGNORECASE)
    found = {
        path.stem: sorted({name for name in _names(json.loads(path.read_text(encoding="utf-8"))["abi"]) if words.search(name)})
        for path in sorted(ABIS.glob("*.json"))
    }
    assert len(found) > 10 and {name: hits for name, hits in found.items() if hits} == {}
    sources = [path for path in (DOCS.parent / "contracts").rglob("*.sol") if not {"mocks", ".cache"} & set(path.parts)]
    code = {path.name: words.findall(re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)) for path in sources}
    assert len(code) > 50 and {name: hits for name, hits in code.items() if hits} == {}


def _names(entry: Any) -> list[str]:
    if isinstance(entry, list):
        return [name for item in entry for name in _names(item)]
    if isinstance(entry, dict):
        own = [entry["name"]] if isinstance(entry.get("name"), str) else []
        return own + [name for key in ("inputs", "outputs", "components") for name in _names(entry.get(key, []))]
    return []
