// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../../interfaces/ILilypadJobs.sol";
import {IWrappedCoin} from "../../interfaces/IWrappedCoin.sol";
import {JobFailure, JobOutcome, JobResult} from "../../types/JobRequest.sol";
import {JobTerms} from "../../types/JobTerms.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {InputsDocument} from "../InputsDocument.sol";
import {Adapter} from "./Adapter.sol";

/// @notice What a v0 contract implements.
interface ILilypadCallerV0 {
    function lilypadFulfilled(address from, uint256 jobId, uint8 resultType, string calldata result) external;
    function lilypadCancelled(address from, uint256 jobId, string calldata errorText) external;
}

/// @title For contracts of the first generation (2023, FEVM): `runLilypadJob`, `lilypadFulfilled`, `lilypadCancelled`
/// @notice A v0 job was a Bacalhau specification as JSON text. No JSON is read here: a specification is understood when it is one
/// of the registered texts around one input, which may hold neither quote nor backslash nor control character, so that
/// nothing in it could have ended the text early. The terms' token is the chain's wrapped coin.
contract AdapterV0 is Adapter {
    struct Template {
        string prefix;
        string suffix;
        string input; // its name in the module
        bytes32 version;
    }

    uint8 private constant CID = 0;
    uint8 private constant STDOUT = 1;
    uint8 private constant EXIT_CODE = 3;

    uint96 private immutable FEE; // smallest units of the coin
    Template[] private _templates;
    uint256 private _nextId;

    error SpecUnknown();
    error InputUnsafe(uint256 position);
    error ResultTypeUnsupported(uint8 resultType); // 2, standard error: only its hash is on chain
    error CallerIsNotFrom(address from, address caller);

    constructor(ILilypadJobs jobs, JobTerms memory terms, uint96 fee, Template[] memory templates) Adapter(jobs, terms) {
        FEE = fee;
        for (uint256 i = 0; i < templates.length; i++) {
            _templates.push(templates[i]);
        }
    }

    function getLilypadFee() external view returns (uint256) {
        return FEE;
    }

    /// @notice Asks for a job. `from` is the caller, who is called back. `resultType`: 0 CID, 1 standard output, 3 exit code.
    function runLilypadJob(address from, string calldata spec, uint8 resultType) external payable returns (uint256) {
        return _run(from, spec, resultType);
    }

    /// @notice The same under its older name.
    function runBacalhauJob(address from, string calldata spec, uint8 resultType) external payable returns (uint256) {
        return _run(from, spec, resultType);
    }

    function _run(address from, string calldata spec, uint8 resultType) private returns (uint256 id) {
        if (from != msg.sender) revert CallerIsNotFrom(from, msg.sender);
        if (resultType != CID && resultType != STDOUT && resultType != EXIT_CODE) revert ResultTypeUnsupported(resultType);
        if (msg.value < FEE) revert PaymentTooLow(msg.value, FEE);
        (bytes32 version, InputsDocument.Member memory value) = _read(bytes(spec));
        _depositNative(IWrappedCoin(_token()));
        InputsDocument.Member[] memory values = new InputsDocument.Member[](1);
        values[0] = value;
        id = _nextId++;
        // The ledger takes at most 2^96 - 1 of a token.
        _ask(OldJob(id, from, from, uint96(msg.value), resultType), version, FEE, values);
    }

    function _read(bytes calldata spec) private view returns (bytes32, InputsDocument.Member memory) {
        for (uint256 i = 0; i < _templates.length; i++) {
            Template storage template = _templates[i];
            (bytes memory prefix, bytes memory suffix) = (bytes(template.prefix), bytes(template.suffix));
            if (spec.length < prefix.length + suffix.length) continue;
            bytes calldata value = spec[prefix.length:spec.length - suffix.length];
            if (keccak256(spec[:prefix.length]) != keccak256(prefix)) continue;
            if (keccak256(spec[spec.length - suffix.length:]) != keccak256(suffix)) continue;
            _requirePlain(value);
            return (template.version, InputsDocument.text(template.input, string(value)));
        }
        revert SpecUnknown();
    }

    function _requirePlain(bytes calldata value) private pure {
        for (uint256 i = 0; i < value.length; i++) {
            if (value[i] < " " || value[i] == '"' || value[i] == "\\" || value[i] == 0x7f) revert InputUnsafe(i);
        }
    }

    function _resultCall(OldJob memory job, JobResult calldata result) internal view override returns (bytes memory) {
        string memory text = job.kind == CID
            ? _cidOf(result)
            : job.kind == STDOUT ? string(result.stdout) : Strings.toString(result.exitCode);
        return abi.encodeCall(ILilypadCallerV0.lilypadFulfilled, (address(this), job.id, job.kind, text));
    }

    function _failureCall(OldJob memory job, JobFailure calldata failure) internal view override returns (bytes memory) {
        return abi.encodeCall(ILilypadCallerV0.lilypadCancelled, (address(this), job.id, _nameOf(failure.outcome)));
    }

    function _nameOf(JobOutcome outcome) private pure returns (string memory) {
        if (outcome == JobOutcome.Expired) return "expired";
        if (outcome == JobOutcome.Cancelled) return "cancelled";
        if (outcome == JobOutcome.Late) return "late";
        if (outcome == JobOutcome.Wrong) return "wrong";
        return "no fault";
    }
}
