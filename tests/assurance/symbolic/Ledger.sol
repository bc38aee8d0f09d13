// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadPayments} from "contracts/core/LilypadPayments.sol";
import {AccountWord} from "contracts/types/AccountWord.sol";
import {Address, toWord} from "contracts/types/Address.sol";
import {DealLib} from "contracts/types/Deal.sol";
import {PoolId, VersionId} from "contracts/types/Ids.sol";
import {SumTree, SumTreeLib} from "contracts/staking/SumTree.sol";

/// @title Symbolic checks of the ledger's moves. What each says stands in properties.py.
contract LedgerChecks is LilypadPayments {
    uint256 private constant MOST = type(uint96).max;

    function _put(Address token, Address account, uint96 free_, uint96 locked_) private {
        _accounts[token][account] = AccountWord.wrap(free_ | uint256(locked_) << 96);
    }

    /// @dev From `from` to `to`, another account or the same.
    function check_credit_transfer_conserves(address token, address to, uint96 has, uint96 other, uint256 amount) external {
        Address coin = toWord(token);
        Address from = toWord(address(this));
        _put(coin, from, has, 0);
        if (to != address(this)) _put(coin, toWord(to), other, 0);
        if (uint256(has) + other > MOST) return; // _held refuses more
        uint256 before = to == address(this) ? has : uint256(has) + other;
        address[] memory accounts = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (accounts[0], amounts[0]) = (to, amount);
        try this.transferCredit(token, accounts, amounts) {
            assert(amount <= has && to != address(0));
            AccountWord word = _accounts[coin][from];
            AccountWord theirs = _accounts[coin][toWord(to)];
            uint256 sum = to == address(this) ? word.free() : word.free() + theirs.free();
            assert(sum == before);
            if (to != address(this)) assert(theirs.free() == other + amount);
        } catch {
            assert(amount > has || to == address(0));
        }
    }

    function check_release_pays_what_it_unlocks(
        address token, address account, uint96 free_, uint96 locked_, uint256 unlocked, uint256 received
    ) external {
        Address coin = toWord(token);
        Address who = toWord(account);
        _put(coin, who, free_, locked_);
        if (unlocked > locked_ || received > MOST - free_) return;
        _release(coin, who, unlocked, received);
        AccountWord word = _accounts[coin][who];
        assert(word.free() == free_ + received && word.locked() == locked_ - unlocked);
    }

    function check_take_never_takes_more_than_there_is(address token, address account, uint96 free_, uint96 locked_, uint256 amount)
        external
    {
        Address coin = toWord(token);
        _put(coin, toWord(account), free_, locked_);
        try this.take(token, account, amount) {
            assert(amount <= free_);
            AccountWord word = _accounts[coin][toWord(account)];
            assert(word.free() == free_ - amount && word.locked() == locked_);
        } catch {
            assert(amount > free_);
        }
    }

    function take(address token, address account, uint256 amount) external {
        _take(toWord(token), toWord(account), amount);
    }

    /// @dev Accrued and swept together, under the terms of {_place}: royalty, solver fee, fund.
    function _sums() private view returns (uint256[3] memory sums) {
        VersionId version = VersionId.wrap(bytes32(uint256(2)));
        PoolId pool = PoolId.wrap(bytes32(uint256(5)));
        (sums[0], sums[1], sums[2]) = this.accruedOf(address(1), version, address(3), address(4), pool);
        (uint256 royalty, uint256 solverFee) = this.feesOf(address(1), version, address(3));
        sums[0] += royalty;
        sums[1] += solverFee;
        sums[2] += this.fundOf(address(4), address(1), pool);
    }

    /// @dev Twice, so that what outgrew 80 bits meets what did not. Parts of one ledger, so that all fit 96 bits together.
    function check_accrue_loses_nothing(uint96[3] memory first, uint96[3] memory second) external {
        uint256 all;
        for (uint256 i = 0; i < 3; i++) {
            all += uint256(first[i]) + second[i];
        }
        if (all > MOST) return;
        _accrue(_place(), first[0], first[1], first[2]);
        _accrue(_place(), second[0], second[1], second[2]);
        uint256[3] memory sums = _sums();
        for (uint256 i = 0; i < 3; i++) {
            assert(sums[i] == uint256(first[i]) + second[i]);
        }
    }

    function check_sweep_loses_nothing(uint96 royalty, uint96 solverFee, uint96 toFund) external {
        uint256 all = uint256(royalty) + solverFee + toFund;
        if (all > MOST) return;
        _accrue(_place(), royalty, solverFee, toFund);
        VersionId version = VersionId.wrap(bytes32(uint256(2)));
        PoolId pool = PoolId.wrap(bytes32(uint256(5)));
        this.sweep(address(1), version, address(3), address(4), pool);
        (uint256 a, uint256 b) = this.feesOf(address(1), version, address(3));
        assert(a == royalty && b == solverFee && this.fundOf(address(4), address(1), pool) == toFund);
        (uint256 d, uint256 e, uint256 f) = this.accruedOf(address(1), version, address(3), address(4), pool);
        assert(d == 0 && e == 0 && f == 0);
    }

    function check_claimSolverFee_pays_the_solver_exactly(uint96 royalty, uint96 solverFee, uint96 has) external {
        if (uint256(royalty) + solverFee + has > MOST) return;
        VersionId version = VersionId.wrap(bytes32(uint256(2)));
        Address coin = toWord(address(1));
        _addFees(coin, VersionId.unwrap(version), toWord(address(3)), royalty, solverFee);
        _put(coin, toWord(address(3)), has, 0);
        assert(this.claimSolverFee(address(1), version, address(3)) == solverFee);
        (uint256 a, uint256 b) = this.feesOf(address(1), version, address(3));
        assert(a == royalty && b == 0);
        assert(_accounts[coin][toWord(address(3))].free() == uint256(has) + solverFee);
        assert(this.claimSolverFee(address(1), version, address(3)) == 0);
    }

    /// @dev The accrual of the terms that every check uses: token 1, version 2, solver 3, strategy 4, pool 5.
    function _place() private pure returns (bytes32) {
        return DealLib.accrualOf(
            toWord(address(1)), toWord(address(3)), toWord(address(4)), bytes32(uint256(2)), bytes32(uint256(5))
        );
    }
}

/// @title Symbolic checks of the sum tree: two levels, sixteen leaves
contract TreeChecks {
    using SumTreeLib for SumTree;

    SumTree private _tree;

    function check_set_changes_one_leaf_and_the_sum(uint8 one, uint8 two, uint32 first, uint32 second, uint32 third) external {
        if (one >= 16 || two >= 16 || one == two) return;
        _tree.set(2, one, first);
        _tree.set(2, two, second);
        assert(_tree.total(2) == uint256(first) + second);
        _tree.set(2, one, third);
        assert(_tree.weightOf(one) == third && _tree.weightOf(two) == second);
        assert(_tree.total(2) == uint256(third) + second);
    }

    function check_find_answers_the_leaf_that_covers_the_point(uint32 first, uint32 second, uint64 point) external {
        if (point >= uint256(first) + second) return;
        _tree.set(2, 3, first);
        _tree.set(2, 9, second);
        (uint256 leaf, uint256 weight) = _tree.find(2, point);
        assert(leaf == (point < first ? 3 : 9));
        assert(weight == _tree.weightOf(leaf));
    }

    function check_grow_keeps_the_sum(uint8 leaf, uint64 weight) external {
        if (leaf >= 4) return;
        _tree.set(1, leaf, weight);
        _tree.grow(1);
        assert(_tree.total(2) == weight && _tree.weightOf(leaf) == weight);
    }
}
