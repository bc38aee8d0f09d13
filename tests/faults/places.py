"""Where faults meet a deal: roles, and the states that each has a hand in."""

from __future__ import annotations

from tests.faults.run import Places
from tests.faults.scenes import SCENES

PROVIDER: Places = {"provider": SCENES["provider"].states}
MEDIATOR: Places = {"mediator": SCENES["mediator"].states}
KEEPER: Places = {"keeper": SCENES["keeper"].states}
SOLVER: Places = {"solver": SCENES["solver"].states}
CREATOR: Places = {"creator": SCENES["creator"].states}
AGENTS: Places = {**PROVIDER, **MEDIATOR, **KEEPER, **SOLVER}
ALL: Places = {**AGENTS, **CREATOR}
# Deadlines that may pass while a fault lasts: to submit, to judge, to commit. An opening has none of its own.
LATE: Places = {**PROVIDER, "mediator": ("challenged", "drawn")}
