// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ILilypadJobs} from "../interfaces/ILilypadJobs.sol";
import {InputsDocument} from "../jobs/InputsDocument.sol";
import {LilypadClient} from "../jobs/LilypadClient.sol";
import {JobFailure, JobResult} from "../types/JobRequest.sol";
import {JobTerms} from "../types/JobTerms.sol";

/// @title A number that a module computes again and again, for other contracts to read
/// @notice Anyone may ask for the next round when the interval is over; the feed's ledger balance pays, and anyone may fill it up.
/// The module prints one whole number (a price in the smallest unit, an index...) for a round that it is given, so that everyone who runs it
/// for that round gets the same. Rounds are taken in order: an answer that comes late never replaces a newer one.
contract PriceFeed is LilypadClient {
    struct Round {
        uint32 number;
        uint40 askedAt; // unix seconds
        uint40 answeredAt; // unix seconds
        uint128 value;
    }

    uint32 private constant CALLBACK_GAS = 60_000;

    uint40 public immutable INTERVAL; // seconds between two rounds
    JobTerms private _terms; // expiry and nonce are filled in for each round

    Round public latest;
    uint32 public lastAsked;
    uint40 public nextAt; // unix seconds: before it nobody may ask
    mapping(bytes32 requestId => Round) private _asked;

    event RoundAsked(uint32 indexed round, bytes32 indexed requestId);
    event RoundAnswered(uint32 indexed round, uint128 value);
    event RoundFailed(uint32 indexed round);

    error TooEarly(uint256 nextAt, uint256 time);

    /// @param terms What to ask for; its token is what {fund} takes.
    constructor(ILilypadJobs jobs, JobTerms memory terms, uint40 interval) LilypadClient(jobs) {
        (_terms, INTERVAL) = (terms, interval);
    }

    /// @notice Puts `amount` of the caller's tokens, which it allowed this contract to take, into the feed's balance.
    function fund(uint256 amount) external {
        _depositFromCaller(_terms.token, amount);
    }

    /// @notice Asks for the next round.
    function update() external returns (bytes32 requestId) {
        if (block.timestamp < nextAt) revert TooEarly(nextAt, block.timestamp);
        nextAt = uint40(block.timestamp) + INTERVAL;
        uint32 round = ++lastAsked;
        bytes memory inputs = InputsDocument.write(_terms.module, InputsDocument.number("round", int256(uint256(round))));
        JobTerms memory terms = _terms;
        terms.expiry = nextAt; // nobody needs it later
        requestId = _request(terms, inputs, CALLBACK_GAS);
        _asked[requestId] = Round(round, uint40(block.timestamp), 0, 0);
        emit RoundAsked(round, requestId);
    }

    /// @return value The newest answer.
    /// @return age Seconds since it was asked for; whoever reads decides how old is too old.
    function read() external view returns (uint128 value, uint256 age) {
        return (latest.value, block.timestamp - latest.askedAt);
    }

    function _onResult(bytes32 requestId, JobResult calldata result) internal override {
        Round memory round = _asked[requestId];
        delete _asked[requestId];
        (bool isNumber, uint128 value) = _parse(result.stdout);
        if (result.exitCode != 0 || !isNumber) {
            emit RoundFailed(round.number);
            return;
        }
        emit RoundAnswered(round.number, value);
        if (round.number <= latest.number) return;
        latest = Round(round.number, round.askedAt, uint40(block.timestamp), value);
    }

    function _onFailure(bytes32 requestId, JobFailure calldata) internal override {
        uint32 round = _asked[requestId].number;
        delete _asked[requestId];
        emit RoundFailed(round); // the money is back in the balance; the next round comes
    }

    /// @dev Decimal digits, with at most one line break at the end. A module's output is data: nothing about its form is trusted.
    function _parse(bytes calldata text) private pure returns (bool isNumber, uint128 value) {
        uint256 size = text.length;
        if (size != 0 && text[size - 1] == "\n") size--;
        if (size == 0 || size > 38) return (false, 0); // 38 digits fit 128 bits
        for (uint256 i = 0; i < size; i++) {
            if (text[i] < "0" || text[i] > "9") return (false, 0);
            value = value * 10 + uint8(text[i]) - 48;
        }
        return (true, value);
    }
}
