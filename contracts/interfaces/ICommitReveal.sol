// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IRandomness} from "./IRandomness.sol";

/// @title Seeds that bonded participants make together
/// @notice For chains whose own randomness is a constant, or the choice of one sequencer. The clock is the time: period p
/// begins at second p * {periodSeconds}. Times in seconds, money in the smallest unit of the chain's coin (wei).
///
/// A period's seed in three steps.
/// 1. In the period before, whoever wants to takes part by {commit}: the hash of a secret, with one bond.
/// 2. From {revealStart} to {revealEnd} of the period the secrets come ({reveal}), each giving its bond back. Nobody can
///    commit any more, and no result can be submitted any more that this seed decides on.
/// 3. With the last reveal the seed is Known: a hash over all secrets. It is Expired as soon as that cannot happen any more:
///    fewer than {leastParticipants} commitments when the period begins, or one secret missing when its reveals end.
///
/// Nobody rules and nobody joins: to take part in a period is to commit for it, to leave is not to commit for the next. A
/// bond is locked from the commitment to the reveal and backs that commitment alone. Nothing here loops over participants.
///
/// Who can bias what.
/// - All participants of a period together: everything, and for nothing, since their bonds come back. One that keeps its
///   secret is enough against that, and nobody can be kept out: whoever depends on a seed (a creator, a provider, a staker)
///   takes part. {leastParticipants} counts accounts, not people; it guards against lack of interest, not against one party
///   with many.
/// - Whoever reveals last knows the seed first. Withholding costs its bond and makes the seed Expired, so that every deal of
///   the period is audited for certain. No deal that was drawn is ever spared by it: there is no second roll to win. That is
///   why a missing secret is not left out of the hash: each one left out would be a choice between two seeds.
/// - What a withholder can buy for one bond is harm: the audits of one period, at their providers' cost (T51), and one draw
///   of seats that takes the next period's seed. Mediators earn from audits. So the bond has to exceed what the deals of one
///   period can pay for audits, and what one more draw of a panel is worth; the contract cannot know these sums. Forfeited
///   bonds stay here for ever: whoever gained from them would gain from keeping others from revealing.
/// - The sequencer can keep reveals out until {revealEnd}. That spares no deal either; keeping out all of them costs nobody a
///   bond ({reclaim}), keeping out some is a withholding at their cost. A window longer than the chain's forced inclusion
///   prevents it.
/// - While the seed is Pending, the last to reveal can act on what it knows: end its own deals as both of their parties sign.
interface ICommitReveal is IRandomness {
    /// @notice `account` committed to a secret for `period`; its bond is locked until the reveal.
    event Committed(uint32 indexed period, address indexed account, bytes32 commitment);
    /// @notice The secret of `account` is out, its bond is free again.
    event Revealed(uint32 indexed period, address indexed account, bytes32 secret);
    /// @notice Nobody revealed in `period`, so the bond of `account` is free again.
    event Reclaimed(uint32 indexed period, address indexed account);
    event BondDeposited(address indexed account, uint256 amount);
    event BondWithdrawn(address indexed account, uint256 amount);

    error PeriodNotNext(uint32 period, uint256 next);
    error CommitmentEmpty();
    error CommittedBefore(uint32 period, address account);
    error BondMissing(address account, uint256 has, uint256 needed);
    error RevealTooEarly(uint32 period, uint256 start, uint256 time);
    error RevealTooLate(uint32 period, uint256 end, uint256 time);
    error CommitmentUnknown(uint32 period, address account, bytes32 found, bytes32 needed);
    error RevealsNotOver(uint32 period, uint256 end, uint256 time);
    error OthersRevealed(uint32 period, uint256 revealed);
    error NothingToReclaim(uint32 period, address account);
    error WithdrawalRefused(address account, uint256 amount);

    // ---- taking part

    /// @notice Adds the coin that comes along to the caller's free bonds.
    function deposit() external payable;

    /// @notice Sends the caller `amount` of its free bonds. Reverts with BondMissing or WithdrawalRefused.
    function withdraw(uint256 amount) external;

    /// @notice Commits the caller to a secret for `period`, which must be the next one, once; coin that comes along is
    /// deposited before. Locks one bond. Reverts with PeriodNotNext, CommitmentEmpty, CommittedBefore or BondMissing.
    /// @param commitment `keccak256(abi.encode(chain id, this contract, period, account, secret))`, of a secret of 32 random
    /// bytes. A secret that can be guessed or is used twice gives the last word away. Compute it off chain: a node that is
    /// asked learns it.
    function commit(uint32 period, bytes32 commitment) external payable;

    /// @notice Opens the commitment of `account`; anyone may carry it. Emits SeedRecorded with the last one. Send it when a
    /// block of this chain has reached {revealStart}, not when the clock on the wall has.
    /// Reverts with RevealTooEarly, RevealTooLate or CommitmentUnknown(period, account, found, needed): another secret, none
    /// committed or opened before.
    function reveal(uint32 period, address account, bytes32 secret) external;

    /// @notice Frees the bond of `account` after a period in which nobody revealed: the chain stood still, or let nobody in.
    /// Anyone. All participants together could have had the same for nothing, by not committing, so it gives nobody a choice.
    /// Reverts with RevealsNotOver, OthersRevealed or NothingToReclaim.
    function reclaim(uint32 period, address account) external;

    // ---- views

    /// @notice Coin that `account` has here without a commitment on it.
    function freeBondOf(address account) external view returns (uint256);

    /// @notice What `account` committed to for `period` and has not opened; else 0.
    function commitmentOf(uint32 period, address account) external view returns (bytes32);

    /// @notice Commitments for `period`, and how many of them are open.
    function participantsOf(uint32 period) external view returns (uint256 committed, uint256 revealed);

    /// @notice The first second in which secrets of `period` are taken.
    function revealStart(uint32 period) external view returns (uint256);

    /// @notice The last second in which secrets of `period` are taken.
    function revealEnd(uint32 period) external view returns (uint256);

    /// @notice Seconds a period has.
    function periodSeconds() external view returns (uint32);

    /// @notice Seconds from a period's beginning to its first reveal: what the chain may take back, and clocks may differ by.
    function lookaheadSeconds() external view returns (uint32);

    /// @notice Seconds for which secrets are taken.
    function revealSeconds() external view returns (uint32);

    /// @notice Coin that each commitment locks.
    function bond() external view returns (uint256);

    /// @notice Commitments without which a period has no seed.
    function leastParticipants() external view returns (uint32);
}
