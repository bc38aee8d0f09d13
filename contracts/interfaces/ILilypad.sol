// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {DealId} from "../types/Ids.sol";
import {DisputeKind, Status} from "../types/DealWord.sol";
import {Closing, Opening, ResultOpening, Settlement, SignedResult, Step, Term} from "../types/Calls.sol";
import {ILilypadConsent} from "./ILilypadConsent.sol";
import {ILilypadPayments} from "./ILilypadPayments.sol";
import {IRandomness} from "./IRandomness.sol";
import {IStrategyHost} from "./IStrategyHost.sol";

/// @title The core of Lilypad: deals between a creator and a provider, from two signed offers to the last unit paid
/// @notice No owner, no proxy, no pause, no setter. Whoever calls, money goes where the signed terms say.
/// Deadlines are block timestamps: an action counts up to and including its deadline, a timeout only after it.
/// `record` is always the dense form of the deal's terms (DealLib), as emitted by {DealOpened}; its hash is the deal id.
interface ILilypad is ILilypadPayments, ILilypadConsent, IStrategyHost {
    /// @notice Fixed at construction. Seconds and basis points. Protocol 15.
    struct Parameters {
        IRandomness randomness;
        uint16 protocolFeeBps; // of gross, to the audit fund; at most 1000
        uint32 minSubmitWindow;
        uint32 maxSubmitWindow;
        uint32 minJudgeWindow;
        uint32 maxJudgeWindow; // at most half of the randomness's life and 65,535 s
        uint32 revealWindow; // above the randomness's delay
        uint32 mediationLimit;
    }

    /// @notice A deal was opened: the creator's total and the provider's collateral are locked. `record` holds all its terms.
    event DealOpened(
        DealId indexed dealId, address indexed creator, address indexed provider, bytes32[12] record
    );
    /// @notice The provider posted its commitment in `period`; the creator may judge until `judgeDeadline` (unix seconds).
    event ResultSubmitted(
        DealId indexed dealId, address indexed provider, uint176 commitment, uint256 judgeDeadline, uint32 period
    );
    /// @notice The deal was paid: gross to the provider, and what follows from it by the record.
    event DealAccepted(
        DealId indexed dealId, address indexed creator, address indexed provider, bytes32 resultDigest, uint256 gross
    );
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
    /// @notice Item `item` of group `group` of a batch was left out for `reason` (an encoded error of this interface);
    /// `item` 2^256 - 1 stands for the whole group.
    event Skipped(uint256 indexed group, uint256 indexed item, bytes reason);

    error EncodingNotCanonical();
    error TermAbove(Term term, uint256 found, uint256 most);
    error TermBelow(Term term, uint256 found, uint256 least);
    error OfferExpired(bytes32 offerHash, uint256 expiry, uint256 time);
    error OfferCancelled(bytes32 offerHash, address account, uint32 nonce);
    error NonceUsed(bytes32 offerHash, address account, uint32 nonce);
    error VolumeUsedUp(bytes32 offerHash, uint256 used, uint256 volume);
    error SignatureInvalid(bytes32 structHash, address account);
    error CapExceeded(address account, address key, uint256 left, uint256 needed);
    error PartiesNotDistinct(address creator, address provider, address solver);
    error ModuleNotOffered(bytes32 version, bytes32 modules);
    error StrategyNotOfPool(address moduleStrategy, address poolStrategy);
    error TokenNotOfPool(address token, address poolToken);
    error DeterrenceTooLow(uint256 auditBps, uint256 collateralBps);
    error FundsMissing(address account, address token, uint256 has, uint256 needed);
    error DealExists(DealId dealId);

    error DealNotIn(DealId dealId, Status found, Status needed);
    error DeadlinePassed(DealId dealId, uint256 deadline, uint256 time);
    error DeadlineAhead(DealId dealId, uint256 deadline, uint256 time);
    error CommitmentZero(DealId dealId);
    error CommitmentMismatch(DealId dealId, uint176 posted, uint176 opened);
    error SeedPending(DealId dealId, uint32 period);
    error DealDrawn(DealId dealId);
    error DealNotDrawn(DealId dealId);
    error DealUnverified(DealId dealId);
    error DeliveryChallengedBefore(DealId dealId);
    error AgreementMissing(DealId dealId, uint256 judgeDeadline);
    error SplitUnbalanced(DealId dealId, uint256 found, uint256 needed);
    error StrategyOnly(DealId dealId, address strategy, address caller);
    error VerdictNotPossible(DealId dealId, DisputeKind kind);
    error ClaimTooHigh(DealId dealId, uint256 claim, uint256 most);
    error BatchLengthsDiffer(uint256 left, uint256 right);
    error AdvanceNotDue(DealId dealId);
    error ParameterOutOfBounds(string name, uint256 found, uint256 least, uint256 most);

    // ---- opening

    /// @notice Opens one deal for each job of `opening`, all or none. Anyone may call. Locks each creator's total at maxUnits
    /// and the provider's collateral. Emits {DealOpened}. Reverts with the first broken limit.
    function open(Opening calldata opening) external returns (DealId[] memory dealIds);

    /// @notice Opens what can be opened; a pair that cannot is left out with its reason ({Skipped}).
    function openBatch(Opening[] calldata openings) external;

    /// @notice Opens and posts the results at once. The provider or its delegate (scope 2). One commitment a job; a commitment
    /// names its deal, so compute the ids first.
    function openAndSubmit(Opening calldata opening, uint176[] calldata commitments)
        external
        returns (DealId[] memory dealIds);

    /// @notice Opens one deal, posts its result and settles it with the creator's waiver. The provider or its delegate (scope 2).
    function openSubmitAndSettle(
        Opening calldata opening,
        ResultOpening calldata result,
        bytes calldata waiver
    ) external returns (DealId dealId);

    // ---- results

    /// @notice Posts the commitment to a result. The provider or its delegate (scope 2), from Agreed, until the submit deadline.
    /// Emits {ResultSubmitted}. Reverts with DealNotIn, DeadlinePassed, NotAuthorised, CommitmentZero.
    function submitResult(DealId dealId, uint176 commitment) external;

    /// @notice As submitResult for many deals; one that cannot is left out ({Skipped}).
    function submitResults(DealId[] calldata dealIds, uint176[] calldata commitments) external;

    /// @notice As submitResult, carried by anyone with the provider's signature `Result(bytes32 dealId,uint176 commitment)`.
    function submitSignedResults(SignedResult[] calldata results) external;

    /// @notice Posts the result and settles with the creator's waiver. The provider or its delegate (scope 2), from Agreed.
    function submitAndSettle(bytes32[12] calldata record, ResultOpening calldata result, bytes calldata waiver) external;

    /// @notice Gives the deal back in the first quarter of the submit window. The provider or its delegate (scope 2), from
    /// Agreed. Costs min(collateral, 1 % of the value), which the creator gets. `job` are the words of its offer: its nonce
    /// becomes unused again. Emits {DealDeclined}.
    function decline(bytes32[12] calldata record, bytes32[4] calldata job) external;
    function declineBatch(bytes32[12][] calldata records, bytes32[4][] calldata jobs) external;

    /// @notice Settles deals that share their first ten record words, all or none. Anyone with the openings, from
    /// ResultsSubmitted, until the reveal window after the judge deadline ends: after the judge deadline, or with the
    /// creator's agreement, or by the creator's own call (account or delegate with scope 4); once the lottery spared the deal
    /// (a waiver: unless it drew it). Emits {DealAccepted}.
    function settle(Settlement calldata settlement) external;

    /// @notice As settle for many groups; a deal that cannot is left out ({Skipped}).
    function settleBatch(Settlement[] calldata settlements) external;

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

    /// @notice Disputes the delivery, once a deal. The creator or its delegate (scope 4) with three seat floors of the
    /// creator's free credit, from ResultsSubmitted until the judge deadline, in a verified pool. Emits {DisputeOpened}.
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

    /// @notice The same step for many deals; one that cannot is left out ({Skipped}). `maxAdvance` is for each audit.
    function stepBatch(Step step, bytes32[12][] calldata records, uint256 maxAdvance) external;

    // ---- views

    /// @notice What the chain knows of a deal. Unknown ids read as None. `deadline` (unix seconds) is that of the status; in
    /// final states the time at which it ended. In Agreed `commitment` is 0.
    function dealOf(DealId dealId)
        external
        view
        returns (Status status, DisputeKind kind, bool deliveryChallenged, uint256 deadline, uint32 period, uint176 commitment);

    /// @notice The deal id of a record.
    function dealIdOf(bytes32[12] calldata record) external view returns (DealId);

    /// @notice The EIP-712 digest of a struct hash in this core's domain.
    function digestOf(bytes32 structHash) external view returns (bytes32);

    /// @notice The parameters fixed at construction.
    function parameters() external view returns (Parameters memory);
}
