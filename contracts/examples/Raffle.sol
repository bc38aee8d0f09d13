// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";
import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {InputsDocument} from "../jobs/InputsDocument.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title A raffle whose winner follows from a verified computation over the hash of a block that nobody knew at the sale
/// @notice The module computes slowly from a seed (a long chain of hashes, say), so that whoever builds the block of the seed
/// cannot try blocks until one suits it: each try costs the whole computation within the time of one block. Everybody else can check
/// the result by running the module. The seed is fixed once: a run that fails is asked for again with the same seed, so nobody
/// gains a second draw by spoiling the first.
contract Raffle is LilypadClient {
    using SafeERC20 for IERC20;

    uint32 private constant CALLBACK_GAS = 150_000;
    uint256 private constant BLOCKS_AHEAD = 5;

    IERC20 public immutable TOKEN;
    uint256 public immutable TICKET; // smallest units
    uint256 public immutable CLOSES; // unix seconds: the last second at which tickets are sold
    JobTerms private _terms; // expiry and nonce are filled in for each run

    address[] public tickets;
    uint256 public seedBlock; // its hash is the seed; 0: not fixed yet
    bytes32 public seed;
    bytes32 public running; // the request under way; 0: none
    address public payer; // of the run under way: what it does not cost returns to its ledger balance
    address public winner;
    bool public paidOut;

    event Drawing(bytes32 indexed requestId, bytes32 seed);
    event Drawn(address indexed winner, bytes32 stdoutHash);
    event DrawFailed(bytes32 indexed requestId);

    error SaleOver(uint256 closes, uint256 time);
    error SaleRuns(uint256 closes, uint256 time);
    error NothingToDraw();
    error SeedPending(uint256 seedBlock, uint256 number);
    error SeedFixed(uint256 seedBlock);
    error RunUnderWay(bytes32 requestId);
    error DrawnBefore(address winner);
    error NotTheWinner(address winner, address caller);

    constructor(ILilypadJobs jobs, JobTerms memory terms, uint256 ticket, uint256 closes) LilypadClient(jobs) {
        (_terms, TOKEN, TICKET, CLOSES) = (terms, IERC20(terms.token), ticket, closes);
    }

    /// @notice Buys one ticket for the caller, out of its allowance for this contract.
    function buy() external {
        if (block.timestamp > CLOSES) revert SaleOver(CLOSES, block.timestamp);
        tickets.push(msg.sender);
        TOKEN.safeTransferFrom(msg.sender, address(this), TICKET);
    }

    /// @notice Ends the sale: a block some blocks ahead will be the seed. Anyone; again only when its hash was let slip away.
    function close() external {
        if (block.timestamp <= CLOSES) revert SaleRuns(CLOSES, block.timestamp);
        bool lost = seedBlock != 0 && seed == 0 && block.number > seedBlock && blockhash(seedBlock) == 0;
        if (seedBlock != 0 && !lost) revert SeedFixed(seedBlock);
        seedBlock = block.number + BLOCKS_AHEAD;
    }

    /// @notice Asks for the computation, out of the caller's allowance for this contract. Anyone.
    function draw() external returns (bytes32 requestId) {
        if (tickets.length == 0) revert NothingToDraw();
        if (winner != address(0)) revert DrawnBefore(winner);
        if (running != 0) revert RunUnderWay(running);
        if (seed == 0) seed = seedBlock == 0 ? bytes32(0) : blockhash(seedBlock);
        if (seed == 0) revert SeedPending(seedBlock, block.number);
        bytes memory inputs = InputsDocument.write(_terms.module, InputsDocument.text("seed", Strings.toHexString(uint256(seed), 32)));
        JobTerms memory terms = _terms;
        terms.expiry = uint40(block.timestamp + 1 hours);
        requestId = _requestFromAllowance(terms, inputs, CALLBACK_GAS);
        (running, payer) = (requestId, msg.sender);
        emit Drawing(requestId, seed);
    }

    /// @notice Pays the winner what the tickets brought.
    function claim() external {
        if (msg.sender != winner || paidOut) revert NotTheWinner(winner, msg.sender);
        paidOut = true;
        TOKEN.safeTransfer(msg.sender, TICKET * tickets.length);
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        _end(_terms.maxPrice - result.paid);
        if (result.exitCode != 0 || result.stdoutHash == 0) {
            emit DrawFailed(requestId);
            return;
        }
        // The bias of the remainder is below 2^-200 for any number of tickets that fits into a block's gas.
        winner = tickets[uint256(result.stdoutHash) % tickets.length];
        emit Drawn(winner, result.stdoutHash);
    }

    function _onFailure(bytes32 requestId, JobFailure calldata failure) internal override {
        _end(_terms.maxPrice - failure.paid + failure.compensation);
        emit DrawFailed(requestId);
    }

    function _end(uint256 rest) private {
        running = 0;
        if (rest != 0) _transferCredit(address(TOKEN), payer, rest);
    }
}
