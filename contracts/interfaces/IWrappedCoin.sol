// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Wrapped native coin, as it is deployed on most chains
interface IWrappedCoin {
    /// @notice Credits the caller with as many tokens as the call carries coin, one to one in smallest units.
    function deposit() external payable;
}
