// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title Test double: a client that does next to nothing with its answers, to measure what asking and answering cost
contract MinimalClient is LilypadClient {
    event Answered(bytes32 indexed requestId, bytes32 stdoutHash);

    constructor(ILilypadJobs jobs) LilypadClient(jobs) {}

    function ask(JobTerms memory terms, bytes memory inputs, uint32 callbackGas) external returns (bytes32) {
        return _request(terms, inputs, callbackGas);
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        emit Answered(requestId, result.stdoutHash);
    }

    function _onFailure(bytes32 requestId, JobFailure calldata) internal override {
        emit Answered(requestId, 0);
    }
}
