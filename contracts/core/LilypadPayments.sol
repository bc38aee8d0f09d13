// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILilypadPayments} from "../interfaces/ILilypadPayments.sol";
import {ILilypadRules} from "../interfaces/ILilypadRules.sol";
import {Address, toWord} from "../types/Address.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {DealLib} from "../types/Deal.sol";
import {HashLib} from "../types/Hash.sol";
import {PoolId, VersionId} from "../types/Ids.sol";
import {ModuleTerms, TermsLib} from "../types/Terms.sol";

/// @title The ledger: who owns what of each token that the core holds
/// @dev For each token: sum of free + locked + funds + accruals + waiting fees == `_held[token]` <= tokens held.
/// Only deposit and withdraw call a token; everything else moves numbers.
abstract contract LilypadPayments is ILilypadPayments, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 private constant LEDGER_MOST = type(uint96).max;
    uint256 private constant ROYALTY_MASK = type(uint128).max;
    uint256 private constant ACCRUED_FEE_MOST = type(uint80).max;

    mapping(Address token => mapping(Address account => AccountWord)) internal _accounts;
    mapping(bytes32 fundKey => uint256) internal _funds;
    /// @dev royalty [0..127] | solver fee [128..255], so that a settlement writes one word for both.
    mapping(bytes32 feeKey => uint256) private _fees;
    /// @dev What settlements of deals with the same terms left for others, in one word, until somebody sweeps it to its
    /// owners: royalty [0..79] | solver fee [80..159] | audit fund [160..255].
    mapping(bytes32 accrual => uint256) private _accruals;
    /// @dev Fees that outgrew those 80 bits: royalty [0..127] | solver fee [128..255].
    mapping(bytes32 accrual => uint256) private _largeAccruals;
    mapping(address token => uint256) private _held;

    // ---- moving tokens in and out

    /// @inheritdoc ILilypadPayments
    function deposit(address token, uint256 amount, address account) external nonReentrant {
        _deposit(token, msg.sender, amount, account);
    }

    /// @inheritdoc ILilypadPayments
    function depositWithPermit(
        address token,
        address owner,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // UNTRUSTED. A permit can be used by anybody first, so a failure alone says nothing. But an allowance that the
        // owner gave for another purpose is not consent to this deposit: only its own call may rely on one. Its nonce tells
        // whether the owner signed; silence does not, since wrapped coin without permits takes every call.
        bool own = msg.sender == owner;
        uint256 nonce = own ? 0 : IERC20Permit(token).nonces(owner);
        try IERC20Permit(token).permit(owner, address(this), amount, deadline, v, r, s) {} catch {}
        if (!own && IERC20Permit(token).nonces(owner) == nonce) {
            revert PermitRefused(token, owner, IERC20(token).allowance(owner, address(this)), amount);
        }
        _deposit(token, owner, amount, owner);
    }

    /// @inheritdoc ILilypadPayments
    function withdraw(address token, uint256 amount, address to) external nonReentrant {
        if (amount == 0) revert AmountZero();
        if (to == address(0)) revert RecipientZero();
        _take(toWord(token), toWord(msg.sender), amount);
        _held[token] -= amount;
        emit Withdrawn(token, msg.sender, to, amount);
        IERC20(token).safeTransfer(to, amount); // UNTRUSTED
    }

    function _deposit(address token, address from, uint256 amount, address account) private {
        if (amount == 0) revert AmountZero();
        if (account == address(0)) revert RecipientZero();
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(from, address(this), amount); // UNTRUSTED
        uint256 balance = IERC20(token).balanceOf(address(this));
        uint256 received = balance > before ? balance - before : 0;
        if (received != amount) revert TokenDeliveredLess(token, amount, received);
        uint256 held = _held[token];
        // Compared before adding: `amount` may be any number when the token lies about its balances.
        if (amount > LEDGER_MOST - held) revert LedgerFull(token, held, amount);
        _held[token] = held + amount;
        _credit(toWord(token), toWord(account), amount);
        emit Deposited(token, account, from, amount);
    }

    // ---- moving numbers

    /// @inheritdoc ILilypadPayments
    function transferCredit(address token, address[] calldata to, uint256[] calldata amounts) external {
        if (to.length != amounts.length) revert ILilypadRules.BatchLengthsDiffer(to.length, amounts.length);
        for (uint256 i = 0; i < to.length; i++) {
            if (to[i] == address(0)) revert RecipientZero();
            _take(toWord(token), toWord(msg.sender), amounts[i]);
            _credit(toWord(token), toWord(to[i]), amounts[i]);
            emit CreditTransferred(token, msg.sender, to[i], amounts[i]);
        }
    }

    /// @inheritdoc ILilypadPayments
    function donate(address strategy, address token, PoolId pool, uint256 amount) external {
        _take(toWord(token), toWord(msg.sender), amount);
        _funds[_fundKey(toWord(strategy), toWord(token), pool)] += amount;
        emit FundDonated(strategy, token, pool, msg.sender, amount);
    }

    /// @inheritdoc ILilypadPayments
    function sweep(address token, VersionId version, address solver, address strategy, PoolId pool) external {
        bytes32 accrual = _accrualOf(token, version, solver, strategy, pool);
        (uint256 royalty, uint256 solverFee, uint256 toFund) = _accrued(accrual);
        (_accruals[accrual], _largeAccruals[accrual]) = (0, 0);
        _addFees(toWord(token), VersionId.unwrap(version), toWord(solver), royalty, solverFee);
        if (toFund != 0) _funds[_fundKey(toWord(strategy), toWord(token), pool)] += toFund;
        emit AccrualSwept(token, version, solver, strategy, pool);
    }

    /// @inheritdoc ILilypadPayments
    function claimRoyalty(address token, ModuleTerms calldata terms, address solver)
        external
        returns (uint256 amount)
    {
        VersionId version = TermsLib.id(terms);
        if (msg.sender != terms.royaltyTo) revert RoyaltyNotYours(version, terms.royaltyTo, msg.sender);
        bytes32 key = _feeKey(toWord(token), VersionId.unwrap(version), toWord(solver));
        uint256 word = _fees[key];
        amount = word & ROYALTY_MASK;
        _fees[key] = word & ~ROYALTY_MASK;
        _credit(toWord(token), toWord(msg.sender), amount);
        emit RoyaltyClaimed(token, version, msg.sender, solver, amount);
    }

    /// @inheritdoc ILilypadPayments
    function claimSolverFee(address token, VersionId version, address solver) external returns (uint256 amount) {
        bytes32 key = _feeKey(toWord(token), VersionId.unwrap(version), toWord(solver));
        uint256 word = _fees[key];
        amount = word >> 128;
        _fees[key] = word & ROYALTY_MASK;
        _credit(toWord(token), toWord(solver), amount);
        emit SolverFeeClaimed(token, version, solver, amount);
    }

    function _credit(Address token, Address account, uint256 amount) internal {
        if (amount == 0) return;
        mapping(Address account => AccountWord) storage words = _accounts[token];
        words[account] = words[account].addFree(amount);
    }

    function _take(Address token, Address account, uint256 amount) internal {
        if (amount == 0) return;
        mapping(Address account => AccountWord) storage words = _accounts[token];
        AccountWord word = words[account];
        if (word.free() < amount) revert CreditInsufficient(account.plain(), token.plain(), word.free(), amount);
        words[account] = word.subFree(amount);
    }

    /// @dev Takes `unlocked` out of the account's escrow and credits `received`, in one write.
    function _release(Address token, Address account, uint256 unlocked, uint256 received) internal {
        mapping(Address account => AccountWord) storage words = _accounts[token];
        words[account] = words[account].subLocked(unlocked).addFree(received);
    }

    /// @dev Both sums are part of `_held`, which fits 96 bits, so neither half can overflow.
    function _addFees(Address token, bytes32 version, Address solver, uint256 royalty, uint256 solverFee) internal {
        if (royalty | solverFee == 0) return;
        _fees[_feeKey(token, version, solver)] += royalty | solverFee << 128;
    }

    /// @dev One write a settlement instead of three, in the word of `accrual` (DealLib.accrualOf). Fees that would outgrow their
    /// 80 bits there move to a word of their own first. The fund's part fits 96 bits, as `_held` does.
    function _accrue(bytes32 accrual, uint256 royalty, uint256 solverFee, uint256 toFund) internal {
        if (royalty | solverFee | toFund == 0) return;
        uint256 word = _accruals[accrual];
        // Safe: every amount is part of `_held`, which fits 96 bits.
        unchecked {
            royalty += uint80(word);
            solverFee += uint80(word >> 80);
            toFund += word >> 160;
        }
        if (royalty > ACCRUED_FEE_MOST || solverFee > ACCRUED_FEE_MOST) {
            _largeAccruals[accrual] += royalty | solverFee << 128;
            (royalty, solverFee) = (0, 0);
        }
        _accruals[accrual] = royalty | solverFee << 80 | toFund << 160;
    }

    function _accrued(bytes32 accrual) private view returns (uint256 royalty, uint256 solverFee, uint256 toFund) {
        uint256 word = _accruals[accrual];
        uint256 large = _largeAccruals[accrual];
        return (uint80(word) + uint128(large), uint80(word >> 80) + (large >> 128), word >> 160);
    }

    // ---- views

    /// @inheritdoc ILilypadPayments
    function accountOf(address token, address account)
        external
        view
        returns (uint256 free, uint256 locked, uint32 jobFloor, uint32 resourceFloor)
    {
        AccountWord word = _accounts[toWord(token)][toWord(account)];
        return (word.free(), word.locked(), word.jobFloor(), word.resourceFloor());
    }

    /// @inheritdoc ILilypadPayments
    function fundOf(address strategy, address token, PoolId pool) external view returns (uint256) {
        return _funds[_fundKey(toWord(strategy), toWord(token), pool)];
    }

    /// @inheritdoc ILilypadPayments
    function feesOf(address token, VersionId version, address solver)
        external
        view
        returns (uint256 royalty, uint256 solverFee)
    {
        uint256 word = _fees[_feeKey(toWord(token), VersionId.unwrap(version), toWord(solver))];
        return (word & ROYALTY_MASK, word >> 128);
    }

    /// @inheritdoc ILilypadPayments
    function accruedOf(address token, VersionId version, address solver, address strategy, PoolId pool)
        external
        view
        returns (uint256 royalty, uint256 solverFee, uint256 toFund)
    {
        return _accrued(_accrualOf(token, version, solver, strategy, pool));
    }

    /// @inheritdoc ILilypadPayments
    function heldOf(address token) external view returns (uint256) {
        return _held[token];
    }

    /// @dev A fund belongs to one strategy, token and pool, so that a pool of one's own reaches nobody else's (T49).
    function _fundKey(Address strategy, Address token, PoolId pool) internal pure returns (bytes32) {
        return HashLib.hash(strategy.asBytes32(), token.asBytes32(), PoolId.unwrap(pool));
    }

    function _accrualOf(address token, VersionId version, address solver, address strategy, PoolId pool)
        private
        pure
        returns (bytes32)
    {
        return DealLib.accrualOf(
            toWord(token), toWord(solver), toWord(strategy), VersionId.unwrap(version), PoolId.unwrap(pool)
        );
    }

    function _feeKey(Address token, bytes32 version, Address solver) private pure returns (bytes32) {
        return HashLib.hash(token.asBytes32(), version, solver.asBytes32());
    }
}
