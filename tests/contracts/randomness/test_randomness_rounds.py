"""Times and commitments of seeds that are made together, compared with the contract in an EVM."""

from __future__ import annotations

import pytest
from eth_utils import keccak

from lilypad_agents.protocol.commit_reveal import Rounds, seed_commitment
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, Address
from tests.support.seed_sources import ByParticipants


def test_commitment__given_to_the_contract__is_opened_by_its_secret() -> None:
    source = ByParticipants()
    ann, secret, period = source.people[0], keccak(b"secret"), source.period
    mine = seed_commitment(source.evm.chain_id, Address(source.contract.address), period, Address(ann.address), secret)
    source.at((period - 1) * source.PERIOD)
    source.contract.commit(period, mine, sender=ann, value=source.BOND)
    source.at(period * source.PERIOD + source.LOOKAHEAD)
    source.contract.reveal(period, ann, secret, sender=ann)
    assert tuple(source.contract.participantsOf(period)) == (1, 1)


def test_commitment__of_a_secret_that_is_not_32_bytes__is_refused() -> None:
    with pytest.raises(FieldInvalid):
        seed_commitment(1, NOBODY, 9, NOBODY, bytes(31))


@pytest.mark.parametrize("period", [0, 1, 7, 2**31])
def test_windows__are_those_of_the_contract(period: int) -> None:
    source = ByParticipants()
    rounds = Rounds(source.PERIOD, source.LOOKAHEAD, source.REVEAL, source.BOND)
    assert rounds.reveal_start(period) == source.contract.revealStart(period)
    assert rounds.reveal_end(period) == source.contract.revealEnd(period)


@pytest.mark.parametrize(("period_s", "lookahead_s", "reveal_s"), [(10, 1, 5), (10, 3, 30), (7, 50, 1), (1, 1, 1)])
def test_first_open__every_second__is_the_earliest_window_that_is_not_over(period_s: int, lookahead_s: int, reveal_s: int) -> None:
    rounds = Rounds(period_s, lookahead_s, reveal_s, 1)
    for time in range(120):
        found = rounds.first_open(time)
        assert rounds.reveal_end(found) >= time
        assert found == 0 or rounds.reveal_end(found - 1) < time
