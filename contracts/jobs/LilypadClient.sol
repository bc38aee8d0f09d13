// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {LilypadDomain} from "../core/LilypadDomain.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadClient} from "../interfaces/ILilypadClient.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {ILilypadResolver} from "../interfaces/ILilypadResolver.sol";
import {IWrappedCoin} from "../interfaces/IWrappedCoin.sol";
import {DealId} from "../types/Ids.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms, JobTermsLib} from "../types/JobTerms.sol";

/// @title Base of contracts that ask for jobs
/// @notice The inheriting contract is the creator of its deals: its ledger balance in the core pays, and refunds return there.
/// One inherited call asks ({_request}, or one that takes the money first); two hooks answer ({_onResult}, {_onFailure}). Nobody
/// but LilypadJobs reaches the hooks, each request reaches one of them once, and a hook that reverts can be called again.
/// All functions here are internal: who may ask, cancel, accept or withdraw is for the inheriting contract to say.
abstract contract LilypadClient is ILilypadClient, LilypadDomain {
    using SafeERC20 for IERC20;
    using JobTermsLib for JobTerms;

    /// @notice An ERC-2612 permit of the caller for this contract.
    struct Permit {
        uint256 deadline; // unix seconds
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    error CallerNotJobs(address caller);
    error RequestNotOurs(bytes32 requestId);

    bytes32 private constant ACCEPTANCE_TYPEHASH = keccak256("Acceptance(bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_TYPEHASH =
        keccak256("Waiver(string statement,bytes32 dealId,bytes32 resultDigest)");
    bytes32 private constant WAIVER_STATEMENT = keccak256("I have checked this result myself");

    ILilypadJobs public immutable JOBS;
    ILilypad public immutable CORE;

    uint32 private _lastNonce;
    /// @dev The nonce (from 1) of a request that waits for its outcome.
    mapping(bytes32 requestId => uint256) private _nonces;

    constructor(ILilypadJobs jobs) LilypadDomain(address(jobs.core())) {
        JOBS = jobs;
        CORE = jobs.core();
    }

    // ---- answers

    /// @inheritdoc ILilypadClient
    function onJobResult(bytes32 requestId, JobResult calldata result) external {
        _take(requestId);
        _onResult(requestId, result);
    }

    /// @inheritdoc ILilypadClient
    function onJobFailure(bytes32 requestId, JobFailure calldata failure) external {
        _take(requestId);
        _onFailure(requestId, failure);
    }

    /// @dev The result of a request of this contract. `result.exitCode` says whether the program did what it was asked.
    function _onResult(bytes32 requestId, JobResult calldata result) internal virtual;

    /// @dev A request of this contract that gets no result.
    function _onFailure(bytes32 requestId, JobFailure calldata failure) internal virtual;

    // ---- asking

    /// @dev Asks for a job that this contract's ledger balance pays. Fills in `terms.nonce`.
    /// @param inputs The inputs document (InputsDocument writes one).
    /// @param callbackGas Gas that the hook gets, the base's own work (about 12,000) included.
    function _request(JobTerms memory terms, bytes memory inputs, uint32 callbackGas)
        internal
        returns (bytes32 requestId)
    {
        terms.nonce = ++_lastNonce;
        requestId = terms.requestId(address(this), sha256(inputs));
        _nonces[requestId] = terms.nonce;
        CORE.approve(address(this), _digestOf(requestId), true); // this call is the signature
        JOBS.request(terms, inputs, callbackGas);
    }

    /// @dev As {_request}, after taking `terms.maxPrice` out of the caller's allowance for this contract.
    function _requestFromAllowance(JobTerms memory terms, bytes memory inputs, uint32 callbackGas)
        internal
        returns (bytes32 requestId)
    {
        _depositFromCaller(terms.token, terms.maxPrice);
        return _request(terms, inputs, callbackGas);
    }

    /// @dev As {_requestFromAllowance}, with an allowance by permit.
    function _requestWithPermit(JobTerms memory terms, bytes memory inputs, uint32 callbackGas, Permit memory permit)
        internal
        returns (bytes32 requestId)
    {
        _permit(terms.token, terms.maxPrice, permit);
        return _requestFromAllowance(terms, inputs, callbackGas);
    }

    /// @dev As {_request}, after wrapping the native coin that came with the call. `terms.token` is the wrapped coin.
    function _requestWithNative(JobTerms memory terms, bytes memory inputs, uint32 callbackGas)
        internal
        returns (bytes32 requestId)
    {
        _depositNative(IWrappedCoin(terms.token));
        return _request(terms, inputs, callbackGas);
    }

    /// @dev Takes a request back that no deal was opened on. Its failure (Cancelled) can then be delivered.
    function _cancel(bytes32 requestId) internal {
        uint32[] memory nonces = new uint32[](1);
        nonces[0] = uint32(_nonces[requestId]);
        if (nonces[0] == 0) revert RequestNotOurs(requestId);
        CORE.cancel(address(this), false, nonces);
    }

    // ---- money

    /// @dev Moves `amount` of the caller's tokens, which it allowed this contract to take, into this contract's ledger balance.
    function _depositFromCaller(address token, uint256 amount) internal {
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _deposit(token, amount);
    }

    /// @dev As {_depositFromCaller}, with an allowance by permit.
    function _depositWithPermit(address token, uint256 amount, Permit memory permit) internal {
        _permit(token, amount, permit);
        _depositFromCaller(token, amount);
    }

    /// @dev Wraps the native coin that came with the call and deposits it.
    function _depositNative(IWrappedCoin wrapped) internal {
        wrapped.deposit{value: msg.value}();
        _deposit(address(wrapped), msg.value);
    }

    /// @dev Deposits tokens that this contract holds.
    function _deposit(address token, uint256 amount) internal {
        IERC20(token).forceApprove(address(CORE), amount);
        CORE.deposit(token, amount, address(this));
    }

    /// @dev Sends `amount` of this contract's free ledger balance to `to`.
    function _withdraw(address token, uint256 amount, address to) internal {
        CORE.withdraw(token, amount, to);
    }

    /// @dev Moves `amount` of this contract's free ledger balance to the ledger balance of `to`: calls no token, so it is safe in a hook.
    function _transferCredit(address token, address to, uint256 amount) internal {
        address[] memory accounts = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (accounts[0], amounts[0]) = (to, amount);
        CORE.transferCredit(token, accounts, amounts);
    }

    /// @return free What is in this contract's ledger balance and not locked, smallest units.
    function _freeBalance(address token) internal view returns (uint256 free) {
        (free,,,) = CORE.accountOf(token, address(this));
    }

    // ---- judging

    /// @dev Accepts a result before its judge deadline: anyone may then settle, once the lottery spared the deal.
    function _accept(DealId dealId, bytes32 resultDigest) internal {
        _sign(keccak256(abi.encode(ACCEPTANCE_TYPEHASH, dealId, resultDigest)));
    }

    /// @dev Says "I have checked this result myself": anyone may settle at once, unless the deal was drawn.
    function _waive(DealId dealId, bytes32 resultDigest) internal {
        _sign(keccak256(abi.encode(WAIVER_TYPEHASH, WAIVER_STATEMENT, dealId, resultDigest)));
    }

    /// @dev Disputes a result; three seat fees of this contract's free balance. Until the judge deadline, in a verified pool.
    function _challenge(bytes32[12] memory record) internal {
        ILilypadResolver(CORE.resolver()).challenge(record);
    }

    /// @dev Disputes that the result was delivered; three seat floors. Once a deal, as {_challenge}.
    function _challengeDelivery(bytes32[12] memory record) internal {
        ILilypadResolver(CORE.resolver()).challengeDelivery(record);
    }

    /// @dev Appeals a verdict: calls the deal's strategy with `appealCall`, after allowing it to take `fee` smallest units, which
    /// leave the ledger balance for it. What the strategy does not take is deposited again. Reverts as the strategy does.
    function _appeal(address strategy, address token, uint256 fee, bytes memory appealCall) internal {
        uint256 before = IERC20(token).balanceOf(address(this));
        CORE.withdraw(token, fee, address(this));
        IERC20(token).forceApprove(strategy, fee);
        Address.functionCall(strategy, appealCall);
        IERC20(token).forceApprove(strategy, 0);
        uint256 rest = IERC20(token).balanceOf(address(this)) - before;
        if (rest != 0) _deposit(token, rest);
    }

    // ---- internals

    function _take(bytes32 requestId) private {
        if (msg.sender != address(JOBS)) revert CallerNotJobs(msg.sender);
        if (_nonces[requestId] == 0) revert RequestNotOurs(requestId);
        delete _nonces[requestId];
    }

    function _sign(bytes32 structHash) private {
        CORE.approve(address(this), _digestOf(structHash), true);
    }

    /// @dev The owner is always the caller, so an allowance that stands is its consent: a permit that somebody carried first,
    /// or a token that knows none, is no reason to stop.
    function _permit(address token, uint256 amount, Permit memory permit) private {
        try IERC20Permit(token).permit(msg.sender, address(this), amount, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
    }
}
