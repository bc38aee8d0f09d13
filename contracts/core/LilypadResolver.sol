// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadResolver} from "../interfaces/ILilypadResolver.sol";
import {IStrategyHost} from "../interfaces/IStrategyHost.sol";
import {Address, NOBODY, lowAddress, toWord} from "../types/Address.sol";
import {Change, Closing, Outcome, ResultOpening, Step, Term, Verdict} from "../types/Calls.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {LilypadDomain} from "./LilypadDomain.sol";
import {LilypadRules} from "./LilypadRules.sol";

/// @title Every ending but a settlement
/// @dev Each function reads the deal's word from the core, checks, and hands the core an Outcome. Amounts follow from the
/// record alone, so a strategy can hurt only those who signed for it. No function calls anything but the core and the
/// randomness. Protocol sections 4 and 6.
contract LilypadResolver is LilypadRules, LilypadDomain, ILilypadResolver {
    using DealLib for bytes32[12];
    using JobOfferLib for JobOffer;

    bytes32 private constant CLOSING_TYPEHASH =
        keccak256("Closing(bytes32 dealId,uint96 toCreator,uint96 toProvider,uint40 expiry)");
    uint8 private constant SCOPE_RESULTS = 2;
    uint8 private constant SCOPE_ACCEPTANCE = 4;

    /// @inheritdoc ILilypadResolver
    ILilypad public immutable core;

    /// @dev Beginner [0..159] | what it advanced for a short fund and is still owed [160..255].
    mapping(DealId => uint256) private _disputes;

    /// @dev A deal as it is being ended.
    struct Case {
        Deal deal;
        DealId id;
        DealWord word;
    }

    /// @dev How a dispute begins; smallest units.
    struct Dispute {
        DisputeKind kind;
        Address by;
        uint256 fromBeginner;
        uint256 fromFund;
        uint256 fromCollateral;
    }

    constructor(Parameters memory parameters_) LilypadRules(parameters_) LilypadDomain(msg.sender) {
        core = ILilypad(msg.sender);
    }

    // ---- ends without a result, or without an opening

    /// @inheritdoc ILilypadResolver
    function decline(bytes32[12] calldata record, bytes32[4] calldata job) external {
        _decline(record, job);
    }

    /// @inheritdoc ILilypadResolver
    function declineBatch(bytes32[12][] calldata records, bytes32[4][] calldata jobs) external {
        _requireSameLength(records.length, jobs.length);
        for (uint256 i = 0; i < records.length; i++) {
            _decline(records[i], jobs[i]);
        }
    }

    function _decline(bytes32[12] memory record, bytes32[4] calldata words) private {
        Case memory c = _find(record);
        _requireIn(c, Status.Agreed);
        Deal memory deal = c.deal;
        _requireActor(deal.provider, SCOPE_RESULTS);
        _requireBy(c, c.word.deadline() - deal.submitWindow + deal.submitWindow / 4);
        JobOffer memory job;
        job.load(words);
        job.share(words, deal.token, deal.module, deal.pool, deal.solver, deal.provider);
        bytes32 hash = job.structHash();
        if (hash != deal.jobOfferHash) revert JobOfferMismatch(c.id, hash, deal.jobOfferHash);

        uint256 cost = Math.min(deal.collateral, _shareDown(_value(deal), DECLINE_BPS));
        uint256 total = _lockedTotal(deal);
        Outcome memory outcome = _outcome(c, Status.Declined, 2);
        outcome.changes[0] = Change(deal.creator, 0, total, total + cost);
        outcome.changes[1] = Change(deal.provider, 0, deal.collateral, deal.collateral - cost);
        core.conclude(outcome);
        core.releaseNonce(deal.creator.plain(), uint32(job.nonce));
        emit DealDeclined(c.id, deal.creator.plain(), deal.provider.plain(), cost);
    }

    /// @inheritdoc ILilypadResolver
    function timeoutSubmit(bytes32[12] calldata record) external {
        _timeoutSubmit(record);
    }

    function _timeoutSubmit(bytes32[12] memory record) private {
        Case memory c = _find(record);
        _requireIn(c, Status.Agreed);
        _requireAfter(c, c.word.deadline());
        _endLate(c, 0, 0, toWord(msg.sender));
    }

    /// @inheritdoc ILilypadResolver
    function timeoutReveal(bytes32[12] calldata record) external {
        _timeoutReveal(record);
    }

    function _timeoutReveal(bytes32[12] memory record) private {
        Case memory c = _find(record);
        _requireIn(c, Status.ResultsSubmitted);
        _requireAfter(c, c.word.deadline() + REVEAL_WINDOW);
        (bool known, bool drawn,) = _lottery(c.id, c.deal.auditBps, c.word.period());
        if (!known) revert SeedPending(c.id, c.word.period() + 1);
        if (drawn) revert DealDrawn(c.id);
        _endLate(c, _premiumUp(c.deal), 0, toWord(msg.sender));
    }

    /// @dev The provider was late: refund, penalty less the keeper's bounty; premium and claim out of the collateral on top.
    /// At opening the collateral was at least value + premium + four seat fees; in pool 0 premium and claim are 0.
    function _endLate(Case memory c, uint256 premium, uint256 claim, Address keeper) private {
        Deal memory deal = c.deal;
        uint256 penalty = _penalty(deal);
        uint256 bounty = keeper.isZero() ? 0 : _shareDown(penalty, KEEPER_BOUNTY_BPS);
        uint256 total = _lockedTotal(deal);
        Outcome memory outcome = _outcome(c, Status.TimedOut, 4);
        outcome.changes[0] = Change(deal.creator, 0, total, total + penalty - bounty);
        outcome.changes[1] =
            Change(deal.provider, 0, deal.collateral, deal.collateral - penalty - premium - claim);
        outcome.changes[2] = Change(keeper, 0, 0, bounty);
        outcome.changes[3] = Change(deal.strategy, 0, 0, claim);
        outcome.toFund = premium;
        core.conclude(outcome);
        emit DealTimedOut(
            c.id, deal.creator.plain(), deal.provider.plain(), penalty, bounty, keeper.plain(), premium, claim
        );
    }

    // ---- closing by both

    /// @inheritdoc ILilypadResolver
    function close(bytes32[12] calldata record, Closing calldata closing) external {
        _close(record, closing);
    }

    /// @inheritdoc ILilypadResolver
    function closeBatch(bytes32[12][] calldata records, Closing[] calldata closings) external {
        _requireSameLength(records.length, closings.length);
        for (uint256 i = 0; i < records.length; i++) {
            _close(records[i], closings[i]);
        }
    }

    function _close(bytes32[12] memory record, Closing calldata closing) private {
        Case memory c = _find(record);
        Deal memory deal = c.deal;
        uint256 premium;
        if (c.word.isIn(Status.ResultsSubmitted)) {
            (, bool drawn,) = _lottery(c.id, deal.auditBps, c.word.period());
            if (drawn) revert DealDrawn(c.id);
            _requireBy(c, c.word.deadline() + REVEAL_WINDOW);
            premium = _premiumUp(deal);
        } else {
            _requireIn(c, Status.Agreed);
            _requireBy(c, c.word.deadline());
        }
        _requireClosing(c, closing);
        uint256 total = _lockedTotal(deal);
        uint256 escrow = total + deal.collateral - premium;
        uint256 split = uint256(closing.toCreator) + closing.toProvider;
        if (split != escrow) revert SplitUnbalanced(c.id, split, escrow);
        Outcome memory outcome = _outcome(c, Status.ClosedByAgreement, 2);
        outcome.changes[0] = Change(deal.creator, 0, total, closing.toCreator);
        outcome.changes[1] = Change(deal.provider, 0, deal.collateral, closing.toProvider);
        outcome.toFund = premium;
        core.conclude(outcome);
        emit DealClosed(
            c.id, deal.creator.plain(), deal.provider.plain(), closing.toCreator, closing.toProvider, premium
        );
    }

    function _requireClosing(Case memory c, Closing calldata closing) private view {
        _requireBy(c, closing.expiry);
        bytes32 hash =
            keccak256(abi.encode(CLOSING_TYPEHASH, c.id, closing.toCreator, closing.toProvider, closing.expiry));
        _requireConsent(c.deal.creator, hash, closing.creatorSignature, SCOPE_ACCEPTANCE);
        _requireConsent(c.deal.provider, hash, closing.providerSignature, SCOPE_RESULTS);
    }

    // ---- how disputes begin

    /// @inheritdoc ILilypadResolver
    function challenge(bytes32[12] calldata record) external {
        _challenge(record);
    }

    function _challenge(bytes32[12] memory record) private {
        Case memory c = _find(record);
        _requireChallengeable(c);
        (, bool drawn,) = _lottery(c.id, c.deal.auditBps, c.word.period());
        DisputeKind kind = drawn ? DisputeKind.ChallengeDrawn : DisputeKind.Challenge;
        _begin(c, Dispute(kind, toWord(msg.sender), _panelFee(c.deal.seatFee), 0, 0));
    }

    /// @inheritdoc ILilypadResolver
    function challengeDelivery(bytes32[12] calldata record) external {
        _challengeDelivery(record);
    }

    function _challengeDelivery(bytes32[12] memory record) private {
        Case memory c = _find(record);
        _requireChallengeable(c);
        _requireActor(c.deal.creator, SCOPE_ACCEPTANCE);
        if (c.word.deliveryWasChallenged()) revert DeliveryChallengedBefore(c.id);
        _begin(c, Dispute(DisputeKind.Delivery, toWord(msg.sender), _panelFee(c.deal.seatFloor), 0, 0));
    }

    /// @inheritdoc ILilypadResolver
    function audit(bytes32[12] calldata record, uint256 maxAdvance) external {
        _audit(record, maxAdvance);
    }

    function _audit(bytes32[12] memory record, uint256 maxAdvance) private {
        Case memory c = _find(record);
        _requireIn(c, Status.ResultsSubmitted);
        _requireBy(c, c.word.deadline() + MEDIATION_LIMIT);
        bool expired = _requireDrawn(c);
        uint256 fee = _auditFee(c.deal.seatFee);
        if (expired) return _begin(c, Dispute(DisputeKind.AuditExpired, toWord(msg.sender), 0, 0, fee));
        uint256 fromFund = Math.min(_fundOf(c.deal), fee);
        uint256 advance = fee - fromFund;
        if (advance > maxAdvance) revert FundShort(c.id, fromFund, fee, maxAdvance);
        _begin(c, Dispute(DisputeKind.Audit, toWord(msg.sender), advance, fromFund, 0));
    }

    /// @dev The whole fee goes to the strategy's ledger account; the strategy is not called.
    function _begin(Case memory c, Dispute memory dispute) private {
        Deal memory deal = c.deal;
        uint256 fee = dispute.fromBeginner + dispute.fromFund + dispute.fromCollateral;
        _requireCredit(deal, dispute.by, dispute.fromBeginner);
        uint256 deadline = block.timestamp + MEDIATION_LIMIT;
        Outcome memory outcome = _outcomeTo(c, c.word.inMediation(dispute.kind, deadline), 3);
        outcome.changes[0] = Change(dispute.by, dispute.fromBeginner, 0, 0);
        outcome.changes[1] = Change(deal.provider, 0, dispute.fromCollateral, 0);
        outcome.changes[2] = Change(deal.strategy, 0, 0, fee);
        outcome.fromFund = dispute.fromFund;
        core.conclude(outcome);
        uint256 owed = dispute.kind == DisputeKind.Audit ? dispute.fromBeginner : 0;
        _disputes[c.id] = Address.unwrap(dispute.by) | owed << 160;
        emit DisputeOpened(
            c.id, dispute.by.plain(), dispute.kind, fee, dispute.fromFund, dispute.fromCollateral, deadline
        );
    }

    // ---- how disputes end

    /// @inheritdoc IStrategyHost
    function resolve(
        bytes32[12] calldata record,
        Verdict verdict,
        ResultOpening calldata opening,
        uint96 claim,
        address bountyTo
    ) external {
        Case memory c = _find(record);
        _requireIn(c, Status.InMediation);
        if (toWord(msg.sender) != c.deal.strategy) revert StrategyOnly(c.id, c.deal.strategy.plain(), msg.sender);
        _requireBy(c, c.word.deadline());
        bool aboutDelivery = verdict == Verdict.Delivered || verdict == Verdict.NotDelivered;
        if (verdict != Verdict.NoFault && aboutDelivery != c.word.isOfKind(DisputeKind.Delivery)) {
            revert VerdictNotPossible(c.id, c.word.disputeKind());
        }
        if (verdict == Verdict.Correct) return _resolveCorrect(c, opening, claim);
        if (verdict == Verdict.Wrong) return _resolveWrong(c, claim, toWord(bountyTo));
        if (verdict == Verdict.NotDelivered) return _resolveNotDelivered(c, claim, toWord(bountyTo));
        _requireClaim(c, claim, 0);
        if (verdict == Verdict.NoFault) return _endNoFault(c);
        _resolveDelivered(c);
    }

    /// @dev As a settlement. Gross and collateral cover three seat fees (6.6), unless the collateral has paid an audit before.
    function _resolveCorrect(Case memory c, ResultOpening calldata opening, uint256 claim) private {
        Deal memory deal = c.deal;
        bytes32 digest = _digest(opening.head, opening.content);
        uint176 opened = _commitment(c.id, deal.provider, digest, opening.salt);
        if (opened != c.word.commitment()) revert CommitmentMismatch(c.id, c.word.commitment(), opened);
        Charge memory charge = _charge(deal, uint64(uint256(opening.head)));
        uint256 total = _lockedTotal(deal);
        uint256 collateral = _collateralLeft(c);
        _requireClaim(c, claim, Math.min(_panelFee(deal.seatFee), collateral + charge.gross));
        Outcome memory outcome = _outcome(c, Status.MediationAccepted, 3);
        outcome.changes[0] = Change(deal.creator, 0, total, total - charge.total);
        outcome.changes[1] = Change(deal.provider, 0, collateral, collateral + charge.gross - claim);
        outcome.changes[2] = Change(deal.strategy, 0, 0, claim);
        outcome.toFund = charge.toFund;
        (outcome.version, outcome.solver) = (deal.module, deal.solver);
        (outcome.royalty, outcome.solverFee) = (charge.royalty, charge.solverFee);
        core.conclude(outcome);
        emit DealMediationAccepted(
            c.id, deal.creator.plain(), deal.provider.plain(), digest, charge.gross, claim
        );
    }

    /// @dev Protocol 6.7, in its order: premium and creator, claim, bounty, fund.
    function _resolveWrong(Case memory c, uint256 claim, Address bountyTo) private {
        Deal memory deal = c.deal;
        uint256 premium = _premiumUp(deal);
        uint256 value = _value(deal);
        uint256 collateral = _collateralLeft(c);
        uint256 left = collateral - premium - value;
        _requireClaim(c, claim, left);
        left -= claim;
        uint256 bounty;
        if (c.word.isOfKind(DisputeKind.Challenge) && !bountyTo.isZero()) {
            bounty = Math.min(left, _shareDown(deal.collateral, CHALLENGER_BOUNTY_BPS));
        }
        uint256 total = _lockedTotal(deal);
        Outcome memory outcome = _outcome(c, Status.MediationRejected, 4);
        outcome.changes[0] = Change(deal.creator, 0, total, total + value);
        outcome.changes[1] = Change(deal.provider, 0, collateral, 0);
        outcome.changes[2] = Change(deal.strategy, 0, 0, claim);
        outcome.changes[3] = Change(bountyTo, 0, 0, bounty);
        outcome.toFund = premium + left - bounty;
        core.conclude(outcome);
        emit DealMediationRejected(
            c.id, deal.creator.plain(), deal.provider.plain(), claim, bounty, bountyTo.plain(), left - bounty
        );
    }

    function _resolveNotDelivered(Case memory c, uint256 claim, Address keeper) private {
        uint256 premium = _premiumUp(c.deal);
        _requireClaim(c, claim, c.deal.collateral - _penalty(c.deal) - premium);
        _endLate(c, premium, claim, keeper);
    }

    function _resolveDelivered(Case memory c) private {
        uint256 judgeDeadline = block.timestamp + c.deal.judgeWindow;
        core.conclude(_outcomeTo(c, c.word.delivered(judgeDeadline), 0));
        emit DeliveryConfirmed(c.id, judgeDeadline);
    }

    /// @inheritdoc ILilypadResolver
    function timeoutMediation(bytes32[12] calldata record) external {
        _timeoutMediation(record);
    }

    function _timeoutMediation(bytes32[12] memory record) private {
        Case memory c = _find(record);
        if (c.word.isIn(Status.ResultsSubmitted)) {
            _requireDrawn(c);
            _requireAfter(c, c.word.deadline() + MEDIATION_LIMIT);
        } else {
            _requireIn(c, Status.InMediation);
            _requireAfter(c, c.word.deadline());
        }
        _endNoFault(c);
    }

    function _endNoFault(Case memory c) private {
        Deal memory deal = c.deal;
        uint256 premium = _premiumUp(deal);
        uint256 total = _lockedTotal(deal);
        uint256 collateral = _collateralLeft(c);
        Outcome memory outcome = _outcome(c, Status.NoFault, 2);
        outcome.changes[0] = Change(deal.creator, 0, total, total - premium);
        outcome.changes[1] = Change(deal.provider, 0, collateral, collateral);
        outcome.toFund = premium;
        core.conclude(outcome);
        emit DealNoFault(c.id, deal.creator.plain(), deal.provider.plain(), premium, collateral);
    }

    /// @inheritdoc ILilypadResolver
    function repayAdvance(bytes32[12] calldata record) external {
        _repayAdvance(record);
    }

    function _repayAdvance(bytes32[12] memory record) private {
        Case memory c = _find(record);
        uint256 dispute = _disputes[c.id];
        uint256 owed = dispute >> 160;
        uint256 amount = Math.min(_fundOf(c.deal), owed);
        if (amount == 0 || c.word.statusBits() <= uint256(Status.InMediation)) revert AdvanceNotDue(c.id);
        Address to = lowAddress(dispute);
        _disputes[c.id] = Address.unwrap(to) | owed - amount << 160;
        core.payFromFund(c.deal.strategy.plain(), c.deal.token.plain(), PoolId.wrap(c.deal.pool), to.plain(), amount);
        emit AdvanceRepaid(c.id, to.plain(), amount);
    }

    // ---- batches

    /// @inheritdoc ILilypadResolver
    function stepBatch(Step step, bytes32[12][] calldata records, uint256 maxAdvance) external {
        for (uint256 i = 0; i < records.length; i++) {
            _step(step, records[i], maxAdvance);
        }
    }

    function _step(Step step, bytes32[12] memory record, uint256 maxAdvance) private {
        if (step == Step.TimeoutSubmit) return _timeoutSubmit(record);
        if (step == Step.TimeoutReveal) return _timeoutReveal(record);
        if (step == Step.TimeoutMediation) return _timeoutMediation(record);
        if (step == Step.Challenge) return _challenge(record);
        if (step == Step.ChallengeDelivery) return _challengeDelivery(record);
        if (step == Step.Audit) return _audit(record, maxAdvance);
        _repayAdvance(record);
    }

    // ---- shared

    function _find(bytes32[12] memory record) private view returns (Case memory c) {
        c.deal = record.load();
        c.id = DealId.wrap(_digestOf(record.structHash()));
        c.word = core.dealWord(c.id);
    }

    function _outcome(Case memory c, Status final_, uint256 changes) private view returns (Outcome memory) {
        // Without a result nothing of the word is kept: the provider stands where the commitment would be.
        DealWord kept = c.word.isIn(Status.Agreed) ? DealWord.wrap(0) : c.word;
        return _outcomeTo(c, kept.ended(final_, block.timestamp), changes);
    }

    function _outcomeTo(Case memory c, DealWord to, uint256 changes) private pure returns (Outcome memory outcome) {
        outcome.dealId = c.id;
        outcome.from = c.word;
        outcome.to = to;
        outcome.token = c.deal.token;
        outcome.strategy = c.deal.strategy;
        outcome.pool = PoolId.wrap(c.deal.pool);
        outcome.changes = new Change[](changes);
    }

    /// @dev What is still locked of the collateral: after a lost seed the provider paid the audit out of it.
    function _collateralLeft(Case memory c) private pure returns (uint256) {
        bool paidAudit = c.word.isIn(Status.InMediation) && c.word.isOfKind(DisputeKind.AuditExpired);
        return paidAudit ? c.deal.collateral - _auditFee(c.deal.seatFee) : c.deal.collateral;
    }

    function _fundOf(Deal memory deal) private view returns (uint256) {
        return core.fundOf(deal.strategy.plain(), deal.token.plain(), PoolId.wrap(deal.pool));
    }

    function _requireIn(Case memory c, Status needed) private pure {
        if (!c.word.isIn(needed)) revert DealNotIn(c.id, c.word.status(), needed);
    }

    function _requireBy(Case memory c, uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(c.id, deadline, block.timestamp);
    }

    function _requireAfter(Case memory c, uint256 deadline) private view {
        if (block.timestamp <= deadline) revert DeadlineAhead(c.id, deadline, block.timestamp);
    }

    function _requireActor(Address account, uint8 scope) private view {
        if (toWord(msg.sender) == account || core.isActor(account.plain(), msg.sender, scope)) return;
        revert NotAuthorised(account.plain(), msg.sender, scope);
    }

    function _requireConsent(Address account, bytes32 hash, bytes calldata signature, uint8 scope) private view {
        // To the core the caller is this contract, so the account's own call is recognised here.
        if (signature.length == 0 && toWord(msg.sender) == account) return;
        if (core.consentOf(account.plain(), hash, signature, scope) != address(0)) return;
        revert SignatureInvalid(hash, account.plain());
    }

    function _requireChallengeable(Case memory c) private view {
        _requireIn(c, Status.ResultsSubmitted);
        if (c.deal.pool == 0) revert DealUnverified(c.id);
        _requireBy(c, c.word.deadline());
    }

    /// @return expired Whether the deal counts as drawn because its seed was lost.
    function _requireDrawn(Case memory c) private view returns (bool expired) {
        bool known;
        bool drawn;
        (known, drawn, expired) = _lottery(c.id, c.deal.auditBps, c.word.period());
        if (!known) revert SeedPending(c.id, c.word.period() + 1);
        if (!drawn) revert DealNotDrawn(c.id);
    }

    function _requireCredit(Deal memory deal, Address account, uint256 needed) private view {
        if (needed == 0) return;
        (uint256 has,,,) = core.accountOf(deal.token.plain(), account.plain());
        if (has < needed) revert FundsMissing(account.plain(), deal.token.plain(), has, needed);
    }

    function _requireClaim(Case memory c, uint256 claim, uint256 most) private pure {
        if (claim > most) revert ClaimTooHigh(c.id, claim, most);
    }

    function _requireSameLength(uint256 left, uint256 right) private pure {
        if (left != right) revert BatchLengthsDiffer(left, right);
    }

    // ---- views

    /// @inheritdoc IStrategyHost
    function disputeOf(DealId dealId) external view returns (address by, uint96 advanced) {
        uint256 dispute = _disputes[dealId];
        return (lowAddress(dispute).plain(), uint96(dispute >> 160));
    }

    /// @inheritdoc ILilypadResolver
    function parameters() external view returns (Parameters memory) {
        return Parameters({
            randomness: RANDOMNESS,
            protocolFeeBps: uint16(PROTOCOL_FEE_BPS),
            minSubmitWindow: uint32(MIN_SUBMIT_WINDOW),
            maxSubmitWindow: uint32(MAX_SUBMIT_WINDOW),
            minJudgeWindow: uint32(MIN_JUDGE_WINDOW),
            maxJudgeWindow: uint32(MAX_JUDGE_WINDOW),
            revealWindow: uint32(REVEAL_WINDOW),
            mediationLimit: uint32(MEDIATION_LIMIT)
        });
    }
}
