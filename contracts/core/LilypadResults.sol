// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SeedStatus} from "../interfaces/IRandomness.sol";
import {Agreement, Opening, SettledItem, Settlement, SignedResult} from "../types/Calls.sol";
import {Address, lowAddress, toWord} from "../types/Address.sol";
import {DealLib, DealNumbers} from "../types/Deal.sol";
import {DealWord, DealWordLib, Status} from "../types/DealWord.sol";
import {HashLib} from "../types/Hash.sol";
import {DealId} from "../types/Ids.sol";
import {LilypadOpening} from "./LilypadOpening.sol";

/// @title Results and settlements
/// @dev Protocol sections 4, 5.3 and 6.3. As in LilypadOpening, checks answer with an encoded error.
abstract contract LilypadResults is LilypadOpening {
    bytes32 private constant RESULT_TYPEHASH = keccak256("Result(bytes32 dealId,uint176 commitment)");
    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256("Acceptance(bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_TYPEHASH =
        keccak256("Waiver(string statement,bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_STATEMENT = keccak256("I have checked this result myself");

    /// @dev What the deals of one settlement have in common, and what they add up to, written once.
    struct Totals {
        Address creator;
        Address provider;
        uint256 price;
        uint256 unitPrice;
        DealNumbers numbers;
        uint256 premium; // of one deal
        uint256 deals;
        uint256 gross;
        uint256 royalty;
        uint256 solverFee;
        uint256 toFund;
        uint256 seedPeriod; // whose seed stands below; 0: none yet
        SeedStatus seedStatus;
        bytes32 seed;
    }

    // ---- submitting

    function _submit(DealId dealId, DealWord word, uint176 commitment) internal returns (bytes memory failure) {
        if (block.timestamp > word.deadline()) return _passed(dealId, word.deadline());
        if (commitment == 0) return _failure(CommitmentZero.selector, _word(dealId));
        uint32 period;
        uint256 judgeDeadline;
        // Safe: 32 bits and one bit; the time and 16 bits.
        unchecked {
            period = uint32(_currentPeriod() * word.auditableBit());
            judgeDeadline = block.timestamp + word.judgeWindow();
        }
        _move(dealId, word, DealWordLib.resultsSubmitted(commitment, judgeDeadline, period));
        emit ResultSubmitted(dealId, word.provider().plain(), commitment, judgeDeadline, period);
    }

    function _submitAsProvider(DealId dealId, DealWord word, uint176 commitment) internal returns (bytes memory failure) {
        failure = _checkSubmission(dealId, word);
        if (failure.length != 0) return failure;
        return _submit(dealId, word, commitment);
    }

    /// @dev Whether the caller may post the result of a deal with this word.
    function _checkSubmission(DealId dealId, DealWord word) private view returns (bytes memory failure) {
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        if (!_isActor(word.provider(), toWord(msg.sender), SCOPE_RESULTS)) {
            return _failure(NotAuthorised.selector, _word(word.provider()), uint160(msg.sender), SCOPE_RESULTS);
        }
    }

    function _submitSigned(SignedResult calldata result) internal returns (bytes memory failure) {
        DealId dealId = DealId.wrap(result.dealId);
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.Agreed)) return _notIn(dealId, word, Status.Agreed);
        bytes32 hash = HashLib.hash(RESULT_TYPEHASH, result.dealId, bytes32(uint256(result.commitment)));
        if (_signerOf(word.provider(), hash, result.signature, SCOPE_RESULTS).isZero()) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(word.provider()));
        }
        return _submit(dealId, word, result.commitment);
    }

    // ---- settling

    function _settleAll(Settlement calldata settlement) internal {
        bytes32[5] calldata shared = settlement.shared;
        SettledItem[] calldata items = settlement.items;
        Totals memory totals = _totalsOf(shared[0], shared[1], shared[2], shared[3]);
        for (uint256 i = 0; i < items.length; i++) {
            _revertWith(_settleItem(shared, totals, items[i]));
        }
        _writeTotals(shared, totals);
    }

    function _settleWhatCanBe(uint256 index, Settlement calldata settlement) internal {
        bytes32[5] calldata shared = settlement.shared;
        SettledItem[] calldata items = settlement.items;
        Totals memory totals = _totalsOf(shared[0], shared[1], shared[2], shared[3]);
        for (uint256 i = 0; i < items.length; i++) {
            bytes memory failure = _settleItem(shared, totals, items[i]);
            if (failure.length != 0) emit Skipped(index, i, failure);
        }
        _writeTotals(shared, totals);
    }

    function _settleItem(bytes32[5] calldata shared, Totals memory totals, SettledItem calldata item)
        private
        returns (bytes memory failure)
    {
        DealId dealId = DealId.wrap(_digestOf(DealLib.hashOf(shared, item.details)));
        DealWord word = _deals[dealId];
        if (!word.isIn(Status.ResultsSubmitted)) return _notIn(dealId, word, Status.ResultsSubmitted);
        uint256 revealDeadline;
        // Safe: 40 bits and at most thirty days.
        unchecked {
            revealDeadline = word.deadline() + REVEAL_WINDOW;
        }
        if (block.timestamp > revealDeadline) return _passed(dealId, revealDeadline);
        bytes32 digest = _digest(item.head, item.content);
        uint176 opened = _commitment(dealId, totals.provider, digest, item.salt);
        if (opened != word.commitment()) return _failure(CommitmentMismatch.selector, _word(dealId), word.commitment(), opened);
        bool waived = item.agreement == Agreement.Waiver;
        failure = waived
            ? _checkWaiver(totals.creator, dealId, digest, item.signature)
            : _checkJudged(totals.creator, dealId, word, digest, item);
        if (failure.length != 0) return failure;
        (bool known, bool drawn) = _lotteryOf(totals, dealId, word.period());
        if (!(known || waived)) return _failure(SeedPending.selector, _word(dealId), word.period() + 1);
        if (drawn) return _failure(DealDrawn.selector, _word(dealId));
        uint256 gross = _addUp(totals, item.head);
        _move(dealId, word, word.ended(Status.Accepted, block.timestamp));
        emit DealAccepted(dealId, totals.creator.plain(), totals.provider.plain(), digest, gross);
    }

    /// @dev As _lottery; the source of randomness is asked once for neighbours of the same period.
    function _lotteryOf(Totals memory totals, DealId dealId, uint256 period)
        private
        view
        returns (bool known, bool drawn)
    {
        uint256 auditBps = totals.numbers.auditBps();
        if (auditBps == 0) return (true, false);
        if (totals.seedPeriod != period + 1) {
            totals.seedPeriod = period + 1;
            (totals.seedStatus, totals.seed) = RANDOMNESS.seed(uint32(period + 1));
        }
        (known, drawn,) = _drawn(dealId, auditBps, totals.seedStatus, totals.seed);
    }

    /// @dev Before the judge deadline somebody has to have agreed for the creator.
    function _checkJudged(Address creator, DealId dealId, DealWord word, bytes32 digest, SettledItem calldata item)
        private
        view
        returns (bytes memory failure)
    {
        if (block.timestamp > word.deadline()) return failure;
        if (item.agreement == Agreement.Acceptance) {
            bytes32 hash = HashLib.hash(ACCEPTANCE_TYPEHASH, DealId.unwrap(dealId), digest);
            if (_signerOf(creator, hash, item.signature, SCOPE_ACCEPTANCE).isZero()) {
                return _failure(SignatureInvalid.selector, uint256(hash), _word(creator));
            }
        } else if (!_isActor(creator, toWord(msg.sender), SCOPE_ACCEPTANCE)) {
            return _failure(AgreementMissing.selector, _word(dealId), word.deadline());
        }
    }

    function _checkWaiver(Address creator, DealId dealId, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bytes memory failure)
    {
        bytes32 hash = HashLib.hash(WAIVER_TYPEHASH, WAIVER_STATEMENT, DealId.unwrap(dealId), digest);
        if (_signerOf(creator, hash, signature, SCOPE_ACCEPTANCE).isZero()) {
            return _failure(SignatureInvalid.selector, uint256(hash), _word(creator));
        }
    }

    function _totalsOf(bytes32 creator, bytes32 provider, bytes32 token, bytes32 numbers)
        private
        pure
        returns (Totals memory totals)
    {
        totals.creator = lowAddress(uint256(creator));
        totals.provider = lowAddress(uint256(provider));
        totals.price = uint256(provider) >> 160;
        totals.unitPrice = uint256(token) >> 160;
        totals.numbers = DealNumbers.wrap(uint256(numbers));
        totals.premium = _premiumUp(totals.numbers.seatFee(), totals.numbers.auditBps());
    }

    /// @dev Adds what one deal owes with the result `head`.
    function _addUp(Totals memory totals, bytes32 head) private view returns (uint256 gross) {
        DealNumbers numbers = totals.numbers;
        gross = _gross(totals.price, totals.unitPrice, Math.min(uint64(uint256(head)), numbers.maxUnits()));
        (uint256 royalty, uint256 solverFee, uint256 protocolFee) =
            _fees(gross, numbers.royaltyBps(), numbers.solverFeeBps(), numbers.seatFee() != 0);
        // Safe: every amount fits 96 bits.
        unchecked {
            totals.deals += 1;
            totals.gross += gross;
            totals.royalty += royalty;
            totals.solverFee += solverFee;
            totals.toFund += protocolFee + totals.premium;
        }
    }

    /// @dev The group's deals share token, creator and provider, what is locked, and the place where fees accrue.
    function _writeTotals(bytes32[5] calldata shared, Totals memory totals) private {
        if (totals.deals == 0) return;
        Address token = lowAddress(uint256(shared[2]));
        uint256 collateral = uint256(shared[0]) >> 160;
        DealNumbers numbers = totals.numbers;
        uint256 locked = _totalOf(
            _gross(totals.price, totals.unitPrice, numbers.maxUnits()),
            numbers.royaltyBps(),
            numbers.solverFeeBps(),
            numbers.seatFee() != 0,
            totals.premium
        );
        // Safe: every amount fits 96 bits, and no deal owes more than it locked.
        unchecked {
            locked *= totals.deals;
            collateral *= totals.deals;
            uint256 paid = totals.gross + totals.royalty + totals.solverFee + totals.toFund;
            _release(token, totals.creator, locked, locked - paid);
            _release(token, totals.provider, collateral, collateral + totals.gross);
        }
        _accrue(shared[4], totals.royalty, totals.solverFee, totals.toFund);
    }

    // ---- several steps in one call

    /// @dev Opens and posts the results: each deal's word is written once.
    function _openSubmitted(Opening calldata opening, uint176[] calldata commitments)
        internal
        returns (DealId[] memory dealIds)
    {
        Group memory group = _maker(_freshGroup)();
        _revertWith(_checkGroup(group, opening));
        dealIds = new DealId[](opening.jobs.length);
        for (uint256 i = 0; i < dealIds.length; i++) {
            _revertWith(_checkJob(group, opening, opening.jobs[i]));
            _useOffers(group);
            _lock(group);
            _logOpened(group);
            dealIds[i] = group.dealId;
            DealWord word = _agreedWord(group);
            _revertWith(_submitAsProvider(group.dealId, word, commitments[i]));
        }
        _writeProvider(group);
    }

    /// @dev Opens, posts and settles with a waiver: nothing is locked, and the deal's word is written once.
    function _openSettled(Opening calldata opening, bytes32 head, bytes32 content, bytes calldata waiver)
        internal
        returns (DealId dealId)
    {
        Group memory group = _maker(_freshGroup)();
        _revertWith(_checkGroup(group, opening));
        _revertWith(_checkJob(group, opening, opening.jobs[0]));
        _useOffers(group);
        _logOpened(group);
        bytes32[12] memory record = group.record;
        dealId = group.dealId;
        Totals memory totals = _totalsOf(record[0], record[1], record[2], record[3]);
        uint256 gross = _endWaived(dealId, _agreedWord(group), totals, head, content, waiver);
        uint256 paid = gross + totals.royalty + totals.solverFee + totals.toFund;
        _accounts[group.job.token][totals.creator] = group.creatorWord.subFree(paid);
        group.providerWord = group.providerWord.addFree(gross);
        _writeProvider(group);
        _accrue(group.accrual, totals.royalty, totals.solverFee, totals.toFund);
    }

    /// @dev Posts and settles with a waiver.
    function _settleAtOnce(
        bytes32[5] calldata shared,
        bytes32 details,
        bytes32 head,
        bytes32 content,
        bytes calldata waiver
    ) internal {
        DealId dealId = DealId.wrap(_digestOf(DealLib.hashOf(shared, details)));
        Totals memory totals = _totalsOf(shared[0], shared[1], shared[2], shared[3]);
        _endWaived(dealId, _deals[dealId], totals, head, content, waiver);
        _writeTotals(shared, totals);
    }

    /// @dev From Agreed to Accepted. The lottery is not asked: the seed that decides about a result of this period is not known
    /// before the next one.
    function _endWaived(
        DealId dealId,
        DealWord word,
        Totals memory totals,
        bytes32 head,
        bytes32 content,
        bytes calldata waiver
    ) private returns (uint256 gross) {
        _revertWith(_checkSubmission(dealId, word));
        if (block.timestamp > word.deadline()) _revertWith(_passed(dealId, word.deadline()));
        bytes32 digest = _digest(head, content);
        _revertWith(_checkWaiver(totals.creator, dealId, digest, waiver));
        gross = _addUp(totals, head);
        DealWord submitted = DealWordLib.resultsSubmitted(_commitment(dealId, totals.provider, digest, 0), 0, 0);
        _move(dealId, submitted, submitted.ended(Status.Accepted, block.timestamp));
        emit DealAccepted(dealId, totals.creator.plain(), totals.provider.plain(), digest, gross);
    }

    // ---- shared

    function _notIn(DealId dealId, DealWord word, Status needed) internal pure returns (bytes memory) {
        return _failure(DealNotIn.selector, _word(dealId), word.statusBits(), uint256(needed));
    }

    function _passed(DealId dealId, uint256 deadline) internal view returns (bytes memory) {
        return _failure(DeadlinePassed.selector, _word(dealId), deadline, block.timestamp);
    }
}
