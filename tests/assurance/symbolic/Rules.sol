// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadRules} from "contracts/core/LilypadRules.sol";
import {Plain} from "Plain.sol";

/// @title Theorems about the protocol's prices, for the SMTChecker: for all arguments. What each says stands in properties.py.
contract RuleProofs is LilypadRules {
    constructor(Parameters memory parameters_) LilypadRules(parameters_) {}

    function prove_share_is_at_most_all(uint160 amount, uint16 bps) external pure {
        require(bps <= 10_000);
        assert(_shareDown(amount, bps) <= amount);
    }

    function prove_share_is_rounded_down_by_less_than_one(uint160 amount, uint16 bps) external pure {
        uint256 share = _shareDown(amount, bps);
        assert(share * 10_000 <= uint256(amount) * bps);
        assert(uint256(amount) * bps - share * 10_000 < 10_000);
    }

    function prove_premium_is_rounded_up_by_less_than_one(uint96 seatFee, uint16 auditBps) external pure {
        uint256 premium = _premiumUp(seatFee, auditBps);
        uint256 exact = uint256(seatFee) * auditBps * 11;
        assert(premium * 100_000 >= exact);
        assert(premium * 100_000 - exact < 100_000);
    }

    function prove_the_seat_fee_of_a_value_is_rounded_up_by_less_than_one(uint96 value) external pure {
        uint256 fee = Plain.seatFee(value);
        assert(fee * 10_000 >= uint256(value) * 12_500);
        assert(fee * 10_000 - uint256(value) * 12_500 < 10_000);
    }

    function prove_gross_grows_with_units(uint96 price, uint96 unitPrice, uint64 units, uint64 more) external pure {
        require(units <= more);
        assert(_gross(price, unitPrice, units) <= _gross(price, unitPrice, more));
        assert(_gross(price, unitPrice, 0) == price);
    }

    /// @dev False on purpose: the runner has to see it fail.
    function prove_false_a_share_is_never_nothing(uint160 amount, uint16 bps) external pure {
        require(amount != 0 && bps != 0);
        assert(_shareDown(amount, bps) != 0);
    }
}
