// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice An address as a clean word. The compiler masks an `address` to 160 bits wherever it is used; the core uses them
/// some three hundred times (measured: 2 kB of code), so inside it they travel as words that were clean when they came.
type Address is uint256;

using {equals as ==, differs as !=, isZero, plain, asBytes32} for Address global;

Address constant NOBODY = Address.wrap(0);

/// @return `account` as a word.
function toWord(address account) pure returns (Address) {
    return Address.wrap(uint160(account));
}

/// @return The low 160 bits of `word`.
function lowAddress(uint256 word) pure returns (Address) {
    return Address.wrap(uint160(word));
}

function plain(Address account) pure returns (address) {
    return address(uint160(Address.unwrap(account)));
}

function asBytes32(Address account) pure returns (bytes32) {
    return bytes32(Address.unwrap(account));
}

function isZero(Address account) pure returns (bool) {
    return Address.unwrap(account) == 0;
}

function equals(Address a, Address b) pure returns (bool) {
    return Address.unwrap(a) == Address.unwrap(b);
}

function differs(Address a, Address b) pure returns (bool) {
    return Address.unwrap(a) != Address.unwrap(b);
}
