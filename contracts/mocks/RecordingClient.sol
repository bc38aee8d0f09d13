// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {IWrappedCoin} from "../interfaces/IWrappedCoin.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {OutputProof} from "../jobs/OutputProof.sol";
import {DealId} from "../types/Ids.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title Test double: everything of LilypadClient, open to anyone, and what it was answered
contract RecordingClient is LilypadClient {
    bool public refusing;
    uint256 public results;
    uint256 public failures;
    JobResult private _result;
    JobFailure private _failure;

    error NotNow();

    constructor(ILilypadJobs jobs) LilypadClient(jobs) {}

    function setRefusing(bool refusing_) external {
        refusing = refusing_;
    }

    function lastResult() external view returns (JobResult memory) {
        return _result;
    }

    function lastFailure() external view returns (JobFailure memory) {
        return _failure;
    }

    function _onResult(bytes32, JobResult calldata result) internal override {
        if (refusing) revert NotNow();
        (_result, results) = (result, results + 1);
    }

    function _onFailure(bytes32, JobFailure calldata failure) internal override {
        if (refusing) revert NotNow();
        (_failure, failures) = (failure, failures + 1);
    }

    function ask(JobTerms memory terms, bytes memory inputs, uint32 callbackGas) external returns (bytes32) {
        return _request(terms, inputs, callbackGas);
    }

    function askFromAllowance(JobTerms memory terms, bytes memory inputs, uint32 callbackGas) external returns (bytes32) {
        return _requestFromAllowance(terms, inputs, callbackGas);
    }

    function askWithPermit(JobTerms memory terms, bytes memory inputs, uint32 callbackGas, Permit memory permit)
        external
        returns (bytes32)
    {
        return _requestWithPermit(terms, inputs, callbackGas, permit);
    }

    function askWithNative(JobTerms memory terms, bytes memory inputs, uint32 callbackGas)
        external
        payable
        returns (bytes32)
    {
        return _requestWithNative(terms, inputs, callbackGas);
    }

    function depositWithPermit(address token, uint256 amount, Permit memory permit) external {
        _depositWithPermit(token, amount, permit);
    }

    function depositFromCaller(address token, uint256 amount) external {
        _depositFromCaller(token, amount);
    }

    function depositNative(IWrappedCoin wrapped) external payable {
        _depositNative(wrapped);
    }

    function cancel(bytes32 requestId) external {
        _cancel(requestId);
    }

    function withdraw(address token, uint256 amount, address to) external {
        _withdraw(token, amount, to);
    }

    function accept(DealId dealId, bytes32 resultDigest) external {
        _accept(dealId, resultDigest);
    }

    function waive(DealId dealId, bytes32 resultDigest) external {
        _waive(dealId, resultDigest);
    }

    function challenge(bytes32[12] calldata record) external {
        _challenge(record);
    }

    function challengeDelivery(bytes32[12] calldata record) external {
        _challengeDelivery(record);
    }

    function appeal(address strategy, address token, uint256 fee, bytes calldata appealCall) external {
        _appeal(strategy, token, fee, appealCall);
    }

    function freeBalance(address token) external view returns (uint256) {
        return _freeBalance(token);
    }

    // ---- the libraries

    function entryAt(bytes32 root, bytes[] calldata nodes, bytes[] calldata path)
        external
        pure
        returns (bool isRaw, bytes32 digest)
    {
        return OutputProof.entryAt(root, nodes, path);
    }

    function requireFile(bytes32 root, bytes[] calldata nodes, bytes[] calldata path, bytes calldata content)
        external
        pure
    {
        OutputProof.requireFile(root, nodes, path, content);
    }
}
