// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICommitReveal} from "../interfaces/ICommitReveal.sol";

/// @title Test double: withdraws its bond again while it is being paid, or refuses the payment
contract BondThief {
    ICommitReveal public immutable source;
    uint256 public attempts;
    bool private _refuse;

    error Refused();

    constructor(ICommitReveal source_) payable {
        source = source_;
    }

    function steal(uint256 amount, bool refuse) external {
        _refuse = refuse;
        source.deposit{value: amount}();
        source.withdraw(amount);
    }

    receive() external payable {
        if (_refuse) revert Refused();
        if (attempts++ != 0) return;
        try source.withdraw(msg.value) {} catch {} // what was paid once
    }
}
