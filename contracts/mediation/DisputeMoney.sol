// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Deal} from "../types/Deal.sol";
import {DisputeKind} from "../types/DealWord.sol";
import {Finding, SeatState} from "../types/Dispute.sol";
import {RoundWord} from "../types/RoundWord.sol";

/// @notice One round at the end of a dispute.
struct Round {
    RoundWord word;
    Finding finding; // None: not tallied
    bool drawn;
    bool tallied;
    bool commitsOver; // whether silent seats have missed their window
    address appellant; // 0: paid by what the dispute began with
    uint256 fees; // seats times the seat fee
    uint256 back; // of an appellant's fees, returned whatever the pot holds
}

/// @notice The money of a dispute while it is divided; smallest units.
struct Bill {
    uint256 fee; // of a seat
    uint256 keeperPart; // out of it
    uint256 begun; // fees that the dispute began with
    uint256 used; // of these
    uint256 keepers; // what is left of the keepers' parts
    uint256 pot; // unearned fees and losses
    bool noFault;
    address[] to;
    uint256[] amounts;
    uint256 payments;
    address[] seats; // whose locks end
    uint96[] losses;
    uint256 releases;
}

/// @title Who gets what at the end of a dispute: arithmetic without storage or calls
/// @dev Protocol 6.2, "Money of a dispute". Python twin: lilypad_agents/protocol/mediation.py.
/// Unchecked: amounts fit 96 bits, the core pays no more than there is, and each difference says why it is not below zero.
library DisputeMoney {
    uint256 private constant AUDIT_SEATS = 4;
    uint256 private constant PANEL_SEATS = 3;
    uint256 private constant PREMIUM_TENTHS = 11;
    uint256 private constant BPS = 10_000;

    /// @param seats The most seats of all rounds.
    function open(uint256 fee, uint256 keeperPart, bool isAudit, bool noFault, uint256 seats)
        internal
        pure
        returns (Bill memory bill)
    {
        (bill.fee, bill.keeperPart, bill.noFault) = (fee, keeperPart, noFault);
        bill.begun = fee * (isAudit ? AUDIT_SEATS : PANEL_SEATS);
        // Besides the seats: the replaced seat, three appellants, who began (twice), the provider, the executor.
        bill.to = new address[](seats + 8);
        bill.amounts = new uint256[](seats + 8);
        bill.seats = new address[](seats);
        bill.losses = new uint96[](seats);
    }

    /// @return Of the fees that the dispute began with: no rounds are paid from them but those they are meant for.
    function unused(Bill memory bill) internal pure returns (uint256) {
        unchecked {
            return bill.begun - bill.used;
        }
    }

    function pay(Bill memory bill, address to, uint256 amount) internal pure {
        if (amount == 0) return;
        uint256 at = bill.payments;
        (bill.to[at], bill.amounts[at]) = (to, amount);
        unchecked {
            bill.payments = at + 1;
        }
    }

    function release(Bill memory bill, address seat, uint256 loss) internal pure {
        uint256 at = bill.releases;
        (bill.seats[at], bill.losses[at]) = (seat, uint96(loss));
        unchecked {
            bill.releases = at + 1;
        }
    }

    /// @dev Pays `owed` as far as the pot reaches.
    function payFromPot(Bill memory bill, address to, uint256 owed) internal pure {
        uint256 amount = Math.min(owed, bill.pot);
        unchecked {
            bill.pot -= amount;
        }
        pay(bill, to, amount);
    }

    /// @dev The fees of a round, once its seats were paid `paidSeats` times. What its draw cost is gone in any case.
    function settleFees(Bill memory bill, Round memory round, uint256 paidSeats) internal pure {
        unchecked {
            uint256 seats = round.word.size();
            round.fees = seats * bill.fee;
            uint256 drawer = round.drawn ? seats * bill.keeperPart / 3 : 0;
            uint256 spent = drawer;
            if (round.tallied) {
                // At most `seats` of them are paid, and a keeper's part is a fiftieth of a fee.
                spent = seats * bill.keeperPart + paidSeats * (bill.fee - bill.keeperPart);
                bill.keepers += seats * bill.keeperPart - drawer;
                if (!bill.noFault) {
                    bill.pot += round.fees - spent;
                    spent = round.fees;
                }
            }
            if (round.appellant == address(0)) bill.used += spent;
            else round.back = round.fees - spent;
        }
    }

    /// @dev Whether an appeal for `round` brought the verdict of `standing`: it says so, and the round before did not.
    function brought(Finding standing, Round memory round, Round memory before) internal pure returns (bool) {
        if (round.appellant == address(0) || !round.tallied) return false;
        uint256 kind = class(standing);
        return class(round.finding) == kind && class(before.finding) != kind;
    }

    /// @return 0: for the provider, 1: against it, 2: neither.
    function class(Finding finding) internal pure returns (uint256) {
        if (finding == Finding.Confirmed) return 0;
        bool against =
            finding == Finding.OtherDigest || finding == Finding.Unserved || finding == Finding.NotOpened;
        return against ? 1 : 2;
    }

    /// @return paid Whether the seat agrees with what stands.
    /// @return contradicted Whether it found a digest that what stands contradicts. A word on availability, a broken module
    /// or the seat's own troubles is never punished beyond the fee.
    /// @param opened The provider's digest. @param right The digest of OtherDigest. @param vote Of a seat in OtherDigest.
    function outcome(Finding standing, SeatState state, bytes32 opened, bytes32 right, bytes32 vote)
        internal
        pure
        returns (bool paid, bool contradicted)
    {
        if (state < SeatState.Confirms) return (false, false);
        uint256 kind = class(standing);
        if (kind == 2) return (true, false);
        bool own = state == SeatState.Confirms || state == SeatState.Unserved;
        bool other = state == SeatState.OtherDigest;
        if (standing == Finding.Confirmed) {
            return (state == SeatState.Confirms || other && vote == opened, other && vote != opened);
        }
        if (standing == Finding.OtherDigest) return (other && vote == right, own || other && vote != right);
        if (standing == Finding.Unserved) return (state == SeatState.Unserved || state == SeatState.Unavailable, false);
        return (own || other || state == SeatState.Unavailable, false);
    }

    /// @return The most that the core lets a strategy claim on Wrong and NotDelivered (6.1).
    function claimMost(Deal memory deal, DisputeKind kind) internal pure returns (uint256) {
        // Safe: the opening rule (6.6) makes the collateral that large.
        unchecked {
            uint256 premium = (deal.seatFee * deal.auditBps * PREMIUM_TENTHS + BPS * 10 - 1) / (BPS * 10);
            uint256 value = deal.price + deal.unitPrice * deal.maxUnits;
            uint256 paid = kind == DisputeKind.AuditExpired ? deal.seatFee * AUDIT_SEATS : 0;
            return deal.collateral - premium - value - paid;
        }
    }
}
