// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadPayments} from "../interfaces/ILilypadPayments.sol";
import {ILilypadResolver} from "../interfaces/ILilypadResolver.sol";
import {ILilypadRules} from "../interfaces/ILilypadRules.sol";
import {DrawResult, ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {PoolId} from "../types/Ids.sol";
import {PoolTerms, TermsLib} from "../types/Terms.sol";
import {RoundQueue} from "./RoundQueue.sol";

/// @title Pools of staked mediators
/// @dev For each token: the sum of `held` over all pools <= this contract's free credit in the core.
contract LilypadStaking is RoundQueue {
    using SafeERC20 for IERC20;

    /// @dev Waiting changes that queueing a round applies on the way.
    uint256 private constant APPLIED_WITH_ROUND = 4;

    /// @inheritdoc ILilypadStaking
    ILilypad public immutable core;

    mapping(address account => address) private _operators;

    /// @param unbondingTime_ Seconds, above the core's mediation limit; else UnbondingTooShort.
    constructor(ILilypad core_, uint32 unbondingTime_)
        RoundQueue(ILilypadResolver(core_.resolver()).parameters().randomness, unbondingTime_)
    {
        uint256 limit = ILilypadResolver(core_.resolver()).parameters().mediationLimit;
        if (unbondingTime_ <= limit) revert UnbondingTooShort(unbondingTime_, limit);
        core = core_;
    }

    // ---- stakers

    /// @inheritdoc ILilypadStaking
    function stake(PoolTerms calldata pool, uint96 amount, bytes32[] calldata proof) external {
        PoolId id = _idOf(pool);
        if (pool.members != 0) {
            bytes32 leaf = keccak256(abi.encode(keccak256(abi.encode(msg.sender))));
            if (!MerkleProof.verifyCalldata(proof, pool.members, leaf)) revert MembershipUnproved(id, msg.sender);
        }
        // Nothing is read before the token was called and nothing calls it afterwards, so its calling back does no harm.
        _pull(pool.token, amount);
        Account storage account = _accounts[id][msg.sender];
        uint96 staked = account.staked + amount;
        if (staked < pool.seatStake) revert StakeBelowSeat(id, staked, pool.seatStake);
        uint96 held = _pools[id].held + amount;
        if (held / pool.seatStake > WEIGHT_MOST) revert PoolFull(id, held, WEIGHT_MOST * pool.seatStake);
        (account.staked, _pools[id].held) = (staked, held);
        emit Staked(id, msg.sender, amount);
        _update(id, msg.sender, pool.seatStake, _isFrozen(id));
    }

    /// @inheritdoc ILilypadStaking
    function requestUnbonding(PoolTerms calldata pool, uint96 amount) external {
        PoolId id = _idOf(pool);
        if (amount == 0) revert ILilypadPayments.AmountZero();
        Account storage account = _accounts[id][msg.sender];
        if (account.staked < amount) revert StakeInsufficient(id, msg.sender, account.staked, amount);
        uint96 rest = account.staked - amount;
        if (rest != 0 && rest < pool.seatStake) revert StakeBelowSeat(id, rest, pool.seatStake);
        uint40 withdrawableAt = uint40(block.timestamp + unbondingTime);
        account.staked = rest;
        account.unbonding += amount;
        account.withdrawableAt = withdrawableAt;
        emit UnbondingRequested(id, msg.sender, amount, withdrawableAt);
        _update(id, msg.sender, pool.seatStake, _isFrozen(id));
    }

    /// @inheritdoc ILilypadStaking
    function withdraw(PoolTerms calldata pool, address who) external {
        PoolId id = _idOf(pool);
        Account storage account = _accounts[id][who];
        uint256 amount = account.unbonding;
        if (amount == 0) revert NothingToWithdraw(id, who);
        if (block.timestamp < account.withdrawableAt) {
            revert UnbondingNotOver(id, who, account.withdrawableAt, block.timestamp);
        }
        if (!_isFrozen(id)) _update(id, who, pool.seatStake, false);
        uint256 total = account.staked + amount;
        uint256 needed = _seatsToBack(id, who) * pool.seatStake;
        if (total <= needed) revert StakeBacksSeats(id, who, total, needed);
        if (amount > total - needed) amount = total - needed;
        // Safe: at most `unbonding`.
        account.unbonding -= uint96(amount);
        _pools[id].held -= uint96(amount);
        emit StakeWithdrawn(id, who, amount);
        _pay(pool.token, who, amount);
    }

    /// @inheritdoc ILilypadStaking
    function setOperator(address operator) external {
        _operators[msg.sender] = operator;
        emit OperatorSet(msg.sender, operator);
    }

    /// @inheritdoc ILilypadStaking
    function applyPending(PoolTerms calldata pool, uint256 most) external {
        PoolId id = _idOf(pool);
        most = _stepOver(id, most);
        if (!_isFrozen(id)) _applyWaiting(id, pool.seatStake, most);
    }

    // ---- the strategy

    /// @inheritdoc ILilypadStaking
    function queueRound(PoolTerms calldata pool, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (uint256 ticket)
    {
        PoolId id = _onlyStrategy(pool);
        if (!_isFrozen(id)) _applyWaiting(id, pool.seatStake, APPLIED_WITH_ROUND);
        return _queue(id, round, seats, excluded);
    }

    /// @inheritdoc ILilypadStaking
    function draw(PoolTerms calldata pool, uint256 ticket, bytes32 round, uint256 seats, address[4] calldata excluded)
        external
        returns (DrawResult result, address[] memory accounts)
    {
        return _draw(_onlyStrategy(pool), ticket, round, seats, excluded, false);
    }

    /// @inheritdoc ILilypadStaking
    function drawCancelled(
        PoolTerms calldata pool,
        uint256 ticket,
        bytes32 round,
        uint256 seats,
        address[4] calldata excluded
    ) external returns (DrawResult result) {
        PoolId id = _idOf(pool);
        address[] memory accounts;
        (result, accounts) = _draw(id, ticket, round, seats, excluded, true);
        if (result == DrawResult.Postponed) _leaveIfEarly(id, ticket);
        bool frozen = _isFrozen(id);
        for (uint256 i = 0; i < accounts.length; i++) {
            _release(id, accounts[i], 0, pool.seatStake, frozen);
        }
    }

    /// @inheritdoc ILilypadStaking
    function cancelRound(PoolTerms calldata pool, uint256 ticket) external {
        _cancel(_onlyStrategy(pool), ticket);
    }

    /// @inheritdoc ILilypadStaking
    function releaseSeats(PoolTerms calldata pool, address[] calldata accounts, uint96[] calldata losses)
        external
        returns (uint256 taken)
    {
        PoolId id = _onlyStrategy(pool);
        if (accounts.length != losses.length) {
            revert ILilypadRules.BatchLengthsDiffer(accounts.length, losses.length);
        }
        bool frozen = _isFrozen(id);
        for (uint256 i = 0; i < accounts.length; i++) {
            _release(id, accounts[i], losses[i], pool.seatStake, frozen);
            taken += losses[i];
        }
        if (taken != 0) _pay(pool.token, msg.sender, taken);
    }

    // ---- views

    /// @inheritdoc ILilypadStaking
    function queueOf(PoolId pool) external view returns (uint256 next, uint256 end, uint256 period) {
        return _queueState(pool);
    }

    /// @inheritdoc ILilypadStaking
    function pendingOf(PoolId pool) external view returns (bool frozen, uint256 accounts) {
        return (_isFrozen(pool), _pools[pool].pendingEnd - _pools[pool].pendingNext);
    }

    /// @inheritdoc ILilypadStaking
    function canSeat(PoolTerms calldata pool, uint256 seats) external view returns (bool) {
        return seats != 0 && seats <= _capacity(TermsLib.id(pool));
    }

    /// @inheritdoc ILilypadStaking
    function operatorOf(address account) external view returns (address) {
        return _operators[account];
    }

    // ---- internals

    function _idOf(PoolTerms calldata pool) private pure returns (PoolId) {
        if (pool.strategy == address(0) || pool.seatStake == 0) revert PoolUnverified();
        return TermsLib.id(pool);
    }

    function _onlyStrategy(PoolTerms calldata pool) private view returns (PoolId id) {
        id = _idOf(pool);
        if (msg.sender != pool.strategy) revert PoolStrategyOnly(id, pool.strategy, msg.sender);
    }

    /// @dev Moves tokens from the caller into this contract's credit. The core measures what arrives there, and credits exactly
    /// `amount` or reverts.
    function _pull(address token, uint256 amount) private {
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount); // UNTRUSTED
        // Once for each token: this contract holds tokens only inside this function, and only its own call deposits them.
        if (IERC20(token).allowance(address(this), address(core)) < amount) {
            IERC20(token).forceApprove(address(core), type(uint256).max);
        }
        core.deposit(token, amount, address(this));
    }

    function _pay(address token, address to, uint256 amount) private {
        address[] memory recipients = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (recipients[0], amounts[0]) = (to, amount);
        core.transferCredit(token, recipients, amounts);
    }
}
