// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadMediation} from "../interfaces/ILilypadMediation.sol";
import {DrawResult, ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {ResultOpening} from "../types/Calls.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {
    Finding,
    Phase,
    SeatState,
    Seating,
    VOTE_CANNOT_RUN,
    VOTE_MODULE_BROKEN,
    VOTE_SERVED,
    VOTE_UNAVAILABLE,
    VOTE_WORDS_MOST
} from "../types/Dispute.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {RoundWord, RoundWordLib} from "../types/RoundWord.sol";
import {PoolTerms, TermsLib} from "../types/Terms.sol";

/// @title How rounds run: from the queue to a finding
/// @dev One word a running round, one a commitment; everything else is brought along. What a phase has become by the passing
/// of time is computed ({_timed}), not written, until somebody has something to write.
abstract contract MediationRounds is ILilypadMediation, ReentrancyGuardTransient {
    using DealLib for Deal;
    using DealLib for bytes32[12];
    using SafeERC20 for IERC20;

    uint256 internal constant KEEPER_BPS = 200; // of a seat's fee
    uint256 internal constant BPS = 10_000;
    uint256 private constant ABSENCE_DIVISOR = 4; // an absent seat loses this part of its stake
    uint8 private constant SCOPE_RESULTS = 2;

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
    /// @dev First lone seat that said Unavailable [0..159] | what silent seats lost when they were replaced [160..255].
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

    // ---- seats

    /// @inheritdoc ILilypadMediation
    function queue(bytes32[12] memory record, PoolTerms memory terms, Seating memory seating)
        external
        nonReentrant
    {
        Case memory c = _find(record, terms);
        _requireRunning(c);
        RoundWord word = _wordOf(c);
        if (!word.exists()) return _enqueue(c, _firstRound(c.kind), false, false);
        bool known = word.isIn(Phase.Due);
        word = _timed(c.id, word, seating, block.timestamp);
        _requirePhase(c.id, word, Phase.Due);
        if (_awaitsRedraw(word)) return _replaceSilent(c, word, seating);
        // A lone seat whose word is not enough.
        if (!known) _emitTally(c.id, word);
        bool unavailable = word.seatBits(0) == uint256(SeatState.Unavailable);
        if (unavailable && !word.redrawn() && _replaceLone(c, word, seating)) return;
        (Finding finding,) = _finding(c.id, word);
        _nextRound(c, word, finding, unavailable && word.loneUnavailable());
    }

    /// @dev Seats that missed their commit lose a quarter of their stake, and others are asked for, once.
    function _replaceSilent(Case memory c, RoundWord word, Seating memory seating) private {
        uint256 silent = word.count(SeatState.Silent);
        (bool seated, uint256 ticket) = _queueRound(c, word.round(), true, silent);
        if (!seated) {
            // The pool has shrunk: the round goes on with the seats that committed. The next window opens now, in full.
            _rounds[c.id] = word.withRedraw().to(Phase.Commit, block.timestamp);
            return;
        }
        address[] memory accounts = new address[](silent);
        uint96[] memory losses = new uint96[](silent);
        uint256 found;
        for (uint256 i = 0; found < silent; i++) {
            if (word.seatBits(i) != uint256(SeatState.Silent)) continue;
            accounts[found] = seating.accounts[i];
            losses[found++] = uint96(_absenceLossDown(c));
        }
        _replaced[c.id] += _release(c, accounts, losses) << 160;
        _queueAgain(c, word.withRedraw(), ticket, silent);
    }

    /// @dev The lone seat may have been the only one that was not served: another one is asked. Its fee is decided at the end.
    function _replaceLone(Case memory c, RoundWord word, Seating memory seating)
        private
        returns (bool seated)
    {
        uint256 ticket;
        (seated, ticket) = _queueRound(c, 0, true, 1);
        if (!seated) return false;
        address[] memory accounts = new address[](1);
        accounts[0] = seating.accounts[0];
        _release(c, accounts, new uint96[](1));
        _replaced[c.id] = uint160(accounts[0]);
        _queueAgain(c, word.withLoneAgain(), ticket, 1);
    }

    function _queueAgain(Case memory c, RoundWord word, uint256 ticket, uint256 seats) private {
        _redrawTickets[c.id] = ticket;
        _rounds[c.id] = word.to(Phase.Queued, 0);
        emit RoundQueued(c.id, c.pool, word.round(), true, ticket, seats);
    }

    /// @dev The next size after `word`, which came to `finding`.
    function _nextRound(Case memory c, RoundWord word, Finding finding, bool providerLate)
        private
    {
        _past[c.id][word.round()] = word.past(finding);
        _enqueue(c, word.round() + 1, word.opened(), providerLate || word.providerLate());
    }

    function _enqueue(Case memory c, uint256 round, bool opened, bool providerLate) private {
        uint256 seats = RoundWordLib.sizeOf(round);
        (, uint256 ticket) = _queueRound(c, round, false, seats);
        _rounds[c.id] = RoundWordLib.queued(round, opened, providerLate, ticket);
        emit RoundQueued(c.id, c.pool, uint8(round), false, ticket, seats);
    }

    /// @return seated False when the pool cannot seat a redraw; any other failure, such as a caller's lack of gas, is handed on.
    function _queueRound(Case memory c, uint256 round, bool redraw, uint256 seats)
        private
        returns (bool seated, uint256 ticket)
    {
        try staking.queueRound(c.terms, _roundKey(c.id, round, redraw), seats, _excluded(c.deal)) returns (uint256 given) {
            return (true, given);
        } catch (bytes memory reason) {
            if (redraw && bytes4(reason) == ILilypadStaking.SeatsUnavailable.selector) return (false, 0);
            // Safe: hands the callee's error on as it is.
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    /// @return Smallest units that the seats lost.
    function _release(Case memory c, address[] memory accounts, uint96[] memory losses)
        internal
        returns (uint256)
    {
        return staking.releaseSeats(c.terms, accounts, losses);
    }

    /// @inheritdoc ILilypadMediation
    function draw(bytes32[12] memory record, PoolTerms memory terms, Seating memory seating)
        external
        nonReentrant
    {
        Case memory c = _find(record, terms);
        _requireRunning(c);
        RoundWord word = _wordOf(c);
        if (!word.isIn(Phase.Queued)) {
            revert PhaseWrong(c.id, _timed(c.id, word, seating, block.timestamp).phase(), Phase.Queued);
        }
        bool again = word.redrawn();
        uint256 seats = again ? word.count(SeatState.Silent) : word.size();
        (DrawResult result, address[] memory accounts) = staking.draw(
            c.terms,
            again ? _redrawTickets[c.id] : word.facts(),
            _roundKey(c.id, word.round(), again),
            seats,
            _excluded(c.deal)
        );
        if (result == DrawResult.Postponed) return;
        Seating memory drawn = _seat(c, word, seating, accounts);
        bool opens = word.isDelivery() && !word.opened();
        Phase phase = opens ? Phase.Open : Phase.Commit;
        // Fetching alone takes a reveal window, whatever the phase is called.
        uint256 deadline =
            _after(block.timestamp, word.isDelivery() ? c.terms.revealWindow : c.terms.commitWindow);
        _rounds[c.id] = word.withFacts(_factsOf(drawn)).to(phase, deadline);
        emit SeatsDrawn(c.id, word.round(), again, drawn, phase, deadline);
        _payDrawer(c, seats, again);
    }

    /// @dev The facts of the round, with newly drawn accounts in its silent seats.
    function _seat(
        Case memory c,
        RoundWord word,
        Seating memory seating,
        address[] memory accounts
    ) private view returns (Seating memory drawn) {
        if (word.redrawn()) {
            _requireFacts(c.id, word, seating);
            drawn = seating;
            uint256 next;
            for (uint256 i = 0; next < accounts.length; i++) {
                if (word.seatBits(i) == uint256(SeatState.Silent)) drawn.accounts[i] = accounts[next++];
            }
            return drawn;
        }
        drawn.provider = c.deal.provider.plain();
        (drawn.revealWindow, drawn.appealWindow) = (c.terms.revealWindow, c.terms.appealWindow);
        drawn.accounts = accounts;
        if (word.opened()) {
            _requireFacts(c.id, _past[c.id][word.round() - 1], seating);
            drawn.opened = seating.opened;
        }
    }

    /// @dev A third of the keepers' part of the seats' fees; a redraw has no fees of its own, only what the replaced seats lost.
    function _payDrawer(Case memory c, uint256 seats, bool again) private {
        uint256 amount = _drawerPartDown(c, seats);
        if (again) {
            delete _redrawTickets[c.id];
            uint256 replaced = _replaced[c.id];
            amount = Math.min(amount, replaced >> 160);
            if (amount != 0) _replaced[c.id] = replaced - (amount << 160);
        }
        if (amount == 0) return;
        address[] memory to = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (to[0], amounts[0]) = (msg.sender, amount);
        core.transferCredit(c.deal.token.plain(), to, amounts);
    }

    // ---- votes

    /// @inheritdoc ILilypadMediation
    function commit(DealId dealId, Seating memory seating, uint256 seat, bytes32 commitment) external {
        RoundWord word = _timed(dealId, _rounds[dealId], seating, block.timestamp);
        _requirePhase(dealId, word, Phase.Commit);
        address account = _requireSeat(dealId, word, seating, seat, SeatState.Silent);
        if (commitment == 0) revert CommitmentZero(dealId, seat);
        _commitments[dealId][_seatKey(word.round(), seat)] = commitment;
        word = word.withSeat(seat, SeatState.Committed);
        Phase phase = Phase.Commit;
        uint256 deadline;
        if (word.count(SeatState.Silent) == 0) {
            phase = word.opened() ? Phase.Reveal : Phase.Open;
            deadline = _after(block.timestamp, seating.revealWindow);
            word = word.to(phase, deadline);
        }
        _rounds[dealId] = word;
        emit Committed(dealId, account, word.round(), seat, commitment, phase, deadline);
    }

    /// @inheritdoc ILilypadMediation
    function open(DealId dealId, Seating memory seating, ResultOpening calldata opening, bytes32 dataId) external {
        RoundWord word = _requireOpening(dealId, seating, dataId, false);
        bytes32 digest = keccak256(abi.encode(opening.head, opening.content));
        uint176 found =
            uint176(uint256(keccak256(abi.encode(dealId, seating.provider, digest, opening.salt))));
        uint176 committed = core.dealWord(dealId).commitment();
        if (found != committed) revert OpeningMismatch(dealId, found, committed);
        uint256 deadline = _recordOpening(dealId, word, seating, digest, Phase.Reveal);
        emit ResultOpened(dealId, word.round(), digest, opening, dataId, deadline);
    }

    /// @inheritdoc ILilypadMediation
    function nameData(DealId dealId, Seating memory seating, bytes32 dataId) external {
        RoundWord word = _requireOpening(dealId, seating, dataId, true);
        uint256 deadline = _recordOpening(dealId, word, seating, dataId, Phase.Commit);
        emit DataNamed(dealId, word.round(), dataId, deadline);
    }

    /// @dev By the provider, in Open. Nobody else: whoever copied an opening could name other data with it.
    function _requireOpening(DealId dealId, Seating memory seating, bytes32 dataId, bool delivery)
        private
        view
        returns (RoundWord word)
    {
        word = _timed(dealId, _rounds[dealId], seating, block.timestamp);
        _requirePhase(dealId, word, Phase.Open);
        if (word.isDelivery() != delivery) revert NotInDispute(dealId);
        if (msg.sender != seating.provider && !core.isActor(seating.provider, msg.sender, SCOPE_RESULTS)) {
            revert ProviderOnly(dealId, seating.provider, msg.sender);
        }
        if (dataId == 0) revert DataIdZero(dealId);
    }

    function _recordOpening(DealId dealId, RoundWord word, Seating memory seating, bytes32 opened, Phase next)
        private
        returns (uint256 deadline)
    {
        Seating memory facts = seating;
        facts.opened = opened;
        deadline = _after(block.timestamp, seating.revealWindow);
        _rounds[dealId] = word.withOpened().withFacts(_factsOf(facts)).to(next, deadline);
    }

    /// @inheritdoc ILilypadMediation
    function reveal(
        DealId dealId,
        Seating memory seating,
        uint256 seat,
        bytes32 vote,
        bytes32 salt,
        bool served
    ) external {
        RoundWord word = _timed(dealId, _rounds[dealId], seating, block.timestamp);
        _requirePhase(dealId, word, Phase.Reveal);
        uint8 round = word.round();
        address account = _requireSeat(dealId, word, seating, seat, SeatState.Committed);
        bytes32 found = keccak256(abi.encode(dealId, round, account, vote, salt));
        bytes32 committed = _commitments[dealId][_seatKey(round, seat)];
        if (found != committed) revert VoteMismatch(dealId, seat, found, committed);
        SeatState state = _stateOf(dealId, word, seating.opened, vote, served);
        _commitments[dealId][_seatKey(round, seat)] = state == SeatState.OtherDigest ? vote : bytes32(0);
        word = word.withSeat(seat, state);
        emit Revealed(dealId, account, round, seat, vote, served, state);
        if (word.count(SeatState.Committed) == 0) {
            word = _tallied(dealId, word, seating, block.timestamp);
            _emitTally(dealId, word);
        }
        _rounds[dealId] = word;
    }

    function _stateOf(DealId dealId, RoundWord word, bytes32 opened, bytes32 vote, bool served)
        private
        pure
        returns (SeatState)
    {
        if (vote == VOTE_UNAVAILABLE) return SeatState.Unavailable;
        if (vote == VOTE_CANNOT_RUN) return SeatState.CannotRun;
        if (word.isDelivery()) {
            if (vote == VOTE_SERVED) return SeatState.Confirms;
            revert VoteUnknown(dealId, vote);
        }
        if (vote == VOTE_MODULE_BROKEN) return SeatState.ModuleBroken;
        if (vote <= VOTE_WORDS_MOST) revert VoteUnknown(dealId, vote);
        if (vote != opened) return SeatState.OtherDigest;
        return served ? SeatState.Confirms : SeatState.Unserved;
    }

    /// @inheritdoc ILilypadMediation
    function advance(DealId dealId, Seating memory seating) external {
        RoundWord before = _rounds[dealId];
        RoundWord word = _timed(dealId, before, seating, block.timestamp);
        if (word.phase() == before.phase()) revert PhaseWrong(dealId, before.phase(), before.phase());
        // What is due is asked for by {queue}, which looks at the phase that time ended.
        if (word.isIn(Phase.Due) && _awaitsRedraw(word)) revert PhaseWrong(dealId, Phase.Due, before.phase());
        bool wasTallied = before.isIn(Phase.Appealable);
        _rounds[dealId] = word;
        if (!wasTallied && _isTallied(word)) _emitTally(dealId, word);
    }

    /// @inheritdoc ILilypadMediation
    function appeal(bytes32[12] memory record, PoolTerms memory terms, Seating memory seating)
        external
        nonReentrant
    {
        Case memory c = _find(record, terms);
        _requireRunning(c);
        RoundWord before = _wordOf(c);
        RoundWord word = _timed(c.id, before, seating, block.timestamp);
        _requirePhase(c.id, word, Phase.Appealable);
        uint8 round = word.round();
        if (round & 3 == 3) revert RoundIsLast(c.id, round);
        if (!before.isIn(Phase.Appealable)) _emitTally(c.id, word);
        (Finding finding,) = _finding(c.id, word);
        _nextRound(c, word, finding, false);
        uint256 fee = RoundWordLib.sizeOf(round + 1) * _feeOf(c);
        _appellants[c.id][round + 1] = msg.sender;
        emit Appealed(c.id, msg.sender, round + 1, fee);
        if (fee == 0) return;
        IERC20 token = IERC20(c.deal.token.plain());
        token.safeTransferFrom(msg.sender, address(this), fee); // UNTRUSTED
        token.forceApprove(address(core), fee); // UNTRUSTED
        core.deposit(address(token), fee, address(this));
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

    /// @dev The word after its last vote, at `time`. A lone seat condemns nobody and breaks no module: then the panel is due.
    /// What the provider did not open is its own doing, whoever sits.
    function _tallied(DealId dealId, RoundWord word, Seating memory seating, uint256 time)
        private
        view
        returns (RoundWord)
    {
        if (word.round() == 0) {
            (Finding finding,) = _finding(dealId, word);
            if (finding != Finding.Confirmed && finding != Finding.NotOpened) return word.to(Phase.Due, 0);
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

    function _isMajority(uint256 some, uint256 seats) private pure returns (bool) {
        unchecked {
            return 2 * some > seats;
        }
    }

    function _majorityDigest(DealId dealId, RoundWord word, uint256 seats) private view returns (bytes32) {
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

    function _emitTally(DealId dealId, RoundWord word) private {
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
        c.deal = record.load();
        c.id = DealId.wrap(core.digestOf(c.deal.structHash()));
        if (c.deal.strategy.plain() != address(this)) revert StrategyNotThis(c.id, c.deal.strategy.plain());
        (c.terms, c.pool) = (terms, TermsLib.id(terms));
        if (PoolId.unwrap(c.pool) != c.deal.pool) revert PoolMismatch(c.id, c.pool, PoolId.wrap(c.deal.pool));
        c.word = core.dealWord(c.id);
        c.kind = c.word.disputeKind();
    }

    /// @dev The round of the present dispute: that of an earlier one, about delivery, is over.
    function _wordOf(Case memory c) internal view returns (RoundWord word) {
        word = _rounds[c.id];
        bool stale = word.isIn(Phase.Executed) && word.isDelivery() && c.kind != DisputeKind.Delivery;
        if (stale) return RoundWord.wrap(0);
    }

    function _requireRunning(Case memory c) private view {
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
        private
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
    function _after(uint256 time, uint256 window) private pure returns (uint256) {
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
    function _drawerPartDown(Case memory c, uint256 seats) private pure returns (uint256) {
        unchecked {
            return seats * _keeperPartDown(c) / 3;
        }
    }

    /// @dev The mediator keeps the rest.
    function _absenceLossDown(Case memory c) internal pure returns (uint256) {
        return c.terms.seatStake / ABSENCE_DIVISOR;
    }

    function _excluded(Deal memory deal) private pure returns (address[4] memory) {
        return [deal.creator.plain(), deal.provider.plain(), deal.solver.plain(), deal.publisher.plain()];
    }

    function _roundKey(DealId dealId, uint256 round, bool redraw) private pure returns (bytes32) {
        return keccak256(abi.encode(dealId, round, redraw));
    }

    function _seatKey(uint256 round, uint256 seat) internal pure returns (uint256) {
        return round << 8 | seat;
    }

    function _factsOf(Seating memory seating) internal pure returns (uint256) {
        return uint160(uint256(keccak256(abi.encode(seating))));
    }
}
