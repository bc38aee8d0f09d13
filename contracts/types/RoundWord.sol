// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Finding, Phase, SeatState} from "./Dispute.sol";

/// @notice The one word that the panel strategy keeps of a running round. Fields from the least significant bit:
/// [0..2] phase, less one, so that 8 fit (an earlier round: its finding) | [3..5] round number | [6] the provider opened
/// | [7] seats were drawn again | [8] the first lone seat said Unavailable | [9] so did the second | [10..49] deadline of the
/// phase, unix seconds | [50..94] states of the seats, three bits each | [95] one, so that no word is zero
/// | [96..255] low 160 bits of the seating's hash; while seats are queued for the first time: the ticket
type RoundWord is uint256;

using RoundWordLib for RoundWord global;

/// @title Reading and building round words
library RoundWordLib {
    uint256 internal constant DELIVERY = 4; // bit of a round number
    uint256 private constant OPENED = 1 << 6;
    uint256 private constant REDRAWN = 1 << 7;
    uint256 private constant LONE_UNAVAILABLE = 1 << 8;
    uint256 private constant PROVIDER_LATE = 1 << 9;
    uint256 private constant EXISTS = 1 << 95;
    uint256 private constant SEATS_AT = 50;
    uint256 private constant SEATS_MASK = ((1 << 45) - 1) << SEATS_AT;
    uint256 private constant PHASE_AND_DEADLINE = 7 | ((1 << 40) - 1) << 10;
    uint256 private constant FACTS_AT = 96;

    // ---- reading

    function exists(RoundWord word) internal pure returns (bool) {
        return RoundWord.unwrap(word) != 0;
    }

    function phase(RoundWord word) internal pure returns (Phase) {
        return word.exists() ? Phase((RoundWord.unwrap(word) & 7) + 1) : Phase.None;
    }

    /// @dev `phase_` is not None. The bit EXISTS tells Due, whose bits are zero, from a word that is not there.
    function isIn(RoundWord word, Phase phase_) internal pure returns (bool) {
        unchecked {
            return RoundWord.unwrap(word) & (7 | EXISTS) == (uint256(phase_) - 1 | EXISTS);
        }
    }

    /// @dev Of an earlier round only.
    function finding(RoundWord word) internal pure returns (Finding) {
        return Finding(RoundWord.unwrap(word) & 7);
    }

    function round(RoundWord word) internal pure returns (uint8) {
        return uint8(RoundWord.unwrap(word) >> 3 & 7);
    }

    function isDelivery(RoundWord word) internal pure returns (bool) {
        return word.round() & DELIVERY != 0;
    }

    /// @dev 1, 3, 7 or 15.
    function size(RoundWord word) internal pure returns (uint256) {
        return sizeOf(word.round());
    }

    function sizeOf(uint256 round_) internal pure returns (uint256) {
        // Safe: 2 at least, less 1.
        unchecked {
            return (2 << (round_ & 3)) - 1;
        }
    }

    function opened(RoundWord word) internal pure returns (bool) {
        return RoundWord.unwrap(word) & OPENED != 0;
    }

    function redrawn(RoundWord word) internal pure returns (bool) {
        return RoundWord.unwrap(word) & REDRAWN != 0;
    }

    function loneUnavailable(RoundWord word) internal pure returns (bool) {
        return RoundWord.unwrap(word) & LONE_UNAVAILABLE != 0;
    }

    function providerLate(RoundWord word) internal pure returns (bool) {
        return RoundWord.unwrap(word) & PROVIDER_LATE != 0;
    }

    function deadline(RoundWord word) internal pure returns (uint256) {
        return uint40(RoundWord.unwrap(word) >> 10);
    }

    function seat(RoundWord word, uint256 index) internal pure returns (SeatState) {
        return SeatState(word.seatBits(index));
    }

    /// @dev For comparisons: reading an enum costs a range check each time.
    function seatBits(RoundWord word, uint256 index) internal pure returns (uint256) {
        // Safe: an index beyond the round reads zeros or facts, which nobody asks for, never outside the word.
        unchecked {
            return RoundWord.unwrap(word) >> (SEATS_AT + 3 * index) & 7;
        }
    }

    function facts(RoundWord word) internal pure returns (uint256) {
        return RoundWord.unwrap(word) >> FACTS_AT;
    }

    /// @return found How many of the round's seats are in `state`.
    function count(RoundWord word, SeatState state) internal pure returns (uint256 found) {
        uint256 bits = RoundWord.unwrap(word) >> SEATS_AT;
        // Safe: counts to at most 15.
        unchecked {
            for (uint256 left = word.size(); left != 0; left--) {
                if (bits & 7 == uint256(state)) found++;
                bits >>= 3;
            }
        }
    }

    // ---- building: values fit their bits (rounds 3, tickets and hashes 160, times 40 for 30,000 years)

    /// @notice A round that waits for its seats.
    /// @param opened_ Whether the provider opened in an earlier round.
    function queued(uint256 round_, bool opened_, bool providerLate_, uint256 ticket) internal pure returns (RoundWord) {
        return RoundWord.wrap(
            uint256(Phase.Queued) - 1 | round_ << 3 | SafeCast.toUint(opened_) << 6
                | SafeCast.toUint(providerLate_) << 9 | EXISTS | ticket << FACTS_AT
        );
    }

    /// @notice The same round in another phase. Must not be None.
    function to(RoundWord word, Phase phase_, uint256 deadline_) internal pure returns (RoundWord) {
        unchecked {
            uint256 kept = RoundWord.unwrap(word) & ~PHASE_AND_DEADLINE;
            return RoundWord.wrap(kept | uint256(phase_) - 1 | deadline_ << 10);
        }
    }

    /// @notice An earlier round: its finding stands where the phase was.
    function past(RoundWord word, Finding finding_) internal pure returns (RoundWord) {
        return RoundWord.wrap(RoundWord.unwrap(word) & ~PHASE_AND_DEADLINE | uint256(finding_));
    }

    function withSeat(RoundWord word, uint256 index, SeatState state) internal pure returns (RoundWord) {
        // Safe: the index was checked against the round's accounts.
        unchecked {
            uint256 at = SEATS_AT + 3 * index;
            return RoundWord.wrap(RoundWord.unwrap(word) & ~(7 << at) | uint256(state) << at);
        }
    }

    function withFacts(RoundWord word, uint256 facts_) internal pure returns (RoundWord) {
        return RoundWord.wrap(RoundWord.unwrap(word) & (1 << FACTS_AT) - 1 | facts_ << FACTS_AT);
    }

    function withOpened(RoundWord word) internal pure returns (RoundWord) {
        return RoundWord.wrap(RoundWord.unwrap(word) | OPENED);
    }

    function withRedraw(RoundWord word) internal pure returns (RoundWord) {
        return RoundWord.wrap(RoundWord.unwrap(word) | REDRAWN);
    }

    /// @notice The lone seat, emptied to be drawn again; that it said Unavailable is kept.
    function withLoneAgain(RoundWord word) internal pure returns (RoundWord) {
        uint256 flags = REDRAWN;
        if (word.seatBits(0) == uint256(SeatState.Unavailable)) flags |= LONE_UNAVAILABLE;
        return RoundWord.wrap(RoundWord.unwrap(word) & ~SEATS_MASK | flags);
    }
}
