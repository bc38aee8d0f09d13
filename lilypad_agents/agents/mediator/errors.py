"""Errors of the mediator. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError, LilypadError


class MediatorSettingInvalid(ConfigurationError):
    """A setting of the mediator contradicts another one, or the deployment. Figures: `setting`."""

    code = "mediator-setting"
    hint = "Correct the named setting; `lilypad config show` tells where each value comes from."

    def __init__(self, setting: str, problem: str, **figures: object) -> None:
        super().__init__(f"The mediator's setting {setting} {problem}.", setting=setting, **figures)


class NoMediation(ConfigurationError):
    """The deployment has no staking or no panel strategy. Figures: `contract`."""

    code = "no-mediation"
    hint = "Use the address book of a deployment with LilypadStaking and LilypadMediation."

    def __init__(self, contract: str) -> None:
        super().__init__(f"The deployment has no {contract}: nobody can take a seat there.", contract=contract)


class PoolUnknown(LilypadError):
    """A pool that the settings do not name. Figures: `pool`."""

    code = "pool-unknown"
    hint = "Add the pool's terms to `pools` in the mediator's settings; its id is the hash of all of them."
    exit_code = 2


class NoSuchRound(LilypadError):
    """There is no draw to speak of: no such deal or dispute, or its seats are not drawn yet. Figures: `subject`."""

    code = "no-such-round"
    hint = "Give the id of a deal whose dispute has seats; `lilypad mediator seats` lists yours."
    exit_code = 2


class VoteTooLate(LilypadError):
    """A vote is committed, and cannot be another one any more. Figures: `deal`, `round`."""

    code = "vote-too-late"
    hint = "Nothing can be changed in this round; anybody may appeal against what it finds."
    exit_code = 10


class OrderRefused(LilypadError):
    """The running mediator could not do what it was asked to. Figures: `order`, `reason`."""

    code = "order-refused"
    hint = "The message says what is missing; nothing was sent that cannot be repeated."
    exit_code = 10


class DrawDiffers(LilypadError):
    """A draw on the chain is not what its seed and the stakes before it give. Figures: `round`, `found`, `needed`."""

    code = "draw-differs"
    hint = "Ask another endpoint; if it says the same, the contract or the endpoint lies, and nobody should trust this pool."
    exit_code = 41


class SeedOutOfReach(LilypadError):
    """The seed of a draw was never recorded, and its block is too old for this endpoint. Figures: `period`."""

    code = "seed-out-of-reach"
    hint = "Ask an archive endpoint with --rpc."
    exit_code = 40
