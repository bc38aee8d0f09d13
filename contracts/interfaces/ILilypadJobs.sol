// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "../types/Ids.sol";
import {JobFailure, JobOutcome, JobResult, RequestState, ResultParts} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";
import {ModuleTerms, PoolTerms} from "../types/Terms.sol";
import {ILilypad} from "./ILilypad.sol";

/// @title Jobs asked for by contracts, and their answers
/// @notice Holds no money and has no rights in the core. The contract that asks is the creator of the deal: its own ledger
/// balance pays, refunds and compensation return there, and it accepts, waives, challenges and cancels itself, in the core.
/// A request is its job offer: its id is the offer's EIP-712 struct hash, which a deal's record names, so whoever shows the
/// record of an ended deal shows how the request ended. One word a request stays for ever.
/// Trusts the core alone. Requesters are UNTRUSTED: they are called last, with the gas that they named, and nothing of what they
/// answer but the first 256 bytes of an error is read. `record` is as in ILilypad.
interface ILilypadJobs {
    /// @notice `requester` asks for a job. Solvers rebuild the offer from it: creator = `requester`, inputs = sha2-256 of `inputs`.
    event JobRequested(
        bytes32 indexed requestId, address indexed requester, JobTerms terms, bytes inputs, uint32 callbackGas
    );
    /// @notice The requester took the answer. `dealId` is 0 when no deal was opened.
    event JobDelivered(
        bytes32 indexed requestId, address indexed requester, DealId indexed dealId, JobOutcome outcome
    );
    /// @notice The requester's callback failed; the same delivery may be made again. `reason`: at most 256 bytes of its error.
    event CallbackFailed(
        bytes32 indexed requestId, address indexed requester, DealId indexed dealId, JobOutcome outcome, bytes reason
    );

    error RequesterDenied(address requester);
    error InputsTooLarge(uint256 size, uint256 most);
    error CallbackGasTooHigh(uint256 callbackGas, uint256 most);
    error RequestExpired(uint256 expiry, uint256 time);
    error RequestExists(bytes32 requestId);
    error RequestNotApproved(bytes32 requestId, address requester);
    error RequestNonceSpent(address requester, uint32 nonce);
    error RequestUnknown(bytes32 requestId);
    error RequestClosed(bytes32 requestId, JobOutcome outcome);
    error RequestStillOpen(bytes32 requestId, uint256 expiry, uint256 time);
    error OutcomeNotDue(DealId dealId, JobOutcome outcome);
    error ResultMismatch(DealId dealId, uint176 posted, uint176 opened);
    error StdoutMismatch(bytes32 found, bytes32 needed);
    error StdoutMissing(DealId dealId, uint256 until, uint256 time);
    error DeliveryGasTooLow(uint256 left, uint256 needed);
    error TermsMismatch(bytes32 found, bytes32 needed);

    /// @notice Asks for a job. The caller is a contract other than core, token and this one; it approved the offer's digest in
    /// the core ({ILilypadConsent-approve}) in an earlier call, which is its signature, and its free credit pays when a deal
    /// opens; until then it may withdraw it. Emits {JobRequested}. Reverts with RequesterDenied, InputsTooLarge (32 KiB; files
    /// go by CID), CallbackGasTooHigh (10,000,000), RequestExpired, RequestExists, RequestNotApproved, RequestNonceSpent.
    /// @param inputs The canonical inputs document (protocol 5.1); checked off chain: one that is none is never matched.
    /// @param callbackGas Gas that the callback gets, no less.
    /// @return requestId The struct hash of the job offer.
    function request(JobTerms calldata terms, bytes calldata inputs, uint32 callbackGas)
        external
        returns (bytes32 requestId);

    /// @notice Hands over the result of a paid deal. Anyone; from Accepted or MediationAccepted. `parts` open the deal's
    /// commitment. `stdout` is all of standard output where the module counts it; more than 1 KiB is proved and not handed on.
    /// Without it only the requester may deliver, and anyone once the deployment's reveal window after the deal's end is over:
    /// otherwise whoever comes first could withhold the answer.
    /// Emits {JobDelivered} or {CallbackFailed}. Reverts with RequestUnknown, RequestClosed, OutcomeNotDue, ResultMismatch,
    /// StdoutMismatch, StdoutMissing, DeliveryGasTooLow.
    /// @return accepted Whether the callback succeeded.
    function deliver(bytes32[12] calldata record, ResultParts calldata parts, bytes calldata stdout)
        external
        returns (bool accepted);

    /// @notice Reports that a deal ended without a result. Anyone; from TimedOut, MediationRejected, NoFault or
    /// ClosedByAgreement; a declined deal ends nothing, since another provider may take the job. Emits and reverts as {deliver}.
    function deliverFailure(bytes32[12] calldata record) external returns (bool accepted);

    /// @notice Reports that no deal was opened and none can be: the offer's nonce is unused, and cancelled or its expiry passed.
    /// Anyone. Emits as {deliver}. Reverts with RequestUnknown, RequestClosed, RequestNonceSpent, RequestStillOpen.
    /// @param inputs sha2-256 of the inputs document.
    function deliverUnopened(address requester, JobTerms calldata terms, bytes32 inputs) external returns (bool accepted);

    // ---- views

    function core() external view returns (ILilypad);

    /// @notice What is known of a request; zeros for unknown ids. `expiry` in unix seconds. `outcome` is None until a delivery.
    function requestOf(bytes32 requestId)
        external
        view
        returns (address requester, uint40 expiry, uint32 callbackGas, RequestState state, JobOutcome outcome);

    /// @notice The result that {deliver} would hand over, for requesters that would rather fetch it than be called. It does not
    /// depend on whether the request was delivered; reverts as {deliver}, also with RequestUnknown.
    function resultOf(bytes32[12] calldata record, ResultParts calldata parts, bytes calldata stdout)
        external
        view
        returns (bytes32 requestId, JobResult memory result);

    /// @notice Likewise for {deliverFailure}.
    function failureOf(bytes32[12] calldata record)
        external
        view
        returns (bytes32 requestId, JobFailure memory failure);

    /// @notice The exact amount that a deal on `terms` locks with a provider who asks `price` and `unitPrice` (smallest units):
    /// all fees at maxUnits, of which what is not used comes back. A deal opens only when this is at most `terms.maxPrice`.
    /// `module` and `pool` are the terms behind the ids that `terms` name ({TermsMismatch} otherwise). Where only the provider
    /// names a solver, its fee comes on top.
    /// @return locked Smallest units.
    function quote(
        JobTerms calldata terms,
        ModuleTerms calldata module,
        PoolTerms calldata pool,
        uint96 price,
        uint96 unitPrice
    ) external view returns (uint256 locked);
}
