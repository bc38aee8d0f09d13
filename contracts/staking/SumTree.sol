// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Words of a sum tree, by level and index. A word holds the sums of four children, 64 bits each, the first one in the
/// least significant bits. Level 0 holds the leaves: leaf `n` is child `n % 4` of word `n / 4`; child `c` of word `i` on level
/// `l` is the sum of word `4 i + c` on level `l - 1`. A tree of depth `d` has levels 0 to `d - 1` and room for 4^d leaves.
struct SumTree {
    mapping(uint256 levelAndIndex => uint256 word) words;
}

/// @title Weighted choice among many in O(log4 n)
/// @dev The caller keeps the depth and sees to it that all weights together stay below 2^64.
library SumTreeLib {
    uint256 private constant LANE = type(uint64).max;

    /// @notice The sum of all weights.
    function total(SumTree storage tree, uint256 depth) internal view returns (uint256 sum) {
        uint256 word = tree.words[_key(depth - 1, 0)];
        // Safe: four numbers below 2^64.
        unchecked {
            sum = (word & LANE) + (word >> 64 & LANE) + (word >> 128 & LANE) + (word >> 192);
        }
    }

    /// @notice The weight of one leaf.
    function weightOf(SumTree storage tree, uint256 leaf) internal view returns (uint256) {
        return tree.words[_key(0, leaf >> 2)] >> ((leaf & 3) << 6) & LANE;
    }

    /// @notice Sets the weight of one leaf. Writes `depth` words.
    function set(SumTree storage tree, uint256 depth, uint256 leaf, uint256 weight) internal {
        uint256 before = weightOf(tree, leaf);
        if (weight == before) return;
        // Safe: a lane above the leaf is at least the leaf's old weight, and every sum stays below 2^64, so that adding the
        // difference, modulo 2^256 and shifted to the lane, leaves the other lanes as they were.
        unchecked {
            uint256 change = weight - before;
            for (uint256 level = 0; level < depth; level++) {
                uint256 shift = (leaf & 3) << 6;
                leaf >>= 2;
                tree.words[_key(level, leaf)] += change << shift;
            }
        }
    }

    /// @notice Makes room for four times as many leaves: the old root becomes the first child of the new one.
    function grow(SumTree storage tree, uint256 depth) internal {
        tree.words[_key(depth, 0)] = total(tree, depth);
    }

    /// @notice The leaf that covers `point`, and its weight. Reads `depth` words.
    /// @param point Below the sum of all weights.
    function find(SumTree storage tree, uint256 depth, uint256 point)
        internal
        view
        returns (uint256 leaf, uint256 weight)
    {
        // Safe: `point` is below the sum of the word's lanes, so it never passes the last one.
        unchecked {
            for (uint256 level = depth; level-- != 0;) {
                uint256 word = tree.words[_key(level, leaf)];
                leaf <<= 2;
                weight = word & LANE;
                while (point >= weight) {
                    point -= weight;
                    word >>= 64;
                    weight = word & LANE;
                    leaf++;
                }
            }
        }
    }

    function _key(uint256 level, uint256 index) private pure returns (uint256) {
        return level << 64 | index;
    }
}
