// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ILilypadConsent} from "../interfaces/ILilypadConsent.sol";
import {LilypadPayments} from "./LilypadPayments.sol";

/// @title Who speaks for an account
/// @dev `tx.origin` is never read. Every check answers with the key that spoke (the account itself or a delegate), 0 for no consent.
abstract contract LilypadConsent is LilypadPayments, ILilypadConsent {
    uint8 internal constant SCOPE_OFFERS = 1;
    uint8 internal constant SCOPE_RESULTS = 2;
    uint8 internal constant SCOPE_ACCEPTANCE = 4;

    uint8 private constant KIND_OWN_KEY = 0;
    uint8 private constant KIND_DELEGATE = 1;
    uint8 private constant KIND_CONTRACT = 2;
    /// @dev Enough for a passkey wallet that verifies in Solidity; bounds what a hostile one burns (T45).
    uint256 private constant ERC1271_GAS = 400_000;

    /// @dev scope [0..7] | expiry [8..47] | epoch [48..79]; the epoch separates the caps of successive grants.
    mapping(address account => mapping(address key => uint256)) private _delegates;
    mapping(bytes32 capKey => uint256) private _caps;
    mapping(address account => mapping(bytes32 digest => address)) private _approvals;
    /// @dev 128 nonces a word: used [0..127], cancelled [128..255]; a decline clears the used bit only.
    mapping(address account => mapping(uint256 index => uint256)) internal _jobNonces;
    /// @dev Eight counters of 32 bits a word.
    mapping(address account => mapping(uint256 index => uint256)) internal _resourceUses;

    bytes32 private immutable DOMAIN_SEPARATOR;
    uint256 private immutable DEPLOYED_ON;

    constructor() {
        DOMAIN_SEPARATOR = _domainSeparator();
        DEPLOYED_ON = block.chainid;
    }

    // ---- approvals and delegates

    /// @inheritdoc ILilypadConsent
    function approve(address account, bytes32 digest) external {
        if (msg.sender != account && _scopeOf(account, msg.sender) == 0) {
            revert NotAuthorised(account, msg.sender, 0);
        }
        _approvals[account][digest] = msg.sender;
        emit DigestApproved(account, digest, msg.sender);
    }

    /// @inheritdoc ILilypadConsent
    function withdrawApproval(address account, bytes32 digest) external {
        if (msg.sender != account && _scopeOf(account, msg.sender) == 0) {
            revert NotAuthorised(account, msg.sender, 0);
        }
        delete _approvals[account][digest];
        emit ApprovalWithdrawn(account, digest);
    }

    /// @inheritdoc ILilypadConsent
    function grantDelegate(address key, uint8 scope, uint40 expiry, Allowance[] calldata allowances) external {
        if (key == address(0) || key == msg.sender || scope == 0 || scope > 7) revert DelegateInvalid(msg.sender, key);
        uint256 epoch = uint32((_delegates[msg.sender][key] >> 48) + 1);
        _delegates[msg.sender][key] = scope | uint256(expiry) << 8 | epoch << 48;
        for (uint256 i = 0; i < allowances.length; i++) {
            _caps[_capKey(msg.sender, key, epoch, allowances[i].token)] = allowances[i].cap;
        }
        emit DelegateGranted(msg.sender, key, scope, expiry, allowances);
    }

    /// @inheritdoc ILilypadConsent
    function revokeDelegate(address key) external {
        _delegates[msg.sender][key] &= ~uint256(type(uint48).max); // keeps the epoch: old caps stay dead
        emit DelegateRevoked(msg.sender, key);
    }

    // ---- nonces

    /// @inheritdoc ILilypadConsent
    function cancel(address account, bool resource, uint32[] calldata nonces) external {
        _requireActor(account, SCOPE_OFFERS);
        for (uint256 i = 0; i < nonces.length; i++) {
            uint256 nonce = nonces[i];
            if (resource) {
                _resourceUses[account][nonce >> 3] |= uint256(type(uint32).max) << (nonce & 7) * 32;
            } else {
                _jobNonces[account][nonce >> 7] |= 1 << 128 + (nonce & 127);
            }
        }
        emit OffersCancelled(account, resource, nonces);
    }

    /// @inheritdoc ILilypadConsent
    function cancelBelow(address account, address[] calldata tokens, uint32 jobFloor, uint32 resourceFloor) external {
        _requireActor(account, SCOPE_OFFERS);
        for (uint256 i = 0; i < tokens.length; i++) {
            _accounts[tokens[i]][account] = _accounts[tokens[i]][account].raiseFloors(jobFloor, resourceFloor);
            emit FloorsRaised(account, tokens[i], jobFloor, resourceFloor);
        }
    }

    // ---- who spoke

    /// @dev Reverts unless the caller is `account` or its delegate for `scope`.
    function _requireActor(address account, uint8 scope) internal view {
        if (!_isActor(account, scope)) revert NotAuthorised(account, msg.sender, scope);
    }

    function _isActor(address account, uint8 scope) internal view returns (bool) {
        return msg.sender == account || _scopeOf(account, msg.sender) & scope != 0;
    }

    /// @return The key that consented to `structHash` for `account`: itself, its delegate, or 0.
    function _signerOf(address account, bytes32 structHash, bytes calldata signature, uint8 scope)
        internal
        view
        returns (address)
    {
        return _consenter(account, _digestOf(structHash), signature, scope);
    }

    /// @dev EIP-712, with the chain id read live: after a fork of the chain, signatures for the other half are worthless.
    function _digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 separator = block.chainid == DEPLOYED_ON ? DOMAIN_SEPARATOR : _domainSeparator();
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    function _domainSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Lilypad"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
    }

    function _consenter(address account, bytes32 digest, bytes calldata signature, uint8 scope)
        private
        view
        returns (address)
    {
        if (account == address(0)) return address(0);
        if (signature.length == 0) {
            address approver = _approvals[account][digest];
            return approver == account || _scopeOf(account, approver) & scope != 0 ? approver : address(0);
        }
        uint8 kind = uint8(signature[0]);
        if (kind == KIND_OWN_KEY && signature.length == 66) {
            return _recover(digest, signature[1:]) == account ? account : address(0);
        }
        if (kind == KIND_DELEGATE && signature.length > 21) {
            // The delegate signs in its own way. Its own delegates do not count: nobody has rights in scope 0.
            address key = address(bytes20(signature[1:21]));
            if (_scopeOf(account, key) & scope == 0) return address(0);
            return _consenter(key, digest, signature[21:], 0);
        }
        if (kind == KIND_CONTRACT) return _isValidContractSignature(account, digest, signature[1:]) ? account : address(0);
        return address(0);
    }

    /// @dev Zero for anything but a 65-byte signature with low s and v of 27 or 28.
    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address recovered) {
        (recovered,,) = ECDSA.tryRecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
    }

    /// @dev UNTRUSTED static call: gas is capped and no more than one word of the answer is copied (T10, T45).
    function _isValidContractSignature(address account, bytes32 digest, bytes calldata signature)
        private
        view
        returns (bool)
    {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bool ok;
        uint256 size;
        bytes32 answer;
        // Safe: reads `question`, writes the scratch word only.
        assembly ("memory-safe") {
            ok := staticcall(ERC1271_GAS, account, add(question, 32), mload(question), 0, 32)
            size := returndatasize()
            answer := mload(0)
        }
        return ok && size >= 32 && answer == bytes32(IERC1271.isValidSignature.selector);
    }

    /// @return The rights of `key` for `account` now; 0 when it has none, they expired or were revoked.
    function _scopeOf(address account, address key) private view returns (uint8) {
        uint256 word = _delegates[account][key];
        return block.timestamp <= uint40(word >> 8) ? uint8(word) : 0;
    }

    // ---- caps of delegates

    /// @return What `key` may still lock of `token` for `account`; without bound for the account itself.
    function _capLeft(address account, address key, address token) internal view returns (uint256) {
        if (key == account) return type(uint256).max;
        return _caps[_capKey(account, key, _delegates[account][key] >> 48, token)];
    }

    function _setCapLeft(address account, address key, address token, uint256 left) internal {
        if (key != account) _caps[_capKey(account, key, _delegates[account][key] >> 48, token)] = left;
    }

    function _capKey(address account, address key, uint256 epoch, address token) private pure returns (bytes32) {
        return keccak256(abi.encode(account, key, epoch, token));
    }

    // ---- views

    /// @inheritdoc ILilypadConsent
    function jobNonce(address account, uint32 nonce) external view returns (bool used, bool cancelled) {
        uint256 word = _jobNonces[account][nonce >> 7] >> (nonce & 127);
        return (word & 1 == 1, word >> 128 & 1 == 1);
    }

    /// @inheritdoc ILilypadConsent
    function resourceUse(address account, uint32 nonce) external view returns (uint32) {
        return uint32(_resourceUses[account][nonce >> 3] >> (uint256(nonce) & 7) * 32);
    }

    /// @inheritdoc ILilypadConsent
    function delegateOf(address account, address key, address token)
        external
        view
        returns (uint8 scope, uint40 expiry, uint256 capLeft)
    {
        uint256 word = _delegates[account][key];
        return (uint8(word), uint40(word >> 8), _capLeft(account, key, token));
    }

    /// @inheritdoc ILilypadConsent
    function approverOf(address account, bytes32 digest) external view returns (address) {
        return _approvals[account][digest];
    }
}
