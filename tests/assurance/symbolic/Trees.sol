// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SumTree, SumTreeLib} from "contracts/staking/SumTree.sol";

/// @title Symbolic checks of the sum tree: any words of two levels, sixteen leaves. What each says stands in properties.py.
contract TreeChecks {
    using SumTreeLib for SumTree;

    uint256 private constant LANE = type(uint64).max;
    // Not constant: see LedgerChecks.
    uint256 private immutable ONE = 1;
    uint256 private immutable DEPTH = 2;
    uint256 private immutable ROOT = 1 << 64;

    SumTree private _tree;

    function _lane(uint256 word, uint256 n) private pure returns (uint256) {
        return word >> 64 * n & LANE;
    }

    /// @dev The first `n` lanes together. Unchecked: four numbers of 64 bits, and a check is one more branch to solve.
    function _sumOf(uint256 word, uint256 n) private pure returns (uint256 sum) {
        unchecked {
            for (uint256 i = 0; i < n; i++) {
                sum += _lane(word, i);
            }
        }
    }

    function _put(uint256[4] memory leaves, uint256 root) private {
        for (uint256 i = 0; i < 4; i++) {
            _tree.words[i] = leaves[i];
        }
        _tree.words[ROOT] = root;
    }

    /// @dev Zero exactly if the tree is `leaves` and `root`. One number for one branch.
    function _differs(uint256[4] memory leaves, uint256 root) private view returns (uint256 bits) {
        bits = _tree.words[ROOT] ^ root;
        for (uint256 i = 0; i < 4; i++) {
            bits |= _tree.words[i] ^ leaves[i];
        }
    }

    /// @dev Every leaf by its number: places of storage are then known, weights are not. No branch here is in doubt for long.
    /// @custom:halmos --solver-timeout-branching 100ms
    function check_set_changes_the_leaf_and_the_lane_above(uint256[4] memory leaves, uint256 root, uint8 leaf, uint64 weight)
        external
    {
        for (uint256 n = 0; n < 16; n++) {
            if (leaf == n) {
                _set(leaves, root, n, weight);
                return;
            }
        }
    }

    function _set(uint256[4] memory leaves, uint256 root, uint256 leaf, uint64 weight) private {
        uint256 word = leaf / 4;
        uint256 before = _lane(leaves[word], leaf % 4);
        uint256 sum = _lane(root, word);
        unchecked {
            // A sum that has the leaf in it, and has room for its new weight.
            if (sum < before || sum - before + weight > LANE) return;
            _put(leaves, root);
            leaves[word] ^= (before ^ weight) << 64 * (leaf % 4);
            root ^= (sum ^ (sum - before + weight)) << 64 * word;
        }
        _tree.set(DEPTH, leaf, weight);
        assert(_differs(leaves, root) == 0);
        assert(_tree.weightOf(leaf) == weight);
    }

    /// @dev The step that a descent repeats on every level with what is left of the point. Every point below the sum lies by some
    /// offset within some lane; said so, the solver sees at once where the loop ends.
    function check_find_answers_the_lane_that_covers_the_point(uint256 word, uint8 lane, uint64 offset) external {
        _tree.words[ONE - 1] = word;
        for (uint256 n = 0; n < 4; n++) {
            if (lane != n) continue;
            uint256 weight = _lane(word, n);
            if (offset >= weight) return;
            (uint256 found, uint256 itsWeight) = _tree.find(ONE, _sumOf(word, n) + offset);
            assert(found == n && itsWeight == weight);
        }
    }

    function check_grow_keeps_the_sum(uint256[4] memory leaves, uint256 root) external {
        uint256 sum = _sumOf(root, 4);
        if (sum > LANE) return;
        _put(leaves, root);
        assert(_tree.total(DEPTH) == sum);
        _tree.grow(DEPTH);
        assert(_differs(leaves, root) == 0 && _tree.words[ROOT << 1] == sum && _tree.total(DEPTH + 1) == sum);
    }
}
