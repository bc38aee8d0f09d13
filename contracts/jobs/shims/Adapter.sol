// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../../interfaces/ILilypadJobs.sol";
import {JobFailure, JobOutcome, JobResult} from "../../types/JobRequest.sol";
import {JobTerms} from "../../types/JobTerms.sol";
import {CidText} from "../CidText.sol";
import {InputsDocument} from "../InputsDocument.sol";
import {LilypadClient} from "../LilypadClient.sol";

/// @title What the adapters for contracts of older generations share
/// @notice An adapter is the creator of the jobs that it is asked for and keeps their accounts apart: what a payer brought
/// and its job did not cost becomes the payer's credit in the core's ledger, from where only the payer withdraws it. Old
/// names mean versions by a table that is fixed at deployment. Nobody but the contract that asked is called back. A callback
/// that fails holds up nobody's money: anyone may repeat it.
abstract contract Adapter is LilypadClient {
    struct OldJob {
        uint256 id;
        address client; // asked, and is called back
        address payer;
        uint96 deposit; // smallest units
        uint8 kind; // what the generation needs to answer
    }

    uint256 private constant OLD_CALLBACK_GAS = 300_000;
    uint32 private constant CALLBACK_GAS = 500_000; // the old callback, and the adapter's own work with room to spare
    uint256 private constant OFFER_LIFE = 1 hours;

    JobTerms private _terms; // of every job; module, price cap, expiry and nonce are filled in

    mapping(bytes32 requestId => OldJob) private _jobs;
    mapping(uint256 id => bytes32) public requestIdOf;
    mapping(uint256 id => address) private _clients;
    mapping(uint256 id => bytes32) public failedCalls; // keccak256 of the callback that failed; 0: none

    event OldJobAsked(uint256 indexed id, bytes32 indexed requestId, address indexed client, address payer);
    event OldJobEnded(uint256 indexed id, JobOutcome outcome, uint256 rest);
    event OldCallbackFailed(uint256 indexed id, bytes callback);

    error PaymentTooLow(uint256 found, uint256 needed);
    error ModuleUnknown(string name);
    error NotYours(uint256 id, address caller);
    error CallbackUnknown(uint256 id, bytes32 found);

    constructor(ILilypadJobs jobs, JobTerms memory terms) LilypadClient(jobs) {
        _terms = terms;
    }

    /// @notice Takes a job back that no provider took yet. Its client or its payer; the money returns with the delivery.
    function cancelJob(uint256 id) external {
        bytes32 requestId = requestIdOf[id];
        OldJob storage job = _jobs[requestId];
        if (msg.sender != job.client && msg.sender != job.payer) revert NotYours(id, msg.sender);
        _cancel(requestId);
    }

    /// @notice Repeats a callback that failed; `callback` is in {OldCallbackFailed}. Anyone.
    function repeat(uint256 id, bytes calldata callback) external {
        bytes32 found = keccak256(callback);
        if (found != failedCalls[id] || found == 0) revert CallbackUnknown(id, found);
        delete failedCalls[id];
        (bool ok, bytes memory reason) = _clients[id].call(callback);
        if (ok) return;
        // Safe: hands the client's error on as it is.
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }

    // ---- for the generations

    function _ask(OldJob memory job, bytes32 version, uint96 price, InputsDocument.Member[] memory values) internal {
        JobTerms memory terms = _terms;
        (terms.module, terms.maxPrice, terms.expiry) = (version, price, uint40(block.timestamp + OFFER_LIFE));
        bytes32 requestId = _request(terms, InputsDocument.write(version, values), CALLBACK_GAS);
        _jobs[requestId] = job;
        requestIdOf[job.id] = requestId;
        _clients[job.id] = job.client;
        emit OldJobAsked(job.id, requestId, job.client, job.payer);
    }

    /// @dev The old callback with a result.
    function _resultCall(OldJob memory job, JobResult calldata result) internal view virtual returns (bytes memory);

    /// @dev The old callback of a failure; empty where the generation knows none.
    function _failureCall(OldJob memory job, JobFailure calldata failure) internal view virtual returns (bytes memory);

    function _token() internal view returns (address) {
        return _terms.token;
    }

    /// @dev The CID of the output folder; of standard output where there is none.
    function _cidOf(JobResult calldata result) internal pure returns (string memory) {
        if (result.outputsRoot != 0) return CidText.dagPb(result.outputsRoot);
        return result.stdoutInline ? CidText.raw(sha256(result.stdout)) : "";
    }

    // ---- answers

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        OldJob memory job = _end(requestId, JobOutcome.Fulfilled, result.paid, 0);
        _callBack(job, _resultCall(job, result));
    }

    function _onFailure(bytes32 requestId, JobFailure calldata failure) internal override {
        OldJob memory job = _end(requestId, failure.outcome, failure.paid, failure.compensation);
        _callBack(job, _failureCall(job, failure));
    }

    function _end(bytes32 requestId, JobOutcome outcome, uint256 paid, uint256 compensation)
        private
        returns (OldJob memory job)
    {
        job = _jobs[requestId];
        delete _jobs[requestId];
        uint256 rest = job.deposit - paid + compensation;
        if (rest != 0) _transferCredit(_terms.token, job.payer, rest);
        emit OldJobEnded(job.id, outcome, rest);
    }

    /// @dev UNTRUSTED call, last, with a gas limit that always is there: LilypadJobs gave this contract more. Nothing of the
    /// answer is copied.
    function _callBack(OldJob memory job, bytes memory callback) private {
        if (callback.length == 0) return;
        address client = job.client;
        bool ok;
        // Safe: reads `callback` only.
        assembly ("memory-safe") {
            ok := call(OLD_CALLBACK_GAS, client, 0, add(callback, 32), mload(callback), 0, 0)
        }
        if (ok && client.code.length != 0) return;
        failedCalls[job.id] = keccak256(callback);
        emit OldCallbackFailed(job.id, callback);
    }
}
