// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadClient} from "../interfaces/ILilypadClient.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {DealId} from "../types/Ids.sol";
import {
    JobFailure, JobOutcome, JobResult, RequestState, RequestWord, RequestWordLib
} from "../types/JobRequest.sol";
import {JobTerms, JobTermsLib} from "../types/JobTerms.sol";

/// @title The requests and their callbacks
/// @dev Apart from what proves an outcome, so that the mock market answers through the same code as the real one.
abstract contract RequestBook is ILilypadJobs {
    using JobTermsLib for JobTerms;

    uint256 internal constant MAX_INLINE_BYTES = 1024; // of standard output
    uint256 private constant MAX_INPUTS_BYTES = 32 * 1024;
    uint256 private constant MAX_CALLBACK_GAS = 10_000_000;
    /// @dev What is left beside the callback's gas: for reaching a cold account before it, for writing and logging after it.
    uint256 private constant DELIVERY_RESERVE = 20_000;
    uint256 private constant MAX_REASON_BYTES = 256;
    /// @dev Addresses up to here are precompiles on some chain.
    uint256 private constant LAST_RESERVED_ADDRESS = 0xffff;

    mapping(bytes32 requestId => RequestWord) private _requests;

    /// @inheritdoc ILilypadJobs
    function request(JobTerms calldata terms, bytes calldata inputs, uint32 callbackGas)
        external
        returns (bytes32 requestId)
    {
        if (_isDenied(msg.sender, terms.token)) revert RequesterDenied(msg.sender);
        if (inputs.length > MAX_INPUTS_BYTES) revert InputsTooLarge(inputs.length, MAX_INPUTS_BYTES);
        if (callbackGas > MAX_CALLBACK_GAS) revert CallbackGasTooHigh(callbackGas, MAX_CALLBACK_GAS);
        if (block.timestamp > terms.expiry) revert RequestExpired(terms.expiry, block.timestamp);
        requestId = terms.requestId(msg.sender, sha256(inputs));
        if (_requests[requestId].state() != RequestState.None) revert RequestExists(requestId);
        _admit(requestId, terms);
        _requests[requestId] = RequestWordLib.requested(msg.sender, terms.expiry, callbackGas);
        emit JobRequested(requestId, msg.sender, terms, inputs, callbackGas);
    }

    /// @inheritdoc ILilypadJobs
    function requestOf(bytes32 requestId)
        external
        view
        returns (address requester, uint40 expiry, uint32 callbackGas, RequestState state, JobOutcome outcome)
    {
        RequestWord word = _requests[requestId];
        return (word.requester(), word.expiry(), word.callbackGas(), word.state(), word.outcome());
    }

    // ---- for those who know outcomes

    /// @dev Reverts unless the caller approved its offer, so that it can be opened with an empty signature.
    function _admit(bytes32 requestId, JobTerms calldata terms) internal virtual;

    /// @dev Whether `account` belongs to the protocol itself.
    function _isOfProtocol(address account) internal view virtual returns (bool);

    /// @dev The word of a request that waits for its outcome, or for a callback that succeeds.
    function _open(bytes32 requestId) internal view returns (RequestWord word) {
        word = _requests[requestId];
        RequestState state = word.state();
        if (state == RequestState.None) revert RequestUnknown(requestId);
        if (state == RequestState.Delivered) revert RequestClosed(requestId, word.outcome());
    }

    function _requesterOf(bytes32 requestId) internal view returns (address) {
        return _requests[requestId].requester();
    }

    function _conclude(bytes32 requestId, RequestWord word, JobResult memory result) internal returns (bool) {
        bytes memory message = abi.encodeCall(ILilypadClient.onJobResult, (requestId, result));
        return _conclude(requestId, word, JobOutcome.Fulfilled, result.dealId, message);
    }

    function _conclude(bytes32 requestId, RequestWord word, JobFailure memory failure) internal returns (bool) {
        bytes memory message = abi.encodeCall(ILilypadClient.onJobFailure, (requestId, failure));
        return _conclude(requestId, word, failure.outcome, failure.dealId, message);
    }

    /// @dev The state is written before the call: who enters again finds the request delivered.
    function _conclude(bytes32 requestId, RequestWord word, JobOutcome outcome, DealId dealId, bytes memory message)
        private
        returns (bool accepted)
    {
        _requests[requestId] = word.moved(RequestState.Delivered, outcome);
        address requester = word.requester();
        bytes memory reason;
        (accepted, reason) = _callBack(requester, word.callbackGas(), message);
        if (accepted) {
            emit JobDelivered(requestId, requester, dealId, outcome);
        } else {
            _requests[requestId] = word.moved(RequestState.CallbackFailed, outcome);
            emit CallbackFailed(requestId, requester, dealId, outcome, reason);
        }
    }

    // ---- internals

    /// @dev UNTRUSTED call. A call gets at most 63/64 of what is left, so the rest is checked before it: a caller cannot starve
    /// the requester into a recorded failure (T9). No more than 256 bytes of the answer are copied (T10).
    function _callBack(address requester, uint256 callbackGas, bytes memory message)
        private
        returns (bool accepted, bytes memory reason)
    {
        uint256 needed = callbackGas + callbackGas / 63 + DELIVERY_RESERVE;
        if (gasleft() < needed) revert DeliveryGasTooLow(gasleft(), needed);
        if (requester.code.length == 0) return (false, ""); // destroyed: a call would succeed without doing anything
        // Safe: reads `message`, and fills `reason` in memory that is taken from the free pointer.
        assembly ("memory-safe") {
            accepted := call(callbackGas, requester, 0, add(message, 32), mload(message), 0, 0)
            let size := returndatasize()
            if gt(size, MAX_REASON_BYTES) { size := MAX_REASON_BYTES }
            if accepted { size := 0 }
            reason := mload(64)
            mstore(64, add(reason, add(32, MAX_REASON_BYTES)))
            mstore(reason, size)
            returndatacopy(add(reason, 32), 0, size)
        }
    }

    function _isDenied(address requester, address token) private view returns (bool) {
        return requester.code.length == 0 || uint160(requester) <= LAST_RESERVED_ADDRESS || requester == token
            || requester == address(this) || _isOfProtocol(requester);
    }
}
