// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev EIP-712 digest of a deal record: unique per chain, deployment and pair of offers.
type DealId is bytes32;
/// @dev Hash of the terms of a module version (no domain: the same terms have the same id everywhere).
type VersionId is bytes32;
/// @dev Hash of the terms of a pool; zero is the Unverified pool.
type PoolId is bytes32;
/// @dev What a provider commits to and mediators vote on, protocol 5.2.
type ResultDigest is bytes32;

using {dealIdEquals as ==, dealIdDiffers as !=} for DealId global;
using {versionIdEquals as ==, versionIdDiffers as !=} for VersionId global;
using {poolIdEquals as ==, poolIdDiffers as !=} for PoolId global;

PoolId constant UNVERIFIED = PoolId.wrap(0);

function dealIdEquals(DealId a, DealId b) pure returns (bool) {
    return DealId.unwrap(a) == DealId.unwrap(b);
}

function dealIdDiffers(DealId a, DealId b) pure returns (bool) {
    return DealId.unwrap(a) != DealId.unwrap(b);
}

function versionIdEquals(VersionId a, VersionId b) pure returns (bool) {
    return VersionId.unwrap(a) == VersionId.unwrap(b);
}

function versionIdDiffers(VersionId a, VersionId b) pure returns (bool) {
    return VersionId.unwrap(a) != VersionId.unwrap(b);
}

function poolIdEquals(PoolId a, PoolId b) pure returns (bool) {
    return PoolId.unwrap(a) == PoolId.unwrap(b);
}

function poolIdDiffers(PoolId a, PoolId b) pure returns (bool) {
    return PoolId.unwrap(a) != PoolId.unwrap(b);
}
