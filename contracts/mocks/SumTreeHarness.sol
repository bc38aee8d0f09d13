// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SumTree, SumTreeLib} from "../staking/SumTree.sol";

/// @title Test double: opens the sum tree, so that Python can be compared with it, and its walk be measured alone
contract SumTreeHarness {
    using SumTreeLib for SumTree;

    uint256 public depth = 1;
    SumTree private _tree;

    /// @notice Sets weights, growing the tree where a leaf lies outside.
    function set(uint256[] calldata leaves, uint256[] calldata weights) external {
        for (uint256 i = 0; i < leaves.length; i++) {
            while (leaves[i] >> 2 * depth != 0) {
                _tree.grow(depth++);
            }
            _tree.set(depth, leaves[i], weights[i]);
        }
    }

    function total() external view returns (uint256) {
        return _tree.total(depth);
    }

    function weightOf(uint256 leaf) external view returns (uint256) {
        return _tree.weightOf(leaf);
    }

    /// @return leaves What covers each point.
    /// @return gas_ What reading the root and the walks cost, loop included.
    function find(uint256[] calldata points) external view returns (uint256[] memory leaves, uint256 gas_) {
        leaves = new uint256[](points.length);
        uint256 levels = depth;
        gas_ = gasleft();
        uint256 root = _tree.total(levels);
        for (uint256 i = 0; i < points.length; i++) {
            (leaves[i],) = _tree.find(levels, points[i] % root);
        }
        gas_ -= gasleft();
    }
}
