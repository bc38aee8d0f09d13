// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Opening, Outcome, Settlement, SignedResult, Term} from "../types/Calls.sol";
import {DealWord, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId} from "../types/Ids.sol";
import {ILilypadConsent} from "./ILilypadConsent.sol";
import {ILilypadPayments} from "./ILilypadPayments.sol";
import {ILilypadRules} from "./ILilypadRules.sol";

/// @title The core of Lilypad: deals between a creator and a provider, from two signed offers to the last unit paid
/// @notice No owner, no proxy, no pause, no setter. Whoever calls, money goes where the signed terms say.
/// Deadlines are block timestamps: an action counts up to and including its deadline, a timeout only after it.
/// Deals are opened, answered and settled here; every other ending, disputes among them, is the resolver's (ILilypadResolver).
/// `record` is always the dense form of the deal's terms (DealLib), as emitted by {DealOpened}; its hash is the deal id.
interface ILilypad is ILilypadRules, ILilypadPayments, ILilypadConsent {
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
    error CapExceeded(address account, address key, uint256 left, uint256 needed);
    error PartiesNotDistinct(address creator, address provider, address solver);
    error ModuleNotOffered(bytes32 version, bytes32 modules);
    error StrategyNotOfPool(address moduleStrategy, address poolStrategy);
    error TokenNotOfPool(address token, address poolToken);
    error DeterrenceTooLow(uint256 auditBps, uint256 collateralBps);
    error DealExists(DealId dealId);
    error CommitmentZero(DealId dealId);
    error AgreementMissing(DealId dealId, uint256 judgeDeadline);
    error ResolverOnly(address caller);
    error OutcomeUnbalanced(DealId dealId, uint256 taken, uint256 given);
    error DealMoved(DealId dealId, uint256 found, uint256 expected);


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
    /// The same has to hold as for the three steps one by one; what they would lock for a moment has to be free. The result is
    /// public at once: its commitment has salt 0 and no event of its own, and the deal no period. Emits {DealOpened}, {DealAccepted}.
    /// @param head The result's first word, units in the low 64 bits. @param content The second: together its digest.
    function openSubmitAndSettle(Opening calldata opening, bytes32 head, bytes32 content, bytes calldata waiver)
        external
        returns (DealId dealId);

    // ---- results

    /// @notice Posts the commitment to a result. The provider or its delegate (scope 2), from Agreed, until the submit deadline.
    /// Emits {ResultSubmitted}. Reverts with DealNotIn, DeadlinePassed, NotAuthorised, CommitmentZero.
    function submitResult(DealId dealId, uint176 commitment) external;

    /// @notice As submitResult for many deals; one that cannot is left out ({Skipped}).
    function submitResults(DealId[] calldata dealIds, uint176[] calldata commitments) external;

    /// @notice As submitResult, carried by anyone with the provider's signature `Result(bytes32 dealId,uint176 commitment)`.
    function submitSignedResults(SignedResult[] calldata results) external;

    /// @notice Posts the result and settles with the creator's waiver. The provider or its delegate (scope 2), from Agreed, until
    /// the submit deadline. The commitment has salt 0, as in openSubmitAndSettle. Emits {DealAccepted} only.
    /// @param shared As in a settlement. @param details Likewise. @param head As in openSubmitAndSettle. @param content Likewise.
    function submitAndSettle(
        bytes32[5] calldata shared,
        bytes32 details,
        bytes32 head,
        bytes32 content,
        bytes calldata waiver
    ) external;

    /// @notice Settles deals that share the first four words of their records and their place of accrual, all or none. Anyone with the openings, from
    /// ResultsSubmitted, until the reveal window after the judge deadline ends: after the judge deadline, or with the
    /// creator's agreement, or by the creator's own call (account or delegate with scope 4); once the lottery spared the deal
    /// (a waiver: unless it drew it). Emits {DealAccepted}.
    function settle(Settlement calldata settlement) external;

    /// @notice As settle for many groups; a deal that cannot is left out ({Skipped}).
    function settleBatch(Settlement[] calldata settlements) external;

    // ---- for the resolver

    /// @notice The part of the core that ends deals without a settlement. Created by the core's constructor, fixed.
    function resolver() external view returns (address);

    /// @notice Carries out what the resolver decided. Only the resolver. The core checks that the transition is legal and that
    /// what is given equals what is taken, to the unit; the resolver emits the event of the transition.
    /// Reverts with ResolverOnly, DealMoved, TransitionIllegal, OutcomeUnbalanced, AmountUnderflows.
    function conclude(Outcome calldata outcome) external;

    /// @notice Marks a job offer's nonce as unused again. Only the resolver, for a declined deal.
    function releaseNonce(address creator, uint32 nonce) external;

    /// @notice Pays `amount` (smallest units) from an audit fund to `to`. Only the resolver, for what was advanced to the fund.
    function payFromFund(address strategy, address token, PoolId pool, address to, uint256 amount) external;

    // ---- views

    /// @notice The word that the chain keeps of a deal (DealWord); zero for unknown ids.
    function dealWord(DealId dealId) external view returns (DealWord);

    /// @notice The id of the deal with this record (DealLib), and its word: what a strategy asks first.
    function find(bytes32[12] calldata record) external view returns (DealId, DealWord);

    /// @notice The EIP-712 digest of a struct hash in this core's domain; of a deal's struct hash: its id.
    function digestOf(bytes32 structHash) external view returns (bytes32);

    /// @notice The same facts as `dealWord`, unpacked. Unknown ids read as None. `deadline` (unix seconds) is that of the status;
    /// in final states the time at which it ended. In Agreed `commitment` is 0.
    function dealOf(DealId dealId)
        external
        view
        returns (Status status, DisputeKind kind, bool deliveryChallenged, uint256 deadline, uint32 period, uint176 commitment);
}
