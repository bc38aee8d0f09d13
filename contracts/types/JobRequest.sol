// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "./Ids.sol";

/// @notice How a request ended. Protocol 9.
enum JobOutcome {
    None,
    Fulfilled, // paid, and final
    Expired, // nobody opened a deal in time
    Cancelled, // the requester cancelled its offer before a deal was opened
    Late, // the provider missed a deadline
    Wrong, // the result was found wrong
    NoFault, // nobody's fault, or nobody judged in time
    Closed // both parties divided the money
}

/// @notice How far its delivery is.
enum RequestState {
    None,
    Requested,
    Delivered,
    CallbackFailed // may be tried again by anyone
}

/// @notice The opening of a result, with the three parts of its content. Protocol 5.2. Parts that the module does not count are 0.
struct ResultParts {
    bytes32 head; // units [0..63] | exit code [64..95] | mask of counted parts [96..103]
    bytes32 stdoutHash; // keccak256
    bytes32 stderrHash; // keccak256
    bytes32 outputsRoot; // sha2-256 of the dag-pb root of outputs/
    bytes32 salt;
}

/// @notice What a job gave, proved by the commitment of its deal.
struct JobResult {
    DealId dealId;
    address provider;
    bytes32 resultDigest;
    uint32 exitCode; // 0 by convention: the program did what was asked. A job that failed by itself was paid too
    uint64 units; // metered
    uint8 counted; // parts that the module counts: 1 exit code, 2 stdout, 4 stderr, 8 outputs, 16 units
    bytes32 stdoutHash;
    bytes32 stderrHash;
    bytes32 outputsRoot; // OutputProof proves files against it
    uint256 paid; // smallest units: what it cost the requester in all
    bool stdoutInline; // whether `stdout` is all of it
    bytes stdout; // at most 1 KiB
}

/// @notice Why there is no result. Amounts in smallest units of the deal's token; for Closed they are 0, since both signed them.
struct JobFailure {
    JobOutcome outcome;
    DealId dealId; // 0: no deal was opened
    uint256 paid; // the premium, where one was due
    uint256 compensation; // the least that came on top of the refund
}

/// @notice The word that LilypadJobs keeps of a request. Fields from the least significant bit:
/// requester 160 | expiry 40, unix seconds | callback gas 32 | state 8 | outcome 8 | zero 8.
type RequestWord is uint256;

using RequestWordLib for RequestWord global;

/// @title Reading and building request words
library RequestWordLib {
    uint256 private constant REQUEST_BITS = type(uint232).max;

    function requested(address requester_, uint40 expiry_, uint32 callbackGas_) internal pure returns (RequestWord) {
        uint256 word = uint160(requester_) | uint256(expiry_) << 160 | uint256(callbackGas_) << 200;
        return RequestWord.wrap(word | uint256(RequestState.Requested) << 232);
    }

    /// @return The word after a delivery of `outcome_` that left it in `state_`.
    function moved(RequestWord word, RequestState state_, JobOutcome outcome_) internal pure returns (RequestWord) {
        return RequestWord.wrap(
            RequestWord.unwrap(word) & REQUEST_BITS | uint256(state_) << 232 | uint256(outcome_) << 240
        );
    }

    function requester(RequestWord word) internal pure returns (address) {
        return address(uint160(RequestWord.unwrap(word)));
    }

    function expiry(RequestWord word) internal pure returns (uint40) {
        return uint40(RequestWord.unwrap(word) >> 160);
    }

    function callbackGas(RequestWord word) internal pure returns (uint32) {
        return uint32(RequestWord.unwrap(word) >> 200);
    }

    function state(RequestWord word) internal pure returns (RequestState) {
        return RequestState(uint8(RequestWord.unwrap(word) >> 232));
    }

    function outcome(RequestWord word) internal pure returns (JobOutcome) {
        return JobOutcome(uint8(RequestWord.unwrap(word) >> 240));
    }
}
