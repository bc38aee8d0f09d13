// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Finding, Phase, SeatState} from "contracts/types/Dispute.sol";
import {RoundWord, RoundWordLib} from "contracts/types/RoundWord.sol";

/// @title Symbolic checks of the round's word. What each says stands in properties.py.
contract RoundChecks {
    uint256 private constant SEATS = ((1 << 45) - 1) << 50;

    function _kept(RoundWord a, RoundWord b, uint256 changed) private pure {
        assert(RoundWord.unwrap(a) & ~changed == RoundWord.unwrap(b) & ~changed);
    }

    function check_queued_reads_back(uint8 round, bool opened, bool late, uint160 ticket) external pure {
        if (round > 7) return;
        RoundWord word = RoundWordLib.queued(round, opened, late, ticket);
        assert(word.exists() && word.isIn(Phase.Queued) && word.phase() == Phase.Queued && word.round() == round);
        assert(word.opened() == opened && word.providerLate() == late && word.facts() == ticket);
        assert(!word.redrawn() && !word.loneUnavailable() && word.deadline() == 0);
        assert(RoundWord.unwrap(word) & SEATS == 0);
    }

    function check_to_changes_phase_and_deadline_alone(RoundWord word, uint8 phase, uint40 deadline) external pure {
        if (phase == 0 || phase > uint8(Phase.Executed)) return;
        RoundWord after_ = word.to(Phase(phase), deadline);
        assert(RoundWord.unwrap(after_) & 7 == phase - 1 && after_.deadline() == deadline);
        _kept(after_, word, 7 | uint256(type(uint40).max) << 10);
    }

    function check_withSeat_changes_one_seat(RoundWord word, uint8 seat, uint8 other, uint8 state) external pure {
        if (seat >= 15 || other >= 15 || seat == other || state > uint8(SeatState.CannotRun)) return;
        RoundWord after_ = word.withSeat(seat, SeatState(state));
        assert(after_.seatBits(seat) == state);
        assert(after_.seatBits(other) == word.seatBits(other));
        _kept(after_, word, SEATS);
    }

    function check_withFacts_changes_facts_alone(RoundWord word, uint160 facts) external pure {
        RoundWord after_ = word.withFacts(facts);
        assert(after_.facts() == facts);
        _kept(after_, word, type(uint256).max << 96);
    }

    function check_past_puts_the_finding_where_the_phase_was(RoundWord word, uint8 finding) external pure {
        if (finding > uint8(Finding.Absent)) return;
        RoundWord after_ = word.past(Finding(finding));
        assert(uint8(after_.finding()) == finding && after_.deadline() == 0);
        _kept(after_, word, 7 | uint256(type(uint40).max) << 10);
    }

    function check_flags_change_themselves_alone(RoundWord word) external pure {
        assert(word.withOpened().opened() && word.withRedraw().redrawn());
        _kept(word.withOpened(), word, 1 << 6);
        _kept(word.withRedraw(), word, 1 << 7);
    }

    function check_count_of_a_panel_of_three_is_exact(RoundWord word, uint8 state) external pure {
        if (word.round() & 3 != 1 || state > uint8(SeatState.CannotRun)) return;
        uint256 expected;
        for (uint256 i = 0; i < 3; i++) {
            if (word.seatBits(i) == state) expected++;
        }
        assert(word.count(SeatState(state)) == expected);
    }
}
