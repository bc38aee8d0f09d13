// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ILilypad} from "../interfaces/ILilypad.sol";
import {ILilypadMediation} from "../interfaces/ILilypadMediation.sol";
import {ILilypadResolver} from "../interfaces/ILilypadResolver.sol";
import {ILilypadStaking} from "../interfaces/ILilypadStaking.sol";
import {ResultOpening, Verdict} from "../types/Calls.sol";
import {DisputeKind, Status} from "../types/DealWord.sol";
import {Finding, Phase, SeatState, Seating} from "../types/Dispute.sol";
import {DealId, VersionId} from "../types/Ids.sol";
import {RoundWord, RoundWordLib} from "../types/RoundWord.sol";
import {PoolTerms} from "../types/Terms.sol";
import {Bill, DisputeMoney, Round} from "./DisputeMoney.sol";
import {MediationRounds} from "./MediationRounds.sol";
import {MediationState} from "./MediationState.sol";

/// @title The panel strategy: how disputes end, and their money
/// @dev Every unit that came in for a dispute goes out when it ends: by construction, the fund gets what nobody else does.
contract LilypadMediation is MediationRounds {
    using DisputeMoney for Bill;

    ILilypadResolver private immutable RESOLVER;

    mapping(VersionId => uint256) private _marks;

    /// @dev A dispute as it ends.
    struct Ending {
        RoundWord word; // of the last round, as it is now
        Round[] rounds;
        uint256 time; // until which time has done its work
        Finding standing;
        bytes32 opened; // the provider's digest
        bytes32 right; // the digest of OtherDigest
        bool providerLate;
        uint256 replaced; // first lone seat [0..159] | lost by replaced seats [160..255]
        uint256 claim;
        uint256 lost;
        uint256 toFund;
    }

    constructor(ILilypad core_, ILilypadStaking staking_, uint32 lastCall_)
        MediationState(core_, staking_, lastCall_)
    {
        if (staking_.core() != core_) revert CoreMismatch(address(staking_.core()), address(core_));
        RESOLVER = ILilypadResolver(core_.resolver());
        // Pools' windows fit half of the limit; a quarter is left for queues.
        uint256 most = RESOLVER.parameters().mediationLimit / 4;
        if (lastCall_ == 0 || lastCall_ > most) revert LastCallOutOfBounds(lastCall_, 1, most);
    }

    // ---- endings

    /// @inheritdoc ILilypadMediation
    function execute(
        bytes32[12] memory record,
        PoolTerms memory terms,
        Seating[] memory seatings,
        ResultOpening calldata opening
    ) external nonReentrant {
        Case memory c = _find(record, terms);
        if (!c.word.isIn(Status.InMediation)) revert NotInDispute(c.id);
        Ending memory e = _ending(c, seatings, block.timestamp);
        if (block.timestamp <= _lastCallOf(c)) _requirePhase(c.id, e.word, Phase.Executable);
        Verdict verdict = _verdict(c, e.standing);
        Bill memory bill = _close(c, e, seatings, DisputeMoney.class(e.standing) == 2);
        _claim(c, e, bill);
        address bountyTo;
        if (verdict == Verdict.NotDelivered) bountyTo = msg.sender;
        if (verdict == Verdict.Wrong) bountyTo = _beginner(c);
        RESOLVER.resolve(record, verdict, opening, uint96(e.claim), bountyTo);
        _divide(c, e, bill);
        _mark(c, e.standing);
        emit DisputeExecuted(c.id, verdict, e.standing, msg.sender);
        emit MoneyDivided(c.id, bill.to, bill.amounts, e.toFund, e.lost, e.claim);
    }

    /// @inheritdoc ILilypadMediation
    function unwind(bytes32[12] memory record, PoolTerms memory terms, Seating[] memory seatings)
        external
        nonReentrant
    {
        Case memory c = _find(record, terms);
        if (c.word.statusBits() <= uint256(Status.InMediation)) revert DealNotEnded(c.id);
        if (c.kind == DisputeKind.None) revert NothingToUnwind(c.id);
        Ending memory e = _ending(c, seatings, c.word.deadline());
        e.standing = Finding.None;
        Bill memory bill = _close(c, e, seatings, true);
        _divide(c, e, bill);
        emit DisputeUnwound(c.id, msg.sender);
        emit MoneyDivided(c.id, bill.to, bill.amounts, e.toFund, e.lost, 0);
    }

    // ---- what there is

    /// @dev All rounds of the dispute, and what stands. Reverts with SeatingMismatch, SeatingsIncomplete, PhaseWrong.
    function _ending(Case memory c, Seating[] memory seatings, uint256 time) private view returns (Ending memory e) {
        RoundWord word = _wordOf(c);
        if (word.isIn(Phase.Executed)) {
            if (c.word.isIn(Status.InMediation)) revert PhaseWrong(c.id, Phase.Executed, Phase.Executable);
            revert NothingToUnwind(c.id);
        }
        e.time = time;
        e.word = word;
        if (!word.exists()) {
            if (seatings.length != 0) revert SeatingsIncomplete(c.id, seatings.length, 0);
            return e;
        }
        uint256 first = _firstRound(c.kind);
        uint256 last = word.round() - first;
        e.rounds = new Round[](last + 1);
        uint256 drawn = last + (_hasSeats(word) ? 1 : 0);
        if (seatings.length != drawn) revert SeatingsIncomplete(c.id, seatings.length, drawn);
        bool replaced = word.redrawn();
        for (uint256 i = 0; i < last; i++) {
            Round memory round = e.rounds[i];
            RoundWord past = _past[c.id][first + i];
            _requireFacts(c.id, past, seatings[i]);
            (round.word, round.finding, round.drawn, round.tallied) = (past, past.finding(), true, true);
            round.appellant = _appellants[c.id][first + i];
            replaced = replaced || past.redrawn();
        }
        _endingOfLast(c, e, e.rounds[last], seatings, word, first);
        if (replaced) e.replaced = _replaced[c.id];
        e.providerLate = word.providerLate();
        if (c.kind != DisputeKind.Delivery && drawn != 0) e.opened = seatings[drawn - 1].opened;
    }

    function _endingOfLast(
        Case memory c,
        Ending memory e,
        Round memory round,
        Seating[] memory seatings,
        RoundWord word,
        uint256 first
    ) private view {
        uint256 last = e.rounds.length - 1;
        round.word = word;
        round.drawn = _hasSeats(word);
        round.appellant = _appellants[c.id][first + last];
        if (round.drawn) {
            word = _timed(c.id, word, seatings[last], e.time);
            round.word = word;
            round.tallied = _isTallied(word);
            bool awaits = word.isIn(Phase.Due) && _awaitsRedraw(word);
            bool voting = word.isIn(Phase.Reveal) || word.isIn(Phase.Open) && !word.isDelivery();
            round.commitsOver = round.tallied || awaits || voting;
        }
        e.word = word;
        Round memory standing = round;
        if (round.tallied) {
            (round.finding,) = _finding(c.id, word);
            if (word.isIn(Phase.Due)) return; // a lone seat's word that calls a panel does not stand
        } else if (round.appellant != address(0)) {
            standing = e.rounds[last - 1]; // a void appeal leaves what stood before
        }
        e.standing = standing.finding;
        if (e.standing == Finding.OtherDigest) (, e.right) = _finding(c.id, standing.word);
    }

    function _verdict(Case memory c, Finding standing) private pure returns (Verdict) {
        uint256 class = DisputeMoney.class(standing);
        if (c.kind == DisputeKind.Delivery) {
            // A panel that says nothing has shown nothing against the provider: the deal goes on, with a fresh judge window.
            return class == 1 ? Verdict.NotDelivered : Verdict.Delivered;
        }
        return class == 0 ? Verdict.Correct : class == 1 ? Verdict.Wrong : Verdict.NoFault;
    }

    // ---- who gets it

    /// @dev Writes the end down, ends locks, and makes up the bill: seats are paid, rounds are settled.
    function _close(
        Case memory c,
        Ending memory e,
        Seating[] memory seatings,
        bool noFault
    ) private returns (Bill memory bill) {
        uint256 round = e.word.exists() ? e.word.round() : _firstRound(c.kind);
        uint256 ticket;
        bool queued = e.word.isIn(Phase.Queued);
        if (queued) ticket = e.word.redrawn() ? _redrawTickets[c.id] : e.word.facts();
        _rounds[c.id] = RoundWordLib.queued(round, false, false, 0).to(Phase.Executed, 0);
        if (e.replaced != 0) delete _replaced[c.id];
        if (queued && e.word.redrawn()) delete _redrawTickets[c.id];

        uint256 seats;
        for (uint256 i = 0; i < seatings.length; i++) {
            seats += e.rounds[i].word.size();
        }
        bill = DisputeMoney.open(_feeOf(c), _keeperPartDown(c), _isAudit(c.kind), noFault, seats);
        for (uint256 i = 0; i < e.rounds.length; i++) {
            Round memory ended = e.rounds[i];
            uint256 paid;
            if (ended.drawn) paid = _closeSeats(c, e, ended, seatings[i], bill);
            bill.settleFees(ended, paid);
        }
        if (queued) staking.cancelRound(c.terms, ticket);
        e.lost = e.replaced >> 160;
        if (bill.releases != 0) {
            (address[] memory accounts, uint96[] memory losses) = _released(bill);
            e.lost += _release(c, accounts, losses);
        }
        bill.pot += e.lost;
    }

    /// @return paidSeats How many seats of the round were paid.
    function _closeSeats(
        Case memory c,
        Ending memory e,
        Round memory round,
        Seating memory seating,
        Bill memory bill
    ) private returns (uint256 paidSeats) {
        RoundWord word = round.word;
        uint256 seats = word.size();
        // About delivery nobody is asked before the provider has named the data.
        bool asked = word.opened() || !word.isDelivery();
        // An earlier round has its finding where the phase would be.
        bool again = !round.tallied && word.isIn(Phase.Queued);
        for (uint256 i = 0; i < seats; i++) {
            SeatState state = word.seat(i);
            address account = seating.accounts[i];
            if (again && state == SeatState.Silent) continue; // was released when its successor was asked for
            if (!round.tallied) {
                bool absent = state == SeatState.Silent && round.commitsOver;
                bill.release(account, absent ? _absenceLossDown(c) : 0);
                continue;
            }
            if (state < SeatState.Confirms) {
                bill.release(account, asked ? _absenceLossDown(c) : 0);
                continue;
            }
            bytes32 vote;
            if (state == SeatState.OtherDigest) {
                uint256 key = _seatKey(word.round(), i);
                vote = _commitments[c.id][key];
                delete _commitments[c.id][key];
            }
            (bool paid, bool contradicted) = DisputeMoney.outcome(e.standing, state, e.opened, e.right, vote);
            bill.release(account, contradicted ? c.terms.seatStake : 0);
            if (!paid) continue;
            bill.pay(account, bill.fee - bill.keeperPart);
            paidSeats++;
        }
    }

    function _released(Bill memory bill) private pure returns (address[] memory accounts, uint96[] memory losses) {
        (accounts, losses) = (bill.seats, bill.losses);
        uint256 length = bill.releases;
        // Safe: shortens arrays that were made longer.
        assembly ("memory-safe") {
            mstore(accounts, length)
            mstore(losses, length)
        }
    }

    /// @dev What the provider owes besides. On a verdict against it: what the pot lacks. On Correct: the panel that sat because
    /// it let two lone seats ask in vain, unless its collateral has paid the audit already.
    function _claim(Case memory c, Ending memory e, Bill memory bill) private view {
        uint256 class = DisputeMoney.class(e.standing);
        if (class == 0 && e.providerLate && c.kind == DisputeKind.Audit) {
            e.claim = 3 * bill.fee;
        } else if (class == 1) {
            uint256 owed = _replacedPay(e, bill) + _beginnerOwed(c, e, bill);
            for (uint256 i = 1; i < e.rounds.length; i++) {
                if (DisputeMoney.brought(e.standing, e.rounds[i], e.rounds[i - 1])) owed += e.rounds[i].fees;
            }
            uint256 has = bill.pot + bill.unused();
            if (owed > has) e.claim = Math.min(owed - has, DisputeMoney.claimMost(c.deal, c.kind));
        }
        bill.pot += e.claim;
    }

    function _beginnerOwed(Case memory c, Ending memory e, Bill memory bill) private pure returns (uint256) {
        return DisputeMoney.class(e.standing) == 1 && !_isAudit(c.kind) ? bill.begun : 0;
    }

    /// @dev The first lone seat is paid as {DisputeMoney-outcome} pays a seat: for Unavailable where the provider did not serve,
    /// and for anything without fault. Said again here, since that function would not fit into the contract once more.
    function _replacedPay(Ending memory e, Bill memory bill) private pure returns (uint256) {
        if (uint160(e.replaced) == 0) return 0;
        bool unserved = e.standing == Finding.Unserved || e.standing == Finding.NotOpened;
        bool paid = unserved && e.rounds[0].word.loneUnavailable() || DisputeMoney.class(e.standing) == 2;
        return paid ? bill.fee - bill.keeperPart : 0;
    }

    /// @dev Everything that is left, in the order of protocol 6.2.
    function _divide(Case memory c, Ending memory e, Bill memory bill) private {
        uint256 unused = bill.unused();
        address replaced = address(uint160(e.replaced));
        uint256 replacedPay = _replacedPay(e, bill);
        if (bill.noFault) {
            replacedPay = Math.min(replacedPay, unused);
            unused -= replacedPay;
            bill.pay(replaced, replacedPay);
        }
        address owner = _ownerOfUnused(c, bill.noFault, DisputeMoney.class(e.standing));
        if (owner != address(0)) bill.pay(owner, unused);
        else if (bill.noFault) e.toFund = unused;
        else bill.pot += unused;
        if (!bill.noFault) bill.payFromPot(replaced, replacedPay);
        for (uint256 i = 1; i < e.rounds.length; i++) {
            Round memory round = e.rounds[i];
            bill.pay(round.appellant, round.back);
            if (!DisputeMoney.brought(e.standing, round, e.rounds[i - 1])) continue;
            bill.payFromPot(round.appellant, round.fees - round.back);
        }
        bill.payFromPot(_beginner(c), _beginnerOwed(c, e, bill));
        _payKeepers(c, e, bill);
        e.toFund += bill.pot;
        _trim(bill);
        address token = c.deal.token.plain();
        if (bill.payments != 0) core.transferCredit(token, bill.to, bill.amounts);
        if (e.toFund != 0) core.donate(address(this), token, c.pool, e.toFund);
    }

    /// @dev Whose the fees are that the dispute began with and nobody needed; nobody: the fund's, with the pot.
    function _ownerOfUnused(Case memory c, bool noFault, uint256 class) private view returns (address) {
        if (c.kind == DisputeKind.AuditExpired) return class == 1 ? address(0) : c.deal.provider.plain();
        return noFault && c.kind != DisputeKind.Audit ? _beginner(c) : address(0);
    }

    /// @dev Of the keepers' part a third went to whoever drew; of a lone seat's a third goes to whoever called for the audit.
    function _payKeepers(Case memory c, Ending memory e, Bill memory bill) private view {
        if (_isAudit(c.kind) && e.rounds.length != 0 && e.rounds[0].tallied) {
            uint256 part = bill.keeperPart / 3;
            bill.keepers -= part;
            bill.pay(_beginner(c), part);
        }
        bill.pay(msg.sender, bill.keepers);
    }

    function _beginner(Case memory c) private view returns (address by) {
        (by,) = RESOLVER.disputeOf(c.id);
    }

    /// @dev A module that does not run, or whose honest runs disagree, is on record for whoever chooses modules.
    function _mark(Case memory c, Finding standing) private {
        if (standing != Finding.Broken && standing != Finding.Divided) return;
        if (c.kind == DisputeKind.Delivery) return;
        VersionId version = VersionId.wrap(c.deal.module);
        uint256 count = ++_marks[version];
        emit VersionMarked(version, c.id, standing, count);
    }

    function _trim(Bill memory bill) private pure {
        (address[] memory to, uint256[] memory amounts, uint256 length) = (bill.to, bill.amounts, bill.payments);
        // Safe: shortens arrays that were made longer.
        assembly ("memory-safe") {
            mstore(to, length)
            mstore(amounts, length)
        }
    }

    // ---- views

    /// @inheritdoc ILilypadMediation
    function disputeStateOf(DealId dealId) external view returns (RoundWord round, uint256 replaced, uint256 ticket) {
        return (_rounds[dealId], _replaced[dealId], _redrawTickets[dealId]);
    }

    /// @inheritdoc ILilypadMediation
    function phaseOf(DealId dealId, Seating memory seating)
        external
        view
        returns (Phase phase, uint256 deadline, Finding finding)
    {
        RoundWord word = _timed(dealId, _rounds[dealId], seating, block.timestamp);
        if (_isTallied(word)) (finding,) = _finding(dealId, word);
        return (word.phase(), word.deadline(), finding);
    }

    /// @inheritdoc ILilypadMediation
    function pastRoundOf(DealId dealId, uint8 round) external view returns (RoundWord) {
        return _past[dealId][round];
    }

    /// @inheritdoc ILilypadMediation
    function commitmentOf(DealId dealId, uint8 round, uint256 seat) external view returns (bytes32) {
        return _commitments[dealId][_seatKey(round, seat)];
    }

    /// @inheritdoc ILilypadMediation
    function appellantOf(DealId dealId, uint8 round) external view returns (address) {
        return _appellants[dealId][round];
    }

    /// @inheritdoc ILilypadMediation
    function marksOf(VersionId version) external view returns (uint256) {
        return _marks[version];
    }
}
