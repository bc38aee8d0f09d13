// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreement, ResultOpening, SettledItem, Settlement, SignedResult} from "../types/Calls.sol";
import {Address, lowAddress, toWord} from "../types/Address.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, Status} from "../types/DealWord.sol";
import {DealId} from "../types/Ids.sol";
import {WordsLib} from "../types/Words.sol";
import {LilypadOpening} from "./LilypadOpening.sol";

/// @title Results and settlements
/// @dev Protocol sections 4, 5.3 and 6.3. As in LilypadOpening, checks answer with an encoded error.
abstract contract LilypadResults is LilypadOpening {
    using DealLib for Deal;
    using DealLib for bytes32[12];
    using DealLib for bytes32[10];

    bytes32 private constant RESULT_TYPEHASH = keccak256("Result(bytes32 dealId,uint176 commitment)");
    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256("Acceptance(bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_TYPEHASH =
        keccak256("Waiver(string statement,bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_STATEMENT = keccak256("I have checked this result myself");
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

    // ---- submitting

    function _submit(DealId dealId, DealWord word, uint176 commitment) internal returns (bytes memory failure) {
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (block.timestamp > word.deadline()) return _passed(dealId, word.deadline());
        if (commitment == 0) return _failure(CommitmentZero.selector, _word(dealId));
        uint32 period = uint32(_currentPeriod() * word.auditableBit());
        uint256 judgeDeadline = block.timestamp + word.judgeWindow();
        _move(dealId, word, DealWordLib.resultsSubmitted(commitment, judgeDeadline, period));
        emit ResultSubmitted(dealId, word.provider().plain(), commitment, judgeDeadline, period);
    }

    function _submitAsProvider(DealId dealId, uint176 commitment) internal returns (bytes memory failure) {
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (!_isActor(word.provider(), toWord(msg.sender), SCOPE_RESULTS)) {
            return _failure(NotAuthorised.selector, _word(word.provider()), uint160(msg.sender), SCOPE_RESULTS);
        }
        return _submit(dealId, word, commitment);
    }

    function _submitSigned(SignedResult calldata result) internal returns (bytes memory failure) {
        DealId dealId = DealId.wrap(result.dealId);
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        bytes32 hash = keccak256(abi.encode(RESULT_TYPEHASH, result.dealId, result.commitment));
        if (_signerOf(word.provider(), hash, result.signature, SCOPE_RESULTS).isZero()) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(word.provider()));
        }
        return _submit(dealId, word, result.commitment);
    }

    // ---- settling

    function _settleAll(Settlement calldata settlement) internal {
        Deal memory deal = DealLib.loadShared(WordsLib.copy(settlement.shared));
        Totals memory totals;
        for (uint256 i = 0; i < settlement.items.length; i++) {
            _revertWith(_settleItem(deal, totals, settlement.items[i]));
        }
        _writeTotals(deal, totals);
    }

    function _settleWhatCanBe(uint256 index, Settlement calldata settlement) internal {
        Deal memory deal = DealLib.loadShared(WordsLib.copy(settlement.shared));
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
                if (_signerOf(deal.creator, hash, item.signature, SCOPE_ACCEPTANCE).isZero()) {
                    return _failure(SignatureInvalid.selector, uint256(hash), _word(deal.creator));
                }
            } else if (!_isActor(deal.creator, toWord(msg.sender), SCOPE_ACCEPTANCE)) {
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
        if (_signerOf(deal.creator, hash, signature, SCOPE_ACCEPTANCE).isZero()) {
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
        emit DealAccepted(dealId, deal.creator.plain(), deal.provider.plain(), digest, charge.gross);
    }

    /// @dev The group's deals share token, pool, version, solver, strategy, creator and provider.
    function _writeTotals(Deal memory deal, Totals memory totals) private {
        if (totals.creatorUnlocked == 0) return;
        _release(deal.token, deal.creator, totals.creatorUnlocked, totals.creatorRefund);
        _release(deal.token, deal.provider, totals.providerUnlocked, totals.providerReceived);
        Accrual memory of_ = Accrual(deal.token, deal.module, deal.solver, deal.strategy, deal.pool);
        _accrue(of_, totals.royalty, totals.solverFee, totals.toFund);
    }

    // ---- shared

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

    function _checkCommitment(DealId dealId, DealWord word, Address provider, bytes32 digest, bytes32 salt)
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

    function _notIn(DealId dealId, DealWord word, Status needed) internal pure returns (bytes memory) {
        return _failure(DealNotIn.selector, _word(dealId), word.statusBits(), uint256(needed));
    }

    function _passed(DealId dealId, uint256 deadline) internal view returns (bytes memory) {
        return _failure(DeadlinePassed.selector, _word(dealId), deadline, block.timestamp);
    }
}
