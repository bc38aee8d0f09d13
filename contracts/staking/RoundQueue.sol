// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";
import {DrawResult, ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {PoolId} from "../types/Ids.sol";
import {PoolBook} from "./PoolBook.sol";
import {SumTree, SumTreeLib} from "./SumTree.sol";

/// @title The queue of a pool's rounds, the seeds that draw them, and the draw
/// @dev Seats of a round follow from the seed of its period, the frozen tree, and the rounds drawn before it from the same tree.
/// All three are fixed before that seed can be known: a ticket's period by when it was queued and by what failed before it.
/// Nothing that may happen afterwards leaves the queue or changes the tree but the draws themselves, in their order.
abstract contract RoundQueue is PoolBook {
    using SumTreeLib for SumTree;

    uint256 private constant TRIES = 4;
    /// @dev Open seats that a pool of any size may have: a lone seat and the panel of three that may have to follow it.
    uint256 private constant ALWAYS_OPEN = 4;
    /// @dev Tickets cancelled early that one call steps over.
    uint256 private constant STEPS = 256;
    uint256 private constant CANCELLED = 1 << 72;
    uint256 private constant HASH_MASK = ~uint256(type(uint80).max);

    IRandomness public immutable RANDOMNESS;
    uint32 private immutable PERIOD_BLOCKS;
    /// @inheritdoc ILilypadStaking
    uint32 public immutable unbondingTime;

    /// @dev What the queue keeps of a round. Fields from the least significant bit:
    /// [0..31] period in which it was queued | [32..71] second of that | [72] cancelled after its period had begun
    /// | [80..255] high bits of the hash of name, seats and excluded accounts. Zero: not in the queue (any more).
    mapping(PoolId => mapping(uint256 ticket => uint256 word)) private _tickets;

    constructor(IRandomness randomness, uint32 unbondingTime_) {
        RANDOMNESS = randomness;
        PERIOD_BLOCKS = randomness.periodBlocks();
        unbondingTime = unbondingTime_;
    }

    // ---- joining and leaving

    function _queue(PoolId id, bytes32 round, uint256 seats, address[4] calldata excluded)
        internal
        returns (uint256 ticket)
    {
        uint256 capacity = _capacityWithout(id, excluded);
        if (seats == 0 || seats > capacity) revert SeatsUnavailable(id, seats, capacity);
        Pool storage pool = _pools[id];
        ticket = pool.end++;
        uint256 word = _hash(round, seats, excluded) | block.timestamp << 32 | _currentPeriod();
        _tickets[id][ticket] = word;
        emit RoundQueued(id, round, ticket, seats, excluded, _periodOf(pool, word));
    }

    function _cancel(PoolId id, uint256 ticket) internal {
        uint256 word = _tickets[id][ticket];
        if (word & ~CANCELLED == 0 || word & CANCELLED != 0) return;
        // Once its period has begun the seed may be known, and the rounds behind must not gain a better one, or more free
        // seats, by somebody's choice to go: it takes its turn like every other.
        bool begun = _periodOf(_pools[id], word) <= _currentPeriod();
        _tickets[id][ticket] = begun ? word | CANCELLED : 0;
        emit RoundCancelled(id, ticket, begun);
    }

    /// @dev Steps over up to `most` tickets in front that were cancelled early. Answers how many steps are left.
    function _stepOver(PoolId id, uint256 most) internal returns (uint256) {
        Pool storage pool = _pools[id];
        uint256 next = pool.next;
        for (uint256 end = pool.end; most != 0 && next < end && _tickets[id][next] == 0; most--) {
            next++;
        }
        pool.next = uint32(next);
        return most;
    }

    // ---- the draw

    /// @dev Draws the ticket that is next, for the strategy or, `unwanted`, for nobody.
    function _draw(
        PoolId id,
        uint256 ticket,
        bytes32 round,
        uint256 seats,
        address[4] calldata excluded,
        bool unwanted
    ) internal returns (DrawResult, address[] memory accounts) {
        uint256 period = _requireNext(id, ticket, _hash(round, seats, excluded), unwanted);
        uint256 current = _currentPeriod();
        if (period > current) {
            if (unwanted) return (DrawResult.Postponed, accounts); // by one in front of it
            revert SeedPending(id, period);
        }
        // Neither open seats nor capacity change before the running period is over, whatever the seeds in between say.
        if (!_mayOpen(id, seats)) return _postponed(id, ticket, current + 1);
        (SeedStatus status, bytes32 seed) = RANDOMNESS.seed(uint32(period));
        if (status == SeedStatus.Pending) revert SeedPending(id, period);
        // Seeds up to the running period may be known already: which of them comes next must not depend on who waits.
        if (status == SeedStatus.Expired) return _postponed(id, ticket, current + 1);
        accounts = _seatsFrom(id, seed, round, seats, excluded);
        if (accounts.length == 0) return _postponed(id, ticket, period + 1);
        _seat(id, accounts);
        _leave(id, ticket);
        emit RoundDrawn(id, round, ticket, period, accounts);
        return (DrawResult.Drawn, accounts);
    }

    /// @dev A ticket that nobody wants may go once it was postponed to a period that has not begun.
    function _leaveIfEarly(PoolId id, uint256 ticket) internal {
        if (_periodOf(_pools[id], _tickets[id][ticket]) <= _currentPeriod()) return;
        _leave(id, ticket);
        emit RoundCancelled(id, ticket, false);
    }

    function _leave(PoolId id, uint256 ticket) private {
        delete _tickets[id][ticket];
        _pools[id].next = uint32(ticket + 1);
    }

    /// @dev Answers the period whose seed draws the ticket. Reverts unless it is next, as described, and wanted or not.
    function _requireNext(PoolId id, uint256 ticket, uint256 hash, bool unwanted) private returns (uint256) {
        Pool storage pool = _pools[id];
        uint256 next = _front(id);
        if (pool.next != next) pool.next = uint32(next);
        if (ticket != next || next == pool.end) revert TicketNotNext(id, ticket, next);
        uint256 word = _tickets[id][ticket];
        if (word & HASH_MASK != hash) revert TicketMismatch(id, ticket);
        bool cancelled = word & CANCELLED != 0;
        if (cancelled && !unwanted) revert TicketCancelled(id, ticket);
        // Its dispute is over when it waited for longer than any dispute may take.
        bool stale = block.timestamp > uint40(word >> 32) + uint256(unbondingTime);
        if (unwanted && !cancelled && !stale) revert TicketWanted(id, ticket);
        return _periodOf(pool, word);
    }

    /// @dev Whether so many more seats may be open: half of the capacity keeps draws close to the stakes and tries rarely failing.
    function _mayOpen(PoolId id, uint256 seats) private view returns (bool) {
        uint256 drawn = _pools[id].drawn;
        uint256 open = drawn + seats;
        uint256 capacity = _capacity(id);
        return open <= capacity && (drawn == 0 || open <= ALWAYS_OPEN || 2 * open <= capacity);
    }

    /// @dev One account a seat, or none at all when the tries of a seat fail.
    function _seatsFrom(PoolId id, bytes32 seed, bytes32 round, uint256 seats, address[4] calldata excluded)
        private
        view
        returns (address[] memory accounts)
    {
        SumTree storage tree = _trees[id];
        uint256 depth = _depth(_pools[id]);
        uint256 root = tree.total(depth);
        accounts = new address[](seats);
        for (uint256 seat = 0; seat < seats; seat++) {
            for (uint256 attempt = 0; attempt < TRIES && accounts[seat] == address(0); attempt++) {
                uint256 point = uint256(keccak256(abi.encode(seed, round, seat, attempt))) % root;
                (uint256 leaf, uint256 weight) = tree.find(depth, point);
                address who = address(uint160(_leaves[id][leaf]));
                if (_isExcluded(who, excluded)) continue;
                uint256 open = _accounts[id][who].drawn;
                for (uint256 i = 0; i < seat; i++) {
                    if (accounts[i] == who) open++;
                }
                if (open < weight) accounts[seat] = who;
            }
            if (accounts[seat] == address(0)) return new address[](0);
        }
    }

    function _postponed(PoolId id, uint256 ticket, uint256 period) private returns (DrawResult, address[] memory none) {
        _pools[id].floor = uint32(period);
        emit RoundPostponed(id, ticket, period);
        return (DrawResult.Postponed, none);
    }

    // ---- what is asked often

    /// @dev From the first block of the period that draws the first round in the queue until that is done.
    function _isFrozen(PoolId id) internal view returns (bool) {
        Pool storage pool = _pools[id];
        uint256 next = _front(id);
        if (next == pool.end) return false;
        uint256 word = _tickets[id][next];
        return word == 0 || _periodOf(pool, word) <= _currentPeriod();
    }

    /// @dev The first ticket that is still in the queue, or the end; after too many steps one that is not.
    function _front(PoolId id) private view returns (uint256 next) {
        Pool storage pool = _pools[id];
        next = pool.next;
        uint256 end = pool.end;
        for (uint256 i = 0; i < STEPS && next < end && _tickets[id][next] == 0; i++) {
            next++;
        }
    }

    function _periodOf(Pool storage pool, uint256 word) private view returns (uint256) {
        uint256 after_ = uint256(uint32(word)) + 1;
        return after_ < pool.floor ? pool.floor : after_;
    }

    function _capacityWithout(PoolId id, address[4] calldata excluded) private view returns (uint256 capacity) {
        capacity = _capacity(id);
        for (uint256 i = 0; i < 4; i++) {
            bool again;
            for (uint256 j = 0; j < i; j++) {
                again = again || excluded[j] == excluded[i];
            }
            if (!again) capacity -= _weight(id, excluded[i]);
        }
    }

    function _isExcluded(address who, address[4] calldata excluded) private pure returns (bool) {
        return who == excluded[0] || who == excluded[1] || who == excluded[2] || who == excluded[3];
    }

    function _hash(bytes32 round, uint256 seats, address[4] calldata excluded) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(round, seats, excluded))) & HASH_MASK;
    }

    function _currentPeriod() private view returns (uint256) {
        return PERIOD_BLOCKS == 0 ? RANDOMNESS.currentPeriod() : uint32(block.number / PERIOD_BLOCKS);
    }

    /// @dev For the view: next ticket, end, and the period whose seed draws the next; with an empty queue, of a round queued now.
    function _queueState(PoolId id) internal view returns (uint256 next, uint256 end, uint256 period) {
        Pool storage pool = _pools[id];
        next = _front(id);
        end = pool.end;
        uint256 word = _tickets[id][next];
        period = _periodOf(pool, word == 0 ? _currentPeriod() : word);
    }
}
