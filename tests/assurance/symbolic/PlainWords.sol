// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccountWord} from "contracts/types/AccountWord.sol";
import {Plain} from "Plain.sol";

/// @title Symbolic checks that AccountWordLib does what its plain form does, refusals included. What each says stands in
/// properties.py; what follows from it is in Proofs.sol.
contract PlainChecks {
    function addFree(AccountWord word, uint256 amount) external pure returns (uint256, uint256) {
        word = word.addFree(amount);
        return (word.free(), word.locked());
    }

    function plainAddFree(uint256 free, uint256 locked, uint256 amount) external pure returns (uint256, uint256) {
        return (Plain.add(free, amount), locked);
    }

    function subFree(AccountWord word, uint256 amount) external pure returns (uint256, uint256) {
        word = word.subFree(amount);
        return (word.free(), word.locked());
    }

    function plainSubFree(uint256 free, uint256 locked, uint256 amount) external pure returns (uint256, uint256) {
        return (Plain.sub(free, amount), locked);
    }

    function lock(AccountWord word, uint256 amount) external pure returns (uint256, uint256) {
        word = word.lock(amount);
        return (word.free(), word.locked());
    }

    function plainLock(uint256 free, uint256 locked, uint256 amount) external pure returns (uint256, uint256) {
        return Plain.lock(free, locked, amount);
    }

    function subLocked(AccountWord word, uint256 amount) external pure returns (uint256, uint256) {
        word = word.subLocked(amount);
        return (word.free(), word.locked());
    }

    function plainSubLocked(uint256 free, uint256 locked, uint256 amount) external pure returns (uint256, uint256) {
        return (free, Plain.sub(locked, amount));
    }

    function _sameAs(bytes4 library_, bytes4 plain, AccountWord word, uint256 amount) private view {
        (bool done, bytes memory found) = address(this).staticcall(abi.encodeWithSelector(library_, word, amount));
        (bool plainly, bytes memory expected) =
            address(this).staticcall(abi.encodeWithSelector(plain, word.free(), word.locked(), amount));
        assert(done == plainly);
        if (done) {
            (uint256 free, uint256 locked) = abi.decode(found, (uint256, uint256));
            (uint256 plainFree, uint256 plainLocked) = abi.decode(expected, (uint256, uint256));
            assert(free == plainFree && locked == plainLocked);
        }
    }

    function check_addFree_does_as_its_plain_form(AccountWord word, uint256 amount) external view {
        _sameAs(this.addFree.selector, this.plainAddFree.selector, word, amount);
    }

    function check_subFree_does_as_its_plain_form(AccountWord word, uint256 amount) external view {
        _sameAs(this.subFree.selector, this.plainSubFree.selector, word, amount);
    }

    function check_lock_does_as_its_plain_form(AccountWord word, uint256 amount) external view {
        _sameAs(this.lock.selector, this.plainLock.selector, word, amount);
    }

    function check_subLocked_does_as_its_plain_form(AccountWord word, uint256 amount) external view {
        _sameAs(this.subLocked.selector, this.plainSubLocked.selector, word, amount);
    }
}
