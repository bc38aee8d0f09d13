"""Participants on a chain with the real contract: seeds become known, bonds come back, whatever dies in between."""

from __future__ import annotations

import os
import shutil
import signal as signals
import traceback
from collections.abc import Iterator

import pytest

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.loop import Observation
from lilypad_agents.agents.seeds.agent import SeedAgent, key_of
from lilypad_agents.agents.seeds.book import Unopened
from lilypad_agents.agents.seeds.decide import LEFT_FREE, Action
from lilypad_agents.agents.seeds.errors import NoCommitReveal
from lilypad_agents.agents.seeds.run import assemble, run
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.outbox import Failed
from tests.agents.seeds.circle import BOND, EXPIRED, KNOWN, PENDING, Circle, Participant
from tests.support.chain import balance
from tests.support.network import Network, signer


def both_forms(secret: bytes) -> tuple[bytes, ...]:
    return secret, secret.hex().encode(), secret.hex().upper().encode()


def files_of(member: Participant) -> Iterator[tuple[str, bytes]]:
    for path in sorted(member.folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()


def life(circle: Circle, member: Participant, crash: CrashPlan, until_committed: int) -> int:
    """Wait status of a forked participant that works until it has committed, or until it dies."""
    child = os.fork()
    if not child:
        status = 3
        try:
            circle.start(member, crash=crash)
            circle.until(lambda: circle.committed(until_committed, member))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


# ---- seeds


def test_participants__over_several_periods__make_each_seed_known_and_get_their_bonds_back(circle: Circle) -> None:
    """inv:T51 Without participants every verified deal would be audited. Two bonds each, whatever the number of periods."""
    members = [circle.participant() for _ in range(3)]
    first = circle.period
    seeds = set()
    circle.until(lambda: circle.committed(first + 1, *members))
    for period in range(first + 1, first + 4):
        circle.to(circle.rounds.start(period))
        circle.until(lambda period=period: circle.committed(period + 1, *members))
        assert circle.seed(period) == (PENDING, bytes(32))
        circle.to(circle.rounds.reveal_start(period) - 1)
        circle.turn(3)
        assert circle.counts(period) == (3, 0)
        circle.to(circle.rounds.reveal_start(period))
        circle.until(lambda period=period: circle.counts(period) == (3, 3))
        status, seed = circle.seed(period)
        assert status == KNOWN
        seeds.add(seed)
    assert len(seeds) == 3
    assert [circle.free(member) for member in members] == [BOND + LEFT_FREE] * 3
    stored = members[0].context.database  # type: ignore[union-attr]
    (row,) = stored.query("SELECT deadline FROM outbox_action WHERE key = ?", (f"reveal:{first + 1}",))
    assert row["deadline"] == circle.rounds.reveal_end(first + 1), "close to it the outbox bids more"
    reveals = [len([line for line in member.lines.named("action_queued") if line["action"] == "reveal"]) for member in members]
    assert reveals == [3, 3, 3]
    assert not any(member.lines.named("action_failed") for member in members)


def test_participants__one_is_gone__the_seed_expires_and_its_bond_alone_is_lost(circle: Circle) -> None:
    ann, ben = circle.participant(), circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann, ben))
    ben.end()
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (2, 1))
    circle.to(circle.rounds.reveal_end(period) + 1)
    assert circle.seed(period)[0] == EXPIRED
    circle.start(ben)
    circle.turn(3)
    assert [line["period"] for line in ben.lines.named("bond_lost")] == [period]
    assert circle.committed(period, ben), "others revealed, so nobody can free it"
    assert not any(line["action"] == "reclaim" for line in ben.lines.named("action_queued"))


def test_reveal__in_the_last_second_of_the_window__is_still_taken(circle: Circle) -> None:
    """Blocks come when they like: the first that the agent sees in the window may be the last one."""
    ann, ben = circle.participant(), circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann, ben))
    circle.to(circle.rounds.reveal_end(period) - 30)
    circle.until(lambda: circle.seed(period)[0] == KNOWN)


# ---- lives


@pytest.mark.parametrize("point", ["seeds.commit.before", "seeds.commit.queued", "outbox.after_commit", "outbox.after_broadcast"])
def test_participant__killed_while_it_commits__commits_once_and_reveals(circle: Circle, point: str) -> None:
    """flt:F1 flt:F34 A process of its own dies by SIGKILL; the next one finds what it did in outbox and chain."""
    ann = circle.participant(start=False)
    period = circle.period + 1
    assert life(circle, ann, CrashPlan(1, only=point), period) == signals.SIGKILL
    circle.start(ann)
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    assert not ann.lines.named("action_failed")


@pytest.mark.parametrize("point", ["seeds.reveal.before", "seeds.reveal.queued", "outbox.before_broadcast"])
def test_participant__killed_while_it_reveals__reveals_once(circle: Circle, point: str) -> None:
    """flt:F1 flt:F34"""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.turn()
    ann.end()
    circle.to(circle.rounds.reveal_start(period))
    assert life(circle, ann, CrashPlan(1, only=point), period + 1) == signals.SIGKILL
    circle.start(ann)
    circle.until(lambda: circle.counts(period) == (1, 1))
    assert circle.free(ann) + BOND * circle.committed(period + 1, ann) >= BOND


def test_participant__everything_but_the_key_is_lost__still_reveals(circle: Circle) -> None:
    """flt:F28 The secret follows from the key, what is open from the chain: an empty folder costs no bond."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    ann.end()
    shutil.rmtree(ann.folder)
    circle.to(circle.rounds.reveal_start(period))
    circle.start(ann)
    circle.turn(2)
    assert circle.counts(period) == (1, 1)
    assert not ann.agent.decision.foreign  # type: ignore[union-attr]


def test_reveal__events_not_read_yet__does_not_wait_for_them(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    """flt:F24 What is open is asked of the contract; only to leave it has to know all that there is."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    ann.end()
    shutil.rmtree(ann.folder)

    def far_behind(agent: SeedAgent, observation: Observation) -> bool:
        agent._unopened = Unopened(set())
        return False

    monkeypatch.setattr(SeedAgent, "_follow", far_behind)
    circle.start(ann, leave=True)
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    circle.turn(3)
    assert ann.agent.decision.idle and not ann.loop.stopping  # type: ignore[union-attr]
    monkeypatch.undo()
    circle.turn(2)
    assert ann.loop.stopping  # type: ignore[union-attr]


def test_commitment__lost_in_a_reorganisation__is_sent_again_as_it_was(circle: Circle) -> None:
    """flt:F15 The same bytes, so no second secret for the period."""
    ann = circle.participant()
    period, rpc = circle.period + 1, circle.network.rpc
    circle.until(lambda: circle.committed(period, ann))
    circle.turn(2)
    before = bytes(circle.source.call("commitmentOf", period, ann.account))
    head = read_moment(rpc)
    mined = ann.context.outbox.status(key_of(Action.COMMIT, period)).receipt.block.number  # type: ignore[union-attr, arg-type]
    rpc.request("anvil_reorg", head.number - mined + 1, [])
    assert not circle.committed(period, ann)
    circle.until(lambda: circle.committed(period, ann))
    assert bytes(circle.source.call("commitmentOf", period, ann.account)) == before
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    assert circle.free(ann) + BOND * circle.committed(period + 1, ann) <= 2 * BOND + LEFT_FREE


def test_participant__opened_on_a_second_machine_with_the_same_key__nothing_goes_twice(circle: Circle) -> None:
    """Locks do not reach other machines; both make the same commitment, and one of them is told that it is there."""
    ann = circle.participant()
    twin = Participant(ann.key, ann.index, circle.folder / "twin")
    period = circle.period + 1
    circle.members.append(twin)
    circle.start(twin, state=circle.folder / "elsewhere")
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    assert circle.free(ann) + BOND * circle.committed(period + 1, ann) <= 2 * BOND + LEFT_FREE


# ---- coin


def test_commit__account_without_coin__says_what_is_missing_until_it_comes(circle: Circle) -> None:
    """flt:F23 A commitment whose reveal cannot be paid would throw the bond away."""
    ann = circle.participant(coin=BOND)  # the bond and nothing for gas
    period = circle.period + 1
    circle.turn(3)
    assert not circle.committed(period, ann)
    reason = ann.context.health.against()["coin"]  # type: ignore[union-attr]
    missing = ann.agent.decision.missing  # type: ignore[union-attr]
    assert reason.startswith(f"{missing} wei are missing")
    assert balance(circle.network.rpc, ann.account) == BOND, "nothing was sent"
    circle.network.rpc.request("anvil_setBalance", ann.account, hex(2 * BOND + missing))
    circle.to(circle.network.now() + 5)
    circle.until(lambda: circle.committed(period, ann))
    circle.turn(2)
    assert "coin" not in ann.context.health.against()  # type: ignore[union-attr]


def test_commit__coin_gone_after_the_decision__does_not_keep_it_from_revealing(circle: Circle) -> None:
    """flt:F23 A queued commitment that lacks coin holds everything behind it back, so it is taken back."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.start(period))
    circle.network.rpc.request("anvil_setBalance", ann.account, hex(BOND + 1_000))  # the value, and no gas
    outbox, source = ann.context.outbox, circle.source  # type: ignore[union-attr]
    outbox.submit(  # as one that was decided when there was more
        key_of(Action.COMMIT, period + 1), source.address, source.encode("commit", period + 1, b"\1" * 32), BOND,  # type: ignore[arg-type]
        deadline=circle.rounds.reveal_end(period) - 1,  # where reveals outlast a period: it is dearer and comes first
    )  # fmt: skip
    outbox.pump()
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    found = bytes(circle.source.call("commitmentOf", period + 1, ann.account))
    assert found != b"\1" * 32, "taken back; the bond that came back may have paid for one of its own by now"


def test_commit__bond_that_came_back__is_used_before_new_coin(circle: Circle) -> None:
    """One bond is enough: the account commits again when the first comes back, and is not called poor meanwhile."""
    ann = circle.participant(coin=BOND + BOND // 2)
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.start(period))
    circle.turn(3)
    assert not circle.committed(period + 1, ann)
    assert "coin" not in ann.context.health.against()  # type: ignore[union-attr]
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.committed(period + 1, ann))
    assert circle.free(ann) == LEFT_FREE
    assert balance(circle.network.rpc, ann.account) > BOND // 3


# ---- what is not usual


def test_reclaim__nobody_revealed__the_bond_comes_back(circle: Circle) -> None:
    """flt:F16 The chain stood still for the whole window, or this participant did, alone."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_end(period) + 1)
    circle.until(lambda: circle.free(ann) + BOND * circle.committed(period + 1, ann) == 2 * BOND + LEFT_FREE)
    assert not circle.committed(period, ann)
    assert not ann.lines.named("bond_lost")


def test_reclaim__beside_a_commitment_out_of_the_free_bond__has_gas_enough(circle: Circle) -> None:
    """flt:F16 Both leave together after a standstill, the commitment first: were it to empty the free bond, the bond's way back would be dearer than estimated."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.start(period))
    circle.until(lambda: circle.committed(period + 1, ann))
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    circle.to(circle.rounds.reveal_end(period + 1) + 1)
    circle.until(lambda: circle.committed(period + 2, ann) and not circle.committed(period + 1, ann))
    assert not ann.lines.named("action_failed")


def test_commitment__made_by_hand__is_reported_and_never_guessed(circle: Circle) -> None:
    ann = circle.participant(start=False)
    period = circle.period + 1
    data = circle.source.encode("commit", period, b"\7" * 32)
    circle.network.sender(ann.index).send(circle.source.address, data, BOND)
    circle.start(ann)
    circle.to(circle.rounds.reveal_start(period))
    circle.turn(3)
    assert str(period) in ann.context.health.against()["foreign"]  # type: ignore[union-attr]
    assert circle.counts(period) == (1, 0)
    assert not any(line["period"] == period for line in ann.lines.named("action_queued"))
    circle.to(circle.rounds.reveal_end(period) + 1)
    circle.until(lambda: not circle.committed(period, ann))  # nobody revealed: it comes back like any other
    circle.turn()
    assert "foreign" not in ann.context.health.against()  # type: ignore[union-attr]


def test_commit__mined_a_period_late__costs_gas_and_no_bond(circle: Circle) -> None:
    """A commitment that was sent and not taken in time is given up, not opened."""
    ann = circle.participant(start=False)
    circle.network.rpc.request("evm_setAutomine", False)
    try:
        circle.start(ann)
        circle.turn(2)
        circle.to(circle.rounds.start(circle.period + 1))
    finally:
        circle.network.rpc.request("evm_setAutomine", True)
    circle.until(lambda: circle.committed(circle.period + 2, ann))
    assert not circle.committed(circle.period + 1, ann)
    status = ann.context.outbox.status(key_of(Action.COMMIT, circle.period + 1))  # type: ignore[union-attr, arg-type]
    assert isinstance(status, Failed)
    assert circle.free(ann) == LEFT_FREE


# ---- leaving


def test_leave__with_a_bond_open__ends_well_once_it_is_back(circle: Circle) -> None:
    """beh:J26 Commits to nothing new and ends by itself with 0: stopping earlier costs a bond."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    ann.end()
    circle.start(ann, leave=True)
    circle.turn(3)
    assert not ann.loop.stopping  # type: ignore[union-attr]
    circle.to(circle.rounds.reveal_start(period))
    circle.turn(2)
    assert circle.counts(period) == (1, 1)
    ann.end()
    assert run(circle.options(ann, leave=True), signals=False) == 0
    assert not circle.committed(period + 1, ann)
    assert circle.free(ann) == BOND + LEFT_FREE


def test_leave__with_a_commitment_that_never_left__takes_it_back(circle: Circle) -> None:
    """flt:F1 It was decided before the last life ended, and would have to be revealed."""
    ann = circle.participant()
    circle.decide_only(ann)
    assert ann.lines.named("action_queued")
    ann.end()
    circle.start(ann, leave=True)
    circle.turn(3)
    assert ann.loop.stopping  # type: ignore[union-attr]
    assert not circle.committed(circle.period + 1, ann)


# ---- secrets


def test_secret__before_its_window__is_nowhere_in_the_folder(circle: Circle) -> None:
    """flt:F39 Neither in the loudest log nor in the database; once it is revealed the outbox holds it."""
    ann = circle.participant(start=False)
    period = circle.period + 1
    settings = circle.options(ann, log_level="debug")
    ann.context = AgentContext.open(settings)  # with its real log
    ann.agent, ann.loop = assemble(ann.context, settings)
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_start(period) - 20)  # a block that comes of the next commitment is later
    circle.turn(3)
    secrets = [circle.secret(ann, each) for each in (period, period + 1)]
    places = list(files_of(ann))
    assert {"agent.log", "agent.sqlite"} <= {name for name, _ in places}
    for name, data in places:
        assert not any(form in data for secret in secrets for form in both_forms(secret)), name
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    assert any(secrets[0] in data for _, data in files_of(ann)), "the search can find one"
    assert not any(form in data for _, data in files_of(ann) for form in both_forms(secrets[1]))
    assert secrets[0].hex() not in repr(ann.agent.book) + repr(ann.agent.book.secrets)


# ---- where there is nothing to do


def test_start__deployment_with_another_source__says_which(network: Network, circle: Circle) -> None:
    settings = SeedSettings(
        data=circle.folder / "other", state=circle.folder / "state", rpc=network.rpc.config.urls,
        address_book=network.book_path, log_stderr=False,
    )  # fmt: skip
    with pytest.raises(NoCommitReveal, match="BlockHashRandomness: there is nothing to commit to"):
        run(settings, signals=False, signer=signer(999))
