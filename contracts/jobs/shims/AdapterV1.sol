// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../../interfaces/ILilypadJobs.sol";
import {IWrappedCoin} from "../../interfaces/IWrappedCoin.sol";
import {JobFailure, JobResult} from "../../types/JobRequest.sol";
import {JobTerms} from "../../types/JobTerms.sol";
import {InputsDocument} from "../InputsDocument.sol";
import {Adapter} from "./Adapter.sol";

/// @notice What a v1 contract implements.
interface IJobClientV1 {
    function receiveJobResults(uint256 jobID, string calldata cid) external;
}

/// @title For contracts of the second generation (2023): `runModuleWithDefaultMediators`, `receiveJobResults`
/// @notice `params` becomes the one text input that the table names. Failures had no call: the money returns to the payer's
/// ledger credit. The terms' token is the chain's wrapped coin.
contract AdapterV1 is Adapter {
    struct OldModule {
        string name;
        string input; // that takes `params`
        bytes32 version;
        uint96 cost; // smallest units of the coin
    }

    mapping(bytes32 nameHash => OldModule) private _modules;
    uint256 private _lastId;

    error MediatorsNotChosenHere(uint256 count);

    constructor(ILilypadJobs jobs, JobTerms memory terms, OldModule[] memory modules) Adapter(jobs, terms) {
        for (uint256 i = 0; i < modules.length; i++) {
            _modules[keccak256(bytes(modules[i].name))] = modules[i];
        }
    }

    function getModuleCost(string calldata name) external view returns (uint256) {
        return _module(name).cost;
    }

    function runModuleWithDefaultMediators(string calldata name, string calldata params)
        external
        payable
        returns (uint256)
    {
        return _run(name, params);
    }

    /// @notice As above; the list must be empty, since who judges follows from the pool.
    function runModule(string calldata name, string calldata params, address[] calldata mediators)
        external
        payable
        returns (uint256)
    {
        if (mediators.length != 0) revert MediatorsNotChosenHere(mediators.length);
        return _run(name, params);
    }

    function _run(string calldata name, string calldata params) private returns (uint256 id) {
        OldModule storage module = _module(name);
        if (msg.value < module.cost) revert PaymentTooLow(msg.value, module.cost);
        _depositNative(IWrappedCoin(_token()));
        InputsDocument.Member[] memory values = new InputsDocument.Member[](1);
        values[0] = InputsDocument.text(module.input, params);
        id = ++_lastId;
        // The ledger takes at most 2^96 - 1 of a token.
        _ask(OldJob(id, msg.sender, msg.sender, uint96(msg.value), 0), module.version, module.cost, values);
    }

    function _module(string calldata name) private view returns (OldModule storage module) {
        module = _modules[keccak256(bytes(name))];
        if (module.version == 0) revert ModuleUnknown(name);
    }

    function _resultCall(OldJob memory job, JobResult calldata result) internal pure override returns (bytes memory) {
        return abi.encodeCall(IJobClientV1.receiveJobResults, (job.id, _cidOf(result)));
    }

    function _failureCall(OldJob memory, JobFailure calldata) internal pure override returns (bytes memory) {}
}
