// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadPayments} from "contracts/core/LilypadPayments.sol";
import {ILilypadPayments} from "contracts/interfaces/ILilypadPayments.sol";
import {AccountWord} from "contracts/types/AccountWord.sol";
import {Address, toWord} from "contracts/types/Address.sol";
import {DealLib} from "contracts/types/Deal.sol";
import {PoolId, VersionId} from "contracts/types/Ids.sol";
import {ModuleTerms, TermsLib} from "contracts/types/Terms.sol";

/// @title Symbolic checks of the ledger's moves. What each says stands in properties.py.
/// @dev Who and what is named here is immutable and not constant: of a constant key the compiler writes the hash into the code,
/// and halmos, which reads a place from how it was hashed, would take that for another place.
contract LedgerChecks is LilypadPayments {
    uint256 private constant MOST = type(uint96).max;
    // Places of LilypadPayments' own maps. Each check reads back through a view what it put, so a wrong number fails.
    uint256 private constant FEES = 2;
    uint256 private constant ACCRUALS = 3;
    uint256 private constant LARGE_ACCRUALS = 4;

    address private immutable TOKEN = address(1);
    VersionId private immutable VERSION = VersionId.wrap(bytes32(uint256(2)));
    address private immutable SOLVER = address(3);
    address private immutable STRATEGY = address(4);
    PoolId private immutable POOL = PoolId.wrap(bytes32(uint256(5)));

    function _put(address account, uint256 free_, uint256 locked_) private {
        _accounts[toWord(TOKEN)][toWord(account)] = AccountWord.wrap(free_ | locked_ << 96);
    }

    function _word(address account) private view returns (AccountWord) {
        return _accounts[toWord(TOKEN)][toWord(account)];
    }

    function _store(uint256 map, bytes32 key, uint256 word) private {
        assembly ("memory-safe") {
            mstore(0, key)
            mstore(32, map)
            sstore(keccak256(0, 64), word)
        }
    }

    function _royaltyAndFee() private view returns (uint256 royalty, uint256 solverFee) {
        return this.feesOf(TOKEN, VERSION, SOLVER);
    }

    function _accruedNow() private view returns (uint256 royalty, uint256 solverFee, uint256 toFund) {
        return this.accruedOf(TOKEN, VERSION, SOLVER, STRATEGY, POOL);
    }

    // ---- accounts

    function transfer(address to, uint256 amount) external {
        address[] memory accounts = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (accounts[0], amounts[0]) = (to, amount);
        this.transferCredit(TOKEN, accounts, amounts);
    }

    function check_credit_transfer_to_another_conserves(address to, uint96 has, uint96 other, uint256 amount) external {
        if (to == address(this) || uint256(has) + other > MOST) return; // _held refuses more
        _put(address(this), has, 0);
        _put(to, other, 0);
        try this.transfer(to, amount) {
            assert(amount <= has && to != address(0));
            assert(_word(address(this)).free() == has - amount && _word(to).free() == other + amount);
        } catch {
            assert(amount > has || to == address(0));
        }
    }

    function check_credit_transfer_to_oneself_changes_nothing(uint96 has, uint96 locked, uint256 amount) external {
        _put(address(this), has, locked);
        try this.transfer(address(this), amount) {
            assert(amount <= has);
            assert(_word(address(this)).free() == has && _word(address(this)).locked() == locked);
        } catch {
            assert(amount > has);
        }
    }

    function release(address account, uint256 unlocked, uint256 received) external {
        _release(toWord(TOKEN), toWord(account), unlocked, received);
    }

    function check_release_pays_what_it_unlocks(
        address account,
        uint96 free_,
        uint96 locked_,
        uint256 unlocked,
        uint256 received
    ) external {
        _put(account, free_, locked_);
        try this.release(account, unlocked, received) {
            assert(unlocked <= locked_ && received <= MOST - free_);
            assert(_word(account).free() == free_ + received && _word(account).locked() == locked_ - unlocked);
        } catch {
            assert(unlocked > locked_ || received > MOST - free_);
        }
    }

    function take(address account, uint256 amount) external {
        _take(toWord(TOKEN), toWord(account), amount);
    }

    function check_take_never_takes_more_than_there_is(address account, uint96 free_, uint96 locked_, uint256 amount)
        external
    {
        _put(account, free_, locked_);
        try this.take(account, amount) {
            assert(amount <= free_);
            assert(_word(account).free() == free_ - amount && _word(account).locked() == locked_);
        } catch {
            assert(amount > free_);
        }
    }

    function check_donate_moves_credit_to_the_fund(uint96 has, uint96 fund, uint256 amount) external {
        if (uint256(has) + fund > MOST) return;
        _put(address(this), has, 0);
        _funds[_fundKey(toWord(STRATEGY), toWord(TOKEN), POOL)] = fund;
        try this.donate(STRATEGY, TOKEN, POOL, amount) {
            assert(amount <= has && _word(address(this)).free() == has - amount);
            assert(this.fundOf(STRATEGY, TOKEN, POOL) == fund + amount);
        } catch {
            assert(amount > has);
        }
    }

    // ---- accruals

    function _accrual() private view returns (bytes32) {
        return DealLib.accrualOf(
            toWord(TOKEN), toWord(SOLVER), toWord(STRATEGY), VersionId.unwrap(VERSION), PoolId.unwrap(POOL)
        );
    }

    /// @dev Any pair of words, the small one and the one for what outgrew it.
    function _putAccrual(uint80[2] memory small, uint96 toFund, uint96[2] memory large) private {
        _store(ACCRUALS, _accrual(), small[0] | uint256(small[1]) << 80 | uint256(toFund) << 160);
        _store(LARGE_ACCRUALS, _accrual(), large[0] | uint256(large[1]) << 128);
        (uint256 a, uint256 b, uint256 c) = _accruedNow();
        assert(a == uint256(small[0]) + large[0] && b == uint256(small[1]) + large[1] && c == toFund);
    }

    function check_accrue_loses_nothing(
        uint80[2] memory small,
        uint96 fund,
        uint96[2] memory large,
        uint96 royalty,
        uint96 solverFee,
        uint96 toFund
    ) external {
        uint256 before = uint256(small[0]) + small[1] + fund + large[0] + large[1];
        if (before + royalty + solverFee + toFund > MOST) return; // parts of one ledger
        _putAccrual(small, fund, large);
        _accrue(_accrual(), royalty, solverFee, toFund);
        (uint256 a, uint256 b, uint256 c) = _accruedNow();
        assert(a == uint256(small[0]) + large[0] + royalty);
        assert(b == uint256(small[1]) + large[1] + solverFee);
        assert(c == uint256(fund) + toFund);
    }

    function check_sweep_loses_nothing(
        uint80[2] memory small,
        uint96 fund,
        uint96[2] memory large,
        uint96[2] memory fees,
        uint96 inFund
    ) external {
        uint256 all = uint256(small[0]) + small[1] + fund + large[0] + large[1] + fees[0] + fees[1] + inFund;
        if (all > MOST) return;
        _putAccrual(small, fund, large);
        _putFees(fees[0], fees[1]);
        _funds[_fundKey(toWord(STRATEGY), toWord(TOKEN), POOL)] = inFund;
        this.sweep(TOKEN, VERSION, SOLVER, STRATEGY, POOL);
        (uint256 a, uint256 b) = _royaltyAndFee();
        assert(a == uint256(fees[0]) + small[0] + large[0] && b == uint256(fees[1]) + small[1] + large[1]);
        assert(this.fundOf(STRATEGY, TOKEN, POOL) == uint256(inFund) + fund);
        (uint256 d, uint256 e, uint256 f) = _accruedNow();
        assert(d == 0 && e == 0 && f == 0);
    }

    // ---- claims

    function _putFees(uint96 royalty, uint96 solverFee) private {
        _putFees(VERSION, royalty, solverFee);
    }

    function _putFees(VersionId version, uint96 royalty, uint96 solverFee) private {
        bytes32 key = keccak256(abi.encode(TOKEN, version, SOLVER));
        _store(FEES, key, royalty | uint256(solverFee) << 128);
        (uint256 a, uint256 b) = this.feesOf(TOKEN, version, SOLVER);
        assert(a == royalty && b == solverFee);
    }

    function check_claimSolverFee_pays_the_solver_exactly(uint96 royalty, uint96 solverFee, uint96 has) external {
        if (uint256(royalty) + solverFee + has > MOST) return;
        _putFees(royalty, solverFee);
        _put(SOLVER, has, 0);
        assert(this.claimSolverFee(TOKEN, VERSION, SOLVER) == solverFee);
        (uint256 a, uint256 b) = _royaltyAndFee();
        assert(a == royalty && b == 0);
        assert(_word(SOLVER).free() == uint256(has) + solverFee);
        assert(this.claimSolverFee(TOKEN, VERSION, SOLVER) == 0);
        assert(_word(SOLVER).free() == uint256(has) + solverFee);
    }

    function check_claimRoyalty_pays_who_the_terms_name(address royaltyTo, uint96 royalty, uint96 solverFee, uint96 has)
        external
    {
        if (uint256(royalty) + solverFee + has > MOST) return;
        ModuleTerms memory terms;
        terms.royaltyTo = royaltyTo;
        VersionId version = this.versionOf(terms);
        _putFees(version, royalty, solverFee);
        _put(address(this), has, 0);
        try this.claimRoyalty(TOKEN, terms, SOLVER) returns (uint256 paid) {
            assert(royaltyTo == address(this) && paid == royalty);
            (uint256 a, uint256 b) = this.feesOf(TOKEN, version, SOLVER);
            assert(a == 0 && b == solverFee);
            assert(_word(address(this)).free() == uint256(has) + royalty);
        } catch {
            assert(royaltyTo != address(this));
        }
    }

    function versionOf(ModuleTerms calldata terms) external pure returns (VersionId) {
        return TermsLib.id(terms);
    }
}
