"""What a deployment consists of: parameters with their bounds, contracts in order, and the addresses they will have.

Everything here is computed before anything is sent. Addresses follow CREATE2 (EIP-1014): same code, same parameters,
same salt and factory give the same addresses on every chain. Code comes from the packaged files `chain/abi/<Name>.json`,
which `scripts/export_abi.py` writes. Parameters and their bounds: docs/protocol.md section 15.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import rlp
from eth_utils import is_address, keccak, to_checksum_address

from lilypad_agents.chain.abi import Abi
from lilypad_agents.errors import ConfigurationError

CONTRACTS = (
    "LilypadToken",
    "LilypadFaucet",
    "BlockHashRandomness",
    "PrevrandaoRandomness",
    "CommitRevealRandomness",
    "Lilypad",
    "LilypadResolver",
    "LilypadStaking",
    "LilypadMediation",
    "LilypadModules",
    "LilypadUsers",
    "LilypadBundler",
)
BLOCK_HASH, PREVRANDAO, COMMIT_REVEAL = "blockhash", "prevrandao", "commit-reveal"
# The sources of randomness, of which a deployment has one. Protocol 6.4.
SOURCES = {
    BLOCK_HASH: "BlockHashRandomness",
    PREVRANDAO: "PrevrandaoRandomness",
    COMMIT_REVEAL: "CommitRevealRandomness",
}
NOBODY = "0x" + "00" * 20
TOKEN = 10**18
TOKEN_CAP = 10**9 * TOKEN
CODE_BYTES_MOST = 24_576  # EIP-170
HISTORY_BLOCKS, OPCODE_BLOCKS = 8_191, 256  # how far back a chain knows its block hashes
LOOKAHEAD = {BLOCK_HASH: 2, PREVRANDAO: 132}  # blocks
# Main networks; the same list stands in LilypadFaucet, which refuses them by itself.
PRODUCTION_CHAINS = frozenset(
    {1, 10, 25, 56, 100, 130, 137, 146, 250, 252, 314, 324, 480, 1101, 1329, 5000, 8453, 34443, 42161, 42170, 42220}
    | {43114, 57073, 59144, 81457, 534352, 7777777}
)
_DAY = 86_400
_WORD_MOST = 2**32 - 1  # of a uint32
_HUMP = re.compile(r"_([a-z])")


class ParameterInvalid(ConfigurationError):
    """A deployment parameter is unknown, malformed or outside its bounds; figures: name, found, least, most."""

    code = "deployment-parameter"
    hint = "Change it with --set name=value; docs/protocol.md section 15 lists names, units and bounds."


class ArtefactMissing(ConfigurationError):
    """The package does not hold the compiled code of a contract."""

    code = "artefact-missing"
    hint = "Run `ape compile --force`, then `python scripts/export_abi.py`."


@dataclass(frozen=True)
class DeploymentParameters:
    """All that a deployment fixes for ever. Times in seconds unless the name says otherwise, tokens in smallest units.

    `token_recipient` gets the whole supply (NOBODY: the deploying account). `max_judge_window` 0 stands for half of
    the randomness's life, at most 65,535 s. `salt`: 32 bytes in hex, another one for a second deployment of equal code.
    """

    preset: str
    token_recipient: str = NOBODY
    faucet: bool = False
    faucet_amount: int = 100 * TOKEN
    faucet_interval: int = _DAY
    faucet_most_per_interval: int = 100_000 * TOKEN
    faucet_share: int = 10_000_000 * TOKEN
    randomness: str = PREVRANDAO
    allow_block_hash: bool = False
    period_blocks: int = 300
    fastest_block_millis: int = 12_000
    slowest_block_millis: int = 12_000
    period_seconds: int = 3_600
    lookahead_seconds: int = 120
    reveal_seconds: int = 1_500
    least_participants: int = 3
    bond: int = 10**18
    protocol_fee_bps: int = 100
    min_submit_window: int = 30
    max_submit_window: int = 7 * _DAY
    min_judge_window: int = 300
    max_judge_window: int = 0
    reveal_window: int = 3 * 3_600
    mediation_limit: int = 7 * _DAY
    unbonding: int = 8 * _DAY
    last_call: int = _DAY
    salt: str = "0x" + keccak(text="lilypad").hex()

    def as_json(self) -> dict[str, Any]:
        """Names as in the contracts, amounts as decimal strings (they exceed what JSON readers keep exact)."""
        values = {}
        for name, value in dataclasses.asdict(self).items():
            exact = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53
            values[_camel(name)] = str(value) if exact else value
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DeploymentParameters:
        """From `as_json`. Raises ParameterInvalid."""
        preset = str(values.get("preset", ""))
        return overridden(cls(preset), {name: str(value) for name, value in values.items() if name != "preset"})


PRESETS: Mapping[str, DeploymentParameters] = {
    "production": DeploymentParameters("production"),
    "testnet": DeploymentParameters("testnet", faucet=True),
    "devnet": DeploymentParameters(
        "devnet",
        faucet=True,
        faucet_amount=1_000 * TOKEN,
        faucet_interval=60,
        randomness=BLOCK_HASH,
        period_blocks=6,
        fastest_block_millis=20,
        slowest_block_millis=1_000,
        period_seconds=6,
        lookahead_seconds=1,
        reveal_seconds=5,
        least_participants=2,
        bond=10**15,
        min_submit_window=5,
        min_judge_window=5,
        max_judge_window=80,
        reveal_window=30,
        mediation_limit=600,
        unbonding=900,
        last_call=60,
    ),
}


def preset(name: str) -> DeploymentParameters:
    """Raises ParameterInvalid, which lists the names."""
    if name not in PRESETS:
        raise ParameterInvalid(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.", name="preset")
    return PRESETS[name]


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as a mapping. Raises ParameterInvalid for a text without a name, or a name given twice."""
    values: dict[str, str] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ParameterInvalid(f"{text!r} is not of the form name=value.", name=text)
        if name in values:
            raise ParameterInvalid(f"The parameter {name} is given twice.", name=name)
        values[name] = value
    return values


def overridden(parameters: DeploymentParameters, values: Mapping[str, str]) -> DeploymentParameters:
    """With other values, by contract-style names (`maxJudgeWindow`). Raises ParameterInvalid naming the parameter."""
    known = {_camel(item.name): item for item in dataclasses.fields(parameters) if item.name != "preset"}
    changes = {}
    for name, text in values.items():
        if name not in known:
            raise ParameterInvalid(f"There is no parameter {name!r}; there are {', '.join(known)}.", name=name)
        changes[known[name].name] = _parse(name, str(known[name].type), text)
    return dataclasses.replace(parameters, **changes)


def _parse(name: str, kind: str, text: str) -> Any:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ParameterInvalid(f"{name} is true or false, not {text!r}.", name=name, found=text)
        return text.lower() == "true"
    if kind == "int":
        if not text.isascii() or not text.isdigit():
            raise ParameterInvalid(f"{name} is a whole number, not {text!r}.", name=name, found=text)
        return int(text)
    if name == "randomness":
        if text not in SOURCES:
            raise ParameterInvalid(f"randomness is one of {', '.join(SOURCES)}, not {text!r}.", name=name, found=text)
        return text
    if name == "salt":
        if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
            raise ParameterInvalid("salt is 32 bytes in hex, with 0x before.", name=name, found=text)
        return text.lower()
    if not is_address(text) or not text.startswith("0x"):
        raise ParameterInvalid(f"{name} is an address, not {text!r}.", name=name, found=text)
    return to_checksum_address(text)


# ---- bounds


def life_of_seeds(parameters: DeploymentParameters, has_history: bool) -> int:
    """Seconds for which a seed can be recorded at the fastest block rate, at most 2^32 - 1. Twin of `lifetime()`."""
    if parameters.randomness == COMMIT_REVEAL:
        return _WORD_MOST
    blocks = HISTORY_BLOCKS if has_history else OPCODE_BLOCKS
    return min(blocks * parameters.fastest_block_millis // 1_000, _WORD_MOST)


def delay_of_seeds(parameters: DeploymentParameters) -> int:
    """Seconds from a submission to its seed at the slowest usual rate, rounded up, at most 2^32 - 1. Twin of `delay()`."""
    p = parameters
    if p.randomness == COMMIT_REVEAL:
        return min(p.period_seconds + p.lookahead_seconds + p.reveal_seconds + 1, _WORD_MOST)
    blocks = p.period_blocks + LOOKAHEAD[p.randomness] + 1
    return min((blocks * p.slowest_block_millis + 999) // 1_000, _WORD_MOST)


def completed(parameters: DeploymentParameters, deployer: str, has_history: bool) -> DeploymentParameters:
    """With the values that depend on the chain and on who deploys."""
    longest = min(life_of_seeds(parameters, has_history) // 2, 65_535)
    return dataclasses.replace(
        parameters,
        token_recipient=deployer if parameters.token_recipient == NOBODY else parameters.token_recipient,
        max_judge_window=parameters.max_judge_window or longest,
    )


def require_sound(
    parameters: DeploymentParameters, chain_id: int, has_history: bool, prevrandao_flaw: str = ""
) -> None:
    """Raises ParameterInvalid for the first parameter that a constructor would refuse, or that endangers its users.

    `has_history`: whether the chain serves 8,191 block hashes (EIP-2935) instead of 256. `prevrandao_flaw`: why the chain's
    `prevrandao` is no source of seeds.
    """
    p = parameters
    production = p.preset == "production" or chain_id in PRODUCTION_CHAINS
    if p.faucet and production:
        raise ParameterInvalid(
            f"A faucet gives tokens away; it is never deployed in production (preset {p.preset}, chain {chain_id}).",
            name="faucet",
            found=True,
        )
    if p.randomness == BLOCK_HASH and production and not p.allow_block_hash:
        raise ParameterInvalid(
            f"Whoever builds a block can grind its hash: blockhash is not for production (preset {p.preset}, chain "
            f"{chain_id}). Choose {PREVRANDAO} or {COMMIT_REVEAL}, or take the risk with allowBlockHash=true.",
            name="randomness",
            found=p.randomness,
        )
    if p.randomness == PREVRANDAO and prevrandao_flaw:
        raise ParameterInvalid(
            f"randomness cannot be {PREVRANDAO} here: {prevrandao_flaw}. Choose {COMMIT_REVEAL}.",
            name="randomness",
            found=p.randomness,
        )
    longest = min(life_of_seeds(p, has_history) // 2, 65_535)
    bounds = [
        *_bounds_of_source(p),
        ("protocol_fee_bps", 0, 1_000),
        ("min_submit_window", 1, p.max_submit_window),
        ("max_submit_window", p.min_submit_window, 365 * _DAY),
        ("min_judge_window", 1, p.max_judge_window),
        ("max_judge_window", p.min_judge_window, longest),
        ("reveal_window", 2 * delay_of_seeds(p), 30 * _DAY),
        ("mediation_limit", 60, 90 * _DAY),
        ("unbonding", p.mediation_limit + 1, _WORD_MOST),
        ("last_call", 1, p.mediation_limit // 4),
    ]
    if p.faucet:
        bounds += [
            ("faucet_amount", 1, p.faucet_most_per_interval),
            ("faucet_interval", 1, 2**40),
            ("faucet_most_per_interval", p.faucet_amount, 2**128 - 1),
            ("faucet_share", 0, TOKEN_CAP),
        ]
    for name, least, most in bounds:
        found = getattr(p, name)
        if not least <= found <= most:
            raise ParameterInvalid(
                f"{_camel(name)} is {found}; it must be from {least} to {most}.",
                name=_camel(name),
                found=found,
                least=least,
                most=most,
            )


def _bounds_of_source(p: DeploymentParameters) -> list[tuple[str, int, int]]:
    if p.randomness == COMMIT_REVEAL:
        return [
            ("period_seconds", 1, _WORD_MOST),
            ("lookahead_seconds", 1, _WORD_MOST),
            ("reveal_seconds", 1, _WORD_MOST),
            ("least_participants", 2, _WORD_MOST),
            ("bond", 1, 2**128 - 1),
        ]
    return [
        ("period_blocks", LOOKAHEAD[p.randomness] + 1, _WORD_MOST),
        ("fastest_block_millis", 1, _WORD_MOST),
        ("slowest_block_millis", p.fastest_block_millis, _WORD_MOST),
    ]


# ---- code and addresses


@dataclass(frozen=True)
class Artefact:
    """A compiled contract: its interface, creation code, and keccak-256 of the interface in canonical JSON."""

    name: str
    abi: Abi
    creation_code: bytes
    abi_hash: bytes


def load_artefact(name: str) -> Artefact:
    """From the packaged file. Raises ArtefactMissing."""
    file = resources.files("lilypad_agents.chain").joinpath("abi", f"{name}.json")
    try:
        return parse_artefact(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise ArtefactMissing(f"There is no compiled code of {name} in the package ({error!r}).", contract=name) from error


def parse_artefact(document: Mapping[str, Any]) -> Artefact:
    """From the JSON document of an artefact. Raises KeyError or ValueError."""
    entries = document["abi"]
    name = document["contract"]
    return Artefact(name, Abi(name, entries), bytes.fromhex(document["bytecode"][2:]), abi_hash(entries))


def abi_hash(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """keccak-256 of the ABI as JSON with sorted keys and no spaces; entries in the compiler's order."""
    return keccak(text=json.dumps(entries, sort_keys=True, separators=(",", ":")))


@dataclass(frozen=True)
class PlannedContract:
    """One contract to be: creation code with its arguments, and the address that follows from it.

    `creator` names the contract whose constructor makes this one; then there is no creation code here.
    """

    name: str
    init_code: bytes
    address: str
    abi_hash: bytes
    creator: str = ""


def create2_address(factory: str, salt: bytes, init_code: bytes) -> str:
    """Checksummed address of EIP-1014: the last 20 bytes of keccak256(0xff, factory, salt, keccak256(init code))."""
    return to_checksum_address(keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + keccak(init_code))[12:])


def create_address(creator: str, nonce: int) -> str:
    """Checksummed address of what `creator` makes by CREATE: the last 20 bytes of keccak256(rlp(creator, nonce))."""
    return to_checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[12:])


def plan(parameters: DeploymentParameters, factory: str) -> tuple[PlannedContract, ...]:
    """The contracts in the order in which they can be made. `parameters` must be completed. Raises ArtefactMissing."""
    p = parameters
    salt = bytes.fromhex(p.salt[2:])
    planned: dict[str, PlannedContract] = {}

    def add(name: str, *arguments: Any) -> str:
        artefact = load_artefact(name)
        init_code = artefact.creation_code + artefact.abi.encode_constructor(*arguments)
        address = create2_address(factory, salt, init_code)
        planned[name] = PlannedContract(name, init_code, address, artefact.abi_hash)
        return address

    token = add("LilypadToken", p.token_recipient)
    if p.faucet:
        add("LilypadFaucet", token, p.faucet_amount, p.faucet_interval, p.faucet_most_per_interval)
    randomness = add(SOURCES[p.randomness], *_source_arguments(p))
    core = add("Lilypad", (randomness, *_core_numbers(p)))
    resolver = create_address(core, 1)  # the first thing that the core's constructor makes
    planned["LilypadResolver"] = PlannedContract(
        "LilypadResolver", b"", resolver, load_artefact("LilypadResolver").abi_hash, creator="Lilypad"
    )
    staking = add("LilypadStaking", core, p.unbonding)
    add("LilypadMediation", core, staking, p.last_call)
    add("LilypadModules", core)
    add("LilypadUsers")
    add("LilypadBundler", core)
    return tuple(planned.values())


def contracts_of(parameters: DeploymentParameters) -> tuple[str, ...]:
    """Names of what a deployment with these parameters has, in the order of the plan."""
    left_out = {name for source, name in SOURCES.items() if source != parameters.randomness}
    if not parameters.faucet:
        left_out.add("LilypadFaucet")
    return tuple(name for name in CONTRACTS if name not in left_out)


def _source_arguments(p: DeploymentParameters) -> tuple[int, ...]:
    if p.randomness == COMMIT_REVEAL:
        return (p.period_seconds, p.lookahead_seconds, p.reveal_seconds, p.least_participants, p.bond)
    return (p.period_blocks, p.fastest_block_millis, p.slowest_block_millis)


def _core_numbers(p: DeploymentParameters) -> tuple[int, ...]:
    """In the order of the core's parameters, after the randomness."""
    windows = (p.min_submit_window, p.max_submit_window, p.min_judge_window, p.max_judge_window)
    return (p.protocol_fee_bps, *windows, p.reveal_window, p.mediation_limit)


def _camel(name: str) -> str:
    return _HUMP.sub(lambda match: match.group(1).upper(), name)
