// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Plain} from "Plain.sol";

/// @title A ledger of two accounts and the pot that settlements feed, for the SMTChecker: after any number of calls, in any order
/// @dev The moves of LilypadPayments, over the plain form of its library. No move of the ledger touches a third account but
/// leaves it as it is. What each theorem says stands in properties.py. A theorem that changes something is itself a move.
contract LedgerProofs {
    uint256 private _free;
    uint256 private _locked;
    uint256 private _otherFree;
    uint256 private _otherLocked;
    uint256 private _pot; // funds, fees, accruals and waiting fees
    uint256 private _held;

    function deposit(uint256 amount, bool other) external {
        require(amount <= Plain.MOST - _held);
        _held += amount;
        if (other) _otherFree = Plain.add(_otherFree, amount);
        else _free = Plain.add(_free, amount);
    }

    function withdraw(uint256 amount, bool other) external {
        if (other) _otherFree = Plain.sub(_otherFree, amount);
        else _free = Plain.sub(_free, amount);
        _held -= amount;
    }

    function lock(uint256 amount, bool other) external {
        if (other) (_otherFree, _otherLocked) = Plain.lock(_otherFree, _otherLocked, amount);
        else (_free, _locked) = Plain.lock(_free, _locked, amount);
    }

    function donate(uint256 amount) external {
        _free = Plain.sub(_free, amount);
        _pot += amount;
    }

    /// @dev A claim of a fee, or what a fund pays to a seat.
    function claim(uint256 amount) external {
        _pot -= amount;
        _free = Plain.add(_free, amount);
    }

    function prove_a_credit_after_a_take_is_never_refused(uint256 amount) external {
        _free = Plain.sub(_free, amount);
        assert(amount <= Plain.MOST - _otherFree);
        _otherFree = Plain.add(_otherFree, amount);
    }

    /// @dev An outcome takes from what two accounts have locked and gives all of it to them and to the pot.
    function prove_a_balanced_outcome_is_never_refused(
        uint256 unlocked,
        uint256 received,
        uint256 otherUnlocked,
        uint256 otherReceived,
        uint256 toPot
    ) external {
        require(unlocked <= _locked && otherUnlocked <= _otherLocked);
        require(received <= Plain.MOST && otherReceived <= Plain.MOST && toPot <= Plain.MOST);
        require(unlocked + otherUnlocked == received + otherReceived + toPot);
        assert(received <= Plain.MOST - _free && otherReceived <= Plain.MOST - _otherFree && toPot <= Plain.MOST - _pot);
        _locked = Plain.sub(_locked, unlocked);
        _free = Plain.add(_free, received);
        _otherLocked = Plain.sub(_otherLocked, otherUnlocked);
        _otherFree = Plain.add(_otherFree, otherReceived);
        _pot += toPot;
    }

    function prove_the_books_balance() external view {
        assert(_free + _locked + _otherFree + _otherLocked + _pot == _held);
    }

    function prove_every_amount_fits_its_field() external view {
        assert(_free <= Plain.MOST && _locked <= Plain.MOST && _otherFree <= Plain.MOST && _otherLocked <= Plain.MOST);
        assert(_pot <= Plain.MOST && _held <= Plain.MOST);
    }

    /// @dev False on purpose: the runner has to see it fail.
    function prove_false_nothing_is_ever_locked() external view {
        assert(_locked == 0);
    }
}
