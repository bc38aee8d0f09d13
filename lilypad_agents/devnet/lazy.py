"""A mediator of the devnet that runs nothing and votes what it is told: `python -m lilypad_agents.devnet.lazy SETTINGS`.

It is the ordinary mediator with another bench. What it hears nothing about, it does not judge.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lilypad_agents.agents.mediator.bench import Bench
from lilypad_agents.agents.mediator.run import run
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.mediator.store import Word
from lilypad_agents.agents.mediator.votes import CANNOT_RUN
from lilypad_agents.agents.provider.library import Obtained
from lilypad_agents.devnet.gossip import Gossip
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId


class LazyBench(Bench):
    """Takes somebody's word for the result."""

    gossip_from: Path

    def _run(self, deal_id: DealId, deal: Deal, opened_tx: bytes, obtained: Obtained) -> tuple[str, Any]:
        heard = Gossip(self.gossip_from).hear(deal_id)
        return "found", Word(CANNOT_RUN, "nobody told") if heard is None else Word(heard, "told")


def main(settings_file: str) -> int:
    """Runs until it is asked to stop; returns the exit code."""
    settings = MediatorSettings.load(file=Path(settings_file))

    def make(**parts: Any) -> Bench:
        bench = LazyBench(**parts)
        bench.gossip_from = settings.data
        return bench

    return run(settings, make_bench=make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
