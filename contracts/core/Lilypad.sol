// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypad} from "../interfaces/ILilypad.sol";
import {Address, toWord} from "../types/Address.sol";
import {Change, Opening, Outcome, Settlement, SignedResult} from "../types/Calls.sol";
import {DealLib} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {LilypadDomain} from "./LilypadDomain.sol";
import {LilypadResolver} from "./LilypadResolver.sol";
import {LilypadResults} from "./LilypadResults.sol";
import {LilypadRules} from "./LilypadRules.sol";

/// @title The core of Lilypad: its public calls, single and in batches
/// @dev Each call is documented in ILilypad. Storage and transitions: LilypadStorage. Ledger: LilypadPayments. Signatures,
/// delegates, nonces: LilypadConsent. Numbers: LilypadRules. The life of a deal: LilypadOpening, LilypadResults; its other
/// endings: LilypadResolver, which the constructor creates.
/// No call but deposit and withdraw hands control to anybody: signatures of contracts are asked by static calls.
contract Lilypad is LilypadResults {
    /// @inheritdoc ILilypad
    address public immutable resolver;

    constructor(Parameters memory parameters_) LilypadRules(parameters_) LilypadDomain(address(this)) {
        resolver = address(new LilypadResolver(parameters_));
    }

    // ---- opening

    /// @inheritdoc ILilypad
    function open(Opening calldata opening) external returns (DealId[] memory dealIds) {
        return _openAll(opening);
    }

    /// @inheritdoc ILilypad
    function openBatch(Opening[] calldata openings) external {
        for (uint256 i = 0; i < openings.length; i++) {
            _openWhatCanBe(i, openings[i]);
        }
    }

    /// @inheritdoc ILilypad
    function openAndSubmit(Opening calldata opening, uint176[] calldata commitments)
        external
        returns (DealId[] memory dealIds)
    {
        _requireSameLength(opening.jobs.length, commitments.length);
        return _openSubmitted(opening, commitments);
    }

    /// @inheritdoc ILilypad
    function openSubmitAndSettle(Opening calldata opening, bytes32 head, bytes32 content, bytes calldata waiver)
        external
        returns (DealId dealId)
    {
        _requireSameLength(opening.jobs.length, 1);
        return _openSettled(opening, head, content, waiver);
    }

    // ---- results

    /// @inheritdoc ILilypad
    function submitResult(DealId dealId, uint176 commitment) external {
        _revertWith(_submitAsProvider(dealId, _deals[dealId], commitment));
    }

    /// @inheritdoc ILilypad
    function submitResults(DealId[] calldata dealIds, uint176[] calldata commitments) external {
        _requireSameLength(dealIds.length, commitments.length);
        for (uint256 i = 0; i < dealIds.length; i++) {
            _skipOn(i, _submitAsProvider(dealIds[i], _deals[dealIds[i]], commitments[i]));
        }
    }

    /// @inheritdoc ILilypad
    function submitSignedResults(SignedResult[] calldata results) external {
        for (uint256 i = 0; i < results.length; i++) {
            _skipOn(i, _submitSigned(results[i]));
        }
    }

    /// @inheritdoc ILilypad
    function submitAndSettle(
        bytes32[5] calldata shared,
        bytes32 details,
        bytes32 head,
        bytes32 content,
        bytes calldata waiver
    ) external {
        _settleAtOnce(shared, details, head, content, waiver);
    }

    /// @inheritdoc ILilypad
    function settle(Settlement calldata settlement) external {
        _settleAll(settlement);
    }

    /// @inheritdoc ILilypad
    function settleBatch(Settlement[] calldata settlements) external {
        for (uint256 i = 0; i < settlements.length; i++) {
            _settleWhatCanBe(i, settlements[i]);
        }
    }

    // ---- for the resolver

    /// @inheritdoc ILilypad
    function conclude(Outcome calldata outcome) external {
        if (msg.sender != resolver) revert ResolverOnly(msg.sender);
        uint256 found = DealWord.unwrap(_deals[outcome.dealId]);
        uint256 expected = DealWord.unwrap(outcome.from);
        if (found != expected) revert DealMoved(outcome.dealId, found, expected);
        _move(outcome.dealId, outcome.from, outcome.to);
        uint256 taken = outcome.fromFund;
        uint256 given = outcome.toFund + outcome.royalty + outcome.solverFee;
        for (uint256 i = 0; i < outcome.changes.length; i++) {
            Change calldata change = outcome.changes[i];
            _take(outcome.token, change.account, change.spent);
            _release(outcome.token, change.account, change.unlocked, change.received);
            taken += change.spent + change.unlocked;
            given += change.received;
        }
        bytes32 key = _fundKey(outcome.strategy, outcome.token, outcome.pool);
        _funds[key] = _funds[key] - outcome.fromFund + outcome.toFund;
        _addFees(outcome.token, outcome.version, outcome.solver, outcome.royalty, outcome.solverFee);
        if (taken != given) revert OutcomeUnbalanced(outcome.dealId, taken, given);
    }

    /// @inheritdoc ILilypad
    function releaseNonce(address creator, uint32 nonce) external {
        if (msg.sender != resolver) revert ResolverOnly(msg.sender);
        _jobNonces[toWord(creator)][nonce >> 7] &= ~(1 << (nonce & 127));
    }

    /// @inheritdoc ILilypad
    function payFromFund(address strategy, address token, PoolId pool, address to, uint256 amount) external {
        if (msg.sender != resolver) revert ResolverOnly(msg.sender);
        _funds[_fundKey(toWord(strategy), toWord(token), pool)] -= amount;
        _credit(toWord(token), toWord(to), amount);
    }

    // ---- views

    /// @inheritdoc ILilypad
    function dealWord(DealId dealId) external view returns (DealWord) {
        return _deals[dealId];
    }

    /// @inheritdoc ILilypad
    function find(bytes32[12] memory record) external view returns (DealId dealId, DealWord word) {
        dealId = DealId.wrap(_digestOf(DealLib.structHash(record)));
        word = _deals[dealId];
    }

    /// @inheritdoc ILilypad
    function digestOf(bytes32 structHash) external view returns (bytes32) {
        return _digestOf(structHash);
    }

    /// @inheritdoc ILilypad
    function dealOf(DealId dealId)
        external
        view
        returns (
            Status status,
            DisputeKind kind,
            bool deliveryChallenged,
            uint256 deadline,
            uint32 period,
            uint176 commitment
        )
    {
        DealWord word = _deals[dealId];
        (status, deadline) = (word.status(), word.deadline());
        if (status == Status.Agreed) return (status, kind, false, deadline, 0, 0);
        return (status, word.disputeKind(), word.deliveryWasChallenged(), deadline, word.period(), word.commitment());
    }

    // ---- internals

    function _skipOn(uint256 index, bytes memory failure) private {
        if (failure.length != 0) emit Skipped(0, index, failure);
    }

    function _requireSameLength(uint256 left, uint256 right) private pure {
        if (left != right) revert BatchLengthsDiffer(left, right);
    }
}
