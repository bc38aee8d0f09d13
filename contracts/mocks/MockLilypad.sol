// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LilypadDomain} from "../core/LilypadDomain.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {RequestBook} from "../jobs/RequestBook.sol";
import {Status} from "../types/DealWord.sol";
import {DealId} from "../types/Ids.sol";
import {JobFailure, JobOutcome, JobResult, RequestWord, ResultParts} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";
import {ModuleTerms, PoolTerms} from "../types/Terms.sol";

/// @title For unit tests of consumers: LilypadJobs and as much of the core as a client needs, without providers or waiting
/// @notice Give a client this one address as its `jobs`. Requests and callbacks run the code of the real LilypadJobs: same
/// checks, same gas rules, same events. What a network decides the test decides: {fulfil}, {fail}, {advance}. It charges the
/// highest price that a request allows, so a client that passes here is not surprised by a bill.
/// Differs from the network: no fees, compensation or verification; proofs ({deliver} and its like) do not exist here.
contract MockLilypad is RequestBook, LilypadDomain {
    using SafeERC20 for IERC20;

    struct Job {
        address requester;
        address token;
        uint256 maxPrice; // smallest units
        uint32 nonce;
        Status status; // of its deal
    }

    struct Account {
        uint256 free;
        uint256 locked;
    }

    error OnlyOnTheNetwork();
    error WrongStatus(bytes32 requestId, Status found);
    error NotAnOutcomeOf(Status found, JobOutcome outcome);
    error FundsMissing(address account, address token, uint256 has, uint256 needed);
    error NotAuthorised(address account, address caller);

    uint8 private constant COUNTED = 1 | 2 | 8; // exit code, stdout, outputs

    mapping(address account => mapping(bytes32 digest => address)) public approverOf;
    mapping(bytes32 requestId => Job) public jobs;
    mapping(address token => mapping(address account => Account)) private _accounts;
    mapping(address account => mapping(uint256 nonce => bool)) private _used;
    mapping(address account => mapping(uint256 nonce => bool)) private _cancelled;

    constructor() LilypadDomain(address(this)) {}

    // ---- what the test decides

    /// @notice Gives `account` free credit out of nothing, so that a test can do without a token.
    function give(address token, address account, uint256 amount) external {
        _accounts[token][account].free += amount;
    }

    /// @notice One step in the life of the request's deal: opened, its price locked; then its result submitted.
    function advance(bytes32 requestId) external returns (Status) {
        _open(requestId);
        return _advance(requestId, jobs[requestId]);
    }

    /// @notice The job was done and paid: the client is called with a result of this exit code and standard output.
    function fulfil(bytes32 requestId, uint32 exitCode, bytes calldata stdout) external returns (bool accepted) {
        return _fulfil(requestId, exitCode, stdout, 0);
    }

    /// @notice As {fulfil}, with output files.
    function fulfil(bytes32 requestId, uint32 exitCode, bytes calldata stdout, bytes32 outputsRoot)
        external
        returns (bool accepted)
    {
        return _fulfil(requestId, exitCode, stdout, outputsRoot);
    }

    /// @notice The job ended without a result. Expired and Cancelled: only before a deal was opened; the others open one.
    /// What was locked is free again.
    function fail(bytes32 requestId, JobOutcome outcome) external returns (bool accepted) {
        RequestWord word = _open(requestId);
        Job storage job = jobs[requestId];
        bool unopened = outcome == JobOutcome.Expired || outcome == JobOutcome.Cancelled;
        if (outcome == JobOutcome.None || outcome == JobOutcome.Fulfilled || (unopened && job.status != Status.None)) {
            revert NotAnOutcomeOf(job.status, outcome);
        }
        if (outcome == JobOutcome.Cancelled && !_cancelled[job.requester][job.nonce]) {
            revert NotAnOutcomeOf(job.status, outcome);
        }
        _requireRecorded(word, outcome);
        JobFailure memory failure;
        failure.outcome = outcome;
        if (!unopened) {
            if (job.status == Status.None) _advance(requestId, job);
            _end(job, Status.NoFault, true);
            failure.dealId = dealIdOf(requestId);
        }
        return _conclude(requestId, word, failure);
    }

    /// @notice The id that the request's deal has here.
    function dealIdOf(bytes32 requestId) public pure returns (DealId) {
        return DealId.wrap(keccak256(abi.encode("deal", requestId)));
    }

    // ---- of the core: consent

    function core() external view returns (ILilypad) {
        return ILilypad(address(this));
    }

    function digestOf(bytes32 structHash) external view returns (bytes32) {
        return _digestOf(structHash);
    }

    function approve(address account, bytes32 digest, bool approved) external {
        _requireAccount(account);
        approverOf[account][digest] = approved ? msg.sender : address(0);
    }

    function cancel(address account, bool, uint32[] calldata nonces) external {
        _requireAccount(account);
        for (uint256 i = 0; i < nonces.length; i++) {
            _cancelled[account][nonces[i]] = true;
        }
    }

    function jobNonce(address account, uint32 nonce) external view returns (bool used, bool cancelled) {
        return (_used[account][nonce], _cancelled[account][nonce]);
    }

    // ---- of the core: money

    function deposit(address token, uint256 amount, address account) external {
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _accounts[token][account].free += amount;
    }

    function withdraw(address token, uint256 amount, address to) external {
        _takeFree(token, msg.sender, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    function transferCredit(address token, address[] calldata to, uint256[] calldata amounts) external {
        for (uint256 i = 0; i < to.length; i++) {
            _takeFree(token, msg.sender, amounts[i]);
            _accounts[token][to[i]].free += amounts[i];
        }
    }

    function accountOf(address token, address account) external view returns (uint256, uint256, uint32, uint32) {
        Account storage found = _accounts[token][account];
        return (found.free, found.locked, 0, 0);
    }

    // ---- of LilypadJobs: what needs a network

    /// @inheritdoc ILilypadJobs
    /// @dev Here every job costs the most that it may.
    function quote(JobTerms calldata terms, ModuleTerms calldata, PoolTerms calldata, uint96, uint96)
        external
        pure
        returns (uint256)
    {
        return terms.maxPrice;
    }

    /// @inheritdoc ILilypadJobs
    function deliver(bytes32[12] calldata, ResultParts calldata, bytes calldata) external pure returns (bool) {
        revert OnlyOnTheNetwork();
    }

    /// @inheritdoc ILilypadJobs
    function deliverFailure(bytes32[12] calldata) external pure returns (bool) {
        revert OnlyOnTheNetwork();
    }

    /// @inheritdoc ILilypadJobs
    function deliverUnopened(address, JobTerms calldata, bytes32) external pure returns (bool) {
        revert OnlyOnTheNetwork();
    }

    /// @inheritdoc ILilypadJobs
    function resultOf(bytes32[12] calldata, ResultParts calldata, bytes calldata)
        external
        pure
        returns (bytes32, JobResult memory)
    {
        revert OnlyOnTheNetwork();
    }

    /// @inheritdoc ILilypadJobs
    function failureOf(bytes32[12] calldata) external pure returns (bytes32, JobFailure memory) {
        revert OnlyOnTheNetwork();
    }

    // ---- internals

    function _fulfil(bytes32 requestId, uint32 exitCode, bytes calldata stdout, bytes32 outputsRoot)
        private
        returns (bool)
    {
        RequestWord word = _open(requestId);
        Job storage job = jobs[requestId];
        _requireRecorded(word, JobOutcome.Fulfilled);
        while (job.status == Status.None || job.status == Status.Agreed) _advance(requestId, job);
        _end(job, Status.Accepted, false);
        JobResult memory result;
        result.dealId = dealIdOf(requestId);
        result.provider = address(this);
        (result.exitCode, result.counted, result.outputsRoot) = (exitCode, COUNTED, outputsRoot);
        result.stdoutHash = keccak256(stdout);
        result.resultDigest = keccak256(abi.encode(exitCode, result.stdoutHash, outputsRoot));
        result.paid = job.maxPrice;
        result.stdoutInline = stdout.length <= MAX_INLINE_BYTES;
        if (result.stdoutInline) result.stdout = stdout;
        return _conclude(requestId, word, result);
    }

    /// @dev A delivery that is made again has the outcome that it had.
    function _requireRecorded(RequestWord word, JobOutcome outcome) private pure {
        JobOutcome recorded = word.outcome();
        if (recorded != JobOutcome.None && recorded != outcome) revert NotAnOutcomeOf(Status.None, outcome);
    }

    function _advance(bytes32 requestId, Job storage job) private returns (Status) {
        if (job.status == Status.Agreed) return job.status = Status.ResultsSubmitted;
        if (job.status != Status.None || _cancelled[job.requester][job.nonce]) revert WrongStatus(requestId, job.status);
        _takeFree(job.token, job.requester, job.maxPrice);
        _accounts[job.token][job.requester].locked += job.maxPrice;
        _used[job.requester][job.nonce] = true;
        return job.status = Status.Agreed;
    }

    /// @dev Money moves once; a delivery that is made again finds it moved.
    function _end(Job storage job, Status final_, bool refund) private {
        if (job.status == final_) return;
        if (job.status != Status.Agreed && job.status != Status.ResultsSubmitted) revert NotAnOutcomeOf(job.status, JobOutcome.None);
        Account storage account = _accounts[job.token][job.requester];
        account.locked -= job.maxPrice;
        if (refund) account.free += job.maxPrice;
        job.status = final_;
    }

    function _takeFree(address token, address account, uint256 amount) private {
        uint256 has = _accounts[token][account].free;
        if (has < amount) revert FundsMissing(account, token, has, amount);
        _accounts[token][account].free = has - amount;
    }

    function _requireAccount(address account) private view {
        if (msg.sender != account) revert NotAuthorised(account, msg.sender);
    }

    // ---- of the book

    function _admit(bytes32 requestId, JobTerms calldata terms) internal override {
        if (approverOf[msg.sender][_digestOf(requestId)] == address(0)) revert RequestNotApproved(requestId, msg.sender);
        if (_used[msg.sender][terms.nonce] || _cancelled[msg.sender][terms.nonce]) {
            revert RequestNonceSpent(msg.sender, terms.nonce);
        }
        jobs[requestId] = Job(msg.sender, terms.token, terms.maxPrice, terms.nonce, Status.None);
    }

    function _isOfProtocol(address) internal pure override returns (bool) {
        return false;
    }
}
