// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The usual currency of prices and stakes: an ERC-20 with permit (ERC-2612)
/// @notice The whole supply, 1,000,000,000 tokens of 18 decimals, exists from the first moment; nobody can mint more, and
/// there is no owner. Whoever gets it at construction is a matter of the deployment. Protocol 2 and 15.
contract LilypadToken is ERC20Permit {
    /// @notice The whole supply for all time, smallest units.
    uint256 public constant CAP = 1_000_000_000e18;

    /// @param recipient Gets the whole supply.
    constructor(address recipient) ERC20("Lilypad Token", "LILY") ERC20Permit("Lilypad Token") {
        _mint(recipient, CAP);
    }
}
