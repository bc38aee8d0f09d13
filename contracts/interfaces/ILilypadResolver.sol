// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Closing, Step} from "../types/Calls.sol";
import {DisputeKind, Status} from "../types/DealWord.sol";
import {DealId} from "../types/Ids.sol";
import {ILilypad} from "./ILilypad.sol";
import {ILilypadRules} from "./ILilypadRules.sol";
import {IStrategyHost} from "./IStrategyHost.sol";

/// @title The part of the core that ends deals without a settlement: declines, timeouts, closings, disputes
/// @notice Holds no money and stores nothing but who began a dispute. The core's constructor creates it, and the core carries
/// out what it decides, checking legality and balance on its own. Apart from the core because the code of both together
/// exceeds the size limit of a contract; the paths that every job takes stay in the core and call nobody.
/// Conventions as in ILilypad.
interface ILilypadResolver is ILilypadRules, IStrategyHost {
    /// @notice `compensation` went from the collateral to the creator; the job offer's nonce is unused again.
    event DealDeclined(
        DealId indexed dealId, address indexed creator, address indexed provider, uint256 compensation
    );
    /// @notice A submit deadline, or the time to open a result, passed. The creator got back what it locked and `penalty`,
    /// less `bounty` to `keeper`; `premium` went to the fund, `claim` to the strategy, out of the collateral.
    event DealTimedOut(
        DealId indexed dealId,
        address indexed creator,
        address indexed provider,
        uint256 penalty,
        uint256 bounty,
        address keeper,
        uint256 premium,
        uint256 claim
    );
    /// @notice Both parties divided the escrow; `premium` went to the fund.
    event DealClosed(
        DealId indexed dealId,
        address indexed creator,
        address indexed provider,
        uint256 toCreator,
        uint256 toProvider,
        uint256 premium
    );
    /// @notice A dispute began, to be resolved until `deadline`. The strategy's account got `fee`: `fromFund` from the audit
    /// fund, `fromCollateral` from the provider, the rest from `by`.
    event DisputeOpened(
        DealId indexed dealId,
        address indexed by,
        DisputeKind indexed kind,
        uint256 fee,
        uint256 fromFund,
        uint256 fromCollateral,
        uint256 deadline
    );
    /// @notice The strategy found the result right. Paid as in {DealAccepted}; `claim` of it went to the strategy.
    event DealMediationAccepted(
        DealId indexed dealId,
        address indexed creator,
        address indexed provider,
        bytes32 resultDigest,
        uint256 gross,
        uint256 claim
    );
    /// @notice The strategy found the result wrong. Out of the collateral: premium and `toFund` to the fund, the value to the
    /// creator, `claim` to the strategy, `bounty` to `bountyTo`.
    event DealMediationRejected(
        DealId indexed dealId,
        address indexed creator,
        address indexed provider,
        uint256 claim,
        uint256 bounty,
        address bountyTo,
        uint256 toFund
    );
    /// @notice Nobody's fault, or mediation ran out of time: creator refunded less the premium, `collateral` back.
    event DealNoFault(
        DealId indexed dealId, address indexed creator, address indexed provider, uint256 premium, uint256 collateral
    );
    /// @notice The data was found; the creator may judge until `judgeDeadline`.
    event DeliveryConfirmed(DealId indexed dealId, uint256 judgeDeadline);
    /// @notice The fund repaid `amount` of what `to` had advanced for an audit.
    event AdvanceRepaid(DealId indexed dealId, address indexed to, uint256 amount);

    error DeadlineAhead(DealId dealId, uint256 deadline, uint256 time);
    error DealNotDrawn(DealId dealId);
    error DealUnverified(DealId dealId);
    error DeliveryChallengedBefore(DealId dealId);
    error JobOfferMismatch(DealId dealId, bytes32 found, bytes32 needed);
    error FundShort(DealId dealId, uint256 fund, uint256 needed, uint256 maxAdvance);
    error SplitUnbalanced(DealId dealId, uint256 found, uint256 needed);
    error StrategyOnly(DealId dealId, address strategy, address caller);
    error VerdictNotPossible(DealId dealId, DisputeKind kind);
    error ClaimTooHigh(DealId dealId, uint256 claim, uint256 most);
    error AdvanceNotDue(DealId dealId);

    /// @notice The core it belongs to.
    function core() external view returns (ILilypad);

    /// @notice The parameters of the core, fixed at construction.
    function parameters() external view returns (Parameters memory);

    /// @notice Gives the deal back in the first quarter of the submit window. The provider or its delegate (scope 2), from
    /// Agreed. Costs min(collateral, 1 % of the value), which the creator gets. `job` are the words of its offer: its nonce
    /// becomes unused again. Emits {DealDeclined}.
    function decline(bytes32[12] calldata record, bytes32[4] calldata job) external;
    function declineBatch(bytes32[12][] calldata records, bytes32[4][] calldata jobs) external;

    /// @notice Ends an Agreed deal after its submit deadline. Anyone; earns 1 % of the penalty. Emits {DealTimedOut}.
    function timeoutSubmit(bytes32[12] calldata record) external;

    /// @notice Ends a submitted deal that was spared and that nobody opened until the reveal window ended. Anyone; earns 1 %
    /// of the penalty. Emits {DealTimedOut}.
    function timeoutReveal(bytes32[12] calldata record) external;

    /// @notice Divides the escrow as both parties signed: `Closing(bytes32 dealId,uint96 toCreator,uint96 toProvider,uint40
    /// expiry)`. Anyone carries it, from Agreed until the submit deadline, or from ResultsSubmitted, neither drawn nor
    /// challenged, until the reveal window ends (then the premium is due and the split is of the rest). Emits {DealClosed}.
    function close(bytes32[12] calldata record, Closing calldata closing) external;
    function closeBatch(bytes32[12][] calldata records, Closing[] calldata closings) external;

    // ---- verification

    /// @notice Disputes the result. Anyone with three seat fees of free credit, from ResultsSubmitted until the judge
    /// deadline, in a verified pool. Emits {DisputeOpened}.
    function challenge(bytes32[12] calldata record) external;

    /// @notice Disputes the delivery, once a deal. The creator or its delegate (scope 4), who pays three seat floors of
    /// its own free credit, from ResultsSubmitted until the judge deadline, in a verified pool. Emits {DisputeOpened}.
    function challengeDelivery(bytes32[12] calldata record) external;

    /// @notice Begins the audit of a drawn deal. Anyone, from ResultsSubmitted until the mediation limit after the judge
    /// deadline. The fund pays four seat fees; where it is short the caller advances up to `maxAdvance` of its free credit.
    /// When the seed was lost, the collateral pays. Emits {DisputeOpened}.
    function audit(bytes32[12] calldata record, uint256 maxAdvance) external;

    /// @notice Repays from the fund what somebody advanced for the audit of an ended deal, as far as it reaches. Anyone.
    function repayAdvance(bytes32[12] calldata record) external;

    /// @notice Ends as NoFault a dispute that was not resolved in time, or a drawn deal that nobody audited until the
    /// mediation limit after the judge deadline. Anyone. Emits {DealNoFault}.
    function timeoutMediation(bytes32[12] calldata record) external;

    /// @notice The same step for many deals, all or none. `maxAdvance` is for each audit.
    function stepBatch(Step step, bytes32[12][] calldata records, uint256 maxAdvance) external;
}
