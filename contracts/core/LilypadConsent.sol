// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ILilypadRules} from "../interfaces/ILilypadRules.sol";
import {ILilypadConsent} from "../interfaces/ILilypadConsent.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {Address, NOBODY, toWord} from "../types/Address.sol";
import {LilypadDomain} from "./LilypadDomain.sol";
import {LilypadPayments} from "./LilypadPayments.sol";

/// @title Who speaks for an account
/// @dev Every check answers with the key that spoke: the account itself, its delegate, or NOBODY.
abstract contract LilypadConsent is LilypadPayments, LilypadDomain, ILilypadConsent {
    uint8 internal constant SCOPE_OFFERS = 1;
    uint8 internal constant SCOPE_RESULTS = 2;
    uint8 internal constant SCOPE_ACCEPTANCE = 4;
    uint8 private constant ANY_SCOPE = 7;

    uint8 private constant KIND_OWN_KEY = 0;
    uint8 private constant KIND_DELEGATE = 1;
    uint8 private constant KIND_CONTRACT = 2;
    /// @dev Half the order of secp256k1: of the two s of a signature only the lower one counts (EIP-2).
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    /// @dev Enough for a passkey wallet that verifies in Solidity; bounds what a hostile one burns (T45).
    uint256 private constant ERC1271_GAS = 400_000;

    /// @dev scope [0..7] | expiry [8..47] | epoch [48..79]; the epoch separates the caps of successive grants.
    mapping(Address account => mapping(Address key => uint256)) private _delegates;
    mapping(bytes32 capKey => uint256) private _caps;
    mapping(Address account => mapping(bytes32 digest => Address)) private _approvals;
    /// @dev 128 nonces a word: used [0..127], cancelled [128..255]; a decline clears the used bit only.
    mapping(Address account => mapping(uint256 index => uint256)) internal _jobNonces;
    /// @dev Eight counters of 32 bits a word.
    mapping(Address account => mapping(uint256 index => uint256)) internal _resourceUses;

    // ---- approvals and delegates

    /// @inheritdoc ILilypadConsent
    function approve(address account, bytes32 digest, bool approved) external {
        _requireActor(account, ANY_SCOPE);
        // What the account said itself only the account takes back or replaces: nobody else has rights in scope 0.
        if (_approvals[toWord(account)][digest] == toWord(account)) _requireActor(account, 0);
        address by = approved ? msg.sender : address(0);
        _approvals[toWord(account)][digest] = toWord(by);
        emit DigestApproved(account, digest, by);
    }

    /// @inheritdoc ILilypadConsent
    function grantDelegate(address key, uint8 scope, uint40 expiry, Allowance[] calldata allowances) external {
        if (key == address(0) || key == msg.sender || scope == 0 || scope > ANY_SCOPE) {
            revert DelegateInvalid(msg.sender, key);
        }
        Address account = toWord(msg.sender);
        Address delegate = toWord(key);
        uint256 epoch = uint32((_delegates[account][delegate] >> 48) + 1);
        _delegates[account][delegate] = scope | uint256(expiry) << 8 | epoch << 48;
        for (uint256 i = 0; i < allowances.length; i++) {
            _setCapLeft(account, delegate, toWord(allowances[i].token), allowances[i].cap);
            emit DelegateCapSet(msg.sender, key, allowances[i].token, allowances[i].cap);
        }
        emit DelegateGranted(msg.sender, key, scope, expiry);
    }

    /// @inheritdoc ILilypadConsent
    function revokeDelegate(address key) external {
        _delegates[toWord(msg.sender)][toWord(key)] &= ~uint256(type(uint48).max); // keeps the epoch: old caps stay dead
        emit DelegateRevoked(msg.sender, key);
    }

    // ---- nonces

    /// @inheritdoc ILilypadConsent
    function cancel(address account, bool resource, uint32[] calldata nonces) external {
        _requireActor(account, SCOPE_OFFERS);
        for (uint256 i = 0; i < nonces.length; i++) {
            uint256 nonce = nonces[i];
            if (resource) {
                _resourceUses[toWord(account)][nonce >> 3] |= uint256(type(uint32).max) << (nonce & 7) * 32;
            } else {
                _jobNonces[toWord(account)][nonce >> 7] |= 1 << 128 + (nonce & 127);
            }
            emit OfferNonceCancelled(account, resource, nonce);
        }
    }

    /// @inheritdoc ILilypadConsent
    function cancelBelow(address account, address[] calldata tokens, uint32 jobFloor, uint32 resourceFloor) external {
        _requireActor(account, SCOPE_OFFERS);
        for (uint256 i = 0; i < tokens.length; i++) {
            mapping(Address account => AccountWord) storage words = _accounts[toWord(tokens[i])];
            words[toWord(account)] = words[toWord(account)].raiseFloors(jobFloor, resourceFloor);
            emit FloorsRaised(account, tokens[i], jobFloor, resourceFloor);
        }
    }

    // ---- who spoke

    /// @dev Reverts unless the caller is `account` or its delegate for `scope`.
    function _requireActor(address account, uint8 scope) private view {
        if (!_isActor(toWord(account), toWord(msg.sender), scope)) revert ILilypadRules.NotAuthorised(account, msg.sender, scope);
    }

    function _isActor(Address account, Address caller, uint256 scope) internal view returns (bool) {
        return caller == account || _scopeOf(account, caller) & scope != 0;
    }

    /// @return The key that consented to `structHash` for `account`: itself, its delegate, or NOBODY.
    function _signerOf(Address account, bytes32 structHash, bytes calldata signature, uint256 scope)
        internal
        view
        returns (Address)
    {
        return _consenter(account, _digestOf(structHash), signature, scope);
    }

    function _consenter(Address account, bytes32 digest, bytes calldata signature, uint256 scope)
        private
        view
        returns (Address key)
    {
        if (account.isZero()) return NOBODY;
        if (signature.length == 0) {
            if (account == toWord(msg.sender)) return account;
            key = _approvals[account][digest];
            return key == account || _scopeOf(account, key) & scope != 0 ? key : NOBODY;
        }
        uint8 kind = uint8(signature[0]);
        if (kind == KIND_OWN_KEY && signature.length == 66) {
            return _recover(digest, signature) == account ? account : NOBODY;
        }
        if (kind == KIND_DELEGATE && signature.length > 20) {
            // The delegate signs in its own way. Its own delegates do not count: nobody has rights in scope 0.
            key = toWord(address(bytes20(signature[1:21])));
            if (_scopeOf(account, key) & scope == 0) return NOBODY;
            return _consenter(key, digest, signature[21:], 0);
        }
        if (kind == KIND_CONTRACT && _isValidContractSignature(account, digest, signature[1:])) return account;
    }

    /// @dev NOBODY unless s is low and v is 27 or 28. `signature`: kind, r, s, v; 66 bytes.
    function _recover(bytes32 digest, bytes calldata signature) private view returns (Address signer) {
        uint256 most = HALF_ORDER;
        // Safe: writes free memory, which it does not keep, and the scratch word, which stays zero when nothing is recovered.
        // The precompiled contract takes no v but 27 and 28.
        assembly ("memory-safe") {
            let s := calldataload(add(signature.offset, 33))
            if iszero(gt(s, most)) {
                let free := mload(64)
                mstore(free, digest)
                mstore(add(free, 32), byte(0, calldataload(add(signature.offset, 65))))
                mstore(add(free, 64), calldataload(add(signature.offset, 1)))
                mstore(add(free, 96), s)
                mstore(0, 0)
                pop(staticcall(gas(), 1, free, 128, 0, 32))
                signer := mload(0)
            }
        }
    }

    /// @dev UNTRUSTED static call: gas is capped and no more than one word of the answer is copied (T10, T45).
    function _isValidContractSignature(Address account, bytes32 digest, bytes calldata signature)
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
            mstore(0, 0)
            ok := staticcall(ERC1271_GAS, account, add(question, 32), mload(question), 0, 32)
            size := returndatasize()
            answer := mload(0)
        }
        return ok && size >= 32 && answer == bytes32(IERC1271.isValidSignature.selector);
    }

    /// @return The rights of `key` for `account` now; 0 when it has none, they expired or were revoked.
    function _scopeOf(Address account, Address key) private view returns (uint256) {
        uint256 word = _delegates[account][key];
        return block.timestamp <= uint40(word >> 8) ? uint8(word) : 0;
    }

    // ---- caps of delegates

    /// @return What `key` may still lock of `token` for `account`; without bound for the account itself.
    function _capLeft(Address account, Address key, Address token) internal view returns (uint256) {
        return key == account ? type(uint256).max : _caps[_capKey(account, key, token)];
    }

    function _setCapLeft(Address account, Address key, Address token, uint256 left) internal {
        if (key != account) _caps[_capKey(account, key, token)] = left;
    }

    function _capKey(Address account, Address key, Address token) private view returns (bytes32) {
        return keccak256(abi.encode(account, key, _delegates[account][key] >> 48, token));
    }

    // ---- views

    /// @inheritdoc ILilypadConsent
    function consentOf(address account, bytes32 structHash, bytes calldata signature, uint8 scope)
        external
        view
        returns (address)
    {
        return _signerOf(toWord(account), structHash, signature, scope).plain();
    }

    /// @inheritdoc ILilypadConsent
    function isActor(address account, address caller, uint8 scope) external view returns (bool) {
        return _isActor(toWord(account), toWord(caller), scope);
    }

    /// @inheritdoc ILilypadConsent
    function jobNonce(address account, uint32 nonce) external view returns (bool used, bool cancelled) {
        uint256 word = _jobNonces[toWord(account)][nonce >> 7] >> (nonce & 127);
        return (word & 1 == 1, word >> 128 & 1 == 1);
    }

    /// @inheritdoc ILilypadConsent
    function resourceUse(address account, uint32 nonce) external view returns (uint32) {
        return uint32(_resourceUses[toWord(account)][nonce >> 3] >> (uint256(nonce) & 7) * 32);
    }

    /// @inheritdoc ILilypadConsent
    function delegateOf(address account, address key, address token)
        external
        view
        returns (uint8 scope, uint40 expiry, uint256 capLeft)
    {
        uint256 word = _delegates[toWord(account)][toWord(key)];
        return (uint8(word), uint40(word >> 8), _capLeft(toWord(account), toWord(key), toWord(token)));
    }

    /// @inheritdoc ILilypadConsent
    function approverOf(address account, bytes32 digest) external view returns (address) {
        return _approvals[toWord(account)][digest].plain();
    }
}
