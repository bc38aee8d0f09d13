// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PoolId} from "../types/Ids.sol";
import {PoolTerms} from "../types/Terms.sol";
import {ILilypad} from "./ILilypad.sol";

/// @notice What asking for a round's seats came to.
enum DrawResult {
    Drawn, // every seat has an account, and each seat's stake is locked
    Postponed // the round, and all behind it, take the seed of a later period
}

/// @title The pools: stakes, unbonding, the queue of rounds and their stake-weighted draw
/// @notice A pool is known by the hash of its terms. Its stakes are credit of this contract in the core's ledger, so locking,
/// slashing and paying out move ledger balances only: no token call can hold up a dispute.
/// Rounds queue per pool and are drawn strictly in the order in which they began, each from the seed of the period after
/// the one in which it began. From a period's first block to the last draw that uses its seed the tree is frozen: stakes,
/// withdrawals and released seats are kept pending and count afterwards. So nothing that anyone does once a seed is knowable
/// changes what it draws. Protocol 7. Amounts are smallest units of the pool's token.
/// The weight of an account is the number of whole seat stakes in its stake, rounded down; it can hold as many open seats.
/// Trusts the core (its ledger is exact) and the core's source of randomness. Tokens are called by {stake} only, through the
/// core's deposit, which refuses odd ones. A strategy is trusted by those who stake in a pool that names it: it can keep their
/// seats open for ever and take a seat's stake with each, and reaches no other pool.
interface ILilypadStaking {
    /// @notice `account` staked `amount` in `pool`; it counts in draws once it is applied.
    event Staked(PoolId indexed pool, address indexed account, uint256 amount);
    /// @notice `amount` of the stake no longer counts in draws once applied, and can be withdrawn after `withdrawableAt`.
    event UnbondingRequested(PoolId indexed pool, address indexed account, uint256 amount, uint256 withdrawableAt);
    /// @notice `amount` became free ledger credit of `account`.
    event StakeWithdrawn(PoolId indexed pool, address indexed account, uint256 amount);
    /// @notice From now on `account` has `weight` (whole seat stakes) in the tree, at `leaf` (0: it has none, and weighs nothing),
    /// and its seats released so far are free. Replaying these events rebuilds the tree.
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
    /// @notice The round is not wanted any more. It left the queue, or, when its period had begun (`inQueue`), it still takes its
    /// turn by {drawCancelled}, so that whoever cancels moves nobody else's seats.
    event RoundCancelled(PoolId indexed pool, uint256 indexed ticket, bool inQueue);
    /// @notice A seat of `account` ended; `loss` of its stake became ledger credit of the strategy. The account can be drawn for
    /// this seat's stake again from its next {WeightApplied} on.
    event SeatReleased(PoolId indexed pool, address indexed account, uint256 loss);
    /// @notice `operator` may act for the seats of `account` (0: nobody). It never receives money.
    event OperatorSet(address indexed account, address indexed operator);

    error PoolUnverified();
    error PoolStrategyOnly(PoolId pool, address strategy, address caller);
    error MembershipUnproved(PoolId pool, address account);
    error StakeInsufficient(PoolId pool, address account, uint256 has, uint256 needed);
    error StakeBelowSeat(PoolId pool, uint256 stake, uint256 seatStake);
    error PoolFull(PoolId pool, uint256 staked, uint256 most);
    error UnbondingNotOver(PoolId pool, address account, uint256 withdrawableAt, uint256 time);
    error StakeBacksSeats(PoolId pool, address account, uint256 stake, uint256 needed);
    error UnbondingTooShort(uint256 unbondingTime, uint256 mediationLimit);
    error NothingToWithdraw(PoolId pool, address account);
    error TicketNotNext(PoolId pool, uint256 ticket, uint256 next);
    error TicketMismatch(PoolId pool, uint256 ticket);
    error TicketCancelled(PoolId pool, uint256 ticket);
    error TicketWanted(PoolId pool, uint256 ticket);
    error SeatsUnavailable(PoolId pool, uint256 seats, uint256 capacity);
    error SeedPending(PoolId pool, uint256 period);
    error LossTooHigh(PoolId pool, address account, uint256 loss, uint256 most);
    error SeatNotOpen(PoolId pool, address account);

    // ---- stakers

    /// @notice Takes `amount` of the pool's token from the caller, who approved this contract, as its stake or more of it.
    /// `proof` shows membership in a pool with a members root (a leaf is the hash of the account's word, hashed again). A stake
    /// never stays below one seat's. Counts at once when the tree is not frozen, else from {applyPending} on. Emits {Staked}.
    /// Reverts with PoolUnverified (no strategy or no seat stake), MembershipUnproved, StakeBelowSeat, PoolFull (2^63 seat stakes),
    /// and with the core's TokenDeliveredLess, LedgerFull, AmountZero.
    /// @dev Calls the token: UNTRUSTED, before anything is read or changed here.
    function stake(PoolTerms calldata pool, uint96 amount, bytes32[] calldata proof) external;

    /// @notice `amount` of the caller's stake leaves the draws, stays slashable for seats drawn before, and can be withdrawn after
    /// the unbonding time. A further request restarts the time for all that is unbonding. What stays is zero or at least one
    /// seat's stake. Emits {UnbondingRequested}. Reverts with AmountZero, StakeInsufficient, StakeBelowSeat.
    function requestUnbonding(PoolTerms calldata pool, uint96 amount) external;

    /// @notice Credits what has finished unbonding to `account` in the core's ledger, except what still backs open seats or counts
    /// in a frozen tree. Anyone may call, from `withdrawableAt` on. Emits {StakeWithdrawn}.
    /// Reverts with NothingToWithdraw, UnbondingNotOver, StakeBacksSeats.
    function withdraw(PoolTerms calldata pool, address account) external;

    /// @notice Lets `operator` (0: nobody any more) commit, reveal and appeal for the caller's seats, in every pool. Emits
    /// {OperatorSet}.
    function setOperator(address operator) external;

    /// @notice Up to `most` steps of work that is due: steps over cancelled rounds in front of the queue, then applies
    /// pending changes to the tree, if it is not frozen. Anyone may call. Cost grows with `most`. Emits {WeightApplied}.
    function applyPending(PoolTerms calldata pool, uint256 most) external;

    /// @notice Draws, as if it were wanted, a round that was cancelled after its period had begun, or that was queued
    /// longer than the unbonding time ago (its dispute is over by then), and releases its seats at once. Postponed to a
    /// period that has not begun, now or with one in front of it, it leaves the queue. Anyone may call, when it is next.
    /// Arguments, events and errors as in {draw}; {SeatReleased}, {RoundCancelled}; TicketWanted when it is neither.
    function drawCancelled(
        PoolTerms calldata pool,
        uint256 ticket,
        bytes32 round,
        uint256 seats,
        address[4] calldata excluded
    ) external returns (DrawResult result);

    // ---- the strategy that the pool's terms name, nobody else

    /// @notice Queues a round of `seats` seats, and applies some pending changes if the tree is not frozen. Emits {RoundQueued}.
    /// Reverts with SeatsUnavailable when the pool, less the excluded accounts, could not seat it even when idle.
    /// @param round What the strategy calls the round, different for each; part of what is hashed with the seed.
    /// @param excluded Accounts that may not sit (creator, provider, solver, publisher); 0 excludes nobody.
    /// @return ticket The place in the pool's queue.
    function queueRound(PoolTerms calldata pool, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (uint256 ticket);

    /// @notice Draws the round that is next in the queue, with what {queueRound} was told about it. Seat `s` goes to the
    /// leaf on which `keccak256(abi.encode(seed, round, s, try))` modulo the tree's root falls (four tries). A try fails on
    /// an excluded account and on one whose whole weight is in open seats. Postponed: to the next period when a seat's
    /// tries failed; to the period after the running one when too many seats are open (that cannot change before), or when
    /// the seed is lost. Too many: more than half of the capacity, and more than four, and not only this round's. Emits
    /// {RoundDrawn} or {RoundPostponed}. Reverts with TicketNotNext, TicketMismatch, TicketCancelled, and with SeedPending
    /// while the seed is not known. Cost grows with `seats`.
    /// @return result Whether the seats are there.
    /// @return accounts One account a seat; empty when Postponed.
    function draw(PoolTerms calldata pool, uint256 ticket, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (DrawResult result, address[] memory accounts);

    /// @notice Takes a round that is no longer wanted out of the queue, wherever it stands. Once its period has begun it
    /// takes its turn nevertheless, without the strategy ({drawCancelled}). Does nothing to a ticket that has left the
    /// queue. Emits {RoundCancelled}.
    function cancelRound(PoolTerms calldata pool, uint256 ticket) external;

    /// @notice Ends seats: unlocks one seat's stake for each entry and takes `losses[i]` of it, at most one seat's stake.
    /// What is taken becomes ledger credit of the strategy; nothing here can revert because of a staker. It comes out of the
    /// stake first, then out of what is unbonding. Seats of a frozen tree stay closed to draws until applied.
    /// Emits {SeatReleased}. Reverts with BatchLengthsDiffer, SeatNotOpen, LossTooHigh.
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

    /// @notice Stake of the whole pool, unbonding included; seats open, with those released in a frozen tree; seats that could be
    /// open in all, which is the root of the tree.
    function poolOf(PoolId pool) external view returns (uint256 staked, uint256 openSeats, uint256 capacity);

    /// @notice Next ticket to be drawn, tickets given out, and the period whose seed draws the next one.
    function queueOf(PoolId pool) external view returns (uint256 next, uint256 end, uint256 period);

    /// @notice Whether a round of `seats` seats would be accepted by {queueRound} when it excludes nobody that stakes here.
    function canSeat(PoolTerms calldata pool, uint256 seats) external view returns (bool);

    /// @notice Whether the tree is frozen, and how many accounts have changes that wait for {applyPending}.
    function pendingOf(PoolId pool) external view returns (bool frozen, uint256 accounts);

    /// @notice The leaf of an account and its weight in the tree now; zeros for none.
    function weightOf(PoolId pool, address account) external view returns (uint256 leaf, uint256 weight);

    /// @notice Who may act for the seats of `account` besides itself.
    function operatorOf(address account) external view returns (address);

    /// @notice Seconds from a request to the withdrawal; longer than the core's mediation limit.
    function unbondingTime() external view returns (uint32);

    /// @notice Whose ledger holds the stakes.
    function core() external view returns (ILilypad);
}
