// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ILilypadRules} from "../interfaces/ILilypadRules.sol";
import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";
import {Address} from "../types/Address.sol";
import {Deal} from "../types/Deal.sol";
import {HashLib} from "../types/Hash.sol";
import {DealId} from "../types/Ids.sol";

/// @title The numbers of the protocol: parameters, prices, fees, penalties, the lottery
/// @dev Formulas of protocol sections 3.5, 4, 6.2 to 6.7 and 15. Python twins: lilypad_agents/protocol/.
abstract contract LilypadRules is ILilypadRules {
    uint256 internal constant BPS = 10_000;
    uint256 internal constant MAX_ROYALTY_BPS = 3000;
    uint256 internal constant MAX_SOLVER_FEE_BPS = 1000;
    uint256 internal constant MAX_PROTOCOL_FEE_BPS = 1000;
    uint256 internal constant SEAT_FEE_BPS = 12_500; // of the value
    uint256 internal constant SEAT_STAKE_TENTHS = 64; // seat stake over seat fee, in tenths
    uint256 internal constant SEAT_FLOOR_BPS = 1250; // of a pool's maximum value: a tenth of the seat fee there
    uint256 internal constant DETECTION_BPS = 7000;
    uint256 internal constant DETERRENCE_BPS = 9600;
    uint256 internal constant PREMIUM_TENTHS = 11; // loading of the premium, in tenths
    uint256 internal constant KEEPER_BOUNTY_BPS = 100; // of the penalty
    uint256 internal constant CHALLENGER_BOUNTY_BPS = 500; // of the collateral
    uint256 internal constant DECLINE_BPS = 100; // of the value
    uint256 internal constant AUDIT_SEATS = 4; // one seat, then a panel of three
    uint256 internal constant PANEL_SEATS = 3;

    IRandomness internal immutable RANDOMNESS;
    /// @dev 0 when the source does not use `block.number`: then it is asked.
    uint256 internal immutable PERIOD_BLOCKS;
    uint256 internal immutable PROTOCOL_FEE_BPS;
    uint256 internal immutable MIN_SUBMIT_WINDOW;
    uint256 internal immutable MAX_SUBMIT_WINDOW;
    uint256 internal immutable MIN_JUDGE_WINDOW;
    uint256 internal immutable MAX_JUDGE_WINDOW;
    uint256 internal immutable REVEAL_WINDOW;
    uint256 internal immutable MEDIATION_LIMIT;

    /// @dev What a deal costs at some number of units, smallest units.
    struct Charge {
        uint256 gross; // to the provider
        uint256 royalty;
        uint256 solverFee;
        uint256 toFund; // protocol fee and premium
        uint256 total; // what the creator pays
    }

    constructor(Parameters memory p) {
        _requireWithin("protocolFeeBps", p.protocolFeeBps, 0, MAX_PROTOCOL_FEE_BPS);
        _requireWithin("minSubmitWindow", p.minSubmitWindow, 1, p.maxSubmitWindow);
        _requireWithin("maxSubmitWindow", p.maxSubmitWindow, p.minSubmitWindow, 365 days);
        _requireWithin("minJudgeWindow", p.minJudgeWindow, 1, p.maxJudgeWindow);
        // A seed must outlive the judging of what it decides, with the same time again for whoever records it.
        uint256 halfLife = p.randomness.lifetime() / 2;
        uint256 most = halfLife < type(uint16).max ? halfLife : type(uint16).max;
        _requireWithin("maxJudgeWindow", p.maxJudgeWindow, p.minJudgeWindow, most);
        _requireWithin("revealWindow", p.revealWindow, uint256(p.randomness.delay()) * 2, 30 days);
        _requireWithin("mediationLimit", p.mediationLimit, 1 minutes, 90 days);
        RANDOMNESS = p.randomness;
        PERIOD_BLOCKS = p.randomness.periodBlocks();
        PROTOCOL_FEE_BPS = p.protocolFeeBps;
        MIN_SUBMIT_WINDOW = p.minSubmitWindow;
        MAX_SUBMIT_WINDOW = p.maxSubmitWindow;
        MIN_JUDGE_WINDOW = p.minJudgeWindow;
        MAX_JUDGE_WINDOW = p.maxJudgeWindow;
        REVEAL_WINDOW = p.revealWindow;
        MEDIATION_LIMIT = p.mediationLimit;
    }

    function _requireWithin(string memory name, uint256 found, uint256 least, uint256 most) private pure {
        if (found < least || found > most) revert ParameterOutOfBounds(name, found, least, most);
    }

    // ---- prices

    /// @dev `bps` of `amount`, rounded down. No amount here exceeds 160 bits nor a rate 32, so no product overflows: the
    /// arithmetic of this section is unchecked. An amount that nevertheless ran away cannot become money, since account
    /// words refuse more than 96 bits.
    function _shareDown(uint256 amount, uint256 bps) internal pure returns (uint256) {
        unchecked {
            return amount * bps / BPS;
        }
    }

    /// @dev The most the provider can earn. May exceed 96 bits before an opening has checked it.
    function _value(Deal memory deal) internal pure returns (uint256) {
        return _gross(deal.price, deal.unitPrice, deal.maxUnits);
    }

    function _gross(uint256 price, uint256 unitPrice, uint256 units) internal pure returns (uint256) {
        unchecked {
            return price + unitPrice * units;
        }
    }

    /// @dev What a deal costs at some number of units.
    function _charge(Deal memory deal, uint256 units) internal view returns (Charge memory charge) {
        charge.gross = _gross(deal.price, deal.unitPrice, Math.min(units, deal.maxUnits));
        bool verified = deal.pool != 0;
        (charge.royalty, charge.solverFee, charge.toFund) = _fees(charge.gross, deal.royaltyBps, deal.solverFeeBps, verified);
        unchecked {
            if (verified) charge.toFund += _premiumUp(deal);
            charge.total = charge.gross + charge.royalty + charge.solverFee + charge.toFund;
        }
    }

    /// @dev Each fee rounded down: the creator keeps the rest.
    function _fees(uint256 gross, uint256 royaltyBps, uint256 solverFeeBps, bool verified)
        internal
        view
        returns (uint256 royalty, uint256 solverFee, uint256 protocolFee)
    {
        royalty = _shareDown(gross, royaltyBps);
        solverFee = _shareDown(gross, solverFeeBps);
        protocolFee = verified ? _shareDown(gross, PROTOCOL_FEE_BPS) : 0;
    }

    /// @dev What the creator pays for `gross` to the provider.
    function _totalOf(uint256 gross, uint256 royaltyBps, uint256 solverFeeBps, bool verified, uint256 premium)
        internal
        view
        returns (uint256)
    {
        (uint256 royalty, uint256 solverFee, uint256 protocolFee) = _fees(gross, royaltyBps, solverFeeBps, verified);
        unchecked {
            return gross + royalty + solverFee + protocolFee + premium;
        }
    }

    /// @dev What the creator locked at opening.
    function _lockedTotal(Deal memory deal) internal view returns (uint256) {
        return _charge(deal, deal.maxUnits).total;
    }

    function _premiumUp(Deal memory deal) internal pure returns (uint256) {
        return _premiumUp(deal.seatFee, deal.auditBps);
    }

    /// @dev Rounded up: the fund must not lose by dust.
    function _premiumUp(uint256 seatFee, uint256 auditBps) internal pure returns (uint256) {
        unchecked {
            return (seatFee * auditBps * PREMIUM_TENTHS + BPS * 10 - 1) / (BPS * 10);
        }
    }

    /// @dev Rounded up: what a re-run costs is not known to fractions. Protocol 6.2.
    function _seatFeeUp(uint256 value, uint256 floor_, uint256 moduleMinimum) internal pure returns (uint256 fee) {
        unchecked {
            fee = (value * SEAT_FEE_BPS + BPS - 1) / BPS;
        }
        fee = Math.max(fee, Math.max(floor_, moduleMinimum));
    }

    /// @dev Fees of the audit's seats, at `seatFee` each: one, then a panel of three.
    function _auditFee(uint256 seatFee) internal pure returns (uint256) {
        unchecked {
            return seatFee * AUDIT_SEATS;
        }
    }

    /// @dev Three seats at `fee` each.
    function _panelFee(uint256 fee) internal pure returns (uint256) {
        unchecked {
            return fee * PANEL_SEATS;
        }
    }

    function _penalty(Deal memory deal) internal pure returns (uint256) {
        return Math.min(deal.collateral, _value(deal));
    }

    // ---- time and chance

    function _currentPeriod() internal view returns (uint32) {
        return PERIOD_BLOCKS == 0 ? RANDOMNESS.currentPeriod() : uint32(block.number / PERIOD_BLOCKS);
    }

    /// @dev What the seed says of a deal: Pending, or Known with `drawn`. A lost seed draws every deal (`expired`).
    function _lottery(DealId dealId, uint256 auditBps, uint32 submittedIn)
        internal
        view
        returns (bool known, bool drawn, bool expired)
    {
        if (auditBps == 0) return (true, false, false);
        (SeedStatus status, bytes32 seed) = RANDOMNESS.seed(submittedIn + 1);
        return _drawn(dealId, auditBps, status, seed);
    }

    function _drawn(DealId dealId, uint256 auditBps, SeedStatus status, bytes32 seed)
        internal
        pure
        returns (bool known, bool drawn, bool expired)
    {
        if (status == SeedStatus.Pending) return (false, false, false);
        if (status == SeedStatus.Expired) return (true, true, true);
        // The bias of the remainder is below 2^-242.
        drawn = uint256(HashLib.hash(seed, DealId.unwrap(dealId))) % BPS < auditBps;
        return (true, drawn, false);
    }

    // ---- results

    /// @dev Protocol 5.2.
    function _digest(bytes32 head, bytes32 content) internal pure returns (bytes32) {
        return HashLib.hash(head, content);
    }

    /// @dev Protocol 5.3: the low 176 bits.
    function _commitment(DealId dealId, Address provider, bytes32 digest, bytes32 salt)
        internal
        pure
        returns (uint176)
    {
        return uint176(uint256(HashLib.hash(DealId.unwrap(dealId), provider.asBytes32(), digest, salt)));
    }
}
