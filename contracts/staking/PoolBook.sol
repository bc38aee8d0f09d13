// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {PoolId} from "../types/Ids.sol";
import {SumTree, SumTreeLib} from "./SumTree.sol";

/// @title The books of the pools: accounts, their weights in the sum tree, changes that wait while it is frozen
/// @dev For each account, with `w` its weight in the tree: staked + unbonding >= (max(w, drawn) - released) * seatStake, so
/// every seat, also one that the frozen tree may still give it, has a whole seat stake behind it.
abstract contract PoolBook is ILilypadStaking {
    using SumTreeLib for SumTree;

    /// @dev Half of what a lane of the tree holds: an account that lost stake weighs too much until it is applied.
    uint256 internal constant WEIGHT_MOST = type(uint64).max / 2;

    /// @dev What a pool has in all. Amounts in smallest units.
    struct Pool {
        uint96 held; // stake of all accounts, unbonding included
        uint32 drawn; // seats that count as open in draws
        uint32 next; // first ticket in the queue
        uint32 end; // next ticket to give out
        uint32 floor; // no round is drawn by the seed of an earlier period
        uint32 leaves; // leaf numbers given out so far; leaf 0 stands for none and weighs nothing
        uint32 freeLeaf; // first of the leaves that were given back, chained; 0: none
        uint64 pendingNext; // first of the accounts that wait to be applied
        uint64 pendingEnd;
    }

    /// @dev What an account has in a pool. Amounts in smallest units, time in seconds. Stakes and draws use the first word only.
    struct Account {
        uint96 staked; // counts in draws, or will
        uint32 leaf; // 0: none
        uint24 drawn; // seats that count as open in draws
        uint24 released; // of `drawn`, ended while the tree was frozen
        bool pending; // waits in the list of changes
        uint40 withdrawableAt; // when `unbonding` may leave
        uint96 unbonding; // does not count, or will not
    }

    mapping(PoolId => Pool) internal _pools;
    mapping(PoolId => mapping(address => Account)) internal _accounts;
    mapping(PoolId => SumTree) internal _trees;
    /// @dev The account of a leaf that is in use, the next free leaf of one that is not.
    mapping(PoolId => mapping(uint256 leaf => uint256)) internal _leaves;
    mapping(PoolId => mapping(uint256 place => address)) private _pending;

    // ---- changes of an account

    /// @dev Brings the tree up to date with an account that changed, now or, while it is frozen, later.
    function _update(PoolId id, address who, uint256 seatStake, bool frozen) internal {
        if (!frozen) return _apply(id, who, seatStake);
        Account storage account = _accounts[id][who];
        if (account.pending) return;
        account.pending = true;
        Pool storage pool = _pools[id];
        _pending[id][pool.pendingEnd++] = who;
    }

    /// @dev Applies up to `most` waiting changes; the tree must not be frozen.
    function _applyWaiting(PoolId id, uint256 seatStake, uint256 most) internal {
        Pool storage pool = _pools[id];
        uint256 place = pool.pendingNext;
        uint256 end = pool.pendingEnd;
        for (; most != 0 && place < end; most--) {
            address who = _pending[id][place];
            delete _pending[id][place++];
            _accounts[id][who].pending = false;
            _apply(id, who, seatStake);
        }
        pool.pendingNext = uint64(place);
    }

    function _apply(PoolId id, address who, uint256 seatStake) private {
        Account storage account = _accounts[id][who];
        Pool storage pool = _pools[id];
        uint24 released = account.released;
        if (released != 0) {
            account.drawn -= released;
            account.released = 0;
            pool.drawn -= released;
        }
        uint256 weight = account.staked / seatStake;
        uint256 leaf = account.leaf;
        if (leaf == 0 && weight != 0) leaf = _takeLeaf(id, who);
        if (leaf != 0) {
            _trees[id].set(_depth(pool), leaf, weight);
            if (weight == 0) _giveLeaf(id, who, leaf);
        }
        emit WeightApplied(id, who, leaf, weight);
    }

    function _takeLeaf(PoolId id, address who) private returns (uint256 leaf) {
        Pool storage pool = _pools[id];
        leaf = pool.freeLeaf;
        if (leaf != 0) {
            pool.freeLeaf = uint32(_leaves[id][leaf]);
        } else {
            uint256 depth = _depth(pool);
            leaf = ++pool.leaves;
            if (leaf >> 2 * depth != 0) _trees[id].grow(depth);
        }
        _leaves[id][leaf] = uint160(who);
        _accounts[id][who].leaf = uint32(leaf);
    }

    function _giveLeaf(PoolId id, address who, uint256 leaf) private {
        Pool storage pool = _pools[id];
        _leaves[id][leaf] = pool.freeLeaf;
        pool.freeLeaf = uint32(leaf);
        _accounts[id][who].leaf = 0;
    }

    // ---- seats

    /// @dev Ends one seat; takes `loss`, which the seat's stake covers, out of the stake first.
    function _release(PoolId id, address who, uint256 loss, uint256 seatStake, bool frozen) internal {
        Account storage account = _accounts[id][who];
        if (account.drawn == account.released) revert SeatNotOpen(id, who);
        if (loss > seatStake) revert LossTooHigh(id, who, loss, seatStake);
        account.released++;
        uint256 staked = account.staked;
        uint256 fromStaked = loss < staked ? loss : staked;
        // Safe: at most what was there, and both fit 96 bits.
        account.staked = uint96(staked - fromStaked);
        account.unbonding -= uint96(loss - fromStaked);
        _pools[id].held -= uint96(loss);
        emit SeatReleased(id, who, loss);
        _update(id, who, seatStake, frozen);
    }

    /// @dev Marks seats as open. The draw has made sure that each has weight of its own.
    function _seat(PoolId id, address[] memory seats) internal {
        for (uint256 i = 0; i < seats.length; i++) {
            _accounts[id][seats[i]].drawn++;
        }
        _pools[id].drawn += uint32(seats.length);
    }

    // ---- views

    function _capacity(PoolId id) internal view returns (uint256) {
        return _trees[id].total(_depth(_pools[id]));
    }

    /// @dev Levels of the tree, so that all leaves given out, and leaf 0, have room.
    function _depth(Pool storage pool) internal view returns (uint256 depth) {
        uint256 leaves = pool.leaves;
        do {
            depth++;
            leaves >>= 2;
        } while (leaves != 0);
    }

    function _weight(PoolId id, address who) internal view returns (uint256) {
        uint256 leaf = _accounts[id][who].leaf;
        return leaf == 0 ? 0 : _trees[id].weightOf(leaf);
    }

    /// @dev Seats that are open or that the tree as it is may still give.
    function _seatsToBack(PoolId id, address who) internal view returns (uint256) {
        Account storage account = _accounts[id][who];
        uint256 weight = _weight(id, who);
        return (weight < account.drawn ? account.drawn : weight) - account.released;
    }

    /// @inheritdoc ILilypadStaking
    function stakeOf(PoolId id, address account)
        external
        view
        returns (uint256 staked, uint256 unbonding, uint256 withdrawableAt, uint256 openSeats)
    {
        Account storage found = _accounts[id][account];
        return (found.staked, found.unbonding, found.withdrawableAt, found.drawn - found.released);
    }

    /// @inheritdoc ILilypadStaking
    function poolOf(PoolId id) external view returns (uint256 staked, uint256 openSeats, uint256 capacity) {
        Pool storage found = _pools[id];
        return (found.held, found.drawn, _capacity(id));
    }

    /// @inheritdoc ILilypadStaking
    function weightOf(PoolId id, address account) external view returns (uint256 leaf, uint256 weight) {
        return (_accounts[id][account].leaf, _weight(id, account));
    }
}
