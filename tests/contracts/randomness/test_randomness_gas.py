"""What seeds cost, as protocol 6.4 says."""

from __future__ import annotations

from lilypad_agents.agents.seeds.decide import LEFT_FREE
from tests.docs.markdown import DOCS, section
from tests.docs.markdown import table as table_of
from tests.support.seed_sources import ByBlocks, ByParticipants, commitment, secret_of

HEADER_BYTES = 646


def recorded(name: str, age: int) -> int:
    source = ByBlocks(name)
    source.end_of_commitments(source.period)
    source.go_to(source.deciding(source.period) + age)
    assert len(source.proof(source.period)) in (0, HEADER_BYTES)
    return source.contract.record(source.period, source.proof(source.period), exact=True).gas_used


def participated() -> dict[str, int]:
    source = ByParticipants()
    source.begin(source.period - 1)

    def commit(period: int, value: int) -> list[int]:
        return [
            source.contract.commit(
                period, commitment(source.evm, source.contract, period, account, secret_of(account, period)),
                sender=account, value=value, exact=True,
            ).gas_used
            for account in source.people
        ]  # fmt: skip

    first = commit(source.period, source.BOND + LEFT_FREE)[0]
    source.at(source.contract.revealStart(source.period))
    reveals = [
        source.contract.reveal(source.period, account, secret_of(account, source.period), sender=account, exact=True).gas_used
        for account in source.people
    ]
    return {
        "commit_first": first,
        "commit_again": commit(source.period + 1, 0)[-1],
        "reveal_first": reveals[0],
        "reveal": reveals[1],
        "reveal_last": reveals[-1],
    }


def test_gas__of_seeds__is_within_one_per_cent_of_the_page() -> None:
    text = section((DOCS / "protocol.md").read_text(encoding="utf-8"), "### 6.4 Randomness")
    rows = table_of(text[text.index("| call | key |") :])
    written = {row["key"]: int(row["gas"].replace(",", "")) for row in rows}
    measured = participated() | {
        "hash_opcode": recorded("BlockHashRandomness", 1),
        "hash_history": recorded("BlockHashRandomness", 300),
        "prevrandao": recorded("PrevrandaoRandomness", 300),
    }
    assert written.keys() == measured.keys()
    for key, gas in measured.items():
        assert abs(written[key] - gas) * 100 <= gas, f"{key}: docs say {written[key]}, measured is {gas}"
