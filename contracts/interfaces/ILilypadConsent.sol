// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title How an account binds itself: signatures, approvals, delegates, nonces
/// @notice A signature argument is empty or begins with a byte that says of what kind it is:
/// empty: the account makes this very call, or it or a delegate approved the digest by an earlier one ({approve});
/// 0x00 + r, s, v (65 bytes): the account's own key; 0x01 + delegate (20 bytes) + a signature argument of the delegate
/// (own key, ERC-1271 or approval; delegates have no delegates); 0x02 + any bytes: ERC-1271, asked by a static call with a gas limit; the answer at that moment counts.
/// Compact (EIP-2098) and malleable signatures are refused. The EIP-712 domain is ("Lilypad", "1", chain id, core).
interface ILilypadConsent {
    /// @notice What a delegate may spend of one token, over all it ever locks; not given back when a deal ends.
    struct Allowance {
        address token;
        uint96 cap; // smallest units
    }

    /// @notice `digest` counts as signed by `account`; `by` is the account itself or its delegate; 0: no longer.
    event DigestApproved(address indexed account, bytes32 indexed digest, address by);
    /// @notice `key` may act for `account` within `scope` (bits: 1 offers, 2 results, 4 acceptance) up to and including `expiry`.
    event DelegateGranted(address indexed account, address indexed key, uint8 scope, uint40 expiry);
    /// @notice `key` may lock up to `cap` smallest units of `token` for `account`.
    event DelegateCapSet(address indexed account, address indexed key, address indexed token, uint256 cap);
    event DelegateRevoked(address indexed account, address indexed key);
    /// @notice Offers with this nonce never open again. `resource` tells which kind.
    event OfferNonceCancelled(address indexed account, bool indexed resource, uint256 nonce);
    /// @notice Offers in `token` with smaller nonces never open again.
    event FloorsRaised(address indexed account, address indexed token, uint32 jobFloor, uint32 resourceFloor);

    error DelegateInvalid(address account, address key);

    /// @notice Makes `digest` (EIP-712, this core's domain) count as signed by `account`, or no longer; what it already opened
    /// stays. The account itself or a delegate: its scope has to cover the use to which the digest is put, when it is put to it.
    /// What the account approved itself a delegate cannot change. Emits {DigestApproved}. Reverts with NotAuthorised.
    function approve(address account, bytes32 digest, bool approved) external;

    /// @notice Lets `key` act for the caller. Replaces what the key had before, caps of all tokens included.
    /// A delegate never receives money and cannot withdraw, grant or revoke. Emits {DelegateGranted} and {DelegateCapSet}.
    function grantDelegate(address key, uint8 scope, uint40 expiry, Allowance[] calldata allowances) external;

    /// @notice Takes all rights of `key` away at once. Deals that it opened stay. Emits {DelegateRevoked}.
    function revokeDelegate(address key) external;

    /// @notice Cancels unopened offers by nonce. The account or a delegate with scope 1. Emits {OfferNonceCancelled} for each.
    function cancel(address account, bool resource, uint32[] calldata nonces) external;

    /// @notice Cancels all offers of `account` in the given tokens below the floors. Floors never fall. Emits {FloorsRaised}.
    function cancelBelow(address account, address[] calldata tokens, uint32 jobFloor, uint32 resourceFloor) external;

    /// @notice The key that consents to `structHash` (in this core's domain) for `account` by `signature`: the account itself
    /// or a delegate whose rights cover `scope`; 0: nobody does.
    function consentOf(address account, bytes32 structHash, bytes calldata signature, uint8 scope)
        external
        view
        returns (address key);

    /// @notice Whether `caller` is `account` or its delegate with rights that cover `scope`.
    function isActor(address account, address caller, uint8 scope) external view returns (bool);

    /// @notice Whether a job offer's nonce was used by a deal (a decline frees it), and whether it was cancelled by nonce.
    function jobNonce(address account, uint32 nonce) external view returns (bool used, bool cancelled);

    /// @notice How many deals were opened on a resource offer of limited volume; 2^32 - 1: cancelled.
    function resourceUse(address account, uint32 nonce) external view returns (uint32);

    /// @notice Rights of a key, and what is left of its cap in `token`, smallest units.
    function delegateOf(address account, address key, address token)
        external
        view
        returns (uint8 scope, uint40 expiry, uint256 capLeft);

    /// @notice Who approved `digest` for `account`; 0: nobody.
    function approverOf(address account, bytes32 digest) external view returns (address);
}
