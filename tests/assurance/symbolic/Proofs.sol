// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Plain} from "Plain.sol";

/// @title The ledger as two accounts and the pot that settlements feed, over the plain form of its library
/// @dev The moves of LilypadPayments. None of them touches a third account, so the other accounts stand in `_others`.
abstract contract PlainLedger {
    uint256 internal _free;
    uint256 internal _locked;
    uint256 internal _otherFree;
    uint256 internal _otherLocked;
    uint256 internal _pot; // funds, fees, accruals and waiting fees
    uint256 internal _others; // free and locked of all accounts that a move does not touch
    uint256 internal _held;

    /// @dev The invariant of the ledger: every amount fits its field, and what is held is what is owed.
    function _balanced() internal view returns (bool) {
        return _free <= Plain.MOST && _locked <= Plain.MOST && _otherFree <= Plain.MOST && _otherLocked <= Plain.MOST
            && _pot <= Plain.MOST && _others <= Plain.MOST && _held <= Plain.MOST
            && _free + _locked + _otherFree + _otherLocked + _pot + _others == _held;
    }

    function _deposit(uint256 amount) internal {
        require(amount <= Plain.MOST - _held);
        _held += amount;
        _free = Plain.add(_free, amount);
    }

    function _withdraw(uint256 amount) internal {
        _free = Plain.sub(_free, amount);
        _held -= amount;
    }

    function _transfer(uint256 amount) internal {
        _free = Plain.sub(_free, amount);
        _otherFree = Plain.add(_otherFree, amount);
    }

    function _donate(uint256 amount) internal {
        _free = Plain.sub(_free, amount);
        _pot += amount;
    }

    /// @dev A claim of a fee, or what a fund pays.
    function _claim(uint256 amount) internal {
        _pot -= amount;
        _free = Plain.add(_free, amount);
    }

    function _lock(uint256 amount) internal {
        (_free, _locked) = Plain.lock(_free, _locked, amount);
    }

    /// @dev What an outcome takes from two escrows it gives to two accounts and the pot: OutcomeUnbalanced else.
    function _isBalanced(uint256 unlocked, uint256 received, uint256 otherUnlocked, uint256 otherReceived, uint256 toPot)
        internal
        pure
        returns (bool)
    {
        return unlocked <= Plain.MOST && received <= Plain.MOST && otherUnlocked <= Plain.MOST
            && otherReceived <= Plain.MOST && toPot <= Plain.MOST
            && unlocked + otherUnlocked == received + otherReceived + toPot;
    }

    function _settle(uint256 unlocked, uint256 received, uint256 otherUnlocked, uint256 otherReceived, uint256 toPot)
        internal
    {
        require(_isBalanced(unlocked, received, otherUnlocked, otherReceived, toPot));
        _locked = Plain.sub(_locked, unlocked);
        _free = Plain.add(_free, received);
        _otherLocked = Plain.sub(_otherLocked, otherUnlocked);
        _otherFree = Plain.add(_otherFree, otherReceived);
        _pot += toPot;
    }
}

/// @title One move, from any balanced ledger: the steps of an induction over any number of calls. What each says stands in
/// properties.py.
contract LedgerSteps is PlainLedger {
    function prove_the_empty_ledger_is_balanced() external {
        (_free, _locked, _otherFree, _otherLocked) = (0, 0, 0, 0);
        (_pot, _others, _held) = (0, 0, 0);
        assert(_balanced());
    }

    function prove_deposit_keeps_the_balance(uint256 amount) external {
        require(_balanced());
        _deposit(amount);
        assert(_balanced());
    }

    function prove_withdraw_keeps_the_balance(uint256 amount) external {
        require(_balanced());
        _withdraw(amount);
        assert(_balanced());
    }

    function prove_transfer_keeps_the_balance(uint256 amount) external {
        require(_balanced());
        _transfer(amount);
        assert(_balanced());
    }

    function prove_donate_and_claim_keep_the_balance(uint256 given, uint256 claimed) external {
        require(_balanced());
        _donate(given);
        assert(_balanced());
        _claim(claimed);
        assert(_balanced());
    }

    function prove_lock_keeps_the_balance(uint256 amount) external {
        require(_balanced());
        _lock(amount);
        assert(_balanced());
    }

    function prove_settle_keeps_the_balance(
        uint256 unlocked,
        uint256 received,
        uint256 otherUnlocked,
        uint256 otherReceived,
        uint256 toPot
    ) external {
        require(_balanced());
        _settle(unlocked, received, otherUnlocked, otherReceived, toPot);
        assert(_balanced());
    }

    function prove_what_was_taken_can_be_credited(uint256 amount) external view {
        require(_balanced() && amount <= _free);
        assert(amount <= Plain.MOST - _otherFree && amount <= Plain.MOST - _locked && amount <= Plain.MOST - _pot);
    }

    function prove_a_balanced_outcome_fits(
        uint256 unlocked,
        uint256 received,
        uint256 otherUnlocked,
        uint256 otherReceived,
        uint256 toPot
    ) external view {
        require(_balanced() && _isBalanced(unlocked, received, otherUnlocked, otherReceived, toPot));
        require(unlocked <= _locked && otherUnlocked <= _otherLocked);
        assert(received <= Plain.MOST - _free && otherReceived <= Plain.MOST - _otherFree && toPot <= Plain.MOST - _pot);
    }

    /// @dev False on purpose: the runner has to see it fail.
    function prove_false_a_deposit_changes_nothing(uint256 amount) external {
        require(_balanced());
        uint256 before = _held;
        _deposit(amount);
        assert(_held == before);
    }
}
