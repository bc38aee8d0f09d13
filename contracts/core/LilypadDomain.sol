// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @title The EIP-712 domain of a core: ("Lilypad", "1", chain id, core)
/// @dev The core and its resolver share it, so that a deal has one id.
abstract contract LilypadDomain {
    address private immutable CORE;
    bytes32 private immutable SEPARATOR;
    uint256 private immutable DEPLOYED_ON;

    constructor(address core_) {
        CORE = core_;
        SEPARATOR = _separator(core_);
        DEPLOYED_ON = block.chainid;
    }

    /// @dev The chain id is read live: after a fork of the chain, signatures for the other half are worthless.
    function _digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 separator = SEPARATOR;
        if (block.chainid != DEPLOYED_ON) separator = _separator(CORE);
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    function _separator(address core_) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Lilypad"),
                keccak256("1"),
                block.chainid,
                core_
            )
        );
    }
}
