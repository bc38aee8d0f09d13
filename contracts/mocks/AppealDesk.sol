// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Test double: a strategy that takes the fee of an appeal from the caller's tokens
contract AppealDesk {
    address public appellant;

    error NotAppealable();

    function appeal(IERC20 token, uint256 fee) external {
        if (fee == 0) revert NotAppealable();
        appellant = msg.sender;
        require(token.transferFrom(msg.sender, address(this), fee));
    }
}
