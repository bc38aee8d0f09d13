"""Parameters, bounds and addresses, before anything is sent."""

from __future__ import annotations

import dataclasses

import pytest

from lilypad_agents.chain.deployer import FACTORY
from lilypad_agents.chain.deployment_plan import (
    PRESETS,
    PRODUCTION_CHAINS,
    SOURCES,
    DeploymentParameters,
    ParameterInvalid,
    completed,
    contracts_of,
    create2_address,
    overridden,
    parse_assignments,
    plan,
    preset,
    require_sound,
)

DEPLOYER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
ON_CORE = {"Lilypad", "LilypadResolver", "LilypadStaking", "LilypadMediation", "LilypadModules", "LilypadBundler"}
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def whole(name: str, has_history: bool = True) -> DeploymentParameters:
    return completed(preset(name), DEPLOYER, has_history)


def names_of(parameters: DeploymentParameters) -> list[str]:
    return [name for name in parameters.as_json() if name != "preset"]


def test_create2_address__examples_of_the_standard__agree() -> None:
    """Vectors of EIP-1014."""
    nowhere, dead = "0x" + "00" * 20, "0xdeadbeef" + "00" * 16
    assert create2_address(nowhere, bytes(32), b"\0") == "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"
    assert create2_address(dead, bytes(32), b"\0") == "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"
    salt = bytes.fromhex("000000000000000000000000feed000000000000000000000000000000000000")
    assert create2_address(dead, salt, b"\0") == "0xD04116cDd17beBE565EB2422F2497E06cC1C9833"


def test_plan__equal_parameters__equal_addresses() -> None:
    """beh:L3"""
    first, second = plan(whole("devnet"), FACTORY), plan(whole("devnet"), FACTORY)
    assert [item.address for item in first] == [item.address for item in second]
    assert [item.name for item in first] == list(contracts_of(whole("devnet")))


@pytest.mark.parametrize(
    ("name", "value", "moved"),
    [
        ("tokenRecipient", OTHER, {"LilypadToken", "LilypadFaucet"}),
        ("faucetAmount", "5", {"LilypadFaucet"}),
        ("periodBlocks", "7", {"BlockHashRandomness", *ON_CORE}),
        ("protocolFeeBps", "99", ON_CORE),
        ("revealWindow", "31", ON_CORE),
        ("unbonding", "901", {"LilypadStaking", "LilypadMediation"}),
        ("lastCall", "61", {"LilypadMediation"}),
        ("salt", "0x" + "ab" * 32, set(contracts_of(preset("devnet")))),
    ],
)
def test_plan__one_parameter_differs__moves_what_depends_on_it(name: str, value: str, moved: set[str]) -> None:
    """beh:L3 beh:L5"""
    before = {item.name: item.address for item in plan(whole("devnet"), FACTORY)}
    after = {item.name: item.address for item in plan(overridden(whole("devnet"), {name: value}), FACTORY)}
    assert {item for item in before if before[item] != after[item]} == moved


def test_plan__production__has_no_faucet() -> None:
    assert "LilypadFaucet" not in {item.name for item in plan(whole("production"), FACTORY)}


@pytest.mark.parametrize("name", list(PRESETS))
def test_preset__on_a_chain_with_history__is_within_all_bounds(name: str) -> None:
    require_sound(whole(name), 1337, True)


def test_preset__any__holds_no_key() -> None:
    """beh:L2: the only 32-byte value is the salt, which is public."""
    for parameters in PRESETS.values():
        words = [value for value in parameters.as_json().values() if isinstance(value, str) and len(value) == 66]
        assert words == [parameters.salt]


@pytest.mark.parametrize("preset_name", list(PRESETS))
def test_override__every_parameter__changes_it_alone(preset_name: str) -> None:
    """beh:L2"""
    base = preset(preset_name)
    for name in names_of(base):
        old = base.as_json()[name]
        new = {True: "false", False: "true"}[old] if isinstance(old, bool) else "12345"
        if name == "tokenRecipient":
            new = OTHER
        if name == "salt":
            new = "0x" + "cd" * 32
        if name == "randomness":
            new = "commit-reveal"
        changed = overridden(base, {name: new}).as_json()
        assert {key for key, value in changed.items() if value != base.as_json()[key]} == {name}


def test_parameters__written_and_read__are_the_same() -> None:
    for name in PRESETS:
        assert DeploymentParameters.from_json(whole(name).as_json()) == whole(name)


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("maxJudgeWindow", "maxJudgeWindow"),
        ("=5", "=5"),
        ("judgeWindow=5", "judgeWindow"),
        ("preset=devnet", "preset"),
        ("maxJudgeWindow=5.5", "maxJudgeWindow"),
        ("maxJudgeWindow=-5", "maxJudgeWindow"),
        ("maxJudgeWindow=٥", "maxJudgeWindow"),
        ("maxJudgeWindow=", "maxJudgeWindow"),
        ("faucet=yes", "faucet"),
        ("tokenRecipient=0x12", "tokenRecipient"),
        ("salt=0x12", "salt"),
        ("randomness=BlockHashRandomness", "randomness"),
        ("randomness=", "randomness"),
    ],
)
def test_override__malformed__is_refused_by_name(assignment: str, named: str) -> None:
    with pytest.raises(ParameterInvalid) as refusal:
        overridden(preset("devnet"), parse_assignments([assignment]))
    assert refusal.value.figures["name"] == named


def test_override__given_twice__is_refused() -> None:
    with pytest.raises(ParameterInvalid):
        parse_assignments(["faucet=true", "faucet=false"])


def test_preset__unknown__lists_the_known() -> None:
    with pytest.raises(ParameterInvalid, match="production, testnet, devnet"):
        preset("mainnet")


@pytest.mark.parametrize(
    ("name", "value", "least", "most"),
    [
        ("periodBlocks", 2, 3, 2**32 - 1),
        ("fastestBlockMillis", 0, 1, 2**32 - 1),
        ("slowestBlockMillis", 19, 20, 2**32 - 1),
        ("protocolFeeBps", 1001, 0, 1000),
        ("minSubmitWindow", 0, 1, 604_800),
        ("minSubmitWindow", 604_801, 1, 604_800),
        ("maxSubmitWindow", 365 * 86_400 + 1, 5, 365 * 86_400),
        ("minJudgeWindow", 81, 1, 80),
        ("maxJudgeWindow", 82, 5, 81),
        ("revealWindow", 17, 18, 30 * 86_400),
        ("mediationLimit", 59, 60, 90 * 86_400),
        ("mediationLimit", 90 * 86_400 + 1, 60, 90 * 86_400),
        ("unbonding", 600, 601, 2**32 - 1),
        ("lastCall", 0, 1, 150),
        ("lastCall", 151, 1, 150),
        ("faucetAmount", 0, 1, 100_000 * 10**18),
        ("faucetShare", 10**27 + 1, 0, 10**27),
    ],
)
def test_bounds__just_outside__are_named_with_their_figures(name: str, value: int, least: int, most: int) -> None:
    parameters = overridden(whole("devnet"), {name: str(value)})
    with pytest.raises(ParameterInvalid) as refusal:
        require_sound(parameters, 1337, True)
    assert refusal.value.figures == {"name": name, "found": value, "least": least, "most": most}


def test_bounds__chain_without_history__shortens_the_judge_window() -> None:
    """inv:T51: a seed of 256 blocks must not be judged for longer than half of its life."""
    with pytest.raises(ParameterInvalid) as refusal:
        require_sound(whole("devnet"), 1337, False)
    assert (refusal.value.figures["name"], refusal.value.figures["most"]) == ("maxJudgeWindow", 2)
    assert whole("production", has_history=False).max_judge_window == 256 * 12 // 2
    assert whole("production").max_judge_window == 8191 * 12 // 2


@pytest.mark.parametrize("chain_id", sorted(PRODUCTION_CHAINS))
def test_faucet__on_a_production_chain__is_refused(chain_id: int) -> None:
    with pytest.raises(ParameterInvalid) as refusal:
        require_sound(whole("testnet"), chain_id, True)
    assert refusal.value.figures["name"] == "faucet"


# ---- the source of seeds


@pytest.mark.parametrize(("choice", "name"), SOURCES.items())
def test_plan__choice_of_the_source__has_it_and_no_other(choice: str, name: str) -> None:
    """One word decides; everything that trusts the seeds moves with it."""
    base = {item.name: item.address for item in plan(whole("testnet"), FACTORY)}
    chosen = completed(overridden(preset("testnet"), {"randomness": choice}), DEPLOYER, True)
    planned = {item.name: item.address for item in plan(chosen, FACTORY)}
    assert tuple(planned) == contracts_of(chosen)
    assert set(planned) & set(SOURCES.values()) == {name}
    assert (planned["Lilypad"] == base["Lilypad"]) == (choice == preset("testnet").randomness)


def test_block_hashes__in_production__need_an_explicit_word() -> None:
    """inv:T15: by the preset's name, or by the chain, whatever the preset is called."""
    for name, chain_id in (("production", 1337), ("devnet", 1), ("devnet", 8453)):
        parameters = overridden(whole(name), {"randomness": "blockhash", "faucet": "false"})
        with pytest.raises(ParameterInvalid, match="allowBlockHash=true") as refusal:
            require_sound(parameters, chain_id, True)
        assert refusal.value.figures["name"] == "randomness"
        require_sound(overridden(parameters, {"allowBlockHash": "true"}), chain_id, True)
    require_sound(whole("devnet"), 1337, True)


def test_prevrandao__on_a_chain_with_a_flaw__is_refused_with_the_reason() -> None:
    """inv:T15: and only where it was chosen."""
    with pytest.raises(ParameterInvalid, match="cannot be prevrandao here: it is a constant. Choose commit-reveal"):
        require_sound(whole("production"), 1337, True, "it is a constant")
    require_sound(overridden(whole("production"), {"randomness": "commit-reveal"}), 1337, True, "it is a constant")


@pytest.mark.parametrize(
    ("source", "name", "value", "least", "most"),
    [
        ("prevrandao", "periodBlocks", 132, 133, 2**32 - 1),
        ("prevrandao", "revealWindow", 10_391, 10_392, 30 * 86_400),
        ("commit-reveal", "periodSeconds", 0, 1, 2**32 - 1),
        ("commit-reveal", "lookaheadSeconds", 0, 1, 2**32 - 1),
        ("commit-reveal", "revealSeconds", 0, 1, 2**32 - 1),
        ("commit-reveal", "leastParticipants", 1, 2, 2**32 - 1),
        ("commit-reveal", "bond", 0, 1, 2**128 - 1),
        ("commit-reveal", "maxJudgeWindow", 65_536, 300, 65_535),
        ("commit-reveal", "revealWindow", 10_441, 10_442, 30 * 86_400),
    ],
)
def test_bounds__of_a_source__are_its_own(source: str, name: str, value: int, least: int, most: int) -> None:
    chosen = completed(overridden(preset("production"), {"randomness": source}), DEPLOYER, True)
    parameters = overridden(chosen, {name: str(value)})
    with pytest.raises(ParameterInvalid) as refusal:
        require_sound(parameters, 1337, True)
    assert refusal.value.figures == {"name": name, "found": value, "least": least, "most": most}


@pytest.mark.parametrize("preset_name", list(PRESETS))
def test_preset__with_commit_reveal__is_within_all_bounds(preset_name: str) -> None:
    require_sound(completed(overridden(preset(preset_name), {"randomness": "commit-reveal"}), DEPLOYER, False), 1337, False)


def test_faucet__with_the_production_preset__is_refused_on_any_chain() -> None:
    with pytest.raises(ParameterInvalid) as refusal:
        require_sound(dataclasses.replace(whole("production"), faucet=True), 1337, True)
    assert refusal.value.figures["name"] == "faucet"
