"""Seeds from `prevrandao`: the header of the deciding block, and nothing else, proves one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rlp
from eth_utils import keccak

from lilypad_agents.chain.abi import Abi, ErrorTable
from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.contract import Contract as ChainContract
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.deployment_plan import PRESETS, delay_of_seeds, life_of_seeds, load_artefact, overridden
from lilypad_agents.chain.errors import ContractReverted
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.randomness import read_header
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT, mine
from tests.support.evm import Evm, expect_revert
from tests.support.headers import FORKS, framed, header, header_fields
from tests.support.seed_sources import EXPIRED, KNOWN, PENDING, ByBlocks

NAME = "PrevrandaoRandomness"
MIX = keccak(text="a mix")


@pytest.fixture
def source() -> ByBlocks:
    return ByBlocks(NAME)


def plant(source: ByBlocks, block_header: bytes) -> int:
    """Makes it the header of the deciding block of `source.period`, and goes to where only the history knows that."""
    number = source.deciding(source.period)
    source.evm.plant_block_hash(number, keccak(block_header))
    source.go_to(number + 300)
    return number


# ---- who may say what a seed is


def test_record__header_of_another_block__is_refused(source: ByBlocks) -> None:
    """inv:T15: nobody chooses among headers, however well formed."""
    number = source.deciding(source.period)
    right = header(number, MIX)
    plant(source, right)
    for wrong in (header(number, keccak(MIX)), header(number + 1, MIX), b"", right[:-1], right + b"\0"):
        with expect_revert("HeaderMismatch", period=source.period, found=keccak(wrong), needed=keccak(right)):
            source.contract.record(source.period, wrong)
    assert source.status(source.period) == (PENDING, bytes(32))


@pytest.mark.parametrize("fork", list(FORKS))
def test_record__header_of_any_fork__gives_its_mix(source: ByBlocks, fork: str) -> None:
    """beh:D10"""
    number = source.deciding(source.period)
    plant(source, header(number, MIX, fork))
    assert source.contract.record(source.period, header(number, MIX, fork)).value == MIX
    assert source.status(source.period) == (KNOWN, MIX)


def test_record__fields_of_forks_to_come__do_not_matter(source: ByBlocks) -> None:
    """The hash vouches for what stands behind; a chain must not lose its seeds to its next fork."""
    number = source.deciding(source.period)
    long = header(number, MIX, added=(keccak(b"access list"), 5, b"", [b"a list", [1]], bytes(3_000)))
    plant(source, long)
    assert source.contract.record(source.period, long).value == MIX


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": b""}, {"extra": b"\x01"}, {"extra": b"\x80"}, {"extra": bytes(32)},
        {"gas_used": 0}, {"gas_used": 127}, {"gas_used": 128}, {"gas_limit": 2**64 - 1}, {"time": 1},
        {"base_fee": 7}, {"base_fee": 0}, {"base_fee": 2**255}, {"bloom": bytes(256)}, {"beneficiary": b"\xff" * 20},
    ],
    ids=lambda changes: "-".join(f"{name}" for name in changes),
)  # fmt: skip
def test_record__fields_at_their_edges__do_not_move_the_mix(source: ByBlocks, changes: dict[str, object]) -> None:
    """inv:T43"""
    number = source.deciding(source.period)
    plant(source, header(number, MIX, **changes))
    assert source.contract.record(source.period, header(number, MIX, **changes)).value == MIX


# ---- headers that do belong to the block, on chains that are not made for this source


def test_record__proof_of_work__is_refused(source: ByBlocks) -> None:
    """inv:T15: the mix of a miner is a result of its search."""
    number = source.deciding(source.period)
    for difficulty in (1, 2**40, 2**256 - 1):
        plant(source, header(number, MIX, difficulty=difficulty))
        with expect_revert("HeaderNotOfStake", number=number):
            source.contract.record(source.period, header(number, MIX, difficulty=difficulty))


def test_record__chain_that_counts_other_blocks__is_refused(source: ByBlocks) -> None:
    number = source.deciding(source.period)
    for other in (0, number - 1, number + 1, 2**64 - 1):
        plant(source, header(other, MIX))
        with expect_revert("HeaderOfAnotherBlock", found=other, needed=number):
            source.contract.record(source.period, header(other, MIX))


def test_record__no_mix__is_no_seed(source: ByBlocks) -> None:
    number = plant(source, header(source.deciding(source.period), bytes(32)))
    with expect_revert("MixMissing", period=source.period):
        source.contract.record(source.period, header(number, bytes(32)))


def malformed(number: int) -> Iterator[tuple[str, bytes]]:
    """Headers of block `number` that are not canonical, or not of the form."""
    fields = header_fields(number, MIX)
    whole = bytes(rlp.encode(fields))
    parts = [bytes(rlp.encode(field)) for field in fields]

    def with_part(index: int, part: bytes) -> bytes:
        return framed(b"".join([*parts[:index], part, *parts[index + 1 :]]))

    yield "a string", bytes(rlp.encode(whole))
    yield "a short list", bytes(rlp.encode([b"a", b"b"]))
    yield "three length bytes", b"\xfa\0" + whole[1:3] + whole[3:]
    yield "a length too small", whole[:1] + (len(whole) - 4).to_bytes(2, "big") + whole[3:]
    yield "a length too large", whole[:1] + (len(whole) - 2).to_bytes(2, "big") + whole[3:]
    for index in (0, 1, 2, 3, 4, 5, 13, 14):
        yield f"field {index} a byte short", with_part(index, bytes(rlp.encode(fields[index][1:])))
        yield f"field {index} a byte long", with_part(index, bytes(rlp.encode(fields[index] + b"\1")))
        yield f"field {index} a list", with_part(index, bytes(rlp.encode([fields[index]])))
    yield "half a bloom", with_part(6, bytes(rlp.encode(bytes(128))))
    yield "long bloom", with_part(6, bytes(rlp.encode(bytes(257))))
    yield "difficulty with zeros", with_part(7, b"\0")
    yield "difficulty as two zeros", with_part(7, b"\x82\0\0")
    yield "number with a zero before", with_part(8, bytes(rlp.encode(b"\0" + number.to_bytes(4, "big").lstrip(b"\0"))))
    yield "gas of nine bytes", with_part(9, bytes(rlp.encode(2**64)))
    yield "time in a long form", with_part(11, b"\x81\x05")
    yield "extra data of 33 bytes", with_part(12, bytes(rlp.encode(bytes(33))))
    yield "extra data in a long form", with_part(12, b"\x81\x05")
    yield "base fee of 33 bytes", with_part(15, bytes(rlp.encode(bytes([1]) * 33)))
    yield "base fee a list", with_part(15, b"\xc0")
    for count in (1, 7, 12, 13, 14, 15):
        yield f"{count} fields", framed(b"".join(parts[:count]))
    yield "padded to a header", framed(bytes(500))


def test_record__malformed_header__is_refused_and_nothing_is_recorded(source: ByBlocks) -> None:
    """inv:T15: strict, though a chain would have to hash such a header itself."""
    number = source.deciding(source.period)
    cases = list(malformed(number))
    assert len(cases) > 40
    for label, wrong in cases:
        plant(source, wrong)
        try:
            with expect_revert("HeaderMalformed"):
                source.contract.record(source.period, wrong)
        except AssertionError as error:
            raise AssertionError(f"{label}: {error}") from error
    assert source.status(source.period) == (PENDING, bytes(32))


# ---- its life


@pytest.mark.parametrize(("age", "status"), [(0, PENDING), (1, PENDING), (257, PENDING), (8_191, PENDING), (8_192, EXPIRED)])
def test_seed__unrecorded__is_pending_while_it_can_be_proved_and_lost_after(
    source: ByBlocks, age: int, status: int
) -> None:
    """inv:T51 flt:F16: never spared by nobody recording."""
    number = plant(source, header(source.deciding(source.period), MIX))
    source.go_to(number + age)
    assert source.status(source.period) == (status, bytes(32))
    if status == EXPIRED:
        with expect_revert("SeedLost", period=source.period):
            source.contract.record(source.period, header(number, MIX))
    elif age > 256:
        assert source.contract.record(source.period, header(number, MIX)).value == MIX


def test_seed__chain_without_history__lives_for_256_blocks() -> None:
    """inv:T51"""
    evm = Evm(number=10_000)
    contract = evm.deploy(NAME, 150, 1_000, 1_000)
    assert (contract.hasHistory(), contract.lifetime()) == (False, 256)
    deciding = 70 * 150 + 132
    for age, status in ((1, PENDING), (256, PENDING), (257, EXPIRED)):
        evm.set_block(number=deciding + age)
        assert tuple(contract.seed(70)) == (status, bytes(32))


def test_period__of_any_submission__is_decided_four_epochs_and_four_slots_later(source: ByBlocks) -> None:
    """inv:T38: nobody knows the value, nor who proposes the deciding blocks."""
    for submitted in range(2 * source.blocks):
        assert source.deciding(submitted // source.blocks + 1) - submitted >= 4 * 32 + 4 + 1


@pytest.mark.parametrize(("period", "fastest", "slowest"), [(133, 20, 1_000), (300, 12_000, 12_000), (2**32 - 1,) * 3])
def test_times__any_parameters__equal_their_twins(period: int, fastest: int, slowest: int) -> None:
    """inv:T43"""
    evm = Evm(number=10_000)
    contract = evm.deploy(NAME, period, fastest, slowest)
    values = {"periodBlocks": period, "fastestBlockMillis": fastest, "slowestBlockMillis": slowest}
    texts = {"randomness": "prevrandao"} | {name: str(value) for name, value in values.items()}
    parameters = overridden(PRESETS["production"], texts)
    assert contract.lifetime() == life_of_seeds(parameters, False)
    assert contract.delay() == delay_of_seeds(parameters)


def test_construction__period_within_the_lookahead__is_refused() -> None:
    with expect_revert("PeriodTooShort", blocks=132, least=133):
        Evm(number=10_000).deploy(NAME, 132, 1_000, 1_000)


# ---- on a real chain


@pytest.fixture(params=["prague", "cancun", "shanghai"])
def chain(request: pytest.FixtureRequest) -> Iterator[tuple[Rpc, ChainContract, RpcSender]]:
    with Anvil(find_anvil(PROJECT), AnvilConfig(chain_id=CHAIN, hardfork=request.param)) as anvil:
        rpc = Rpc(RpcConfig((anvil.url,), CHAIN, total_timeout_s=30, lone_attempt_timeout_s=30))
        sender = RpcSender(rpc, signer_from_test_mnemonic(0, CHAIN), CHAIN)
        abi = Abi.load(NAME)
        if request.param == "shanghai":  # cannot run code for Cancun, but has its headers
            yield rpc, ChainContract("0x" + "11" * 20, abi, rpc), sender
        else:
            sent = sender.send(None, load_artefact(NAME).creation_code + abi.encode_constructor(150, 1_000, 1_000))
            address = rpc.request("eth_getTransactionReceipt", "0x" + sent.hex())["contractAddress"]
            yield rpc, ChainContract(address, abi, rpc, ErrorTable.of(abi)), sender
        rpc.close()


def test_chain__real_headers__are_put_together_and_prove_their_mix(chain: tuple[Rpc, ChainContract, RpcSender]) -> None:
    """inv:T15 inv:T51: with and without EIP-2935, by the opcode and by the history."""
    rpc, contract, sender = chain
    deciding = 150 + 132
    mine(rpc, deciding + 1)
    proof, block = read_header(rpc, deciding), rpc.request("eth_getBlockByNumber", hex(deciding), False)
    assert keccak(proof) == bytes.fromhex(block["hash"][2:])
    if rpc.request("eth_getCode", contract.address, "latest") == "0x":
        return  # header_of has compared the hash of a Shanghai header
    mix = bytes.fromhex(block["mixHash"][2:])
    assert tuple(contract.call("seed", 1)) == (PENDING, bytes(32))
    with pytest.raises(ContractReverted, match="HeaderMismatch"):
        contract.call("record", 1, read_header(rpc, deciding - 1))
    mine(rpc, 300)
    if contract.call("hasHistory"):
        sender.send(contract.address, contract.encode("record", 1, proof))
        assert tuple(contract.call("seed", 1)) == (KNOWN, mix)
    else:
        assert tuple(contract.call("seed", 1)) == (EXPIRED, bytes(32))
    later = 4 * 150 + 132
    mine(rpc, later + 1 - int(rpc.request("eth_blockNumber"), 16))
    sender.send(contract.address, contract.encode("record", 4, read_header(rpc, later)))
    found = rpc.request("eth_getBlockByNumber", hex(later), False)["mixHash"]
    assert tuple(contract.call("seed", 4)) == (KNOWN, bytes.fromhex(found[2:]))
