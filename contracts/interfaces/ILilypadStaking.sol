// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PoolId} from "../types/Ids.sol";
import {PoolTerms} from "../types/Terms.sol";

/// @notice What asking for a round's seats came to.
enum DrawResult {
    Drawn, // every seat has an account, and each seat's stake is locked
    Postponed // the round, and all behind it, take the seed of the next period
}

/// @title The pools: stakes, unbonding, the queue of rounds and their stake-weighted draw
/// @notice A pool is known by the hash of its terms. Its stakes are credit of this contract in the core's ledger, so locking,
/// slashing and paying out move ledger balances only: no token call can hold up a dispute.
/// Rounds queue per pool and are drawn strictly in the order in which they began, each from the seed of the period after
/// the one in which it began. From a period's first block to the last draw that uses its seed the tree is frozen: stakes,
/// withdrawals and released seats are kept pending and count afterwards. So nothing that anyone does once a seed is knowable
/// changes what it draws. Protocol 7. Amounts are smallest units of the pool's token.
interface ILilypadStaking {
    /// @notice `account` staked `amount` in `pool`; it counts in draws once it is applied.
    event Staked(PoolId indexed pool, address indexed account, uint256 amount);
    /// @notice `amount` of the stake no longer counts in draws once applied, and can be withdrawn after `withdrawableAt`.
    event UnbondingRequested(PoolId indexed pool, address indexed account, uint256 amount, uint256 withdrawableAt);
    /// @notice `amount` became free ledger credit of `account`.
    event StakeWithdrawn(PoolId indexed pool, address indexed account, uint256 amount);
    /// @notice From now on `account` has `weight` in the tree, at `leaf`. Replaying these events rebuilds the tree.
    event WeightApplied(PoolId indexed pool, address indexed account, uint256 leaf, uint256 weight);
    /// @notice A round joined the pool's queue; the seed of `period` or of a later one will draw it.
    event RoundQueued(
        PoolId indexed pool,
        bytes32 indexed round,
        uint256 indexed ticket,
        uint256 seats,
        address[4] excluded,
        uint256 period
    );
    /// @notice The seats of a round, from the seed of `period`. An account may hold several.
    event RoundDrawn(PoolId indexed pool, bytes32 indexed round, uint256 indexed ticket, uint256 period, address[] seats);
    /// @notice The queue takes the seed of `period` from here on: the one before was lost, or could not seat `ticket`.
    event RoundPostponed(PoolId indexed pool, uint256 indexed ticket, uint256 period);
    /// @notice The round left the queue without a draw.
    event RoundCancelled(PoolId indexed pool, uint256 indexed ticket);
    /// @notice A seat of `account` ended; `loss` of its stake became ledger credit of the strategy.
    event SeatReleased(PoolId indexed pool, address indexed account, uint256 loss);
    /// @notice `operator` may act for the seats of `account` (0: nobody). It never receives money.
    event OperatorSet(address indexed account, address indexed operator);

    error PoolUnverified();
    error StrategyOnly(PoolId pool, address strategy, address caller);
    error MembershipUnproved(PoolId pool, address account);
    error StakeInsufficient(PoolId pool, address account, uint256 has, uint256 needed);
    error StakeBelowSeat(PoolId pool, uint256 stake, uint256 seatStake);
    error UnbondingNotOver(PoolId pool, address account, uint256 withdrawableAt, uint256 time);
    error NothingToWithdraw(PoolId pool, address account);
    error TicketNotNext(PoolId pool, uint256 ticket, uint256 next);
    error SeatsUnavailable(PoolId pool, uint256 seats, uint256 capacity);
    error SeedPending(PoolId pool, uint256 period);
    error LossTooHigh(PoolId pool, address account, uint256 loss, uint256 most);

    // ---- stakers

    /// @notice Takes `amount` of the pool's token from the caller, who approved this contract, as its stake or more of it.
    /// `proof` shows membership in a pool with a members root. A stake never stays below one seat's.
    function stake(PoolTerms calldata pool, uint96 amount, bytes32[] calldata proof) external;

    /// @notice `amount` of the caller's stake leaves the draws, stays slashable for seats drawn before, and can be withdrawn after
    /// the unbonding time. A further request restarts the time for all that is unbonding.
    function requestUnbonding(PoolTerms calldata pool, uint96 amount) external;

    /// @notice Credits what has finished unbonding to `account` in the core's ledger. Anyone may call.
    function withdraw(PoolTerms calldata pool, address account) external;

    /// @notice Lets `operator` commit, reveal and appeal for the caller's seats; 0 revokes.
    function setOperator(address operator) external;

    /// @notice Applies up to `most` pending changes to the tree, if it is not frozen. Anyone may call.
    function applyPending(PoolTerms calldata pool, uint256 most) external;

    // ---- the strategy that the pool's terms name, nobody else

    /// @notice Queues a round of `seats` seats. Reverts with SeatsUnavailable when the pool could not seat it even when idle.
    /// @param round What the strategy calls the round; part of what is hashed with the seed.
    /// @param excluded Accounts that may not sit (creator, provider, solver, publisher); 0 excludes nobody.
    /// @return ticket The place in the pool's queue.
    function queueRound(PoolTerms calldata pool, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (uint256 ticket);

    /// @notice Draws the round that is next in the queue. Seat `s` goes to the leaf that `keccak256(seed, round, s, try)` falls on
    /// (four tries). Reverts with TicketNotNext, or SeedPending while the seed is not known.
    /// @return result Whether the seats were drawn.
    /// @return accounts One account a seat; empty when Postponed.
    function draw(PoolTerms calldata pool, uint256 ticket, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (DrawResult result, address[] memory accounts);

    /// @notice Takes a round that is no longer wanted out of the queue, wherever it stands.
    function cancelRound(PoolTerms calldata pool, uint256 ticket) external;

    /// @notice Ends seats: unlocks one seat's stake for each entry and takes `losses[i]` of it, at most one seat's stake.
    /// What is taken becomes ledger credit of the strategy; nothing here can revert because of a staker.
    /// @return taken Smallest units, the sum of all losses.
    function releaseSeats(PoolTerms calldata pool, address[] calldata accounts, uint96[] calldata losses)
        external
        returns (uint256 taken);

    // ---- views

    /// @notice Stake that counts or will count, what is unbonding and until when, and seats that are open.
    function stakeOf(PoolId pool, address account)
        external
        view
        returns (uint256 staked, uint256 unbonding, uint256 withdrawableAt, uint256 openSeats);

    /// @notice Stake of the whole pool, seats open, seats that could be open in all.
    function poolOf(PoolId pool) external view returns (uint256 staked, uint256 openSeats, uint256 capacity);

    /// @notice Next ticket to be drawn, tickets given out, and the period whose seed draws the next one.
    function queueOf(PoolId pool) external view returns (uint256 next, uint256 end, uint256 period);

    /// @notice Whether a round of `seats` seats would be accepted by {queueRound}.
    function canSeat(PoolTerms calldata pool, uint256 seats) external view returns (bool);

    /// @notice Who may act for the seats of `account` besides itself.
    function operatorOf(address account) external view returns (address);

    /// @notice Seconds from a request to the withdrawal; longer than the core's mediation limit.
    function unbondingTime() external view returns (uint32);
}
