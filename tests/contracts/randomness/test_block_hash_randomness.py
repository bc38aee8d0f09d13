"""Seeds from block hashes: 256 blocks of BLOCKHASH, 8,191 of EIP-2935, then nothing.

In process, with the history contract's own code filled by its own system call; the last tests repeat the borders that
are near on a real chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyrevm
import pytest
from eth_utils import keccak

from lilypad_agents.chain.abi import Abi, DecodedError, ErrorTable
from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.deployment_plan import PRESETS, delay_of_seeds, life_of_seeds, load_artefact, overridden
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT

PENDING, KNOWN, EXPIRED = 0, 1, 2
PERIOD, LOOKAHEAD = 6, 2
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
# Source: EIP-2935.
HISTORY_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006"
    "545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
SYSTEM = "0xfffffffffffffffffffffffffffffffffffffffe"
ANYBODY = "0x" + "22" * 20
ABI = Abi.load("BlockHashRandomness")
ERRORS = ErrorTable.of(ABI)
START = 20_000


def block_hash(number: int) -> bytes:
    """What BLOCKHASH answers in this process."""
    return keccak(text=str(number))


def deciding(period: int) -> int:
    return period * PERIOD + LOOKAHEAD


def decoded(failure: Exception) -> DecodedError:
    """The error that a call reverted with; the library has it in its text only."""
    output = re.search(r"output: 0x([0-9a-f]*)", str(failure))
    assert output is not None, failure
    return ERRORS.decode(bytes.fromhex(output.group(1)))


class World:
    """A chain at any block number, with a history contract that was fed the parents of chosen blocks."""

    def __init__(self, history: bytes | None = HISTORY_CODE, *, at: int = START) -> None:
        self.evm = pyrevm.EVM(spec_id="CANCUN")
        self.evm.set_balance(ANYBODY, 10**24)
        if history is not None:
            self.evm.insert_account_info(HISTORY, pyrevm.AccountInfo(code=history))
        self.go_to(at)
        if history == HISTORY_CODE:
            self.feed(at - 1)

    def go_to(self, number: int) -> None:
        self.number = number
        self.evm.set_block_env(pyrevm.BlockEnv(number=number, timestamp=number))

    def feed(self, parent: int) -> None:
        """The system call at the start of block `parent` + 1."""
        back = self.number
        self.go_to(parent + 1)
        self.evm.message_call(SYSTEM, HISTORY, block_hash(parent))
        self.go_to(back)

    def deploy(self, period: int = PERIOD, fastest: int = 20, slowest: int = 1_000) -> str:
        code = load_artefact("BlockHashRandomness").creation_code
        self.source = str(self.evm.deploy(ANYBODY, code + ABI.encode_constructor(period, fastest, slowest)))
        return self.source

    def call(self, name: str, *arguments: object, sender: str = ANYBODY) -> object:
        function = ABI.function(name)
        return function.decode(self.evm.message_call(sender, self.source, function.encode(*arguments)))

    def seed(self, period: int) -> tuple[int, bytes]:
        status, value = self.call("seed", period)  # type: ignore[misc]
        return status, value

    def refusal(self, name: str, *arguments: object) -> DecodedError:
        with pytest.raises(RuntimeError) as failure:
            self.call(name, *arguments)
        return decoded(failure.value)


@pytest.fixture
def world() -> World:
    world = World()
    world.deploy()
    return world


def known_period(world: World) -> int:
    """A period whose deciding block the history contract knows."""
    period = START // PERIOD + 5
    world.feed(deciding(period))
    return period


def test_seed__up_to_the_deciding_block__is_pending_and_one_later_known(world: World) -> None:
    """inv:I12: nobody can know it before, the builder of the deciding block excepted."""
    period = known_period(world)
    for number in (START, deciding(period) - 1, deciding(period)):
        world.go_to(number)
        assert world.seed(period) == (PENDING, bytes(32))
        refusal = world.refusal("record", period, b"")
        assert (refusal.name, dict(refusal.args)) == (
            "SeedNotKnown",
            {"period": period, "knownAfter": deciding(period)},
        )
    world.go_to(deciding(period) + 1)
    assert world.seed(period) == (KNOWN, block_hash(deciding(period)))


@pytest.mark.parametrize("age", [1, 2, 255, 256, 257, 258, 1_000, 8_190, 8_191])
def test_seed__at_any_age_within_the_history__is_the_same_for_everybody(world: World, age: int) -> None:
    """inv:T15 inv:I32: one answer, whoever calls and whenever; BLOCKHASH ends at 256, the history at 8,191."""
    period = known_period(world)
    world.go_to(deciding(period) + age)
    expected = (KNOWN, block_hash(deciding(period)))
    assert world.seed(period) == expected
    assert tuple(world.call("seed", period, sender="0x" + "33" * 20)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("age", [8_192, 8_193, 2 * 8_191, 100_000])
def test_seed__older_than_the_history__is_expired_for_ever(world: World, age: int) -> None:
    """inv:T51: also when the ring buffer has come round to the same slot with another block's hash."""
    period = known_period(world)
    world.feed(deciding(period) + 8_191)
    world.go_to(deciding(period) + age)
    assert world.seed(period) == (EXPIRED, bytes(32))
    refusal = world.refusal("record", period, b"")
    assert (refusal.name, refusal.args["period"]) == ("SeedLost", period)


def test_seed__chain_without_history__lives_for_256_blocks() -> None:
    """inv:T51"""
    world = World(history=None)
    world.deploy()
    assert world.call("hasHistory") is False
    period = START // PERIOD + 1
    world.go_to(deciding(period) + 256)
    assert world.seed(period) == (KNOWN, block_hash(deciding(period)))
    world.go_to(deciding(period) + 257)
    assert world.seed(period) == (EXPIRED, bytes(32))


@pytest.mark.parametrize("age", [1, 256, 257, 8_191])
def test_record__while_it_lives__keeps_the_seed_for_ever(world: World, age: int) -> None:
    """inv:I12: recorded by anyone, once for everybody, equal to what everybody saw before."""
    period = known_period(world)
    world.go_to(deciding(period) + age)
    before = world.seed(period)
    assert world.call("record", period, b"") == before[1]
    (log,) = world.evm.result.logs
    topics = [bytes.fromhex(topic.removeprefix("0x")) for topic in log.topics]
    event = ABI.event("SeedRecorded").decode(topics, bytes(log.data[1]) if isinstance(log.data, tuple) else bytes(log.data))
    assert (event["period"], event["seed"], int(event["by"], 16)) == (period, before[1], int(ANYBODY, 16))
    world.go_to(deciding(period) + 100_000)
    assert world.seed(period) == (KNOWN, before[1])


def test_record__again__changes_nothing_and_emits_nothing(world: World) -> None:
    period = known_period(world)
    world.go_to(deciding(period) + 1)
    world.call("record", period, b"")
    assert world.call("record", period, b"any proof") == block_hash(deciding(period))
    assert list(world.evm.result.logs) == []
    world.go_to(deciding(period) + 100_000)
    assert world.call("record", period, b"") == block_hash(deciding(period)), "long after its death too"


def test_record__one_period__says_nothing_of_its_neighbours(world: World) -> None:
    period = known_period(world)
    world.go_to(deciding(period) + 1)
    world.call("record", period, b"")
    world.go_to(deciding(period) + 100_000)
    assert world.seed(period - 1) == world.seed(period + 1) == (EXPIRED, bytes(32))


def test_seed__last_period_of_all__is_pending_without_overflow(world: World) -> None:
    """inv:T43"""
    last = 2**32 - 1
    assert world.seed(last) == (PENDING, bytes(32))
    assert world.refusal("record", last, b"").args["knownAfter"] == last * PERIOD + LOOKAHEAD


def test_period__counts_blocks__and_says_how_long_it_is(world: World) -> None:
    assert world.call("periodBlocks") == PERIOD
    for number in (START, START + 1, START + 5, START + 6, 2**31):
        world.go_to(number)
        assert world.call("currentPeriod") == number // PERIOD


def test_period__of_any_submission__is_decided_by_a_block_still_to_come() -> None:
    """inv:T38: at least three blocks lie between a submission and the block that decides on it."""
    for submitted in range(10 * PERIOD):
        assert deciding(submitted // PERIOD + 1) - submitted >= LOOKAHEAD + 1


@pytest.mark.parametrize(
    "code", ["", "602a5f5260205ff3", "5f5ffd", "60016002", "5f5f5260405ff3"],
    ids=["none", "another-number", "reverts", "answers-nothing", "answers-two-words"],
)
def test_history__that_does_not_serve_this_chain__does_not_count(code: str) -> None:
    """inv:T15: a rollup may count other blocks there; the life of seeds must not be overstated."""
    world = World(history=bytes.fromhex(code))
    world.deploy(fastest=1_000)
    assert world.call("hasHistory") is False
    assert world.call("lifetime") == 256


def test_history__with_its_code_but_not_fed__does_not_count() -> None:
    world = World(history=None)
    world.evm.insert_account_info(HISTORY, pyrevm.AccountInfo(code=HISTORY_CODE))
    world.deploy(fastest=1_000)
    assert world.call("hasHistory") is False


def test_history__in_the_first_block__does_not_count_and_does_not_fail() -> None:
    world = World(history=None, at=0)
    world.deploy(fastest=1_000)
    assert world.call("hasHistory") is False


def test_history__as_it_should_be__counts() -> None:
    world = World()
    world.deploy(fastest=1_000)
    assert world.call("hasHistory") is True
    assert world.call("lifetime") == 8_191


@pytest.mark.parametrize("code", ["5f5ffd", "5f5f5260205ff3", ""], ids=["reverts", "zero", "gone"])
def test_history__stops_answering_later__seed_expires_and_never_becomes_another(world: World, code: str) -> None:
    period = known_period(world)
    world.go_to(deciding(period) + 300)
    assert world.seed(period) == (KNOWN, block_hash(deciding(period)))
    world.evm.insert_account_info(HISTORY, pyrevm.AccountInfo(code=bytes.fromhex(code)))
    assert world.seed(period) == (EXPIRED, bytes(32))


@pytest.mark.parametrize(
    ("period", "fastest", "slowest"),
    [(6, 20, 1_000), (300, 12_000, 12_000), (3, 1, 1), (7, 333, 1_501), (2**32 - 1, 2**32 - 1, 2**32 - 1)],
)
@pytest.mark.parametrize("history", [HISTORY_CODE, None], ids=["history", "opcode"])
def test_times__any_parameters__equal_their_twins_and_never_wrap(
    period: int, fastest: int, slowest: int, history: bytes | None
) -> None:
    """inv:T43: the core's bounds rest on these two numbers; the delay is rounded up, the life down."""
    world = World(history)
    world.deploy(period, fastest, slowest)
    names = {"periodBlocks": period, "fastestBlockMillis": fastest, "slowestBlockMillis": slowest}
    parameters = overridden(PRESETS["devnet"], {name: str(value) for name, value in names.items()})
    assert world.call("lifetime") == min(life_of_seeds(parameters, history is not None), 2**32 - 1)
    assert world.call("delay") == min(delay_of_seeds(parameters), 2**32 - 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((2, 20, 1_000), "PeriodTooShort"),
        ((0, 20, 1_000), "PeriodTooShort"),
        ((6, 0, 1_000), "BlockTimesInvalid"),
        ((6, 1_001, 1_000), "BlockTimesInvalid"),
    ],
)
def test_construction__parameters_without_sense__are_refused(arguments: tuple[int, int, int], error: str) -> None:
    world = World()
    with pytest.raises(RuntimeError) as failure:
        world.deploy(*arguments)
    assert decoded(failure.value).name == error


# ---- on a real chain


@pytest.fixture(params=["prague", "cancun"])
def chain(request: pytest.FixtureRequest) -> Iterator[tuple[Rpc, Contract]]:
    with Anvil(find_anvil(PROJECT), AnvilConfig(chain_id=CHAIN, hardfork=request.param)) as anvil:
        rpc = Rpc(RpcConfig((anvil.url,), CHAIN, total_timeout_s=30, lone_attempt_timeout_s=30))
        sender = RpcSender(rpc, signer_from_test_mnemonic(0, CHAIN), CHAIN)
        sent = sender.send(None, load_artefact("BlockHashRandomness").creation_code + ABI.encode_constructor(PERIOD, 20, 1_000))
        address = rpc.request("eth_getTransactionReceipt", "0x" + sent.hex())["contractAddress"]
        yield rpc, Contract(address, ABI, rpc)
        rpc.close()


def test_chain__real_blocks__same_borders_as_in_process(chain: tuple[Rpc, Contract]) -> None:
    """inv:I12 inv:T51: with and without EIP-2935; the code of its contract is the one that the tests above use."""
    rpc, source = chain
    code = rpc.request("eth_getCode", HISTORY, "latest")
    assert source.call("hasHistory") is (code != "0x")
    assert code in ("0x", "0x" + HISTORY_CODE.hex())
    period = 3
    rpc.request("anvil_mine", hex(deciding(period) - 1))  # the deployment took the first block
    assert source.call("seed", period) == (PENDING, bytes(32))
    rpc.request("anvil_mine", hex(1))
    expected = bytes.fromhex(rpc.request("eth_getBlockByNumber", hex(deciding(period)), False)["hash"][2:])
    assert source.call("seed", period) == (KNOWN, expected)
    rpc.request("anvil_mine", hex(255))
    assert source.call("seed", period) == (KNOWN, expected)
    rpc.request("anvil_mine", hex(1))
    after = (KNOWN, expected) if code != "0x" else (EXPIRED, bytes(32))
    assert source.call("seed", period) == after
