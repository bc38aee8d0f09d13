// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title Test double: a client that does next to nothing with its answers, to measure what asking and answering cost
contract MinimalClient is LilypadClient {
    bytes32 private immutable MODULE;
    address private immutable TOKEN;

    event Answered(bytes32 indexed requestId, bytes32 stdoutHash);

    constructor(ILilypadJobs jobs, bytes32 module, address token) LilypadClient(jobs) {
        (MODULE, TOKEN) = (module, token);
    }

    /// @notice Asks, in pool 0, out of the ledger balance.
    function ask(bytes memory inputs) external returns (bytes32) {
        JobTerms memory terms;
        (terms.module, terms.token, terms.maxPrice, terms.maxUnits) = (MODULE, TOKEN, 20 ether, 1_000);
        (terms.cpuMilli, terms.ramMib, terms.diskMib) = (100, 64, 16);
        (terms.submitWindow, terms.judgeWindow, terms.collateralBps) = (60, 60, 1_000);
        terms.expiry = uint40(block.timestamp + 1 hours);
        return _request(terms, inputs, 10_000);
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        emit Answered(requestId, result.stdoutHash);
    }

    function _onFailure(bytes32 requestId, JobFailure calldata) internal override {
        emit Answered(requestId, 0);
    }
}
