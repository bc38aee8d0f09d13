"""Who speaks for an account: keys, contracts, approvals, the caller itself, delegates; and what no signature is good for.

beh:A8 beh:A9 beh:B2 beh:B5 beh:B19 inv:I7 inv:I16 inv:I19 inv:I20 inv:T4 inv:T5 inv:T10 inv:T41 inv:T45
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol.consent import (
    APPROVED,
    Acceptance,
    Closing,
    Domain,
    Result,
    Scope,
    Waiver,
    by_contract,
    by_delegate,
    by_own_key,
)
from lilypad_agents.protocol.ids import NOBODY, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import SignedResult, closing_of, opening_of, openings_of
from lilypad_agents.protocol.price import locked_total
from tests.support.consents import HASH, digest, open_pair, signed_by, speaker
from tests.support.evm import Account, Evm, Reverted, decode_error, expect_revert
from tests.support.world import COIN, World, build_world

SCOPES = (Scope.OFFERS, Scope.RESULTS, Scope.ACCEPTANCE)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FOREVER = 2**40 - 1


# ---- keys


def test_own_key__speaks_for_its_account_and_nobody_else(world: World) -> None:
    signature = world.creator.consent(digest(world))
    assert speaker(world, world.creator, signature) == world.creator.address
    assert speaker(world, world.provider, signature) == NOBODY
    assert world.core.consentOf(world.creator, keccak256(b"another"), signature, 1) == NOBODY


def _malformed(signature: bytes) -> dict[str, bytes]:
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    low = (s).to_bytes(32, "big")
    high = (ORDER - s).to_bytes(32, "big")
    compact = s | (v - 27) << 255
    return {
        "malleable twin (inv:T5)": b"\0" + r + high + bytes([27 + 28 - v]),
        "high s, same v": b"\0" + r + high + bytes([v]),
        "other v": b"\0" + r + low + bytes([27 + 28 - v]),
        "v of 0 or 1": b"\0" + r + low + bytes([v - 27]),
        "v of 29": b"\0" + r + low + bytes([29]),
        "compact, EIP-2098": b"\0" + r + compact.to_bytes(32, "big"),
        "compact, padded": b"\0" + r + compact.to_bytes(32, "big") + b"\0",
        "one byte short": b"\0" + signature[:64],
        "one byte long": b"\0" + signature + b"\0",
        "without its kind": signature,
        "zero r": b"\0" + bytes(32) + low + bytes([v]),
        "zero s": b"\0" + r + bytes(32) + bytes([v]),
        "all zero": bytes(66),
        "kind only": b"\0",
        "kind of a delegate, nothing else": b"\1",
        "kind of a delegate, 19 bytes": b"\1" + bytes(19),
        "kind of a contract": b"\2",
        "kind of a contract with the key's signature": b"\2" + signature,
        **{f"kind {kind}": bytes([kind]) + signature for kind in (3, 4, 27, 28, 127, 128, 255)},
    }


@pytest.mark.parametrize("name", _malformed(bytes(64) + b"\x1b"))
def test_own_key__in_any_other_form__speaks_for_nobody(world: World, name: str) -> None:
    """inv:T5"""
    malformed = _malformed(world.creator.sign(digest(world)))[name]
    assert speaker(world, world.creator, malformed, scope=7) == NOBODY
    with expect_revert("SignatureInvalid", account=world.creator):
        open_pair(world, signed_by(world, world.pair(), job=malformed))
    with expect_revert("SignatureInvalid", account=world.provider):
        open_pair(world, signed_by(world, world.pair(), resource=malformed))


def test_malleable_twin__of_a_used_signature__opens_nothing_more(world: World) -> None:
    """inv:T5"""
    pair = world.pair()
    open_pair(world, pair)
    raw = pair.job_signature[1:]
    twin = _malformed(raw)["malleable twin (inv:T5)"]
    again = signed_by(world, world.pair(pair.job), job=twin)  # another resource offer
    with expect_revert("NonceUsed", offerHash=pair.job.struct_hash, account=world.creator, nonce=pair.job.nonce):
        open_pair(world, again)


def test_nobody__is_spoken_for_by_nothing(world: World) -> None:
    """An address that nobody has must not match the answer of a failed recovery."""
    for signature in (b"", bytes(66), b"\2", by_own_key(world.creator.sign(digest(world)))):
        assert speaker(world, NOBODY, signature, scope=7) == NOBODY
    assert speaker(world, NOBODY, b"", scope=7, sender=NOBODY) == NOBODY


# ---- other chains, deployments, types


def test_signature__of_another_chain_deployment_or_type__opens_nothing(world: World) -> None:
    """beh:B5 inv:T4 inv:I16"""
    domains = {
        "chain": Domain(world.evm.chain_id + 1, world.core.address),
        "resolver": Domain(world.evm.chain_id, world.resolver.address),
        "deployment": Domain(world.evm.chain_id, world.token.address),
    }
    pair = world.pair()
    for domain in domains.values():
        job = world.creator.consent(domain.digest(pair.job.struct_hash))
        with expect_revert("SignatureInvalid", structHash=pair.job.struct_hash, account=world.creator):
            open_pair(world, signed_by(world, pair, job=job))
        resource = world.provider.consent(domain.digest(pair.resource.struct_hash))
        with expect_revert("SignatureInvalid", structHash=pair.resource.struct_hash, account=world.provider):
            open_pair(world, signed_by(world, pair, resource=resource))
    bare = world.creator.consent(pair.job.struct_hash)  # the hash without a domain
    with expect_revert("SignatureInvalid"):
        open_pair(world, signed_by(world, pair, job=bare))
    open_pair(world, pair)


def test_signature__of_a_second_core_on_the_same_chain__opens_nothing(world: World) -> None:
    """beh:B3 inv:T4: the same deal has another id there."""
    rival = build_world(Evm(), protocol_fee_bps=99)
    other = world.evm.deploy("Lilypad", rival.parameters.__class__(**{**vars(world.parameters), "protocol_fee_bps": 99}))
    pair = world.pair()
    with expect_revert("SignatureInvalid"):
        other.open(opening_of([pair]))
    deal, deal_id = world.open(pair)
    assert other.digestOf(deal.struct_hash) != deal_id == world.core.digestOf(deal.struct_hash)


def test_signature__after_the_chain_forked__is_worthless_on_the_other_half(fresh_world: World) -> None:
    """inv:T4: the chain id is read live."""
    world = fresh_world
    pair = world.pair()
    deal, _ = world.open()
    result = world.submit(deal)
    world.set_seed(deal, drawn=False)
    acceptance = world.acceptance(deal, result)
    world.evm.chain_id += 1
    world.evm.cool()
    with expect_revert("SignatureInvalid"):
        open_pair(world, pair)
    with expect_revert("DealNotIn", found=Status.NONE):  # the id of the record is another one, too
        world.settle(deal, result, Agreement.ACCEPTANCE, signature=acceptance)
    world.evm.chain_id -= 1
    world.evm.cool()
    open_pair(world, pair)
    world.settle(deal, result, Agreement.ACCEPTANCE, signature=acceptance)


def test_messages__signed_for_one_purpose__serve_no_other(world: World) -> None:
    """inv:T4 inv:T41"""
    deal, deal_id = world.open()
    result = world.submit(deal)
    world.set_seed(deal, drawn=False)
    acceptance, waiver = world.acceptance(deal, result), world.waiver(deal, result)
    for agreement, signature in ((Agreement.WAIVER, acceptance), (Agreement.ACCEPTANCE, waiver)):
        with expect_revert("SignatureInvalid", account=world.creator):
            world.settle(deal, result, agreement, signature=signature)
    other, other_id = world.open()
    other_result = world.submit(other)
    for agreement, signature in ((Agreement.WAIVER, waiver), (Agreement.ACCEPTANCE, acceptance)):
        with expect_revert("SignatureInvalid", account=world.creator):
            world.settle(other, other_result, agreement, signature=signature)
    by_provider = world.sign(Acceptance(deal_id, keccak256(result.head + result.content)), world.provider)
    with expect_revert("SignatureInvalid", account=world.creator):
        world.settle(deal, result, Agreement.ACCEPTANCE, signature=by_provider)
    with expect_revert("SignatureInvalid", account=world.creator):
        world.settle(deal, result, Agreement.ACCEPTANCE, signature=world.sign(Acceptance(deal_id, HASH), world.creator))


def test_result_signature__for_another_deal_or_commitment__is_skipped(world: World) -> None:
    """inv:T41 beh:C1"""
    (deal, deal_id), (other, other_id) = world.open(), world.open()
    commitment = world.commitment(deal, world.result(deal))
    signature = world.sign(Result(deal_id, commitment), world.provider)
    wrong = [
        SignedResult(other_id, commitment, signature),
        SignedResult(deal_id, commitment + 1, signature),
        SignedResult(deal_id, commitment, world.sign(Result(deal_id, commitment), world.creator)),
        SignedResult(keccak256(b"unknown"), commitment, signature),
    ]
    receipt = world.core.submitSignedResults([*wrong, SignedResult(deal_id, commitment, signature)], sender=world.keeper)
    names = [decode_error(skipped["reason"]).name for skipped in receipt.events("Skipped")]
    assert names == ["SignatureInvalid", "SignatureInvalid", "SignatureInvalid", "DealNotIn"]
    assert [skipped["item"] for skipped in receipt.events("Skipped")] == [0, 1, 2, 3]
    assert world.state(deal).commitment == commitment and world.state(other).status == Status.AGREED


def test_closing__for_another_deal_amount_or_after_its_expiry__is_refused(world: World) -> None:
    """beh:C13 inv:I41 inv:T41"""
    (deal, deal_id), (other, _) = world.open(), world.open()
    rest = locked_total(deal, 100) + deal.collateral
    end = world.evm.timestamp + 5
    terms = Closing(deal_id, rest, 0, end)
    good = world.sign(terms, world.creator), world.sign(terms, world.provider)
    with expect_revert("SignatureInvalid", account=world.creator):
        world.resolver.close(other.words, closing_of(terms, *good))
    with expect_revert("SignatureInvalid", account=world.creator):
        world.resolver.close(deal.words, closing_of(replace(terms, to_creator=0, to_provider=rest), *good))
    with expect_revert("SignatureInvalid", account=world.creator):
        world.resolver.close(deal.words, closing_of(replace(terms, expiry=end + 1), *good))
    with expect_revert("SignatureInvalid", account=world.provider):
        world.resolver.close(deal.words, closing_of(terms, good[0], good[0]))
    with expect_revert("SignatureInvalid", account=world.creator):
        world.resolver.close(deal.words, closing_of(terms, good[1], good[1]))
    world.pass_to(end + 1)
    with expect_revert("DeadlinePassed", dealId=deal_id, deadline=end, time=end + 1):
        world.resolver.close(deal.words, closing_of(terms, *good))
    world.pass_to(end)
    world.resolver.close(deal.words, closing_of(terms, *good))
    with expect_revert("DealNotIn"):
        world.resolver.close(deal.words, closing_of(terms, *good))


# ---- the caller itself, and what it approved


def test_empty_signature__by_the_account_s_own_call__is_consent_and_by_others_not(world: World) -> None:
    """beh:A8"""
    pair = signed_by(world, world.pair(), job=APPROVED)
    for other in (world.provider, world.solver, world.keeper):
        with expect_revert("SignatureInvalid", account=world.creator):
            open_pair(world, pair, sender=other)
    open_pair(world, pair, sender=world.creator)
    pair = signed_by(world, world.pair(), resource=APPROVED)
    with expect_revert("SignatureInvalid", account=world.provider):
        open_pair(world, pair, sender=world.creator)
    open_pair(world, pair, sender=world.provider)


def test_empty_signature__in_a_closing_that_a_party_brings_itself__is_consent(world: World) -> None:
    """As in the core; the resolver must not take itself for the caller."""
    deal, deal_id = world.open()
    rest = locked_total(deal, 100) + deal.collateral
    terms = Closing(deal_id, rest, 0, FOREVER)
    creator, provider = world.sign(terms, world.creator), world.sign(terms, world.provider)
    for caller, signatures in ((world.keeper, (b"", provider)), (world.provider, (b"", provider)), (world.creator, (b"", b""))):
        with expect_revert("SignatureInvalid"):
            world.resolver.close(deal.words, closing_of(terms, *signatures), sender=caller)
    with world.evm.snapshot():
        world.resolver.close(deal.words, closing_of(terms, b"", provider), sender=world.creator)
    world.resolver.close(deal.words, closing_of(terms, creator, b""), sender=world.provider)


def test_approve__counts_until_it_is_taken_back(world: World) -> None:
    pair = signed_by(world, world.pair(), job=APPROVED)
    hashed = world.domain.digest(pair.job.struct_hash)
    with expect_revert("SignatureInvalid"):
        open_pair(world, pair)
    receipt = world.core.approve(world.creator, hashed, True, sender=world.creator)
    assert receipt.event("DigestApproved") == {"account": world.creator.address, "digest": hashed, "by": world.creator.address}
    assert world.core.approverOf(world.creator, hashed) == world.creator.address
    world.core.approve(world.creator, hashed, False, sender=world.creator)
    with expect_revert("SignatureInvalid"):
        open_pair(world, pair)
    world.core.approve(world.creator, hashed, True, sender=world.creator)
    open_pair(world, pair)


def test_approve__for_somebody_else__is_refused(world: World) -> None:
    """beh:A8 inv:I20"""
    for caller in (world.provider, world.keeper, world.evm.deployer):
        with expect_revert("NotAuthorised", account=world.creator, caller=caller):
            world.core.approve(world.creator, HASH, True, sender=caller)


def test_approval__of_one_digest_or_account__is_none_of_another(world: World) -> None:
    pair = signed_by(world, world.pair(), resource=APPROVED)
    hashed = world.domain.digest(pair.resource.struct_hash)
    world.core.approve(world.creator, hashed, True, sender=world.creator)
    world.core.approve(world.provider, pair.resource.struct_hash, True, sender=world.provider)
    with expect_revert("SignatureInvalid", account=world.provider):
        open_pair(world, pair)


# ---- delegates


@pytest.fixture
def key(world: World) -> Account:
    return world.evm.account("hot key")


def grant(world: World, account: Any, key: Any, scope: int, expiry: int = FOREVER, cap: int = 0) -> Any:
    return world.core.grantDelegate(key, scope, expiry, [(world.token, cap)] if cap else [], sender=account)


@pytest.mark.parametrize("granted", range(1, 8))
@pytest.mark.parametrize("needed", range(8))
def test_delegate__speaks_for_what_its_scope_covers(world: World, key: Account, granted: int, needed: int) -> None:
    """beh:B19"""
    grant(world, world.creator, key, granted)
    expected = key.address if granted & needed else NOBODY
    signature = by_delegate(key.address, key.consent(digest(world)))
    assert speaker(world, world.creator, signature, needed) == expected
    assert world.core.isActor(world.creator, key, needed) == bool(granted & needed)
    assert speaker(world, world.provider, signature, needed) == NOBODY
    assert not world.core.isActor(key, world.creator, needed)
    world.core.approve(world.creator, digest(world), True, sender=key)
    assert speaker(world, world.creator, APPROVED, needed) == expected
    assert speaker(world, key, APPROVED, needed) == NOBODY


USES = ("open", "cancel", "cancelBelow", "submitResult", "decline", "signed result", "accept", "waive", "challengeDelivery", "close")
COVERED_BY = dict.fromkeys(USES[:3], Scope.OFFERS) | dict.fromkeys(USES[3:6], Scope.RESULTS) | dict.fromkeys(
    USES[6:9], Scope.ACCEPTANCE
)


@pytest.mark.parametrize("use", USES[:9])
@pytest.mark.parametrize("scope", SCOPES)
def test_delegate__for_each_use__needs_exactly_its_scope(world: World, key: Account, use: str, scope: Scope) -> None:
    """beh:B19 beh:C1"""
    account = world.provider if COVERED_BY[use] == Scope.RESULTS else world.creator
    grant(world, account, key, scope, cap=100 * COIN)
    error = _error_of(lambda: _use(world, key, use))
    if scope == COVERED_BY[use]:
        assert error is None
    else:
        assert error in ("NotAuthorised", "SignatureInvalid")


def _error_of(action: Any) -> str | None:
    try:
        action()
    except Reverted as reverted:
        return reverted.name
    return None


def _use(world: World, key: Account, use: str) -> None:
    """Puts the delegate's right to use, in the role that the use belongs to."""
    core, by_key = world.core, lambda message: by_delegate(key.address, key.consent(world.domain.digest(message.struct_hash)))
    if use == "open":
        pair = world.pair()
        return open_pair(world, signed_by(world, pair, job=by_key(pair.job)))
    if use == "cancel":
        return core.cancel(world.creator, False, [77], sender=key)
    if use == "cancelBelow":
        return core.cancelBelow(world.creator, [world.token], 1, 1, sender=key)
    pair = world.pair()
    deal, deal_id = world.open(pair)
    result = world.result(deal)
    commitment = world.commitment(deal, result)
    if use == "submitResult":
        return core.submitResult(deal_id, commitment, sender=key)
    if use == "decline":
        return world.resolver.decline(deal.words, pair.job.words(), sender=key)
    if use == "signed result":
        receipt = core.submitSignedResults([SignedResult(deal_id, commitment, by_key(Result(deal_id, commitment)))])
        for skipped in receipt.events("Skipped"):
            raise decode_error(skipped["reason"])
        return None
    core.submitResult(deal_id, commitment, sender=world.provider)
    hashed = keccak256(result.head + result.content)
    if use == "accept":
        world.set_seed(deal, drawn=False)
        with world.evm.snapshot():  # by signature, carried by anyone
            world.settle(deal, result, Agreement.ACCEPTANCE, signature=by_key(Acceptance(deal_id, hashed)))
        try:
            world.settle(deal, result, by=key)
        except Exception as error:
            if getattr(error, "name", "") == "AgreementMissing":
                raise AssertionError("the signature counts and the call does not") from error
            raise
        return None
    if use == "waive":
        return world.settle(deal, result, Agreement.WAIVER, signature=by_key(Waiver(deal_id=deal_id, result_digest=hashed)))
    core.transferCredit(world.token, [key], [4 * COIN], sender=world.challenger)
    return world.resolver.challengeDelivery(deal.words, sender=key)


@pytest.mark.parametrize("side, needed", [("creator", Scope.ACCEPTANCE), ("provider", Scope.RESULTS)])
@pytest.mark.parametrize("scope", SCOPES)
def test_delegate__closing__needs_exactly_the_scope_of_its_side(
    world: World, key: Account, side: str, needed: Scope, scope: Scope
) -> None:
    """beh:B19 beh:C13 inv:T41"""
    account = getattr(world, side)
    grant(world, account, key, scope)
    deal, deal_id = world.open()
    rest = locked_total(deal, 100) + deal.collateral
    terms = Closing(deal_id, rest - 7, 7, FOREVER)
    signatures = {name: world.sign(terms, getattr(world, name)) for name in ("creator", "provider")}
    signatures[side] = by_delegate(key.address, key.consent(world.domain.digest(terms.struct_hash)))
    closing = closing_of(terms, signatures["creator"], signatures["provider"])
    if scope == needed:
        world.resolver.close(deal.words, closing, sender=world.keeper)
        assert world.state(deal).status == Status.CLOSED_BY_AGREEMENT
    else:
        with expect_revert("SignatureInvalid", account=account):
            world.resolver.close(deal.words, closing, sender=world.keeper)


def test_delegate__settling_by_its_own_call__needs_the_scope_of_acceptance(world: World, key: Account) -> None:
    deal, deal_id = world.open()
    result = world.submit(deal)
    world.set_seed(deal, drawn=False)
    grant(world, world.creator, key, Scope.OFFERS | Scope.RESULTS)
    with expect_revert("AgreementMissing", dealId=deal_id, judgeDeadline=world.state(deal).deadline):
        world.settle(deal, result, by=key)
    grant(world, world.creator, key, Scope.ACCEPTANCE)
    world.settle(deal, result, by=key)


def test_delegate__at_its_last_second__counts_and_one_later_not(world: World, key: Account) -> None:
    """beh:B19 beh:E1"""
    end = world.evm.timestamp + 10
    grant(world, world.creator, key, 7, expiry=end)
    signature = by_delegate(key.address, key.consent(digest(world)))
    world.pass_to(end)
    assert speaker(world, world.creator, signature) == key.address
    world.pass_to(end + 1)
    assert speaker(world, world.creator, signature) == NOBODY
    assert not world.core.isActor(world.creator, key, 7)


def test_delegate__once_revoked__has_no_rights_and_its_deals_stay(world: World, key: Account) -> None:
    """beh:B19 inv:T41"""
    grant(world, world.creator, key, 7, cap=100 * COIN)
    _use(world, key, "open")
    locked = world.locked(world.creator)
    pair = world.pair()
    signature = by_delegate(key.address, key.consent(world.domain.digest(pair.job.struct_hash)))
    world.core.approve(world.creator, world.domain.digest(pair.job.struct_hash), True, sender=key)
    world.core.revokeDelegate(key, sender=world.creator)
    for consent in (signature, APPROVED):
        with expect_revert("SignatureInvalid", account=world.creator):
            open_pair(world, signed_by(world, pair, job=consent))
    with expect_revert("NotAuthorised"):
        world.core.approve(world.creator, HASH, True, sender=key)
    assert world.locked(world.creator) == locked
    scope, expiry, _ = world.core.delegateOf(world.creator, key, world.token)
    assert (scope, expiry) == (0, 0)


def test_delegate__again_after_it_was_revoked__starts_with_no_cap(world: World, key: Account) -> None:
    """beh:B19: caps of an earlier grant stay dead."""
    grant(world, world.creator, key, 1, cap=50 * COIN)
    world.core.revokeDelegate(key, sender=world.creator)
    grant(world, world.creator, key, 1)
    assert world.core.delegateOf(world.creator, key, world.token)[2] == 0
    with expect_revert("CapExceeded", account=world.creator, key=key, left=0):
        _use(world, key, "open")
    grant(world, world.creator, key, 1, cap=50 * COIN)
    grant(world, world.creator, key, 1)  # replaces what it had
    assert world.core.delegateOf(world.creator, key, world.token)[2] == 0


def test_delegate_of_a_delegate__has_no_rights(world: World, key: Account) -> None:
    """beh:B19"""
    second = world.evm.account("second key")
    grant(world, world.creator, key, 7)
    grant(world, key, second, 7)
    inner = by_delegate(second.address, second.consent(digest(world)))
    assert speaker(world, world.creator, inner, 7) == NOBODY
    nested = b"\1" + bytes.fromhex(key.address[2:]) + inner
    assert speaker(world, world.creator, nested, 7) == NOBODY
    assert not world.core.isActor(world.creator, second, 7)
    world.core.approve(key, digest(world), True, sender=second)
    assert speaker(world, world.creator, by_delegate(key.address, APPROVED), 7) == NOBODY


def test_delegate__that_is_a_contract__signs_in_its_own_way(world: World) -> None:
    owner = world.evm.account("owner")
    wallet = world.evm.deploy("GoodWallet1271", owner)
    grant(world, world.creator, wallet, 1)
    good = by_delegate(wallet.address, by_contract(owner.sign(digest(world))))
    assert speaker(world, world.creator, good) == wallet.address
    bad = by_delegate(wallet.address, by_contract(world.keeper.sign(digest(world))))
    assert speaker(world, world.creator, bad) == NOBODY
    assert speaker(world, world.creator, by_delegate(wallet.address, owner.consent(digest(world)))) == NOBODY
    wallet.execute(world.core, world.core.calldata("approve", wallet, digest(world), True))
    assert speaker(world, world.creator, by_delegate(wallet.address, APPROVED)) == wallet.address


def test_delegate__making_the_call_itself__needs_no_signature_but_its_name(world: World, key: Account) -> None:
    grant(world, world.creator, key, 1, cap=100 * COIN)
    pair = signed_by(world, world.pair(), job=by_delegate(key.address, APPROVED))
    with expect_revert("SignatureInvalid", account=world.creator):
        open_pair(world, pair, sender=world.keeper)
    with expect_revert("SignatureInvalid", account=world.creator):
        open_pair(world, signed_by(world, pair, job=APPROVED), sender=key)
    open_pair(world, pair, sender=key)


@pytest.mark.parametrize("side", ["creator", "provider"])
def test_cap__counts_to_the_unit_over_all_deals_and_is_not_given_back(world: World, key: Account, side: str) -> None:
    """beh:B19 inv:I7"""
    account = getattr(world, side)
    pairs = [world.pair(resource={"unit_price": 0}) for _ in range(3)]
    deal, _ = world.open(resource={"unit_price": 0})
    each = locked_total(deal, 100) if side == "creator" else deal.collateral
    signed = []
    for pair in pairs:
        offer = pair.job if side == "creator" else pair.resource
        signature = by_delegate(key.address, key.consent(world.domain.digest(offer.struct_hash)))
        signed.append(signed_by(world, pair, **{"job" if side == "creator" else "resource": signature}))
    grant(world, account, key, 1, cap=2 * each - 1)
    first, _ = world.open(signed[0])
    assert world.core.delegateOf(account, key, world.token)[2] == each - 1
    with expect_revert("CapExceeded", account=account, key=key, left=each - 1, needed=each):
        open_pair(world, signed[1])
    world.resolver.decline(first.words, signed[0].job.words(), sender=world.provider)
    assert world.core.delegateOf(account, key, world.token)[2] == each - 1
    grant(world, account, key, 1, cap=2 * each)
    open_pair(world, signed[1])
    open_pair(world, signed[2])
    assert world.core.delegateOf(account, key, world.token)[2] == 0


def test_cap__in_one_group__is_shared_by_its_jobs(world: World, key: Account) -> None:
    """beh:B13 beh:B19"""
    resource = world.resource(unit_price=0)
    pairs = [world.pair(resource=resource) for _ in range(3)]
    deal, _ = world.open(resource={"unit_price": 0})
    signature = by_delegate(key.address, key.consent(world.domain.digest(resource.struct_hash)))
    pairs = [signed_by(world, pair, resource=signature) for pair in pairs]
    grant(world, world.provider, key, 1, cap=2 * deal.collateral)
    receipt = world.core.openBatch(openings_of(pairs))
    assert len(receipt.events("DealOpened")) == 2
    (skipped,) = receipt.events("Skipped")
    assert skipped["item"] == 2 and decode_error(skipped["reason"]).name == "CapExceeded"
    assert world.core.delegateOf(world.provider, key, world.token)[2] == 0


def test_cap__of_one_token_or_account__is_none_of_another(world: World, key: Account) -> None:
    grant(world, world.provider, key, 7, cap=1_000 * COIN)
    other = world.evm.deploy("PlainToken", "Other", 18)
    world.core.grantDelegate(key, 7, FOREVER, [(other, 1_000 * COIN)], sender=world.creator)
    assert world.core.delegateOf(world.creator, key, world.token)[2] == 0
    with expect_revert("CapExceeded", account=world.creator, left=0):
        _use(world, key, "open")


def test_cap__does_not_bind_the_account_itself(world: World, key: Account) -> None:
    grant(world, world.creator, key, 1)
    world.open()


@pytest.mark.parametrize("scope", [0, 8, 9, 15, 128, 255])
def test_grant__of_no_scope_or_an_unknown_one__is_refused(world: World, key: Account, scope: int) -> None:
    with expect_revert("DelegateInvalid", account=world.creator, key=key):
        grant(world, world.creator, key, scope)


def test_grant__to_nobody_or_to_oneself__is_refused(world: World) -> None:
    for key in (NOBODY, world.creator):
        with expect_revert("DelegateInvalid", account=world.creator, key=key):
            grant(world, world.creator, key, 7)


def test_delegate__reaches_neither_credit_nor_other_keys(world: World, key: Account) -> None:
    """beh:B19 inv:I7: whatever it calls moves its own account."""
    grant(world, world.creator, key, 7, cap=1_000 * COIN)
    with expect_revert("CreditInsufficient", account=key, has=0):
        world.core.withdraw(world.token, 1, key, sender=key)
    with expect_revert("CreditInsufficient", account=key, has=0):
        world.core.transferCredit(world.token, [key], [1], sender=key)
    with expect_revert("CreditInsufficient", account=key, has=0):
        world.core.donate(world.strategy, world.token, world.pool.id, 1, sender=key)
    second = world.evm.account("second key")
    grant(world, key, second, 7)
    assert not world.core.isActor(world.creator, second, 7)
    world.core.revokeDelegate(key, sender=key)
    assert world.core.isActor(world.creator, key, 7)


def test_approval_of_the_account__can_be_taken_back_or_replaced_by_itself_only(world: World, key: Account) -> None:
    """beh:B19: a key whose scope does not cover a use must not undo the account's own word on it."""
    pair = signed_by(world, world.pair(), job=APPROVED)
    hashed = world.domain.digest(pair.job.struct_hash)
    world.core.approve(world.creator, hashed, True, sender=world.creator)
    grant(world, world.creator, key, Scope.RESULTS)
    for approved in (False, True):
        with expect_revert("NotAuthorised", account=world.creator, caller=key):
            world.core.approve(world.creator, hashed, approved, sender=key)
    open_pair(world, pair)
