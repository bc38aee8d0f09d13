// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "../types/Ids.sol";
import {ResultOpening, Verdict} from "../types/Calls.sol";

/// @title What the core offers to verification strategies
/// @notice The core never calls a strategy. It pays the fee of a challenge or audit to the ledger account of the strategy
/// that the pool's terms name, sets the deal InMediation, and waits for one {resolve} until the deal's deadline.
/// A strategy learns of a dispute when somebody brings it the record: it reads `dealWord` for the kind and the deadline
/// and `disputeOf` for who began it. A strategy is trusted by nobody but those who signed for a pool that names it:
/// whatever it does, it moves only escrow of its own deals, inside the bounds below, and its own ledger account.
interface IStrategyHost {
    /// @notice The strategy's answer, once per dispute, from InMediation until the deadline. Only the strategy of the record.
    /// Correct: pays as a settlement; `opening` gives the units and must open the commitment; `claim` is at most three seat
    /// fees (the panel that a provider which served late caused) and at most what there is: taken from gross, then from collateral,
    /// of which an audit after a lost seed left less.
    /// Wrong: refunds the creator in full, compensates it by the value, pays the premium to the fund; `claim` is at most
    /// what is left of the collateral; then 5 % of the collateral to `bountyTo` unless the deal was drawn; the rest to the fund.
    /// NoFault: refunds the creator less the premium, collateral back; `claim` must be 0.
    /// Delivered, NotDelivered (after challengeDelivery only): back to ResultsSubmitted with a fresh judge window; or as
    /// timeoutReveal with `claim` at most what is left of the collateral and the keeper bounty to `bountyTo`.
    /// Claims are credited to the strategy's ledger account.
    /// Reverts with DealNotIn, StrategyOnly, DeadlinePassed, VerdictNotPossible, ClaimTooHigh, CommitmentMismatch.
    /// @param record Dense record of the deal (DealLib).
    /// @param claim Smallest units.
    /// @param bountyTo Challenger or keeper; 0: nobody, its part goes to the fund (Wrong) or the creator (NotDelivered).
    function resolve(
        bytes32[12] calldata record,
        Verdict verdict,
        ResultOpening calldata opening,
        uint96 claim,
        address bountyTo
    ) external;

    /// @notice Who began the running or last dispute of a deal, and what it advanced for a fund that was short.
    function disputeOf(DealId deal) external view returns (address by, uint96 advanced);
}
