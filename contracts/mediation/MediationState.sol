// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadMediation} from "../interfaces/ILilypadMediation.sol";
import {ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {Finding, Phase, SeatState, Seating} from "../types/Dispute.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {RoundWord, RoundWordLib} from "../types/RoundWord.sol";
import {PoolTerms, TermsLib} from "../types/Terms.sol";

/// @title What the panel strategy keeps, what time makes of it, and what everybody asks of it
/// @dev One word a running round, one a commitment; everything else is brought along. What a phase has become by the passing
/// of time is computed ({_timed}), not written, until somebody has something to write.
abstract contract MediationState is ILilypadMediation, ReentrancyGuardTransient {
    using DealLib for Deal;
    using DealLib for bytes32[12];

    uint256 internal constant KEEPER_BPS = 200; // of a seat's fee
    uint256 internal constant BPS = 10_000;
    uint256 private constant ABSENCE_DIVISOR = 4; // an absent seat loses this part of its stake

    /// @inheritdoc ILilypadMediation
    ILilypad public immutable core;
    /// @inheritdoc ILilypadMediation
    ILilypadStaking public immutable staking;
    /// @inheritdoc ILilypadMediation
    uint32 public immutable lastCall;

    mapping(DealId => RoundWord) internal _rounds;
    mapping(DealId => mapping(uint256 round => RoundWord)) internal _past;
    /// @dev Key: round << 8 | seat. A commitment; once revealed 0, or the digest when it is not the provider's.
    mapping(DealId => mapping(uint256 seat => bytes32)) internal _commitments;
    mapping(DealId => mapping(uint256 round => address)) internal _appellants;
    /// @dev Of a redraw that is queued: a round that has seats keeps its seating's hash where a new one has its ticket.
    mapping(DealId => uint256) internal _redrawTickets;
    /// @dev First lone seat, which did not run the job [0..159] | what silent seats lost when they were replaced [160..255].
    mapping(DealId => uint256) internal _replaced;

    /// @dev A dispute as somebody brought it.
    struct Case {
        Deal deal;
        DealId id;
        DealWord word;
        DisputeKind kind;
        PoolId pool;
        PoolTerms terms; // that hash to it
    }

    constructor(ILilypad core_, ILilypadStaking staking_, uint32 lastCall_) {
        (core, staking, lastCall) = (core_, staking_, lastCall_);
    }

    // ---- what time has done

    /// @dev The word as it is at `time`. Reverts with SeatingMismatch when the round has seats and `seating` is not theirs.
    function _timed(DealId dealId, RoundWord word, Seating memory seating, uint256 time)
        internal
        view
        returns (RoundWord)
    {
        if (!_hasSeats(word)) return word;
        _requireFacts(dealId, word, seating);
        if (word.isIn(Phase.Commit) && time > word.deadline()) {
            uint256 silent = word.count(SeatState.Silent);
            if (silent != 0 && !word.redrawn()) return word.to(Phase.Due, 0);
            if (silent == word.size()) {
                word = _tallied(dealId, word, seating, word.deadline());
            } else {
                word = word.to(word.opened() ? Phase.Reveal : Phase.Open, _after(word.deadline(), seating.revealWindow));
            }
        }
        if (word.isIn(Phase.Open) && time > word.deadline()) {
            word = word.isDelivery()
                ? _tallied(dealId, word, seating, word.deadline())
                : word.to(Phase.Reveal, _after(word.deadline(), seating.revealWindow));
        }
        if (word.isIn(Phase.Reveal) && time > word.deadline()) {
            word = _tallied(dealId, word, seating, word.deadline());
        }
        if (word.isIn(Phase.Appealable) && time > word.deadline()) word = word.to(Phase.Executable, 0);
        return word;
    }

    /// @dev The word after its last vote, at `time`. A lone seat condemns nobody and breaks no module: then the panel is due. Nor
    /// does one acquit where another was not served: a cheat would serve its friends alone. What the provider did not open is its
    /// own doing, whoever sits.
    function _tallied(DealId dealId, RoundWord word, Seating memory seating, uint256 time)
        internal
        view
        returns (RoundWord)
    {
        if (word.round() == 0) {
            (Finding finding,) = _finding(dealId, word);
            bool stands = finding == Finding.NotOpened || finding == Finding.Confirmed && !word.loneUnavailable();
            if (!stands) return word.to(Phase.Due, 0);
        }
        return word.to(Phase.Appealable, _after(time, seating.appealWindow));
    }

    /// @dev What a round came to, by strict majority of its seats, and the digest of OtherDigest.
    function _finding(DealId dealId, RoundWord word) internal view returns (Finding, bytes32 digest) {
        uint256 seats = word.size();
        uint256[8] memory counts;
        // Safe: at most 15 of each.
        unchecked {
            for (uint256 i = 0; i < seats; i++) {
                counts[word.seatBits(i)]++;
            }
        }
        // In a round about the result the provider is asked once somebody has committed, about delivery before that.
        bool asked = word.isDelivery() || counts[uint256(SeatState.Silent)] != seats;
        if (asked && !word.opened()) return (Finding.NotOpened, 0);
        uint256 confirms = counts[uint256(SeatState.Confirms)];
        uint256 unserved = counts[uint256(SeatState.Unserved)];
        uint256 others = counts[uint256(SeatState.OtherDigest)];
        if (_isMajority(confirms, seats)) return (Finding.Confirmed, 0);
        if (_isMajority(unserved + counts[uint256(SeatState.Unavailable)], seats)) return (Finding.Unserved, 0);
        if (_isMajority(counts[uint256(SeatState.ModuleBroken)], seats)) return (Finding.Broken, 0);
        if (_isMajority(others, seats)) {
            digest = _majorityDigest(dealId, word, seats);
            if (digest != 0) return (Finding.OtherDigest, digest);
        }
        return (_isMajority(confirms + unserved + others, seats) ? Finding.Divided : Finding.Absent, 0);
    }

    function _isMajority(uint256 some, uint256 seats) internal pure returns (bool) {
        unchecked {
            return 2 * some > seats;
        }
    }

    function _majorityDigest(DealId dealId, RoundWord word, uint256 seats) internal view returns (bytes32) {
        bytes32[] memory votes = new bytes32[](seats);
        // Safe: counts to at most 15.
        unchecked {
            for (uint256 i = 0; i < seats; i++) {
                if (word.seatBits(i) != uint256(SeatState.OtherDigest)) continue;
                votes[i] = _commitments[dealId][_seatKey(word.round(), i)];
            }
            for (uint256 i = 0; i < seats; i++) {
                uint256 equal;
                for (uint256 j = 0; j < seats; j++) {
                    if (votes[i] != 0 && votes[j] == votes[i]) equal++;
                }
                if (_isMajority(equal, seats)) return votes[i];
            }
            return 0;
        }
    }

    function _emitTally(DealId dealId, RoundWord word) internal {
        (Finding finding,) = _finding(dealId, word);
        emit Tallied(dealId, word.round(), finding, word.phase(), word.deadline());
    }

    /// @dev Whether seats that missed their commit are to be replaced, in a word of {_timed} that is Due.
    function _awaitsRedraw(RoundWord word) internal pure returns (bool) {
        return !word.redrawn() && word.count(SeatState.Silent) != 0;
    }

    /// @dev Of a word of {_timed}.
    function _isTallied(RoundWord word) internal pure returns (bool) {
        if (word.isIn(Phase.Due)) return !_awaitsRedraw(word);
        return word.isIn(Phase.Appealable) || word.isIn(Phase.Executable);
    }

    function _hasSeats(RoundWord word) internal pure returns (bool) {
        if (word.isIn(Phase.Queued)) return word.redrawn();
        return word.exists() && !word.isIn(Phase.Executed);
    }

    // ---- shared

    function _find(bytes32[12] memory record, PoolTerms memory terms) internal view returns (Case memory c) {
        c.deal = record.loadJudged();
        (c.id, c.word) = core.find(record);
        if (c.deal.strategy.plain() != address(this)) revert StrategyNotThis(c.id, c.deal.strategy.plain());
        (c.terms, c.pool) = (terms, TermsLib.id(terms));
        if (PoolId.unwrap(c.pool) != c.deal.pool) revert PoolMismatch(c.id, c.pool, PoolId.wrap(c.deal.pool));
        c.kind = c.word.disputeKind();
    }

    /// @dev The round of the present dispute: that of an earlier one, about delivery, is over.
    function _wordOf(Case memory c) internal view returns (RoundWord word) {
        word = _rounds[c.id];
        bool stale = word.isIn(Phase.Executed) && word.isDelivery() && c.kind != DisputeKind.Delivery;
        if (stale) return RoundWord.wrap(0);
    }

    function _requireRunning(Case memory c) internal view {
        if (!c.word.isIn(Status.InMediation)) revert NotInDispute(c.id);
        uint256 last = _lastCallOf(c);
        if (block.timestamp > last) revert LastCallPassed(c.id, last, block.timestamp);
    }

    /// @dev Unix seconds. An unfinished round is void afterwards.
    function _lastCallOf(Case memory c) internal view returns (uint256) {
        return c.word.deadline() - lastCall;
    }

    function _requirePhase(DealId dealId, RoundWord word, Phase needed) internal pure {
        if (!word.isIn(needed)) revert PhaseWrong(dealId, word.phase(), needed);
    }

    function _requireFacts(DealId dealId, RoundWord word, Seating memory seating) internal pure {
        if (word.facts() != _factsOf(seating)) revert SeatingMismatch(dealId, word.round());
    }

    /// @dev Whoever acts for a seat: its account, or the operator that this one named to the staking contract.
    function _requireSeat(DealId dealId, RoundWord word, Seating memory seating, uint256 seat, SeatState needed)
        internal
        view
        returns (address account)
    {
        if (seat >= seating.accounts.length) revert SeatUnknown(dealId, seat, seating.accounts.length);
        account = seating.accounts[seat];
        if (msg.sender != account && msg.sender != staking.operatorOf(account)) {
            revert SeatNotYours(dealId, seat, account, msg.sender);
        }
        SeatState state = word.seat(seat);
        if (state != needed) revert SeatStateWrong(dealId, seat, state, needed);
    }

    function _firstRound(DisputeKind kind) internal pure returns (uint8) {
        if (kind == DisputeKind.Delivery) return uint8(RoundWordLib.DELIVERY) + 1;
        return _isAudit(kind) ? 0 : 1;
    }

    function _isAudit(DisputeKind kind) internal pure returns (bool) {
        return kind == DisputeKind.Audit || kind == DisputeKind.AuditExpired;
    }

    /// @dev Safe: a window has 32 bits, a time 40.
    function _after(uint256 time, uint256 window) internal pure returns (uint256) {
        unchecked {
            return time + window;
        }
    }

    /// @dev A seat's fee: re-running, or fetching alone.
    function _feeOf(Case memory c) internal pure returns (uint256) {
        return c.kind == DisputeKind.Delivery ? c.deal.seatFloor : c.deal.seatFee;
    }

    /// @dev Of one seat's fee; the seat keeps the rest.
    function _keeperPartDown(Case memory c) internal pure returns (uint256) {
        // Safe: a fee has 96 bits.
        unchecked {
            return _feeOf(c) * KEEPER_BPS / BPS;
        }
    }

    /// @dev A third of the keepers' part of `seats` fees.
    function _drawerPartDown(Case memory c, uint256 seats) internal pure returns (uint256) {
        unchecked {
            return seats * _keeperPartDown(c) / 3;
        }
    }

    /// @dev The mediator keeps the rest.
    function _absenceLossDown(Case memory c) internal pure returns (uint256) {
        return c.terms.seatStake / ABSENCE_DIVISOR;
    }

    function _excluded(Deal memory deal) internal pure returns (address[4] memory) {
        return [deal.creator.plain(), deal.provider.plain(), deal.solver.plain(), deal.publisher.plain()];
    }

    function _roundKey(DealId dealId, uint256 round, bool redraw) internal pure returns (bytes32) {
        return keccak256(abi.encode(dealId, round, redraw));
    }

    function _seatKey(uint256 round, uint256 seat) internal pure returns (uint256) {
        return round << 8 | seat;
    }

    function _factsOf(Seating memory seating) internal pure returns (uint256) {
        return uint160(uint256(keccak256(abi.encode(seating))));
    }
}
