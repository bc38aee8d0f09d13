// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";

/// @title Test double: a source whose seeds the test sets
contract ScriptedRandomness is IRandomness {
    /// @inheritdoc IRandomness
    uint32 public immutable periodBlocks;
    /// @inheritdoc IRandomness
    uint32 public immutable lifetime;
    /// @inheritdoc IRandomness
    uint32 public immutable delay;

    mapping(uint32 period => bytes32) private _seeds;
    mapping(uint32 period => SeedStatus) private _states;
    uint32 private _period;

    /// @param periodBlocks_ 0: the period is what {setPeriod} said last.
    constructor(uint32 periodBlocks_, uint32 lifetime_, uint32 delay_) {
        (periodBlocks, lifetime, delay) = (periodBlocks_, lifetime_, delay_);
    }

    function setPeriod(uint32 period) external {
        _period = period;
    }

    function setSeed(uint32 period, bytes32 value) external {
        (_seeds[period], _states[period]) = (value, SeedStatus.Known);
    }

    function setPending(uint32 period) external {
        _states[period] = SeedStatus.Pending;
    }

    function setExpired(uint32 period) external {
        _states[period] = SeedStatus.Expired;
    }

    /// @inheritdoc IRandomness
    function currentPeriod() external view returns (uint32) {
        return periodBlocks == 0 ? _period : uint32(block.number / periodBlocks);
    }

    /// @inheritdoc IRandomness
    function seed(uint32 period) external view returns (SeedStatus, bytes32) {
        return (_states[period], _seeds[period]);
    }

    /// @inheritdoc IRandomness
    function record(uint32 period, bytes calldata) external returns (bytes32 value) {
        if (_states[period] == SeedStatus.Pending) revert SeedNotKnown(period, 0);
        if (_states[period] == SeedStatus.Expired) revert SeedLost(period);
        value = _seeds[period];
        emit SeedRecorded(period, value, msg.sender);
    }
}
