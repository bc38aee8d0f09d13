// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Test doubles: contract accounts, one good, five hostile
/// @notice Anyone makes them call anything: they hold roles in tests only.
abstract contract Wallet is IERC1271 {
    error CallFailed(bytes answer);

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
}

/// @notice Speaks through the key of its owner.
contract GoodWallet1271 is Wallet {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecover(digest, signature);
        return signer == owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

contract RevertingWallet1271 is Wallet {
    error Refused(bytes32 digest);

    function isValidSignature(bytes32 digest, bytes calldata) external pure returns (bytes4) {
        revert Refused(digest);
    }
}

/// @notice Burns all the gas it gets.
contract GasBurner1271 is Wallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        uint256 spun;
        while (true) {
            unchecked {
                spun++;
            }
        }
        return bytes4(uint32(spun));
    }
}

/// @notice Answers yes, in as many bytes as it is told.
contract Bomb1271 is Wallet {
    uint256 public immutable size;

    constructor(uint256 size_) {
        size = size_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 length = size;
        bytes4 yes = IERC1271.isValidSignature.selector;
        // Safe: returns fresh memory and ends the call.
        assembly ("memory-safe") {
            let start := mload(64)
            mstore(start, yes)
            return(start, length)
        }
    }
}

/// @notice Answers what it was told last.
contract Flip1271 is Wallet {
    bool public says;

    function set(bool says_) external {
        says = says_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return says ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice Calls back while it is asked, which a static call lets it do only without effect; says yes when that worked.
contract Reentrant1271 is Wallet {
    address public target;
    bytes public data;

    function arm(address target_, bytes calldata data_) external {
        (target, data) = (target_, data_);
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        // A static call stays static for all that it calls; a plain call is tried all the same.
        (bool ok,) = target.staticcall(data);
        return ok ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}
