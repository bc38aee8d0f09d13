// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {AccountWord} from "contracts/types/AccountWord.sol";
import {Address} from "contracts/types/Address.sol";
import {DealWord, DealWordLib, DisputeKind, Status} from "contracts/types/DealWord.sol";
import {DealId} from "contracts/types/Ids.sol";
import {LilypadStorage} from "contracts/core/LilypadStorage.sol";

/// @title Symbolic checks of the ledger's word and the deal's word. What each says stands in properties.py.
contract WordChecks is LilypadStorage {
    uint256 private constant MOST = type(uint96).max;

    // ---- account word

    function addFree(AccountWord word, uint256 amount) external pure returns (AccountWord) {
        return word.addFree(amount);
    }

    function subFree(AccountWord word, uint256 amount) external pure returns (AccountWord) {
        return word.subFree(amount);
    }

    function lock(AccountWord word, uint256 amount) external pure returns (AccountWord) {
        return word.lock(amount);
    }

    function subLocked(AccountWord word, uint256 amount) external pure returns (AccountWord) {
        return word.subLocked(amount);
    }

    function _same(AccountWord a, AccountWord b, uint256 mask) private pure {
        assert(AccountWord.unwrap(a) & mask == AccountWord.unwrap(b) & mask);
    }

    function check_addFree_changes_free_alone(AccountWord word, uint256 amount) external view {
        try this.addFree(word, amount) returns (AccountWord after_) {
            assert(after_.free() == word.free() + amount);
            _same(after_, word, type(uint256).max << 96);
        } catch {
            assert(amount > MOST - word.free());
        }
    }

    function check_subFree_changes_free_alone(AccountWord word, uint256 amount) external view {
        try this.subFree(word, amount) returns (AccountWord after_) {
            assert(after_.free() + amount == word.free());
            _same(after_, word, type(uint256).max << 96);
        } catch {
            assert(amount > word.free());
        }
    }

    function check_lock_moves_free_to_locked(AccountWord word, uint256 amount) external view {
        try this.lock(word, amount) returns (AccountWord after_) {
            assert(after_.free() + amount == word.free());
            assert(after_.locked() == word.locked() + amount);
            _same(after_, word, type(uint256).max << 192);
        } catch {
            assert(amount > word.free() || amount > MOST - word.locked());
        }
    }

    function check_subLocked_changes_locked_alone(AccountWord word, uint256 amount) external view {
        try this.subLocked(word, amount) returns (AccountWord after_) {
            assert(after_.locked() + amount == word.locked());
            _same(after_, word, type(uint256).max << 192 | MOST);
        } catch {
            assert(amount > word.locked());
        }
    }

    function check_raiseFloors_never_lowers(AccountWord word, uint32 job, uint32 resource) external pure {
        AccountWord after_ = word.raiseFloors(job, resource);
        assert(after_.jobFloor() >= word.jobFloor() && after_.jobFloor() >= job);
        assert(after_.jobFloor() == word.jobFloor() || after_.jobFloor() == job);
        assert(after_.resourceFloor() >= word.resourceFloor() && after_.resourceFloor() >= resource);
        assert(after_.resourceFloor() == word.resourceFloor() || after_.resourceFloor() == resource);
        _same(after_, word, type(uint192).max);
    }

    /// @dev False on purpose: the runner has to see it fail.
    function check_false_locked_money_is_free(AccountWord word) external pure {
        assert(word.free() >= word.locked());
    }

    // ---- deal word

    function check_agreed_reads_back(address provider, uint16 judgeWindow, uint40 deadline, bool auditable) external pure {
        Address who = Address.wrap(uint160(provider));
        DealWord word = DealWordLib.agreed(who, judgeWindow, deadline, auditable);
        assert(word.isIn(Status.Agreed) && word.provider() == who && word.judgeWindow() == judgeWindow);
        assert(word.deadline() == deadline && word.auditableBit() == (auditable ? 1 : 0));
    }

    function check_resultsSubmitted_reads_back(uint176 commitment, uint40 deadline, uint32 period) external pure {
        DealWord word = DealWordLib.resultsSubmitted(commitment, deadline, period);
        assert(word.isIn(Status.ResultsSubmitted) && word.commitment() == commitment);
        assert(word.deadline() == deadline && word.period() == period);
        assert(word.isOfKind(DisputeKind.None) && !word.deliveryWasChallenged());
    }

    function check_inMediation_keeps_the_result(DealWord word, uint8 kind, uint40 deadline) external pure {
        if (kind > uint8(DisputeKind.AuditExpired)) return;
        DealWord after_ = word.inMediation(DisputeKind(kind), deadline);
        assert(after_.isIn(Status.InMediation) && after_.isOfKind(DisputeKind(kind)) && after_.deadline() == deadline);
        assert(after_.commitment() == word.commitment() && after_.period() == word.period());
        assert(
            after_.deliveryWasChallenged() == (word.deliveryWasChallenged() || kind == uint8(DisputeKind.Delivery))
        );
    }

    function check_delivered_keeps_the_result(DealWord word, uint40 deadline) external pure {
        DealWord after_ = word.delivered(deadline);
        assert(after_.isIn(Status.ResultsSubmitted) && after_.isOfKind(DisputeKind.None) && after_.deadline() == deadline);
        assert(after_.commitment() == word.commitment() && after_.period() == word.period());
        assert(after_.deliveryWasChallenged() == word.deliveryWasChallenged());
    }

    function check_ended_keeps_what_is_known(DealWord word, uint8 final_, uint40 time) external pure {
        if (final_ < uint8(Status.Accepted) || final_ > uint8(Status.ClosedByAgreement)) return;
        DealWord after_ = word.ended(Status(final_), time);
        assert(after_.isIn(Status(final_)) && after_.deadline() == time);
        assert(DealWord.unwrap(after_) >> 48 == DealWord.unwrap(word) >> 48);
        assert(DealWord.unwrap(after_) >> 4 & 15 == DealWord.unwrap(word) >> 4 & 15);
    }

    // ---- the table of transitions

    function move(DealId deal, DealWord from, DealWord to) external {
        _move(deal, from, to);
    }

    /// @dev Protocol section 4, as a list of edges.
    function _isEdge(uint256 from, uint256 to) private pure returns (bool) {
        if (from == uint256(Status.None)) return to == uint256(Status.Agreed);
        if (from == uint256(Status.Agreed)) {
            return to == uint256(Status.ResultsSubmitted) || to == uint256(Status.Declined)
                || to == uint256(Status.TimedOut) || to == uint256(Status.ClosedByAgreement);
        }
        if (from == uint256(Status.ResultsSubmitted)) {
            return to == uint256(Status.Accepted) || to == uint256(Status.InMediation) || to == uint256(Status.TimedOut)
                || to == uint256(Status.NoFault) || to == uint256(Status.ClosedByAgreement);
        }
        if (from == uint256(Status.InMediation)) {
            return to == uint256(Status.MediationAccepted) || to == uint256(Status.MediationRejected)
                || to == uint256(Status.NoFault) || to == uint256(Status.ResultsSubmitted)
                || to == uint256(Status.TimedOut);
        }
        return false;
    }

    function check_move_follows_the_table(DealId deal, DealWord from, DealWord to) external {
        // Enums end at 10: the error could not even name the others.
        if (from.statusBits() > 10 || to.statusBits() > 10) return;
        try this.move(deal, from, to) {
            assert(_isEdge(from.statusBits(), to.statusBits()));
            assert(DealWord.unwrap(_deals[deal]) == DealWord.unwrap(to));
        } catch {
            assert(!_isEdge(from.statusBits(), to.statusBits()));
        }
    }

    function check_move_out_of_a_final_state_is_impossible(DealId deal, DealWord from, DealWord to) external {
        if (from.statusBits() < uint256(Status.Accepted)) return;
        try this.move(deal, from, to) {
            assert(false);
        } catch {}
    }

    function check_move_leaves_other_deals(DealId deal, DealId other, DealWord from, DealWord to) external {
        if (DealId.unwrap(deal) == DealId.unwrap(other)) return;
        DealWord before = _deals[other];
        try this.move(deal, from, to) {} catch {}
        assert(DealWord.unwrap(_deals[other]) == DealWord.unwrap(before));
    }
}
