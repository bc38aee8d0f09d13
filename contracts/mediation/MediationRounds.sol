// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ILilypadMediation} from "../interfaces/ILilypadMediation.sol";
import {DrawResult, ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {ResultOpening} from "../types/Calls.sol";
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
import {DealId} from "../types/Ids.sol";
import {RoundWord, RoundWordLib} from "../types/RoundWord.sol";
import {PoolTerms} from "../types/Terms.sol";
import {MediationState} from "./MediationState.sol";

/// @title How rounds run: from the queue to a finding
abstract contract MediationRounds is MediationState {
    using SafeERC20 for IERC20;

    uint8 private constant SCOPE_RESULTS = 2;

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
        uint256 said = word.seatBits(0);
        bool ran = said < uint256(SeatState.Unavailable);
        if (!ran && !word.redrawn() && _replaceLone(c, word, seating)) return;
        (Finding finding,) = _finding(c.id, word);
        _nextRound(c, word, finding, said == uint256(SeatState.Unavailable) && word.loneUnavailable());
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

    /// @dev The lone seat may be the only one that was not served or cannot run the job: another one is asked. Its fee is decided
    /// at the end.
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
}
