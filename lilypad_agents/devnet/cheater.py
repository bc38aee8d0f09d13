"""A provider of the devnet that alters every result: `python -m lilypad_agents.devnet.cheater SETTINGS`.

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

    def _keep(self, deal_id: DealId, deal: Deal, obtained: Obtained, result: RunResult, started: float) -> StoredResult:
        stored = super()._keep(deal_id, deal, obtained, replace(result, stdout=LIE), started)
        Gossip(self.gossip_from).tell(deal_id, stored.opening.opened.digest)
        return stored

    gossip_from: Path


def main(settings_file: str) -> int:
    """Runs until it is asked to stop; returns the exit code."""
    settings = ProviderSettings.load(file=Path(settings_file))

    def make(**parts: Any) -> Workshop:
        workshop = CheatingWorkshop(**parts)
        workshop.gossip_from = settings.data
        return workshop

    return run(settings, make_workshop=make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
