// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Inputs documents, written on chain
/// @notice The canonical JSON of protocol 5.1 (RFC 8785): `{"files":{name:CID},"module":version id,"values":{name:value}}`. Texts
/// may hold anything that is UTF-8: quotes, backslashes and control characters are escaped, so no value can become another field.
/// Providers refuse a document that lacks a default of the module, so give every input that the module declares.
///
///     bytes memory inputs = InputsDocument.write(module, InputsDocument.text("message", "hello"));
library InputsDocument {
    /// @notice A name with its value as JSON.
    struct Member {
        string name;
        string json;
    }

    error NumberUnsafe(int256 number);
    error NameTwice(string name);

    /// @dev JSON readers keep integers exactly up to here: 2^53 - 1.
    int256 private constant SAFE_INTEGER = 9_007_199_254_740_991;

    function text(string memory name, string memory value) internal pure returns (Member memory) {
        return Member(name, quoted(value));
    }

    /// @notice Reverts with NumberUnsafe beyond 2^53 - 1 either way; larger numbers go as texts.
    function number(string memory name, int256 value) internal pure returns (Member memory) {
        if (value > SAFE_INTEGER || value < -SAFE_INTEGER) revert NumberUnsafe(value);
        return Member(name, Strings.toStringSigned(value));
    }

    function flag(string memory name, bool value) internal pure returns (Member memory) {
        return Member(name, value ? "true" : "false");
    }

    /// @notice The document of a job with one input and no files.
    function write(bytes32 module, Member memory value) internal pure returns (bytes memory) {
        Member[] memory values = new Member[](1);
        values[0] = value;
        return write(module, values);
    }

    /// @notice The document of a job without input files.
    function write(bytes32 module, Member[] memory values) internal pure returns (bytes memory) {
        return write(module, values, new Member[](0));
    }

    /// @param files Names to CIDs (`text`): what the provider fetches before it runs.
    function write(bytes32 module, Member[] memory values, Member[] memory files) internal pure returns (bytes memory) {
        string memory id = Strings.toHexString(uint256(module), 32);
        return abi.encodePacked('{"files":', object(files), ',"module":"', id, '","values":', object(values), "}");
    }

    /// @notice Members as one JSON object, in the order of their names. Reverts with NameTwice.
    function object(Member[] memory members) internal pure returns (bytes memory json) {
        _sort(members);
        for (uint256 i = 0; i < members.length; i++) {
            json = abi.encodePacked(json, i == 0 ? "" : ",", quoted(members[i].name), ":", members[i].json);
        }
        return abi.encodePacked("{", json, "}");
    }

    /// @notice A JSON string, in its one canonical form.
    function quoted(string memory value) internal pure returns (string memory) {
        return string.concat('"', Strings.escapeJSON(value), '"');
    }

    /// @dev By insertion: there are few. Names of inputs are ASCII, whose byte order is that of RFC 8785.
    function _sort(Member[] memory members) private pure {
        for (uint256 i = 1; i < members.length; i++) {
            Member memory member = members[i];
            uint256 place = i;
            while (place > 0 && _isAbove(members[place - 1].name, member.name)) {
                members[place] = members[place - 1];
                place--;
            }
            members[place] = member;
        }
    }

    function _isAbove(string memory left, string memory right) private pure returns (bool) {
        (bytes memory a, bytes memory b) = (bytes(left), bytes(right));
        uint256 common = a.length < b.length ? a.length : b.length;
        for (uint256 i = 0; i < common; i++) {
            if (a[i] != b[i]) return a[i] > b[i];
        }
        if (a.length == b.length) revert NameTwice(left);
        return a.length > b.length;
    }
}
