// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SumTree, SumTreeLib} from "contracts/staking/SumTree.sol";

/// @title Symbolic checks of the sum tree: any tree of two levels, sixteen leaves. What each says stands in properties.py.
/// @dev A tree is well formed when every lane above is the sum of the word beneath and all weights fit 64 bits. The empty tree
/// is; the checks say that no change makes another of it, hence every sequence of changes leaves it so.
contract TreeChecks {
    using SumTreeLib for SumTree;

    uint256 private constant LANE = type(uint64).max;
    // Not constant: see LedgerChecks.
    uint256 private immutable DEPTH = 2;
    uint256 private immutable ROOT = 1 << 64;

    SumTree private _tree;

    /// @dev Unchecked, here and below: four numbers of 64 bits. Every check of the compiler's would be one more branch to solve.
    function _sumOf(uint256 word) private pure returns (uint256) {
        unchecked {
            return (word & LANE) + (word >> 64 & LANE) + (word >> 128 & LANE) + (word >> 192);
        }
    }

    /// @dev The word above `leaves`. Goes back when the weights do not fit: no caller makes such a tree.
    function _rootOf(uint256[4] memory leaves) private pure returns (uint256) {
        unchecked {
            uint256 a = _sumOf(leaves[0]);
            uint256 b = _sumOf(leaves[1]);
            uint256 c = _sumOf(leaves[2]);
            uint256 d = _sumOf(leaves[3]);
            require(a + b + c + d <= LANE);
            return a | b << 64 | c << 128 | d << 192;
        }
    }

    /// @dev Zero exactly if the tree's leaves are `leaves`. One number for one branch.
    function _differs(uint256[4] memory leaves) private view returns (uint256 bits) {
        for (uint256 i = 0; i < 4; i++) {
            bits |= _tree.words[i] ^ leaves[i];
        }
    }

    function _put(uint256[4] memory leaves) private {
        for (uint256 i = 0; i < 4; i++) {
            _tree.words[i] = leaves[i];
        }
        _tree.words[ROOT] = _rootOf(leaves);
    }

    /// @dev Every leaf by its number: places of storage are then known, weights are not.
    function check_set_keeps_the_sums(uint256[4] memory leaves, uint8 leaf, uint64 weight) external {
        for (uint256 n = 0; n < 16; n++) {
            if (leaf == n) {
                _set(leaves, n, weight);
                return;
            }
        }
    }

    function _set(uint256[4] memory leaves, uint256 leaf, uint64 weight) private {
        _put(leaves);
        uint256 shift = 64 * (leaf % 4);
        uint256 before = leaves[leaf / 4];
        leaves[leaf / 4] = before & ~(LANE << shift) | uint256(weight) << shift;
        uint256 root = _rootOf(leaves);
        _tree.set(DEPTH, leaf, weight);
        assert(_differs(leaves) | (_tree.words[ROOT] ^ root) == 0);
        assert(_tree.weightOf(leaf) == weight && _tree.total(DEPTH) == _sumOf(root));
    }

    function check_find_answers_the_leaf_that_covers_the_point(uint256[4] memory leaves, uint64 point) external {
        _put(leaves);
        if (point >= _tree.total(DEPTH)) return;
        (uint256 leaf, uint256 weight) = _tree.find(DEPTH, point);
        assert(leaf < 16 && weight == leaves[leaf / 4] >> 64 * (leaf % 4) & LANE);
        uint256 before;
        unchecked {
            for (uint256 n = 0; n < leaf; n++) {
                before += leaves[n / 4] >> 64 * (n % 4) & LANE;
            }
            assert(before <= point && point < before + weight);
        }
    }

    function check_grow_keeps_the_sums(uint256[4] memory leaves) external {
        _put(leaves);
        uint256 sum = _tree.total(DEPTH);
        _tree.grow(DEPTH);
        assert(_differs(leaves) | (_tree.words[ROOT] ^ _rootOf(leaves)) | (_tree.words[ROOT << 1] ^ sum) == 0);
        assert(_tree.total(DEPTH + 1) == sum);
    }
}
