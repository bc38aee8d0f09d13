// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadRules} from "contracts/core/LilypadRules.sol";
import {Deal} from "contracts/types/Deal.sol";

/// @title Theorems about the protocol's prices, for the SMTChecker: over all integers, without bound on calls or loops.
/// What each says stands in properties.py.
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

    function prove_seat_fee_is_never_below_its_floors(uint96 value, uint96 floor_, uint96 least) external pure {
        uint256 fee = _seatFeeUp(value, floor_, least);
        assert(fee >= floor_ && fee >= least);
        assert(fee * 10_000 >= uint256(value) * 12_500);
    }

    function prove_penalty_is_at_most_collateral_and_value(uint96 collateral, uint96 price, uint96 unitPrice, uint64 units)
        external
        pure
    {
        Deal memory deal;
        (deal.collateral, deal.price, deal.unitPrice, deal.maxUnits) = (collateral, price, unitPrice, units);
        uint256 penalty = _penalty(deal);
        assert(penalty <= collateral && penalty <= _value(deal));
        assert(penalty == collateral || penalty == _value(deal));
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
