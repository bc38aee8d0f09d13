// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Files of a result, proved against its outputs root
/// @notice `outputsRoot` of a JobResult is the sha2-256 of the dag-pb node of the folder `outputs/`. A file in it is proved by
/// the nodes of the folders on the way: each one's sha2-256 is what the one before says, and each says where the next name leads.
/// Only the layout that Lilypad writes is read (UnixFS profile `unixfs-v1-2025`: plain folders, names in ascending byte
/// order, CIDv1 with sha2-256), so that a root and a path have one answer. Cost grows with the entries of the folders on the way.
/// @dev dag-pb: PBLink {1: hash, 2: name, 3: size} in PBNode {2: links, 1: data}, links first. Twin: lilypad_agents/content/dagpb.py.
library OutputProof {
    error ProofLengthsDiffer(uint256 nodes, uint256 names);
    error NodeMismatch(uint256 depth, bytes32 found, bytes32 needed);
    error NodeMalformed(uint256 position);
    error EntryMissing(bytes name);
    error NotAFolder(bytes name);
    error NotASmallFile(bytes name);
    error ContentMismatch(bytes32 found, bytes32 needed);

    uint256 private constant LINK = 0x12;
    uint256 private constant NAME = 0x12;
    uint256 private constant TREE_SIZE = 0x18;
    bytes4 private constant FOLDER = 0x0a020801; // the data field of a folder, which ends its node
    uint256 private constant RAW = 0x55;
    uint256 private constant DAG_PB = 0x70;

    /// @notice What stands at a path. `nodes[i]` is the block of the folder in which `path[i]` is looked up; `nodes[0]` that of `outputs/`.
    /// @return isRaw True for a file of at most 1 MiB: then `digest` is the sha2-256 of its bytes. Otherwise the sha2-256 of the
    /// dag-pb node of a folder or a larger file: the CID bafybei... that IPFS knows.
    function entryAt(bytes32 outputsRoot, bytes[] calldata nodes, bytes[] calldata path)
        internal
        pure
        returns (bool isRaw, bytes32 digest)
    {
        if (nodes.length != path.length || path.length == 0) revert ProofLengthsDiffer(nodes.length, path.length);
        digest = outputsRoot;
        for (uint256 i = 0; i < path.length; i++) {
            if (isRaw) revert NotAFolder(path[i - 1]);
            bytes32 found = sha256(nodes[i]);
            if (found != digest) revert NodeMismatch(i, found, digest);
            (isRaw, digest) = _entry(nodes[i], path[i]);
        }
    }

    /// @notice Reverts unless the file at `path` has the bytes `content` (at most 1 MiB, one raw block).
    function requireFile(bytes32 outputsRoot, bytes[] calldata nodes, bytes[] calldata path, bytes calldata content)
        internal
        pure
    {
        (bool isRaw, bytes32 digest) = entryAt(outputsRoot, nodes, path);
        if (!isRaw) revert NotASmallFile(path[path.length - 1]);
        bytes32 found = sha256(content);
        if (found != digest) revert ContentMismatch(found, digest);
    }

    /// @dev Reads the whole node: only its last field says that it is a folder.
    function _entry(bytes calldata node, bytes calldata name) private pure returns (bool isRaw, bytes32 digest) {
        bytes calldata before = node[:0];
        bool hit;
        uint256 position;
        while (_byte(node, position) == LINK) {
            uint256 size;
            (size, position) = _number(node, position + 1);
            bytes calldata link = _slice(node, position, size);
            bytes calldata found = _nameOf(link);
            if (!_isAbove(found, before)) revert NodeMalformed(position);
            if (keccak256(found) == keccak256(name)) {
                (hit, isRaw, digest) = (true, _byte(link, 3) == RAW, bytes32(link[6:38]));
            }
            before = found;
            position += size;
        }
        // Two bytes of data, which say "folder", and nothing after them.
        if (node.length != position + 4 || bytes4(node[position:]) != FOLDER) revert NodeMalformed(position);
        if (!hit) revert EntryMissing(name);
    }

    /// @dev The name in a link: 0a 24 | CID: 01 codec 12 20 digest | 12 length name | 18 size.
    function _nameOf(bytes calldata link) private pure returns (bytes calldata name) {
        uint256 codec = _byte(link, 3);
        if (bytes3(link) != 0x0a2401 || (codec != RAW && codec != DAG_PB)) revert NodeMalformed(3);
        if (bytes2(_slice(link, 4, 2)) != 0x1220 || _byte(link, 38) != NAME) revert NodeMalformed(38);
        (uint256 size, uint256 position) = _number(link, 39);
        name = _slice(link, position, size);
        position += size;
        if (_byte(link, position) != TREE_SIZE) revert NodeMalformed(position);
        (, position) = _number(link, position + 1);
        if (position != link.length) revert NodeMalformed(position);
    }

    /// @dev Whether `name` comes after `before` in byte order; nothing comes after itself.
    function _isAbove(bytes calldata name, bytes calldata before) private pure returns (bool) {
        uint256 common = name.length < before.length ? name.length : before.length;
        for (uint256 i = 0; i < common; i++) {
            if (name[i] != before[i]) return name[i] > before[i];
        }
        return name.length > before.length;
    }

    /// @dev A varint of at most 64 bits in its shortest form, and where it ends.
    function _number(bytes calldata data, uint256 position) private pure returns (uint256 number, uint256 end) {
        for (uint256 shift = 0; shift < 70; shift += 7) {
            uint256 part = _byte(data, position++);
            number |= (part & 0x7f) << shift;
            if (part < 0x80) {
                if ((part == 0 && shift != 0) || number > type(uint64).max) revert NodeMalformed(position);
                return (number, position);
            }
        }
        revert NodeMalformed(position);
    }

    function _byte(bytes calldata data, uint256 position) private pure returns (uint256) {
        if (position >= data.length) revert NodeMalformed(position);
        return uint8(data[position]);
    }

    function _slice(bytes calldata data, uint256 position, uint256 size) private pure returns (bytes calldata) {
        if (size > data.length - position) revert NodeMalformed(position);
        return data[position:position + size];
    }
}
