// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadRules} from "../interfaces/ILilypadRules.sol";
import {Puppet} from "./Puppet.sol";

/// @title Test double: stands where clients and LilypadJobs look for core, resolver or jobs, and does what it is told
contract PuppetToolkit is Puppet {
    address public immutable core;
    address public immutable resolver;
    ILilypadRules.Parameters private _parameters;

    constructor(ILilypadRules.Parameters memory parameters_, address resolver_) {
        _parameters = parameters_;
        core = address(this);
        resolver = resolver_ == address(0) ? address(this) : resolver_;
    }

    function parameters() external view returns (ILilypadRules.Parameters memory) {
        return _parameters;
    }
}
