"""The directory: records by their own key, lists by role, constant costs. beh:G1 beh:G2 beh:G3"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import pytest
from eth_utils import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.evm import Account, Contract, Evm, expect_revert


class Role(IntEnum):
    """Order as in ILilypadUsers."""

    CREATOR = 0
    PROVIDER = 1
    PUBLISHER = 2
    SOLVER = 3
    MEDIATOR = 4
    DIRECTORY = 5


ALL = (1 << len(Role)) - 1
METADATA = keccak(text="metadata")
URLS = ["https://solver.example/v1", "https://backup.example"]
NOT_LISTED = (0, bytes(32), ())


def bits(*roles: Role) -> int:
    return sum(1 << role for role in roles)


@pytest.fixture(scope="module")
def _evm() -> Evm:
    return Evm()


@pytest.fixture(scope="module")
def _users(_evm: Evm) -> Contract:
    return _evm.deploy("LilypadUsers")


@pytest.fixture
def users(_evm: Evm, _users: Contract) -> Iterator[Contract]:
    with _evm.snapshot():
        yield _users


@pytest.fixture
def alice(_evm: Evm) -> Account:
    return _evm.account("alice")


@pytest.fixture
def bob(_evm: Evm) -> Account:
    return _evm.account("bob")


def listed(users: Contract, role: Role) -> list[str]:
    return list(users.usersOf(int(role), 0, 1_000))


def test_join__with_roles__shows_in_their_lists_at_once(users: Contract, alice: Account) -> None:
    """beh:G2"""
    receipt = users.join(bits(Role.SOLVER, Role.PROVIDER), METADATA, URLS, sender=alice)
    event = receipt.event("UserJoined")
    assert (event["account"], event["roles"], event["metadata"]) == (alice.address, 0b1010, METADATA)
    assert tuple(event["endpoints"]) == tuple(URLS)
    assert tuple(users.userOf(alice)) == (0b1010, METADATA, tuple(URLS))
    for role in Role:
        assert listed(users, role) == ([alice.address] if role in (Role.SOLVER, Role.PROVIDER) else [])
        assert users.countOf(int(role)) == len(listed(users, role))


def test_join__twice__is_refused(users: Contract, alice: Account) -> None:
    """beh:G1"""
    users.join(1, METADATA, [], sender=alice)
    with expect_revert("UserJoinedBefore", account=alice):
        users.join(2, METADATA, [], sender=alice)


def test_quit_or_update__when_absent__is_refused(users: Contract, alice: Account) -> None:
    """beh:G1"""
    with expect_revert("UserUnknown", account=alice):
        users.quit(sender=alice)
    with expect_revert("UserUnknown", account=alice):
        users.update(1, METADATA, [], sender=alice)


def test_quit__and_join_again__starts_clean(users: Contract, alice: Account) -> None:
    users.join(ALL, METADATA, URLS, sender=alice)
    assert users.quit(sender=alice).event("UserLeft")["account"] == alice.address
    assert tuple(users.userOf(alice)) == NOT_LISTED
    assert all(listed(users, role) == [] for role in Role)
    users.join(bits(Role.CREATOR), bytes(32), [], sender=alice)
    assert tuple(users.userOf(alice)) == (1, bytes(32), ())


def test_records__of_others__cannot_be_reached(users: Contract, alice: Account, bob: Account) -> None:
    """beh:G1 inv:T30: every call speaks for its caller; there is no argument for another account."""
    users.join(bits(Role.SOLVER), METADATA, URLS, sender=alice)
    users.join(bits(Role.SOLVER), METADATA, [], sender=bob)
    users.update(bits(Role.CREATOR), bytes(32), [], sender=bob)
    users.quit(sender=bob)
    assert tuple(users.userOf(alice)) == (bits(Role.SOLVER), METADATA, tuple(URLS))
    assert listed(users, Role.SOLVER) == [alice.address]


def test_update__roles_dropped_and_added__changes_those_lists_alone(
    users: Contract, alice: Account, bob: Account
) -> None:
    """beh:G2"""
    for account in (alice, bob):
        users.join(bits(Role.SOLVER, Role.PROVIDER), METADATA, URLS, sender=account)
    receipt = users.update(bits(Role.PROVIDER, Role.MEDIATOR), bytes(32), URLS[:1], sender=alice)
    assert tuple(receipt.event("UserUpdated")["endpoints"]) == (URLS[0],)
    assert listed(users, Role.SOLVER) == [bob.address]
    assert listed(users, Role.PROVIDER) == [alice.address, bob.address]
    assert listed(users, Role.MEDIATOR) == [alice.address]
    assert tuple(users.userOf(alice)) == (bits(Role.PROVIDER, Role.MEDIATOR), bytes(32), (URLS[0],))


@pytest.mark.parametrize("roles", [0, ALL + 1, 255])
def test_roles__none_or_unknown__are_refused(users: Contract, alice: Account, roles: int) -> None:
    with expect_revert("RolesInvalid", account=alice, roles=roles):
        users.join(roles, METADATA, [], sender=alice)
    users.join(1, METADATA, [], sender=alice)
    with expect_revert("RolesInvalid", account=alice, roles=roles):
        users.update(roles, METADATA, [], sender=alice)


def test_endpoints__up_to_their_limits__are_kept_whole(users: Contract, alice: Account) -> None:
    """beh:G2: the limits make the costs constant."""
    longest = ["h" * 200] * 4
    users.join(1, METADATA, longest, sender=alice)
    assert list(users.userOf(alice).endpoints) == longest
    with expect_revert("EndpointsTooMany", found=5, most=4):
        users.update(1, METADATA, ["a"] * 5, sender=alice)
    with expect_revert("EndpointTooLong", index=1, found=201, most=200):
        users.update(1, METADATA, ["a", "h" * 201], sender=alice)


def test_pages__any_start_and_size__never_fail(users: Contract, _evm: Evm) -> None:
    """beh:G2"""
    accounts = [_evm.account(f"user-{number}") for number in range(5)]
    for account in accounts:
        users.join(1, METADATA, [], sender=account)
    addresses = [account.address for account in accounts]
    for start, most in ((0, 2), (2, 2), (4, 2), (5, 2), (0, 0), (0, 2**255), (2**256 - 1, 2**256 - 1), (3, 2**256 - 1)):
        assert list(users.usersOf(0, start, most)) == addresses[start : start + most]


def test_gas__of_the_last_of_many__is_that_of_the_first(users: Contract, _evm: Evm) -> None:
    """beh:G2 inv:T12 inv:I18: joining, dropping a role and leaving do not depend on how many there are."""
    spent: dict[int, list[int]] = {}
    for number in range(300):
        account = _evm.account(f"user-{number}")
        joined = users.join(ALL, METADATA, URLS, sender=account).gas_used
        if number in (10, 299):
            dropped = users.update(ALL - 1, METADATA, URLS, sender=account).gas_used
            left = users.quit(sender=account).gas_used
            spent[number] = [joined, dropped, left]
    for few, many in zip(spent[10], spent[299], strict=True):
        assert abs(few - many) < 3_000


@settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
class Directory(RuleBasedStateMachine):
    """beh:G2: whatever anybody does in whatever order, lists and records agree with a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.evm = Evm()
        self.users = self.evm.deploy("LilypadUsers")
        self.accounts = [self.evm.account(f"user-{number}") for number in range(6)]
        self.model: dict[str, int] = {}

    @rule(who=st.integers(0, 5), roles=st.integers(0, 80))
    def join(self, who: int, roles: int) -> None:
        account = self.accounts[who]
        if account.address in self.model:
            with expect_revert("UserJoinedBefore"):
                self.users.join(roles, METADATA, [], sender=account)
        elif not 0 < roles <= ALL:
            with expect_revert("RolesInvalid"):
                self.users.join(roles, METADATA, [], sender=account)
        else:
            self.users.join(roles, METADATA, [], sender=account)
            self.model[account.address] = roles

    @rule(who=st.integers(0, 5), roles=st.integers(1, ALL))
    def update(self, who: int, roles: int) -> None:
        account = self.accounts[who]
        if account.address not in self.model:
            with expect_revert("UserUnknown"):
                self.users.update(roles, METADATA, [], sender=account)
        else:
            self.users.update(roles, METADATA, [], sender=account)
            self.model[account.address] = roles

    @rule(who=st.integers(0, 5))
    def quit(self, who: int) -> None:
        account = self.accounts[who]
        if self.model.pop(account.address, None) is None:
            with expect_revert("UserUnknown"):
                self.users.quit(sender=account)
        else:
            self.users.quit(sender=account)

    @invariant()
    def lists_are_those_of_the_model(self) -> None:
        for role in Role:
            found = listed(self.users, role)
            assert len(found) == len(set(found))
            assert set(found) == {who for who, roles in self.model.items() if roles >> role & 1}

    @invariant()
    def records_are_those_of_the_model(self) -> None:
        for account in self.accounts:
            assert self.users.userOf(account).roles == self.model.get(account.address, 0)


TestDirectory = Directory.TestCase
