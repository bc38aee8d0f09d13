// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {CidText} from "../jobs/CidText.sol";
import {InputsDocument} from "../jobs/InputsDocument.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title A token whose metadata a module generates
/// @notice The caller pays for the run; the token exists from that call on, and its metadata from the answer on: the folder of
/// output files, by CID, so what the token shows is exactly what was computed and verified. A run without a usable answer may
/// be asked for again, with the same text.
contract ModuleNft is ERC721, LilypadClient {
    uint32 private constant CALLBACK_GAS = 150_000;

    struct Run {
        uint96 tokenId;
        address payer; // what the run does not cost returns to its ledger balance
    }

    JobTerms private _terms; // expiry and nonce are filled in for each run

    uint256 public minted;
    mapping(uint256 tokenId => string) public textOf;
    mapping(uint256 tokenId => bytes32) public outputsOf; // outputs root; 0: no metadata yet
    mapping(uint256 tokenId => bytes32) public runOf; // the request under way; 0: none
    mapping(bytes32 requestId => Run) private _runs;

    event Generated(uint256 indexed tokenId, bytes32 outputsRoot);
    event NotGenerated(uint256 indexed tokenId);

    error GeneratedOrRunning(uint256 tokenId);

    constructor(ILilypadJobs jobs, JobTerms memory terms) ERC721("Lilypad art", "LPART") LilypadClient(jobs) {
        _terms = terms;
    }

    /// @notice Mints a token to the caller and asks for its metadata, out of the caller's allowance for this contract.
    function mint(string calldata text) external returns (uint256 tokenId) {
        tokenId = ++minted;
        textOf[tokenId] = text;
        _mint(msg.sender, tokenId);
        _generate(tokenId);
    }

    /// @notice Asks again for metadata that a run did not give. Anyone, who then pays.
    function retry(uint256 tokenId) external {
        _requireOwned(tokenId);
        if (outputsOf[tokenId] != 0 || runOf[tokenId] != 0) revert GeneratedOrRunning(tokenId);
        _generate(tokenId);
    }

    function tokenURI(uint256 tokenId) public view override returns (string memory) {
        _requireOwned(tokenId);
        bytes32 root = outputsOf[tokenId];
        return root == 0 ? "" : string.concat("ipfs://", CidText.dagPb(root), "/metadata.json");
    }

    function _generate(uint256 tokenId) private {
        bytes memory inputs = InputsDocument.write(_terms.module, InputsDocument.text("message", textOf[tokenId]));
        JobTerms memory terms = _terms;
        terms.expiry = uint40(block.timestamp + 1 hours);
        bytes32 requestId = _requestFromAllowance(terms, inputs, CALLBACK_GAS);
        runOf[tokenId] = requestId;
        _runs[requestId] = Run(uint96(tokenId), msg.sender);
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        uint256 tokenId = _end(requestId, _terms.maxPrice - result.paid);
        if (result.exitCode != 0 || result.outputsRoot == 0) {
            emit NotGenerated(tokenId);
            return;
        }
        outputsOf[tokenId] = result.outputsRoot;
        emit Generated(tokenId, result.outputsRoot);
    }

    function _onFailure(bytes32 requestId, JobFailure calldata failure) internal override {
        emit NotGenerated(_end(requestId, _terms.maxPrice - failure.paid + failure.compensation));
    }

    function _end(bytes32 requestId, uint256 rest) private returns (uint256 tokenId) {
        Run memory run = _runs[requestId];
        tokenId = run.tokenId;
        delete _runs[requestId];
        delete runOf[tokenId];
        if (rest != 0) _transferCredit(_terms.token, run.payer, rest);
    }
}
