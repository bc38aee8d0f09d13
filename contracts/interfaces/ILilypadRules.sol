// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Status} from "../types/DealWord.sol";
import {DealId} from "../types/Ids.sol";
import {IRandomness} from "./IRandomness.sol";

/// @title What the core and its resolver share: parameters and errors
interface ILilypadRules {
    /// @notice Fixed at construction. Seconds and basis points. Protocol 15.
    struct Parameters {
        IRandomness randomness;
        uint16 protocolFeeBps; // of gross, to the audit fund; at most 1000
        uint32 minSubmitWindow;
        uint32 maxSubmitWindow;
        uint32 minJudgeWindow;
        uint32 maxJudgeWindow; // at most half of the randomness's life and 65,535 s
        uint32 revealWindow; // above the randomness's delay
        uint32 mediationLimit;
    }

    error DealNotIn(DealId dealId, Status found, Status needed);
    error DeadlinePassed(DealId dealId, uint256 deadline, uint256 time);
    error CommitmentMismatch(DealId dealId, uint176 posted, uint176 opened);
    error SeedPending(DealId dealId, uint32 period);
    error DealDrawn(DealId dealId);
    error BatchLengthsDiffer(uint256 left, uint256 right);
    error ParameterOutOfBounds(string name, uint256 found, uint256 least, uint256 most);
    error SignatureInvalid(bytes32 structHash, address account);
    error FundsMissing(address account, address token, uint256 has, uint256 needed);
    error NotAuthorised(address account, address caller, uint8 scope);
}
