"""Units as types, and the bounds that the protocol fixes. Twin of the constants of contracts/core/LilypadRules.sol."""

from __future__ import annotations

from typing import NewType

Amount = NewType("Amount", int)  # smallest units of the deal's token
Bps = NewType("Bps", int)  # basis points: 10,000 are the whole
Seconds = NewType("Seconds", int)
Timestamp = NewType("Timestamp", int)  # unix seconds of a block
Units = NewType("Units", int)  # metered units, as the module's metering defines them
Mib = NewType("Mib", int)  # 2^20 bytes
CpuMilli = NewType("CpuMilli", int)  # thousandths of a core
Nonce = NewType("Nonce", int)
Period = NewType("Period", int)  # of the randomness source

WHOLE = 10_000  # basis points
UINT32_MAX = 2**32 - 1
UINT96_MAX = 2**96 - 1
UINT256_MAX = 2**256 - 1
UNLIMITED_VOLUME = UINT32_MAX
CANCELLED_USES = UINT32_MAX  # what the use counter of a cancelled resource offer reads

MAX_ROYALTY_BPS = Bps(3_000)
MAX_SOLVER_FEE_BPS = Bps(1_000)
MAX_PROTOCOL_FEE_BPS = Bps(1_000)
SEAT_FEE_BPS = Bps(12_500)  # of the value
SEAT_FLOOR_BPS = Bps(1_250)  # of a pool's maximum value: a tenth of the seat fee there
SEAT_STAKE_TENTHS = 64  # seat stake over seat fee, in tenths
DETECTION_BPS = Bps(7_000)
DETERRENCE_BPS = Bps(9_600)
PREMIUM_TENTHS = 11  # loading of the premium, in tenths
KEEPER_BOUNTY_BPS = Bps(100)  # of the penalty
CHALLENGER_BOUNTY_BPS = Bps(500)  # of the collateral
DECLINE_BPS = Bps(100)  # of the value
AUDIT_SEATS = 4  # one seat, then a panel of three
PANEL_SEATS = 3
ROUNDS = 4  # of a full dispute: 1, 3, 7, 15 seats
