// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LilypadDomain} from "../core/LilypadDomain.sol";
import {LilypadRules} from "../core/LilypadRules.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {ILilypadResolver} from "../interfaces/ILilypadResolver.sol";
import {lowAddress, toWord} from "../types/Address.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, Status} from "../types/DealWord.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {JobFailure, JobOutcome, JobResult, RequestState, RequestWord, ResultParts} from "../types/JobRequest.sol";
import {JobTerms, JobTermsLib} from "../types/JobTerms.sol";
import {ModuleTerms, PoolTerms, TermsLib} from "../types/Terms.sol";
import {RequestBook} from "./RequestBook.sol";

/// @title Jobs asked for by contracts: requests, and deliveries proved by the core
/// @dev Shares the core's parameters and domain, so that it computes ids, prices and commitments by the same code. Protocol 9.
contract LilypadJobs is RequestBook, LilypadRules, LilypadDomain {
    using DealLib for bytes32[12];
    using DealLib for Deal;
    using JobTermsLib for JobTerms;
    using TermsLib for ModuleTerms;
    using TermsLib for PoolTerms;

    ILilypad private immutable CORE;
    address private immutable RESOLVER;

    /// @dev What an ended deal says of the request behind it.
    struct Ended {
        Deal deal;
        DealId dealId;
        DealWord word;
        JobOutcome outcome;
    }

    constructor(ILilypad core_)
        LilypadRules(ILilypadResolver(core_.resolver()).parameters())
        LilypadDomain(address(core_))
    {
        CORE = core_;
        RESOLVER = core_.resolver();
    }

    // ---- delivering

    /// @inheritdoc ILilypadJobs
    function deliver(bytes32[12] calldata record, ResultParts calldata parts, bytes calldata stdout)
        external
        returns (bool accepted)
    {
        Ended memory ended = _find(record);
        bytes32 requestId = ended.deal.jobOfferHash;
        RequestWord word = _open(requestId);
        return _conclude(requestId, word, _result(ended, parts, stdout, word.requester()));
    }

    /// @inheritdoc ILilypadJobs
    function deliverFailure(bytes32[12] calldata record) external returns (bool accepted) {
        Ended memory ended = _find(record);
        bytes32 requestId = ended.deal.jobOfferHash;
        return _conclude(requestId, _open(requestId), _failure(ended));
    }

    /// @inheritdoc ILilypadJobs
    function deliverUnopened(address requester, JobTerms calldata terms, bytes32 inputs)
        external
        returns (bool accepted)
    {
        bytes32 requestId = terms.requestId(requester, inputs);
        RequestWord word = _open(requestId);
        JobFailure memory failure;
        failure.outcome = _unopened(requestId, requester, terms);
        // What was Expired stays so, though the requester may have cancelled since.
        if (word.state() == RequestState.CallbackFailed) failure.outcome = word.outcome();
        return _conclude(requestId, word, failure);
    }

    // ---- views

    /// @inheritdoc ILilypadJobs
    function core() external view returns (ILilypad) {
        return CORE;
    }

    /// @inheritdoc ILilypadJobs
    function resultOf(bytes32[12] calldata record, ResultParts calldata parts, bytes calldata stdout)
        external
        view
        returns (bytes32 requestId, JobResult memory result)
    {
        Ended memory ended = _find(record);
        requestId = _known(ended);
        result = _result(ended, parts, stdout, _requesterOf(requestId));
    }

    /// @inheritdoc ILilypadJobs
    function failureOf(bytes32[12] calldata record)
        external
        view
        returns (bytes32 requestId, JobFailure memory failure)
    {
        Ended memory ended = _find(record);
        requestId = _known(ended);
        failure = _failure(ended);
    }

    /// @inheritdoc ILilypadJobs
    function quote(
        JobTerms calldata terms,
        ModuleTerms calldata module,
        PoolTerms calldata pool,
        uint96 price,
        uint96 unitPrice
    ) external view returns (uint256 locked) {
        if (VersionId.unwrap(module.id()) != terms.module) revert TermsMismatch(VersionId.unwrap(module.id()), terms.module);
        if (PoolId.unwrap(pool.id()) != terms.pool) revert TermsMismatch(PoolId.unwrap(pool.id()), terms.pool);
        Deal memory deal;
        deal.pool = terms.pool;
        deal.price = price;
        deal.unitPrice = unitPrice;
        deal.maxUnits = terms.maxUnits;
        deal.auditBps = terms.auditBps;
        deal.royaltyBps = module.royaltyBps;
        deal.solverFeeBps = terms.solver == address(0) ? 0 : terms.solverFeeBps;
        if (terms.pool != 0) deal.seatFee = _seatFeeUp(_value(deal), pool.seatFeeFloor, module.minSeatFee);
        return _lockedTotal(deal);
    }

    // ---- what the core says

    function _find(bytes32[12] memory record) private view returns (Ended memory ended) {
        ended.deal = record.load();
        ended.dealId = DealId.wrap(_digestOf(ended.deal.structHash()));
        ended.word = CORE.dealWord(ended.dealId);
        ended.outcome = _outcomeOf(ended.word);
    }

    /// @dev None while the deal is not over for the request; a declined one leaves it open.
    function _outcomeOf(DealWord word) private pure returns (JobOutcome) {
        if (word.isIn(Status.Accepted) || word.isIn(Status.MediationAccepted)) return JobOutcome.Fulfilled;
        if (word.isIn(Status.TimedOut)) return JobOutcome.Late;
        if (word.isIn(Status.MediationRejected)) return JobOutcome.Wrong;
        if (word.isIn(Status.NoFault)) return JobOutcome.NoFault;
        if (word.isIn(Status.ClosedByAgreement)) return JobOutcome.Closed;
        return JobOutcome.None;
    }

    function _known(Ended memory ended) private view returns (bytes32 requestId) {
        requestId = ended.deal.jobOfferHash;
        if (_requesterOf(requestId) == address(0)) revert RequestUnknown(requestId);
    }

    function _result(Ended memory ended, ResultParts calldata parts, bytes calldata stdout, address requester)
        private
        view
        returns (JobResult memory result)
    {
        if (ended.outcome != JobOutcome.Fulfilled) revert OutcomeNotDue(ended.dealId, ended.outcome);
        bytes32 content = keccak256(abi.encode(parts.stdoutHash, parts.stderrHash, parts.outputsRoot));
        bytes32 digest = _digest(parts.head, content);
        uint176 opened = _commitment(ended.dealId, ended.deal.provider, digest, parts.salt);
        if (opened != ended.word.commitment()) revert ResultMismatch(ended.dealId, ended.word.commitment(), opened);
        uint256 head = uint256(parts.head);
        result.dealId = ended.dealId;
        result.provider = ended.deal.provider.plain();
        result.resultDigest = digest;
        (result.units, result.exitCode, result.counted) = (uint64(head), uint32(head >> 64), uint8(head >> 96));
        (result.stdoutHash, result.stderrHash, result.outputsRoot) =
            (parts.stdoutHash, parts.stderrHash, parts.outputsRoot);
        result.paid = _charge(ended.deal, uint64(head)).total;
        result.stdoutInline = _isInline(ended, parts.stdoutHash, stdout, requester);
        if (result.stdoutInline) result.stdout = stdout;
    }

    /// @dev Whether `stdout` is to be handed over. When the module counts it, whoever comes first must bring it: only the
    /// requester may do without, and others when nobody brought it for the deployment's reveal window.
    function _isInline(Ended memory ended, bytes32 hash, bytes calldata stdout, address requester)
        private
        view
        returns (bool)
    {
        bytes32 found = keccak256(stdout);
        if (found == hash) return stdout.length <= MAX_INLINE_BYTES;
        if (stdout.length != 0) revert StdoutMismatch(found, hash);
        uint256 until = ended.word.deadline() + REVEAL_WINDOW; // of a final word: when it ended
        if (hash != 0 && msg.sender != requester && block.timestamp <= until) {
            revert StdoutMissing(ended.dealId, until, block.timestamp);
        }
        return false;
    }

    /// @dev What the resolver paid, by the same formulas. A keeper earns its bounty out of the penalty.
    function _failure(Ended memory ended) private pure returns (JobFailure memory failure) {
        JobOutcome outcome = ended.outcome;
        if (outcome == JobOutcome.None || outcome == JobOutcome.Fulfilled) revert OutcomeNotDue(ended.dealId, outcome);
        (failure.outcome, failure.dealId) = (outcome, ended.dealId);
        if (outcome == JobOutcome.NoFault) failure.paid = _premiumUp(ended.deal);
        if (outcome == JobOutcome.Wrong) failure.compensation = _value(ended.deal);
        if (outcome == JobOutcome.Late) {
            uint256 penalty = _penalty(ended.deal);
            failure.compensation = penalty - _shareDown(penalty, KEEPER_BOUNTY_BPS);
        }
    }

    /// @dev Both answers are for ever: a cancelled or expired offer opens nothing more.
    function _unopened(bytes32 requestId, address requester, JobTerms calldata terms) private view returns (JobOutcome) {
        (bool used, bool cancelled) = CORE.jobNonce(requester, terms.nonce);
        if (used) revert RequestNonceSpent(requester, terms.nonce);
        (,, uint32 floor,) = CORE.accountOf(terms.token, requester);
        if (cancelled || terms.nonce < floor) return JobOutcome.Cancelled;
        if (block.timestamp <= terms.expiry) revert RequestStillOpen(requestId, terms.expiry, block.timestamp);
        return JobOutcome.Expired;
    }

    // ---- of the book

    function _admit(bytes32 requestId, JobTerms calldata terms) internal view override {
        if (CORE.approverOf(msg.sender, _digestOf(requestId)) == address(0)) {
            revert RequestNotApproved(requestId, msg.sender);
        }
        (bool used, bool cancelled) = CORE.jobNonce(msg.sender, terms.nonce);
        if (used || cancelled) revert RequestNonceSpent(msg.sender, terms.nonce);
    }

    function _isOfProtocol(address account) internal view override returns (bool) {
        return account == address(CORE) || account == RESOLVER;
    }
}
