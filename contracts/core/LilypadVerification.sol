// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IStrategyHost} from "../interfaces/IStrategyHost.sol";
import {ResultOpening, Term, Verdict} from "../types/Calls.sol";
import {Deal} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {LilypadResults} from "./LilypadResults.sol";

/// @title Disputes: how they begin, and what a strategy's answer does
/// @dev The core calls no strategy; it pays the fee to its ledger account and waits for {resolve} or the mediation limit.
/// Every amount is computed here from the record, so a strategy can hurt only those who signed for it. Protocol 6.
abstract contract LilypadVerification is LilypadResults {
    /// @dev Beginner [0..159] | what it advanced for a short fund [160..255].
    mapping(DealId => uint256) private _disputes;

    /// @dev How a dispute begins; amounts in smallest units.
    struct Dispute {
        DisputeKind kind;
        address by;
        uint256 fee; // all of it, to the strategy
        uint256 fromFund;
        uint256 fromCollateral;
    }

    // ---- how disputes begin

    function _challenge(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        failure = _checkChallengeable(deal, dealId, word);
        if (failure.length != 0) return failure;
        uint256 fee = PANEL_SEATS * deal.seatFee;
        failure = _checkCredit(deal, msg.sender, fee);
        if (failure.length != 0) return failure;
        (, bool drawn,) = _lottery(dealId, deal.auditBps, word.period());
        _take(deal.token, msg.sender, fee);
        DisputeKind kind = drawn ? DisputeKind.ChallengeDrawn : DisputeKind.Challenge;
        _begin(deal, dealId, word, Dispute(kind, msg.sender, fee, 0, 0));
    }

    function _challengeDelivery(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        failure = _checkChallengeable(deal, dealId, word);
        if (failure.length != 0) return failure;
        if (!_isActor(deal.creator, SCOPE_ACCEPTANCE)) {
            return _failure(NotAuthorised.selector, _word(deal.creator), _word(msg.sender), SCOPE_ACCEPTANCE);
        }
        if (word.deliveryWasChallenged()) return _failure(DeliveryChallengedBefore.selector, _word(dealId));
        uint256 fee = PANEL_SEATS * deal.seatFloor;
        failure = _checkCredit(deal, deal.creator, fee);
        if (failure.length != 0) return failure;
        if (msg.sender != deal.creator) {
            uint256 cap = _capLeft(deal.creator, msg.sender, deal.token);
            if (cap < fee) return _failure(CapExceeded.selector, _word(deal.creator), _word(msg.sender), cap, fee);
            _setCapLeft(deal.creator, msg.sender, deal.token, cap - fee);
        }
        _take(deal.token, deal.creator, fee);
        _begin(deal, dealId, word, Dispute(DisputeKind.Delivery, deal.creator, fee, 0, 0));
    }

    function _audit(bytes32[12] memory record, uint256 maxAdvance) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        if (!word.isIn(Status.ResultsSubmitted)) return _notIn(dealId, word, Status.ResultsSubmitted);
        uint256 until = word.deadline() + MEDIATION_LIMIT;
        if (block.timestamp > until) return _passed(dealId, until);
        (bool known, bool drawn, bool expired) = _lottery(dealId, deal.auditBps, word.period());
        if (!known) return _failure(SeedPending.selector, _word(dealId), word.period() + 1);
        if (!drawn) return _failure(DealNotDrawn.selector, _word(dealId));
        uint256 fee = AUDIT_SEATS * deal.seatFee;
        if (expired) {
            _release(deal.token, deal.provider, fee, 0);
            _begin(deal, dealId, word, Dispute(DisputeKind.AuditExpired, msg.sender, fee, 0, fee));
            return failure;
        }
        bytes32 key = _fundKey(deal.strategy, deal.token, PoolId.wrap(deal.pool));
        uint256 fromFund = _funds[key] < fee ? _funds[key] : fee;
        uint256 advance = fee - fromFund;
        if (advance > maxAdvance) return _below(Term.FundCover, fromFund + maxAdvance, fee);
        failure = _checkCredit(deal, msg.sender, advance);
        if (failure.length != 0) return failure;
        _funds[key] -= fromFund;
        _take(deal.token, msg.sender, advance);
        _begin(deal, dealId, word, Dispute(DisputeKind.Audit, msg.sender, fee, fromFund, 0));
    }

    function _begin(Deal memory deal, DealId dealId, DealWord word, Dispute memory dispute) private {
        bool ofFund = dispute.kind == DisputeKind.Audit;
        _disputes[dealId] = uint160(dispute.by) | (ofFund ? dispute.fee - dispute.fromFund : 0) << 160;
        _credit(deal.token, deal.strategy, dispute.fee);
        uint256 deadline = block.timestamp + MEDIATION_LIMIT;
        _move(dealId, word, word.inMediation(dispute.kind, deadline));
        emit DisputeOpened(
            dealId, dispute.by, dispute.kind, dispute.fee, dispute.fromFund, dispute.fromCollateral, deadline
        );
    }

    function _checkChallengeable(Deal memory deal, DealId dealId, DealWord word) private view returns (bytes memory failure) {
        if (!word.isIn(Status.ResultsSubmitted)) return _notIn(dealId, word, Status.ResultsSubmitted);
        if (deal.pool == 0) return _failure(DealUnverified.selector, _word(dealId));
        if (block.timestamp > word.deadline()) return _passed(dealId, word.deadline());
    }

    function _checkCredit(Deal memory deal, address account, uint256 needed) private view returns (bytes memory failure) {
        uint256 has = _accounts[deal.token][account].free();
        if (has < needed) return _failure(FundsMissing.selector, _word(account), _word(deal.token), has, uint256(needed));
    }

    // ---- how disputes end

    /// @inheritdoc IStrategyHost
    function resolve(
        bytes32[12] memory record,
        Verdict verdict,
        ResultOpening calldata opening,
        uint96 claim,
        address bountyTo
    ) external {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        if (!word.isIn(Status.InMediation)) _revertWith(_notIn(dealId, word, Status.InMediation));
        if (msg.sender != deal.strategy) revert StrategyOnly(dealId, deal.strategy, msg.sender);
        if (block.timestamp > word.deadline()) _revertWith(_passed(dealId, word.deadline()));
        bool ofDelivery = word.isOfKind(DisputeKind.Delivery);
        bool aboutDelivery = verdict == Verdict.Delivered || verdict == Verdict.NotDelivered;
        if (verdict != Verdict.NoFault && ofDelivery != aboutDelivery) {
            revert VerdictNotPossible(dealId, word.disputeKind());
        }
        if (verdict == Verdict.Correct) _resolveCorrect(deal, dealId, word, opening, claim);
        else if (verdict == Verdict.Wrong) _resolveWrong(deal, dealId, word, claim, bountyTo);
        else if (verdict == Verdict.NotDelivered) _resolveNotDelivered(deal, dealId, word, claim, bountyTo);
        else _resolveWithoutClaim(deal, dealId, word, verdict, claim);
    }

    function _resolveCorrect(
        Deal memory deal,
        DealId dealId,
        DealWord word,
        ResultOpening calldata opening,
        uint256 claim
    ) private {
        bytes32 digest = _digest(opening.head, opening.content);
        _revertWith(_checkCommitment(dealId, word, deal.provider, digest, opening.salt));
        _requireClaim(dealId, claim, PANEL_SEATS * deal.seatFee);
        Charge memory charge = _charge(deal, uint64(uint256(opening.head)));
        uint256 locked = _lockedTotal(deal);
        uint256 collateral = _collateralLeft(deal, word);
        _end(dealId, word, Status.MediationAccepted);
        _release(deal.token, deal.creator, locked, locked - charge.total);
        // The collateral is above three seat fees (6.6), so gross + collateral covers every allowed claim.
        _release(deal.token, deal.provider, collateral, collateral + charge.gross - claim);
        _credit(deal.token, deal.strategy, claim);
        _accrueFees(deal.token, deal.module, deal.solver, charge.royalty, charge.solverFee);
        _toFund(deal, charge.toFund);
        emit DealMediationAccepted(dealId, deal.creator, deal.provider, digest, charge.gross, claim);
    }

    /// @dev Protocol 6.7, in its order.
    function _resolveWrong(Deal memory deal, DealId dealId, DealWord word, uint256 claim, address bountyTo) private {
        uint256 premium = _premiumUp(deal);
        uint256 value = _value(deal);
        uint256 collateral = _collateralLeft(deal, word);
        uint256 left = collateral - premium - value;
        _requireClaim(dealId, claim, left);
        left -= claim;
        uint256 bounty;
        if (word.isOfKind(DisputeKind.Challenge) && bountyTo != address(0)) {
            bounty = deal.collateral * CHALLENGER_BOUNTY_BPS / BPS;
            if (bounty > left) bounty = left;
        }
        uint256 toFund = left - bounty;
        uint256 total = _lockedTotal(deal);
        _end(dealId, word, Status.MediationRejected);
        _release(deal.token, deal.creator, total, total + value);
        _release(deal.token, deal.provider, collateral, 0);
        _credit(deal.token, deal.strategy, claim);
        _credit(deal.token, bountyTo, bounty);
        _toFund(deal, premium + toFund);
        emit DealMediationRejected(dealId, deal.creator, deal.provider, claim, bounty, bountyTo, toFund);
    }

    function _resolveNotDelivered(
        Deal memory deal,
        DealId dealId,
        DealWord word,
        uint256 claim,
        address keeper
    ) private {
        uint256 premium = _premiumUp(deal);
        _requireClaim(dealId, claim, deal.collateral - _penalty(deal) - premium);
        _endLate(deal, dealId, word, Lateness({premium: premium, claim: claim, keeper: keeper}));
    }

    function _resolveWithoutClaim(Deal memory deal, DealId dealId, DealWord word, Verdict verdict, uint256 claim)
        private
    {
        _requireClaim(dealId, claim, 0);
        if (verdict == Verdict.NoFault) return _endNoFault(deal, dealId, word);
        uint256 judgeDeadline = block.timestamp + deal.judgeWindow;
        _move(dealId, word, word.delivered(judgeDeadline));
        emit DeliveryConfirmed(dealId, judgeDeadline);
    }

    function _timeoutMediation(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        uint256 until = word.deadline();
        if (word.isIn(Status.ResultsSubmitted)) {
            (bool known, bool drawn,) = _lottery(dealId, deal.auditBps, word.period());
            if (!known) return _failure(SeedPending.selector, _word(dealId), word.period() + 1);
            if (!drawn) return _failure(DealNotDrawn.selector, _word(dealId));
            until += MEDIATION_LIMIT;
        } else if (!word.isIn(Status.InMediation)) {
            return _notIn(dealId, word, Status.InMediation);
        }
        if (block.timestamp <= until) return _ahead(dealId, until);
        _endNoFault(deal, dealId, word);
    }

    function _endNoFault(Deal memory deal, DealId dealId, DealWord word) private {
        uint256 premium = _premiumUp(deal);
        uint256 total = _lockedTotal(deal);
        uint256 collateral = _collateralLeft(deal, word);
        _end(dealId, word, Status.NoFault);
        _release(deal.token, deal.creator, total, total - premium);
        _release(deal.token, deal.provider, collateral, collateral);
        _toFund(deal, premium);
        emit DealNoFault(dealId, deal.creator, deal.provider, premium, collateral);
    }

    function _repayAdvance(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        uint256 dispute = _disputes[dealId];
        uint256 owed = dispute >> 160;
        bytes32 key = _fundKey(deal.strategy, deal.token, PoolId.wrap(deal.pool));
        uint256 amount = _funds[key] < owed ? _funds[key] : owed;
        if (amount == 0 || word.statusBits() <= uint256(Status.InMediation)) {
            return _failure(AdvanceNotDue.selector, _word(dealId));
        }
        address to = address(uint160(dispute));
        _disputes[dealId] = uint160(to) | owed - amount << 160;
        _funds[key] -= amount;
        _credit(deal.token, to, amount);
        emit AdvanceRepaid(dealId, to, amount);
    }

    /// @dev What is still locked of the collateral: a lost seed had the provider pay the audit out of it.
    function _collateralLeft(Deal memory deal, DealWord word) private pure returns (uint256) {
        bool paidAudit =
            word.isIn(Status.InMediation) && word.isOfKind(DisputeKind.AuditExpired);
        return paidAudit ? deal.collateral - AUDIT_SEATS * deal.seatFee : deal.collateral;
    }

    function _requireClaim(DealId dealId, uint256 claim, uint256 most) private pure {
        if (claim > most) revert ClaimTooHigh(dealId, claim, most);
    }

    /// @inheritdoc IStrategyHost
    function disputeOf(DealId dealId) external view returns (address by, uint96 advanced) {
        uint256 dispute = _disputes[dealId];
        return (address(uint160(dispute)), uint96(dispute >> 160));
    }
}
