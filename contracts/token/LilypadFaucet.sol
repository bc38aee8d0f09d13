// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ILilypadFaucet} from "../interfaces/ILilypadFaucet.sol";

/// @title Rate-limited giver of test tokens
contract LilypadFaucet is ILilypadFaucet {
    using SafeERC20 for IERC20;

    IERC20 public immutable TOKEN;
    /// @notice One portion, smallest units.
    uint256 public immutable AMOUNT;
    /// @notice Seconds between two portions of one account, and the length of the interval for all.
    uint256 public immutable INTERVAL;
    /// @notice Given to all accounts together in one interval at most, smallest units.
    uint256 public immutable MOST_PER_INTERVAL;

    /// @inheritdoc ILilypadFaucet
    mapping(address account => uint256) public nextDripAt;

    /// @dev What was given in the interval number `_interval` (block time / INTERVAL).
    uint128 private _given;
    uint128 private _interval;

    constructor(IERC20 token, uint256 amount, uint256 interval, uint256 mostPerInterval) {
        if (_isProduction(block.chainid)) revert ChainIsProduction(block.chainid);
        bool valid = amount != 0 && interval != 0 && mostPerInterval >= amount && mostPerInterval <= type(uint128).max;
        if (!valid) revert LimitsInvalid(amount, interval, mostPerInterval);
        TOKEN = token;
        AMOUNT = amount;
        INTERVAL = interval;
        MOST_PER_INTERVAL = mostPerInterval;
    }

    /// @inheritdoc ILilypadFaucet
    function drip(address account) external {
        if (block.timestamp < nextDripAt[account]) {
            revert DrippedBefore(account, nextDripAt[account], block.timestamp);
        }
        (uint256 left, uint256 until) = leftInInterval();
        if (left < AMOUNT) revert IntervalUsedUp(MOST_PER_INTERVAL - left, MOST_PER_INTERVAL, until);
        uint256 has = TOKEN.balanceOf(address(this));
        if (has < AMOUNT) revert FaucetEmpty(has, AMOUNT);

        nextDripAt[account] = block.timestamp + INTERVAL;
        // Safe: both fit, the first by the constructor's bound, the second because time does.
        _given = uint128(MOST_PER_INTERVAL - left + AMOUNT);
        _interval = uint128(block.timestamp / INTERVAL);
        emit Dripped(account, AMOUNT, msg.sender);
        TOKEN.safeTransfer(account, AMOUNT);
    }

    /// @inheritdoc ILilypadFaucet
    function leftInInterval() public view returns (uint256 left, uint256 until) {
        uint256 interval = block.timestamp / INTERVAL;
        left = interval == _interval ? MOST_PER_INTERVAL - _given : MOST_PER_INTERVAL;
        until = (interval + 1) * INTERVAL;
    }

    /// @dev Main networks with the most use, by chain id. The deployment script, which knows more, asks for a test preset.
    function _isProduction(uint256 id) private pure returns (bool) {
        return id == 1 || id == 10 || id == 25 || id == 56 || id == 100 || id == 130 || id == 137 || id == 146
            || id == 250 || id == 252 || id == 314 || id == 324 || id == 480 || id == 1101 || id == 1329 || id == 5000
            || id == 8453 || id == 34443 || id == 42161 || id == 42170 || id == 42220 || id == 43114 || id == 57073
            || id == 59144 || id == 81457 || id == 534352 || id == 7777777;
    }
}
