// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreement, Closing, ResultOpening, SettledItem, Settlement, SignedResult} from "../types/Calls.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {LilypadOpening} from "./LilypadOpening.sol";

/// @title Results, settlements, and every ending without a strategy
/// @dev Protocol sections 4, 5.3 and 6.3. As in LilypadOpening, checks answer with an encoded error.
abstract contract LilypadResults is LilypadOpening {
    using DealLib for Deal;
    using DealLib for bytes32[12];
    using DealLib for bytes32[10];
    using JobOfferLib for JobOffer;

    bytes32 private constant RESULT_TYPEHASH = keccak256("Result(bytes32 dealId,uint176 commitment)");
    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256("Acceptance(bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_TYPEHASH =
        keccak256("Waiver(string statement,bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_STATEMENT = keccak256("I have checked this result myself");
    bytes32 private constant CLOSING_TYPEHASH =
        keccak256("Closing(bytes32 dealId,uint96 toCreator,uint96 toProvider,uint40 expiry)");

    /// @dev What the deals of one settlement add up to, written once.
    struct Totals {
        uint256 creatorUnlocked;
        uint256 creatorRefund;
        uint256 providerUnlocked;
        uint256 providerReceived;
        uint256 royalty;
        uint256 solverFee;
        uint256 toFund;
    }

    /// @dev What a late provider pays beyond the penalty, smallest units, and who earns the bounty (0: nobody).
    struct Lateness {
        uint256 premium;
        uint256 claim;
        address keeper;
    }

    // ---- submitting

    function _submit(DealId dealId, DealWord word, uint176 commitment) internal returns (bytes memory failure) {
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (block.timestamp > word.deadline()) return _passed(dealId, word.deadline());
        if (commitment == 0) return _failure(CommitmentZero.selector, _word(dealId));
        uint32 period = word.isAuditable() ? _currentPeriod() : 0;
        uint256 judgeDeadline = block.timestamp + word.judgeWindow();
        _move(dealId, word, DealWordLib.resultsSubmitted(commitment, judgeDeadline, period));
        emit ResultSubmitted(dealId, word.provider(), commitment, judgeDeadline, period);
    }

    function _submitAsProvider(DealId dealId, uint176 commitment) internal returns (bytes memory failure) {
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (!_isActor(word.provider(), SCOPE_RESULTS)) {
            return _failure(NotAuthorised.selector, _word(word.provider()), _word(msg.sender), SCOPE_RESULTS);
        }
        return _submit(dealId, word, commitment);
    }

    function _submitSigned(SignedResult calldata result) internal returns (bytes memory failure) {
        DealId dealId = DealId.wrap(result.dealId);
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        bytes32 hash = keccak256(abi.encode(RESULT_TYPEHASH, result.dealId, result.commitment));
        if (_signerOf(word.provider(), hash, result.signature, SCOPE_RESULTS) == address(0)) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(word.provider()));
        }
        return _submit(dealId, word, result.commitment);
    }

    function _decline(bytes32[12] memory record, bytes32[4] memory words) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (!_isActor(deal.provider, SCOPE_RESULTS)) {
            return _failure(NotAuthorised.selector, _word(deal.provider), _word(msg.sender), SCOPE_RESULTS);
        }
        uint256 until = word.deadline() - deal.submitWindow + deal.submitWindow / 4;
        if (block.timestamp > until) return _passed(dealId, until);
        JobOffer memory job;
        job.load(words);
        job.share(words, deal.token, deal.module, deal.pool, deal.solver, deal.provider);
        bytes32 hash = job.structHash();
        if (hash != deal.jobOfferHash) return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.creator));

        _jobNonces[job.creator][job.nonce >> 7] &= ~(1 << (job.nonce & 127));
        uint256 cost = _value(deal) * DECLINE_BPS / BPS;
        if (cost > deal.collateral) cost = deal.collateral;
        _end(dealId, word, Status.Declined);
        uint256 total = _lockedTotal(deal);
        _release(deal.token, deal.creator, total, total + cost);
        _release(deal.token, deal.provider, deal.collateral, deal.collateral - cost);
        emit DealDeclined(dealId, deal.creator, deal.provider, cost);
    }

    // ---- settling

    function _settleAll(Settlement calldata settlement) internal {
        Deal memory deal = DealLib.loadShared(settlement.shared);
        Totals memory totals;
        for (uint256 i = 0; i < settlement.items.length; i++) {
            _revertWith(_settleItem(deal, totals, settlement.items[i]));
        }
        _writeTotals(deal, totals);
    }

    function _settleWhatCanBe(uint256 index, Settlement calldata settlement) internal {
        Deal memory deal = DealLib.loadShared(settlement.shared);
        Totals memory totals;
        for (uint256 i = 0; i < settlement.items.length; i++) {
            bytes memory failure = _settleItem(deal, totals, settlement.items[i]);
            if (failure.length != 0) emit Skipped(index, i, failure);
        }
        _writeTotals(deal, totals);
    }

    /// @dev Settles with a waiver what the caller has just submitted.
    function _settleWaived(Deal memory deal, DealId dealId, ResultOpening calldata result, bytes calldata waiver)
        internal
    {
        bytes32 digest = _digest(result.head, result.content);
        _revertWith(_checkWaiver(deal, dealId, _deals[dealId], digest, waiver));
        Totals memory totals;
        _accept(deal, dealId, totals, result.head, digest);
        _writeTotals(deal, totals);
    }

    function _settleItem(Deal memory deal, Totals memory totals, SettledItem calldata item)
        private
        returns (bytes memory failure)
    {
        deal.inputs = item.inputs;
        deal.jobOfferHash = item.jobOfferHash;
        DealId dealId = _idOf(deal);
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.ResultsSubmitted)) return _notIn(dealId, word, Status.ResultsSubmitted);
        if (block.timestamp > word.deadline() + REVEAL_WINDOW) return _passed(dealId, word.deadline() + REVEAL_WINDOW);
        bytes32 digest = _digest(item.head, item.content);
        failure = _checkCommitment(dealId, word, deal.provider, digest, item.salt);
        if (failure.length != 0) return failure;
        failure = item.agreement == Agreement.Waiver
            ? _checkWaiver(deal, dealId, word, digest, item.signature)
            : _checkJudged(deal, dealId, word, digest, item);
        if (failure.length != 0) return failure;
        _accept(deal, dealId, totals, item.head, digest);
    }

    /// @dev Silence or acceptance counts once the lottery is known to have spared the deal.
    function _checkJudged(
        Deal memory deal,
        DealId dealId,
        DealWord word,
        bytes32 digest,
        SettledItem calldata item
    ) private view returns (bytes memory failure) {
        if (block.timestamp <= word.deadline()) {
            if (item.agreement == Agreement.Acceptance) {
                bytes32 hash = keccak256(abi.encode(ACCEPTANCE_TYPEHASH, dealId, digest));
                if (_signerOf(deal.creator, hash, item.signature, SCOPE_ACCEPTANCE) == address(0)) {
                    return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.creator));
                }
            } else if (!_isActor(deal.creator, SCOPE_ACCEPTANCE)) {
                return _failure(AgreementMissing.selector, _word(dealId), word.deadline());
            }
        }
        return _checkSpared(deal, dealId, word);
    }

    function _checkWaiver(Deal memory deal, DealId dealId, DealWord word, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bytes memory failure)
    {
        bytes32 hash = keccak256(abi.encode(WAIVER_TYPEHASH, WAIVER_STATEMENT, dealId, digest));
        if (_signerOf(deal.creator, hash, signature, SCOPE_ACCEPTANCE) == address(0)) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.creator));
        }
        return _checkNotDrawn(deal, dealId, word);
    }

    function _accept(Deal memory deal, DealId dealId, Totals memory totals, bytes32 head, bytes32 digest) private {
        Charge memory charge = _charge(deal, uint64(uint256(head)));
        uint256 locked = _lockedTotal(deal);
        totals.creatorUnlocked += locked;
        totals.creatorRefund += locked - charge.total;
        totals.providerUnlocked += deal.collateral;
        totals.providerReceived += deal.collateral + charge.gross;
        totals.royalty += charge.royalty;
        totals.solverFee += charge.solverFee;
        totals.toFund += charge.toFund;
        _end(dealId, _deals[dealId], Status.Accepted);
        emit DealAccepted(dealId, deal.creator, deal.provider, digest, charge.gross);
    }

    /// @dev The group's deals share token, pool, version, solver, strategy, creator and provider.
    function _writeTotals(Deal memory deal, Totals memory totals) private {
        if (totals.creatorUnlocked == 0) return;
        _release(deal.token, deal.creator, totals.creatorUnlocked, totals.creatorRefund);
        _release(deal.token, deal.provider, totals.providerUnlocked, totals.providerReceived);
        _accrueFees(deal.token, deal.module, deal.solver, totals.royalty, totals.solverFee);
        _toFund(deal, totals.toFund);
    }

    // ---- ends without a result, or without an opening

    function _timeoutSubmit(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (block.timestamp <= word.deadline()) return _ahead(dealId, word.deadline());
        _endLate(deal, dealId, word, Lateness({premium: 0, claim: 0, keeper: msg.sender}));
    }

    function _timeoutReveal(bytes32[12] memory record) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        if (!word.isIn(Status.ResultsSubmitted)) return _notIn(dealId, word, Status.ResultsSubmitted);
        uint256 until = word.deadline() + REVEAL_WINDOW;
        if (block.timestamp <= until) return _ahead(dealId, until);
        failure = _checkSpared(deal, dealId, word);
        if (failure.length != 0) return failure;
        _endLate(deal, dealId, word, Lateness({premium: _premiumUp(deal), claim: 0, keeper: msg.sender}));
    }

    /// @dev The provider was late: refund, penalty less the keeper's bounty, premium and claim out of the collateral.
    function _endLate(Deal memory deal, DealId dealId, DealWord word, Lateness memory late) internal {
        uint256 penalty = _penalty(deal);
        uint256 bounty = late.keeper == address(0) ? 0 : penalty * KEEPER_BOUNTY_BPS / BPS;
        uint256 total = _lockedTotal(deal);
        _end(dealId, word, Status.TimedOut);
        _release(deal.token, deal.creator, total, total + penalty - bounty);
        // At opening the collateral was at least value + premium + four seat fees; in pool 0 premium and claim are 0.
        uint256 kept = deal.collateral - penalty - late.premium - late.claim;
        _release(deal.token, deal.provider, deal.collateral, kept);
        _credit(deal.token, late.keeper, bounty);
        _credit(deal.token, deal.strategy, late.claim);
        _toFund(deal, late.premium);
        emit DealTimedOut(
            dealId, deal.creator, deal.provider, penalty, bounty, late.keeper, late.premium, late.claim
        );
    }

    function _close(bytes32[12] memory record, Closing calldata closing) internal returns (bytes memory failure) {
        (Deal memory deal, DealId dealId, DealWord word) = _find(record);
        uint256 premium;
        uint256 until = word.deadline();
        if (word.isIn(Status.ResultsSubmitted)) {
            failure = _checkNotDrawn(deal, dealId, word);
            if (failure.length != 0) return failure;
            premium = _premiumUp(deal);
            until += REVEAL_WINDOW;
        } else if (!word.isIn(Status.Agreed)) {
            return _notIn(dealId, word, Status.Agreed);
        }
        if (block.timestamp > until) return _passed(dealId, until);
        failure = _checkClosing(deal, dealId, closing);
        if (failure.length != 0) return failure;
        uint256 total = _lockedTotal(deal);
        uint256 escrow = total + deal.collateral - premium;
        uint256 split = uint256(closing.toCreator) + closing.toProvider;
        if (split != escrow) return _failure(SplitUnbalanced.selector, _word(dealId), split, escrow);
        _end(dealId, word, Status.ClosedByAgreement);
        _release(deal.token, deal.creator, total, closing.toCreator);
        _release(deal.token, deal.provider, deal.collateral, closing.toProvider);
        _toFund(deal, premium);
        emit DealClosed(dealId, deal.creator, deal.provider, closing.toCreator, closing.toProvider, premium);
    }

    function _checkClosing(Deal memory deal, DealId dealId, Closing calldata closing)
        private
        view
        returns (bytes memory failure)
    {
        if (block.timestamp > closing.expiry) return _passed(dealId, closing.expiry);
        bytes32 hash =
            keccak256(abi.encode(CLOSING_TYPEHASH, dealId, closing.toCreator, closing.toProvider, closing.expiry));
        if (_signerOf(deal.creator, hash, closing.creatorSignature, SCOPE_ACCEPTANCE) == address(0)) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.creator));
        }
        if (_signerOf(deal.provider, hash, closing.providerSignature, SCOPE_RESULTS) == address(0)) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.provider));
        }
    }

    // ---- shared by all endings

    function _find(bytes32[12] memory record) internal view returns (Deal memory deal, DealId dealId, DealWord word) {
        deal = record.load();
        dealId = _idOf(deal);
        word = _deals[dealId];
    }

    function _idOf(Deal memory deal) internal view returns (DealId) {
        return DealId.wrap(_digestOf(deal.structHash()));
    }

    function _end(DealId dealId, DealWord word, Status final_) internal {
        _move(dealId, word, word.ended(final_, block.timestamp));
    }

    function _toFund(Deal memory deal, uint256 amount) internal {
        if (amount != 0) _funds[_fundKey(deal.strategy, deal.token, PoolId.wrap(deal.pool))] += amount;
    }

    /// @dev Protocol 5.2.
    function _digest(bytes32 head, bytes32 content) internal pure returns (bytes32) {
        return keccak256(abi.encode(head, content));
    }

    /// @dev Protocol 5.3: the low 176 bits.
    function _commitment(DealId dealId, address provider, bytes32 digest, bytes32 salt)
        internal
        pure
        returns (uint176)
    {
        return uint176(uint256(keccak256(abi.encode(dealId, provider, digest, salt))));
    }

    function _checkCommitment(DealId dealId, DealWord word, address provider, bytes32 digest, bytes32 salt)
        internal
        pure
        returns (bytes memory failure)
    {
        uint176 opened = _commitment(dealId, provider, digest, salt);
        if (opened != word.commitment()) return _failure(CommitmentMismatch.selector, _word(dealId), word.commitment(), opened);
    }

    function _checkSpared(Deal memory deal, DealId dealId, DealWord word) internal view returns (bytes memory failure) {
        (bool known, bool drawn,) = _lottery(dealId, deal.auditBps, word.period());
        if (!known) return _failure(SeedPending.selector, _word(dealId), word.period() + 1);
        if (drawn) return _failure(DealDrawn.selector, _word(dealId));
    }

    function _checkNotDrawn(Deal memory deal, DealId dealId, DealWord word) internal view returns (bytes memory failure) {
        (, bool drawn,) = _lottery(dealId, deal.auditBps, word.period());
        if (drawn) return _failure(DealDrawn.selector, _word(dealId));
    }

    function _notIn(DealId dealId, DealWord word, Status needed) internal pure returns (bytes memory failure) {
        return _failure(DealNotIn.selector, _word(dealId), word.statusBits(), uint256(needed));
    }

    function _passed(DealId dealId, uint256 deadline) internal view returns (bytes memory failure) {
        return _failure(DeadlinePassed.selector, _word(dealId), deadline, block.timestamp);
    }

    function _ahead(DealId dealId, uint256 deadline) internal view returns (bytes memory failure) {
        return _failure(DeadlineAhead.selector, _word(dealId), deadline, block.timestamp);
    }
}
