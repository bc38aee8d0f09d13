// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

interface IBridgeV0 {
    function getLilypadFee() external view returns (uint256);
    function runLilypadJob(address from, string memory spec, uint8 resultType) external payable returns (uint256);
    function runBacalhauJob(address from, string memory spec, uint8 resultType) external payable returns (uint256);
}

/// @title Test double: a consumer of the first generation, as its samples were written
contract OldClientV0 {
    IBridgeV0 public bridge;
    bool public refusing;
    uint256 public lastId;
    uint8 public resultType;
    string public result;
    string public errorText;
    address public from;

    constructor(IBridgeV0 bridge_) {
        bridge = bridge_;
    }

    function setRefusing(bool refusing_) external {
        refusing = refusing_;
    }

    function ask(string memory spec, uint8 resultType_, bool older) external payable returns (uint256) {
        return older
            ? bridge.runBacalhauJob{value: msg.value}(address(this), spec, resultType_)
            : bridge.runLilypadJob{value: msg.value}(address(this), spec, resultType_);
    }

    function askFor(address other, string memory spec) external payable returns (uint256) {
        return bridge.runLilypadJob{value: msg.value}(other, spec, 0);
    }

    function lilypadFulfilled(address from_, uint256 jobId, uint8 resultType_, string memory result_) external {
        require(!refusing, "not now");
        (from, lastId, resultType, result) = (from_, jobId, resultType_, result_);
    }

    function lilypadCancelled(address from_, uint256 jobId, string memory errorText_) external {
        require(!refusing, "not now");
        (from, lastId, errorText) = (from_, jobId, errorText_);
    }
}

interface IModicumV1 {
    function getModuleCost(string memory name) external view returns (uint256);
    function runModuleWithDefaultMediators(string memory name, string memory params) external payable returns (uint256);
    function runModule(string memory name, string memory params, address[] memory mediators)
        external
        payable
        returns (uint256);
}

/// @title Test double: a consumer of the second generation
contract OldClientV1 {
    IModicumV1 public modicum;
    uint256 public lastId;
    string public cid;

    constructor(IModicumV1 modicum_) {
        modicum = modicum_;
    }

    function ask(string memory name, string memory params) external payable returns (uint256) {
        require(msg.value >= modicum.getModuleCost(name), "cost");
        return modicum.runModuleWithDefaultMediators{value: msg.value}(name, params);
    }

    function askWith(string memory name, string memory params, address[] memory mediators)
        external
        payable
        returns (uint256)
    {
        return modicum.runModule{value: msg.value}(name, params, mediators);
    }

    function receiveJobResults(uint256 jobID, string memory cid_) external {
        (lastId, cid) = (jobID, cid_);
    }
}

interface IOnChainJobsV2 {
    function getControllerAddress() external view returns (address);
    function getTokenAddress() external view returns (address);
    function getRequiredDeposit() external view returns (uint256);
    function runJob(string memory module, string[] memory inputs, address payee) external returns (uint256);
}

/// @title Test double: a consumer of the third generation
contract OldClientV2 {
    IOnChainJobsV2 public jobs;
    uint256 public lastId;
    string public dealId;
    string public dataId;

    constructor(IOnChainJobsV2 jobs_) {
        jobs = jobs_;
    }

    function ask(string memory module, string[] memory inputs) external returns (uint256) {
        IERC20(jobs.getTokenAddress()).approve(jobs.getControllerAddress(), jobs.getRequiredDeposit());
        return jobs.runJob(module, inputs, address(this));
    }

    function askAtExpenseOf(address payee, string memory module, string[] memory inputs) external returns (uint256) {
        return jobs.runJob(module, inputs, payee);
    }

    function submitResults(uint256 id, string memory dealId_, string memory dataId_) external {
        (lastId, dealId, dataId) = (id, dealId_, dataId_);
    }
}
