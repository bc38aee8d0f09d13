// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ILilypadModules, NameId} from "../interfaces/ILilypadModules.sol";
import {TextRules} from "./TextRules.sol";

/// @title Names: who owns them, who works for the owner, how they change hands
abstract contract ModuleNames is ILilypadModules {
    using SafeERC20 for IERC20;

    struct Name {
        address owner;
        address operator; // 0: nobody
        address payee; // 0: the owner
    }

    mapping(NameId => Name) private _names;
    /// @dev Set by a rename; 0: the id is its own.
    mapping(NameId => NameId) private _leadsTo;
    mapping(NameId => Sale) private _sales;

    // ---- changing hands

    /// @inheritdoc ILilypadModules
    function rename(NameId name, string calldata text) external {
        _requireOwner(name);
        TextRules.requireName(text);
        NameId other = _nameIdOf(msg.sender, text);
        address holder = _names[_resolve(other)].owner;
        if (holder != address(0)) revert NameTaken(msg.sender, text, holder);
        _leadsTo[other] = name;
        delete _names[name].operator;
        delete _sales[name];
        emit NameRenamed(name, msg.sender, text);
    }

    /// @inheritdoc ILilypadModules
    function transfer(NameId name, address to) external {
        _requireOwner(name);
        _transfer(name, msg.sender, to);
    }

    /// @inheritdoc ILilypadModules
    function offer(NameId name, Sale calldata sale) external {
        _requireOwner(name);
        bool gift = sale.price == 0 || sale.token == address(0);
        if (sale.expiry == 0 || gift && sale.buyer == address(0) || gift && sale.price != 0) revert SaleInvalid(name);
        _sales[name] = sale;
        emit NameOffered(name, sale);
    }

    /// @inheritdoc ILilypadModules
    function withdrawOffer(NameId name) external {
        _requireOwner(name);
        if (_sales[name].expiry == 0) revert NameNotForSale(name);
        delete _sales[name];
        emit NameOfferWithdrawn(name);
    }

    /// @inheritdoc ILilypadModules
    function buy(NameId name, address token, uint96 price) external {
        Sale memory sale = _sales[name];
        if (sale.expiry == 0) revert NameNotForSale(name);
        if (block.timestamp > sale.expiry) revert SaleExpired(name, sale.expiry, block.timestamp);
        if (sale.token != token || sale.price != price) revert SaleDiffers(name, sale.token, sale.price);
        if (sale.buyer != address(0) && sale.buyer != msg.sender) revert SaleForAnother(name, sale.buyer, msg.sender);
        address seller = _names[name].owner;
        _transfer(name, seller, msg.sender);
        emit NameSold(name, seller, msg.sender, token, price);
        if (price != 0) IERC20(token).safeTransferFrom(msg.sender, seller, price); // UNTRUSTED
    }

    /// @inheritdoc ILilypadModules
    function setOperator(NameId name, address operator) external {
        _requireOwner(name);
        _names[name].operator = operator;
        emit OperatorNamed(name, operator);
    }

    /// @inheritdoc ILilypadModules
    function setPayee(NameId name, address payee) external {
        _requireOwner(name);
        if (payee == address(this)) revert AccountInvalid(payee);
        _names[name].payee = payee;
        emit PayeeNamed(name, payee);
    }

    function _transfer(NameId name, address from, address to) private {
        if (to == address(0) || to == address(this)) revert AccountInvalid(to);
        _names[name] = Name({owner: to, operator: address(0), payee: address(0)});
        delete _sales[name];
        emit NameTransferred(name, from, to);
    }

    // ---- for the registry

    /// @dev The name under which `publisher` publishes `text`; created when it does not exist and the publisher itself calls.
    /// @return name Its id.
    /// @return asOwner Whether the caller is the owner, not only the operator.
    function _nameFor(address publisher, string calldata text) internal returns (NameId name, bool asOwner) {
        TextRules.requireName(text);
        name = _resolve(_nameIdOf(publisher, text));
        address owner = _names[name].owner;
        if (owner == msg.sender) return (name, true);
        if (owner == address(0)) {
            if (msg.sender != publisher) revert NameNotYours(name, publisher, msg.sender);
            _names[name].owner = publisher;
            emit NameCreated(name, publisher, text);
            return (name, true);
        }
        if (_names[name].operator != msg.sender) revert NameNotYours(name, owner, msg.sender);
        return (name, false);
    }

    function _requireOwnerOrOperator(NameId name) internal view {
        Name storage found = _names[name];
        if (msg.sender != found.owner && msg.sender != found.operator) {
            revert NameNotYours(name, found.owner, msg.sender);
        }
    }

    function _requireOwner(NameId name) private view {
        address owner = _names[name].owner;
        if (owner == address(0)) revert NameUnknown(name);
        if (msg.sender != owner) revert NameNotYours(name, owner, msg.sender);
    }

    function _payeeOf(NameId name) internal view returns (address) {
        address payee = _names[name].payee;
        return payee == address(0) ? _names[name].owner : payee;
    }

    function _resolve(NameId name) private view returns (NameId) {
        NameId other = _leadsTo[name];
        return NameId.unwrap(other) == 0 ? name : other;
    }

    function _nameIdOf(address publisher, string calldata text) private pure returns (NameId) {
        return NameId.wrap(bytes24(keccak256(abi.encode(publisher, keccak256(bytes(text))))));
    }

    // ---- views

    /// @inheritdoc ILilypadModules
    function nameIdOf(address publisher, string calldata text) external view returns (NameId) {
        return _resolve(_nameIdOf(publisher, text));
    }

    /// @inheritdoc ILilypadModules
    function nameOf(NameId name) external view returns (address owner, address operator, address payee) {
        return (_names[name].owner, _names[name].operator, _payeeOf(name));
    }

    /// @inheritdoc ILilypadModules
    function saleOf(NameId name) external view returns (Sale memory) {
        return _sales[name];
    }
}
