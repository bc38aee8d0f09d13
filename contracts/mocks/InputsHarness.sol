// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {InputsDocument} from "../jobs/InputsDocument.sol";

/// @title Test double: opens InputsDocument, so that Python's canonical JSON can be compared with it
contract InputsHarness {
    function texts(bytes32 module, string[] calldata names, string[] calldata values, string[] calldata cids)
        external
        pure
        returns (bytes memory)
    {
        InputsDocument.Member[] memory members = new InputsDocument.Member[](names.length);
        InputsDocument.Member[] memory files = new InputsDocument.Member[](cids.length);
        for (uint256 i = 0; i < names.length; i++) {
            members[i] = InputsDocument.text(names[i], values[i]);
        }
        for (uint256 i = 0; i < cids.length; i++) {
            files[i] = InputsDocument.text(names[i], cids[i]);
        }
        return InputsDocument.write(module, members, files);
    }

    function mixed(bytes32 module, int256 number, bool flag) external pure returns (bytes memory) {
        InputsDocument.Member[] memory members = new InputsDocument.Member[](2);
        members[0] = InputsDocument.number("number", number);
        members[1] = InputsDocument.flag("flag", flag);
        return InputsDocument.write(module, members);
    }
}
