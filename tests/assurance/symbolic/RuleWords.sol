// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadRules} from "contracts/core/LilypadRules.sol";
import {IRandomness} from "contracts/interfaces/IRandomness.sol";
import {Deal} from "contracts/types/Deal.sol";
import {Plain} from "Plain.sol";

/// @dev What the constructor of the rules asks of a source of seeds.
contract Seeds {
    uint32 public constant lifetime = 1 days;
    uint32 public constant delay = 1 minutes;
    uint32 public constant periodBlocks = 1;
}

/// @title Symbolic checks of the prices that take the larger or the smaller of two. What each says stands in properties.py.
/// @dev OpenZeppelin's max and min are bit operations, which halmos can and the SMTChecker cannot reason about.
contract RuleChecks is LilypadRules {
    constructor() LilypadRules(_parameters()) {}

    function _parameters() private returns (Parameters memory) {
        return Parameters(IRandomness(address(new Seeds())), 500, 1, 1 days, 1, 1 hours, 1 hours, 1 hours);
    }

    function check_seat_fee_is_the_largest_of_three(uint96 value, uint96 floor_, uint96 least) external pure {
        uint256 fee = _seatFeeUp(value, floor_, least);
        uint256 ofValue = Plain.seatFee(value);
        assert(fee >= floor_ && fee >= least && fee >= ofValue);
        assert(fee == floor_ || fee == least || fee == ofValue);
    }

    function check_penalty_is_the_smaller_of_collateral_and_value(
        uint96 collateral,
        uint96 price,
        uint96 unitPrice,
        uint64 units
    ) external pure {
        Deal memory deal;
        (deal.collateral, deal.price, deal.unitPrice, deal.maxUnits) = (collateral, price, unitPrice, units);
        uint256 penalty = _penalty(deal);
        assert(penalty <= collateral && penalty <= _value(deal));
        assert(penalty == collateral || penalty == _value(deal));
    }
}
