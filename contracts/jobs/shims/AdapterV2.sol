// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ILilypadJobs} from "../../interfaces/ILilypadJobs.sol";
import {DealId} from "../../types/Ids.sol";
import {JobFailure, JobResult} from "../../types/JobRequest.sol";
import {JobTerms} from "../../types/JobTerms.sol";
import {InputsDocument} from "../InputsDocument.sol";
import {Adapter} from "./Adapter.sol";

/// @notice What a v2 contract implements.
interface IJobClientV2 {
    function submitResults(uint256 id, string calldata dealId, string calldata dataId) external;
}

/// @title For contracts of the third generation (2023 to 2025): `runJob`, `submitResults`
/// @notice Each "K=V" becomes a text input K, split at the first "=". The payee of old, who pays, is the caller or has
/// allowed the caller ({allowCaller}); its tokens are taken through an allowance for {getControllerAddress}, which is this contract.
/// Failures had no call: the money returns to the payer's ledger credit.
contract AdapterV2 is Adapter {
    using SafeERC20 for IERC20;

    struct OldModule {
        string name;
        bytes32 version;
    }

    uint96 private immutable DEPOSIT; // smallest units
    mapping(bytes32 nameHash => bytes32 version) private _versions;
    mapping(address payee => mapping(address caller => bool)) public isAllowed;
    uint256 private _lastId;

    event CallerAllowed(address indexed payee, address indexed caller, bool allowed);

    error PayeeDidNotAllow(address payee, address caller);
    error InputWithoutValue(uint256 index);

    constructor(ILilypadJobs jobs, JobTerms memory terms, uint96 deposit, OldModule[] memory modules) Adapter(jobs, terms) {
        DEPOSIT = deposit;
        for (uint256 i = 0; i < modules.length; i++) {
            _versions[keccak256(bytes(modules[i].name))] = modules[i].version;
        }
    }

    function getRequiredDeposit() external view returns (uint256) {
        return DEPOSIT;
    }

    function getTokenAddress() external view returns (address) {
        return _token();
    }

    function getControllerAddress() external view returns (address) {
        return address(this);
    }

    /// @notice Lets `caller` ask for jobs that the caller of this function pays, as far as its token allowance reaches.
    function allowCaller(address caller, bool allowed) external {
        isAllowed[msg.sender][caller] = allowed;
        emit CallerAllowed(msg.sender, caller, allowed);
    }

    function runJob(string calldata module, string[] calldata inputs, address payee) external returns (uint256 id) {
        if (payee != msg.sender && !isAllowed[payee][msg.sender]) revert PayeeDidNotAllow(payee, msg.sender);
        bytes32 version = _versions[keccak256(bytes(module))];
        if (version == 0) revert ModuleUnknown(module);
        IERC20(_token()).safeTransferFrom(payee, address(this), DEPOSIT);
        _deposit(_token(), DEPOSIT);
        id = ++_lastId;
        _ask(OldJob(id, msg.sender, payee, DEPOSIT, 0), version, DEPOSIT, _values(inputs));
    }

    function _values(string[] calldata inputs) private pure returns (InputsDocument.Member[] memory values) {
        values = new InputsDocument.Member[](inputs.length);
        for (uint256 i = 0; i < inputs.length; i++) {
            bytes calldata input = bytes(inputs[i]);
            uint256 split = 0;
            while (split < input.length && input[split] != "=") split++;
            if (split == input.length) revert InputWithoutValue(i);
            values[i] = InputsDocument.text(string(input[:split]), string(input[split + 1:]));
        }
    }

    function _resultCall(OldJob memory job, JobResult calldata result) internal pure override returns (bytes memory) {
        string memory dealId = Strings.toHexString(uint256(DealId.unwrap(result.dealId)), 32);
        return abi.encodeCall(IJobClientV2.submitResults, (job.id, dealId, _cidOf(result)));
    }

    function _failureCall(OldJob memory, JobFailure calldata) internal pure override returns (bytes memory) {}
}
