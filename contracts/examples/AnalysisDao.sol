// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {InputsDocument} from "../jobs/InputsDocument.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {OutputProof} from "../jobs/OutputProof.sol";
import {JobFailure, JobOutcome, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title Members who decide together which analyses their treasury pays for
/// @notice A proposal is a data set (a CID of an input file), a question and a price cap. With more than half of the members
/// for it, anyone starts the run; the DAO's ledger balance pays. The answer is a folder of files, of which any can be brought
/// on chain with a proof, for whatever the DAO binds to it.
contract AnalysisDao is LilypadClient {
    enum Stage {
        None,
        Voting,
        Running,
        Answered,
        Failed
    }

    struct Proposal {
        Stage stage;
        uint96 maxPrice; // smallest units
        uint16 votes;
        JobOutcome outcome; // of a run that failed
        uint96 paid; // smallest units
        bytes32 outputsRoot;
        string question;
        string dataCid;
    }

    uint32 private constant CALLBACK_GAS = 150_000;

    JobTerms private _terms; // price cap, expiry and nonce are filled in for each run
    uint256 public immutable MEMBERS;
    mapping(address => bool) public isMember;
    Proposal[] private _proposals;
    mapping(uint256 proposal => mapping(address member => bool)) public hasVoted;
    mapping(bytes32 requestId => uint256) private _runs;
    mapping(uint256 proposal => mapping(bytes32 path => bytes)) private _files;

    event Proposed(uint256 indexed proposal, address indexed by, string question, string dataCid, uint96 maxPrice);
    event Voted(uint256 indexed proposal, address indexed member, uint256 votes);
    event Started(uint256 indexed proposal, bytes32 indexed requestId);
    event Answered(uint256 indexed proposal, bytes32 outputsRoot, uint256 paid);
    event RunFailed(uint256 indexed proposal, JobOutcome outcome);
    event FileProved(uint256 indexed proposal, bytes[] path, bytes content);

    error NotAMember(address account);
    error MemberTwice(address account);
    error VotedBefore(uint256 proposal, address member);
    error WrongStage(uint256 proposal, Stage found, Stage needed);
    error VotesMissing(uint256 proposal, uint256 votes, uint256 members);

    constructor(ILilypadJobs jobs, JobTerms memory terms, address[] memory members) LilypadClient(jobs) {
        (_terms, MEMBERS) = (terms, members.length);
        for (uint256 i = 0; i < members.length; i++) {
            if (isMember[members[i]]) revert MemberTwice(members[i]);
            isMember[members[i]] = true;
        }
    }

    /// @notice Puts `amount` of the caller's tokens, which it allowed this contract to take, into the treasury.
    function fund(uint256 amount) external {
        _depositFromCaller(_terms.token, amount);
    }

    /// @notice Proposes an analysis. Members.
    function propose(string calldata question, string calldata dataCid, uint96 maxPrice) external returns (uint256 proposal) {
        _requireMember();
        proposal = _proposals.length;
        Proposal storage made = _proposals.push();
        (made.stage, made.maxPrice, made.question, made.dataCid) = (Stage.Voting, maxPrice, question, dataCid);
        emit Proposed(proposal, msg.sender, question, dataCid, maxPrice);
    }

    /// @notice Votes for a proposal, once. Members.
    function vote(uint256 proposal) external {
        _requireMember();
        Proposal storage found = _require(proposal, Stage.Voting);
        if (hasVoted[proposal][msg.sender]) revert VotedBefore(proposal, msg.sender);
        hasVoted[proposal][msg.sender] = true;
        emit Voted(proposal, msg.sender, ++found.votes);
    }

    /// @notice Starts a run that more than half of the members voted for. Anyone.
    function start(uint256 proposal) external returns (bytes32 requestId) {
        Proposal storage found = _require(proposal, Stage.Voting);
        if (2 * uint256(found.votes) <= MEMBERS) revert VotesMissing(proposal, found.votes, MEMBERS);
        found.stage = Stage.Running;
        JobTerms memory terms = _terms;
        (terms.maxPrice, terms.expiry) = (found.maxPrice, uint40(block.timestamp + 1 days));
        InputsDocument.Member[] memory values = new InputsDocument.Member[](1);
        InputsDocument.Member[] memory files = new InputsDocument.Member[](1);
        values[0] = InputsDocument.text("question", found.question);
        files[0] = InputsDocument.text("data", found.dataCid);
        requestId = _request(terms, InputsDocument.write(terms.module, values, files), CALLBACK_GAS);
        _runs[requestId] = proposal;
        emit Started(proposal, requestId);
    }

    /// @notice Brings a file of the answer on chain. Anyone; `nodes` prove it (OutputProof).
    function prove(uint256 proposal, bytes[] calldata nodes, bytes[] calldata path, bytes calldata content)
        external
    {
        Proposal storage found = _require(proposal, Stage.Answered);
        OutputProof.requireFile(found.outputsRoot, nodes, path, content);
        bytes32 key = keccak256(abi.encode(path));
        _files[proposal][key] = content;
        emit FileProved(proposal, path, content);
    }

    /// @return The content of a proved file; empty when nobody proved it.
    function fileOf(uint256 proposal, bytes[] calldata path) external view returns (bytes memory) {
        return _files[proposal][keccak256(abi.encode(path))];
    }

    function proposalOf(uint256 proposal) external view returns (Proposal memory) {
        return _proposals[proposal];
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        uint256 proposal = _runs[requestId];
        Proposal storage found = _proposals[proposal];
        found.paid = uint96(result.paid); // the ledger holds at most 2^96 - 1
        if (result.exitCode != 0 || result.outputsRoot == 0) {
            found.stage = Stage.Failed;
            emit RunFailed(proposal, JobOutcome.Fulfilled);
            return;
        }
        (found.stage, found.outputsRoot) = (Stage.Answered, result.outputsRoot);
        emit Answered(proposal, result.outputsRoot, result.paid);
    }

    /// @dev The money is back in the treasury; the members may propose it again.
    function _onFailure(bytes32 requestId, JobFailure calldata failure) internal override {
        uint256 proposal = _runs[requestId];
        (_proposals[proposal].stage, _proposals[proposal].outcome) = (Stage.Failed, failure.outcome);
        emit RunFailed(proposal, failure.outcome);
    }

    function _require(uint256 proposal, Stage needed) private view returns (Proposal storage found) {
        found = _proposals[proposal];
        if (found.stage != needed) revert WrongStage(proposal, found.stage, needed);
    }

    function _requireMember() private view {
        if (!isMember[msg.sender]) revert NotAMember(msg.sender);
    }
}
