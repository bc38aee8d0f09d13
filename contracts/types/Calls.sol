// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "./Address.sol";
import {DealWord} from "./DealWord.sol";
import {DealId, PoolId} from "./Ids.sol";
import {ModuleWords, PoolWords} from "./Terms.sol";

/// @notice One job offer of an opening: dense words (JobOfferLib) and the creator's consent.
struct SignedJob {
    bytes32[4] words;
    bytes signature;
}

/// @notice One resource offer, the terms both sides name, and the job offers it serves: what is equal is sent once.
struct Opening {
    bytes32[6] resource; // dense words (ResourceOfferLib)
    bytes resourceSignature;
    ModuleWords module;
    PoolWords pool; // all zero: Unverified
    bytes32[] membership; // Merkle proof that the version is in the provider's list; empty when the list is 0
    SignedJob[] jobs;
}

/// @notice How a creator agreed to a result before the judge deadline.
enum Agreement {
    None, // it did not: the judge deadline must have passed, unless the creator itself calls
    Acceptance, // signature over (deal, digest); takes effect once the lottery spared the deal
    Waiver // signature "I have checked this result myself"; skips the lottery, unless the deal is drawn already
}

/// @notice One deal of a settlement: the hash of what of its record settlement does not read, and the opening of its commitment.
struct SettledItem {
    bytes32 details; // hash of the record's words 6 to 11 (DealLib.detailsOf)
    bytes32 head; // units [0..63] | exit code [64..95] | mask of counted parts [96..103]
    bytes32 content;
    bytes32 salt;
    Agreement agreement;
    bytes signature; // the creator's, when there is an agreement
}

/// @notice Deals settled together: they share the first four words of their records and the place where fees accrue.
struct Settlement {
    bytes32[5] shared; // words 0 to 3 of the record, and DealLib.accrualOf
    SettledItem[] items;
}

/// @notice The opening of a commitment.
struct ResultOpening {
    bytes32 head;
    bytes32 content;
    bytes32 salt;
}

/// @notice A provider's permission to post a commitment, carried by anyone.
struct SignedResult {
    bytes32 dealId;
    uint176 commitment;
    bytes signature;
}

/// @notice A split of the whole escrow that both parties signed.
struct Closing {
    uint96 toCreator; // smallest units
    uint96 toProvider; // smallest units
    uint40 expiry; // unix seconds
    bytes creatorSignature;
    bytes providerSignature;
}

/// @notice What one ending does to one account in the deal's token; smallest units.
struct Change {
    Address account;
    uint256 spent; // out of its free credit
    uint256 unlocked; // out of its escrow
    uint256 received; // into its free credit
}

/// @notice What the resolver decided about a deal; smallest units. Taken (spent, unlocked, fromFund) equals given (received,
/// toFund, royalty, solverFee).
struct Outcome {
    DealId dealId;
    DealWord from;
    DealWord to;
    Address token;
    Change[] changes;
    Address strategy; // with pool and token, the key of the audit fund
    PoolId pool;
    uint256 fromFund;
    uint256 toFund;
    bytes32 version;
    Address solver;
    uint256 royalty;
    uint256 solverFee;
}

/// @notice What a strategy found.
enum Verdict {
    Correct,
    Wrong,
    NoFault,
    Delivered,
    NotDelivered
}

/// @notice Steps that need nothing but the record, for the batch form.
enum Step {
    TimeoutSubmit,
    TimeoutReveal,
    TimeoutMediation,
    Challenge,
    ChallengeDelivery,
    Audit,
    RepayAdvance
}

/// @notice Numbers whose limits an opening checks.
enum Term {
    Cpu,
    Ram,
    Disk,
    GpuCount,
    Vram,
    Flags,
    Units,
    SubmitWindow,
    JudgeWindow,
    CollateralBps,
    AuditBps,
    RoyaltyBps,
    SolverFeeBps,
    Value,
    Price,
    Collateral,
    SeatStake,
    PoolWindows,
    FundCover,
    SeatFeeFloor
}
