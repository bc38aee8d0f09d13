// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Test double: a contract that does what it is told, several things in one transaction
/// @notice Stands for hostile strategies, wallets and resolvers. Anyone pulls the strings.
contract Puppet {
    struct Call {
        address target;
        bytes data;
    }

    struct Ending {
        bool ok;
        bytes answer;
    }

    error Refused();

    /// @notice One call, with the callee's error handed on.
    function execute(address target, bytes calldata data) external returns (bytes memory answer) {
        bool ok;
        (ok, answer) = target.call(data);
        if (!ok) {
            // Safe: hands the callee's error on as it is.
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    /// @notice All calls one after the other, whatever becomes of them.
    function run(Call[] calldata calls) external returns (Ending[] memory endings) {
        endings = new Ending[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            (endings[i].ok, endings[i].answer) = calls[i].target.call(calls[i].data);
        }
    }
}

/// @notice Reverts, burns gas or answers nonsense, whatever function it is called by.
contract HostileStrategy is Puppet {
    enum Habit {
        Revert,
        Burn,
        Nonsense
    }

    Habit public immutable habit;

    constructor(Habit habit_) {
        habit = habit_;
    }

    fallback() external payable {
        if (habit == Habit.Revert) revert Refused();
        while (habit == Habit.Burn) {}
        // Safe: ends the call with memory as it lies.
        assembly ("memory-safe") {
            return(0, 1000000)
        }
    }
}
