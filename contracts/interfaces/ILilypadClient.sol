// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {JobFailure, JobResult} from "../types/JobRequest.sol";

/// @title What a contract that asks for jobs is called back with
/// @notice Exactly one of the two is called for each request, by LilypadJobs, with the gas that the request named. A call that
/// reverts is recorded and may be repeated by anyone; it changes nothing of who is paid. Whoever implements this checks that the
/// caller is LilypadJobs ({LilypadClient} does).
interface ILilypadClient {
    /// @notice The job of `requestId` was paid, and its result can no longer be overturned. The exit code says whether the
    /// program did what it was asked.
    function onJobResult(bytes32 requestId, JobResult calldata result) external;

    /// @notice There will be no result for `requestId`; what was locked for it is free again, less `failure.paid`.
    function onJobFailure(bytes32 requestId, JobFailure calldata failure) external;
}
