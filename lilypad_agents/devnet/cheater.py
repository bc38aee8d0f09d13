"""A provider of the devnet that alters results: `python -m lilypad_agents.devnet.cheater SETTINGS [PERCENT]`.

It lies about every deal, or about that many of a hundred; which ones follows from their ids, so it says the same twice.

It is the ordinary provider with another workshop: it delivers, opens and answers disputes like any other, and signs for
what it made up. Nothing of it can be switched on in the ordinary agent.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.library import Obtained
from lilypad_agents.agents.provider.run import run
from lilypad_agents.agents.provider.store import StoredResult
from lilypad_agents.agents.provider.workshop import Workshop
from lilypad_agents.devnet.gossip import Gossip
from lilypad_agents.execution.job import RunResult
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId

LIE = b"This is what the program would have said, I am sure.\n"


class CheatingWorkshop(Workshop):
    """Keeps another result than the one that the run gave, and tells its friends."""

    gossip_from: Path
    percent: int = 100

    def _keep(self, deal_id: DealId, deal: Deal, obtained: Obtained, result: RunResult, started: float) -> StoredResult:
        if not lies_about(deal_id, self.percent):
            return super()._keep(deal_id, deal, obtained, result, started)
        stored = super()._keep(deal_id, deal, obtained, replace(result, stdout=LIE), started)
        Gossip(self.gossip_from).tell(deal_id, stored.opening.opened.digest)
        return stored


def lies_about(deal_id: DealId, percent: int) -> bool:
    """Whether a cheat that lies about so many of a hundred deals lies about this one."""
    return int.from_bytes(deal_id[-4:], "big") % 100 < percent


def main(settings_file: str, percent: int = 100) -> int:
    """Runs until it is asked to stop; returns the exit code."""
    settings = ProviderSettings.load(file=Path(settings_file))

    def make(**parts: Any) -> Workshop:
        workshop = CheatingWorkshop(**parts)
        workshop.gossip_from = settings.data
        workshop.percent = percent
        return workshop

    return run(settings, make_workshop=make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
