// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Puppet} from "./Puppet.sol";

/// @title Test double: a contract that asks for jobs and takes their answers badly
/// @notice Asks by {execute} and {run}. Every callback comes to the fallback, which first notes what it got.
contract HostileClient is Puppet {
    enum Habit {
        Take,
        Revert,
        Burn,
        Megabyte, // returns one
        MegabyteError, // reverts with one
        Reenter, // makes all calls of the script
        Destroy
    }

    Habit public habit;
    uint256 public gasSeen;
    uint256 public calls;
    Call[] private _script;
    bytes[] private _answers;

    constructor(Habit habit_) {
        habit = habit_;
    }

    /// @notice A client in whose place there is nothing when the transaction ends: asks, then destroys itself.
    function askAndVanish(Call[] calldata requests) external {
        for (uint256 i = 0; i < requests.length; i++) {
            (bool ok,) = requests[i].target.call(requests[i].data);
            if (!ok) revert Refused();
        }
        selfdestruct(payable(msg.sender));
    }

    function setHabit(Habit habit_) external {
        habit = habit_;
    }

    function setScript(Call[] calldata script) external {
        delete _script;
        for (uint256 i = 0; i < script.length; i++) {
            _script.push(script[i]);
        }
    }

    /// @notice What the calls of the script answered: the first byte says whether each succeeded.
    function answers() external view returns (bytes[] memory) {
        return _answers;
    }

    fallback() external payable {
        uint256 seen = gasleft();
        if (habit == Habit.Revert) revert Refused();
        while (habit == Habit.Burn) {}
        if (habit == Habit.Destroy) selfdestruct(payable(address(0xdead)));
        if (habit == Habit.Megabyte || habit == Habit.MegabyteError) _answerMegabyte();
        (gasSeen, calls) = (seen, calls + 1);
        if (habit != Habit.Reenter) return;
        for (uint256 i = 0; i < _script.length; i++) {
            (bool ok, bytes memory answer) = _script[i].target.call(_script[i].data);
            _answers.push(abi.encodePacked(ok, answer));
        }
    }

    function _answerMegabyte() private view {
        bool asError = habit == Habit.MegabyteError;
        // Safe: ends the call with memory as it lies.
        assembly ("memory-safe") {
            if asError { revert(0, 1000000) }
            return(0, 1000000)
        }
    }
}

/// @title Makes a hostile client that vanishes in the transaction in which it asked (EIP-6780)
contract VanishingClients {
    /// @dev Its address is known beforehand, so that its account can be funded.
    function makeAndVanish(Puppet.Call[] calldata requests) external {
        HostileClient client = new HostileClient{salt: 0}(HostileClient.Habit.Take);
        client.askAndVanish(requests);
    }

    function next() external view returns (address) {
        bytes memory code = abi.encodePacked(type(HostileClient).creationCode, abi.encode(HostileClient.Habit.Take));
        return address(
            uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), keccak256(code)))))
        );
    }
}
