// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ResultOpening, Verdict} from "../types/Calls.sol";
import {DisputeKind} from "../types/DealWord.sol";
import {Finding, Phase, SeatState, Seating} from "../types/Dispute.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {RoundWord} from "../types/RoundWord.sol";
import {PoolTerms} from "../types/Terms.sol";
import {ILilypad} from "./ILilypad.sol";
import {ILilypadStaking} from "./ILilypadStaking.sol";

/// @title The default strategy: rounds of drawn mediators who re-run the job and vote
/// @notice Protocol 6.2. A dispute begins in the core; this contract learns of it when somebody brings it the record. Who calls
/// what, in which phase:
/// ```
/// None, Due   queue    anyone     asks for seats                                                     -> Queued
/// Queued      draw     anyone     when the seed is known and the round is next in the pool's queue   -> Commit (delivery: Open)
/// Commit      commit   each seat  keccak256(abi.encode(dealId, round, account, vote, salt))          -> Open when all have
/// Open        open     provider   head, content and salt of its commitment, id of the result data    -> Reveal
/// Open        nameData provider   delivery only: id of the data; the commitment stays sealed         -> Commit
/// Reveal      reveal   each seat  vote and salt                                                      -> Appealable when all have
/// Appealable  appeal   anyone     pays for the next size                                             -> Queued
/// Executable  execute  anyone     the verdict goes to the core, every unit to its owner              -> Executed
/// ```
/// A phase ends early when all have acted. When its deadline (unix seconds; the last second counts) has passed, time alone
/// moves it on, and the next call takes that into account: nobody has to close anything. `Commit` with silent seats becomes Due
/// (once; they lose a quarter of their seat stake and others are drawn), or goes on without them; `Open` becomes Reveal without
/// an opening, which counts as wrong (delivery: Appealable); `Reveal` is tallied. Only drawing, appealing and executing look at
/// the core's clock: `lastCall` seconds before the mediation deadline an unfinished round is void and the finding before
/// it stands (none: no fault). After the deadline, or any other end of the deal, {unwind} returns locks and fees.
///
/// A `round` is a number: its low two bits say the size (0: 1 seat, 1: 3, 2: 7, 3: 15), 4 is added in disputes about delivery,
/// so a number is used once in a deal. Audits begin with round 0, challenges with 1, delivery challenges with 5.
/// `record` is the dense form of the deal's terms (DealLib), `pool` the terms that hash to its pool id, `seating` the facts that
/// {SeatsDrawn}, {ResultOpened} and {DataNamed} emitted: the chain keeps hashes of all three.
/// A vote is a result digest, or 1 (Unavailable), 2 (ModuleBroken), 3 (CannotRun); about delivery 4 (served), 1 or 3.
///
/// Money is ledger credit of this contract in the core, which belongs to running disputes and nobody else: three seat fees
/// (challenge), three seat floors (delivery) or four seat fees (audit) from the beginning, each appeal's fees, and what seats lost.
/// Out of a seat's fee 2 % (rounded down; the seat keeps the rest) go to keepers. It calls the core, the staking contract, and
/// in {appeal} the pool's token; it trusts the first two. No recipient can refuse, since nothing but numbers move.
/// What it assumes: `staking` answers accounts that are not excluded, and holds what it says it took.
interface ILilypadMediation {
    /// @notice A round asked for `seats` seats under `ticket` of the pool's queue; `redraw`: seats of the same round again.
    event RoundQueued(
        DealId indexed dealId, PoolId indexed pool, uint8 round, bool redraw, uint256 ticket, uint256 seats
    );
    /// @notice The seats of a round, all of them, also those that a redraw left in place (they need not commit again). The phase
    /// that begins is Commit, until `deadline`; in a delivery challenge whose data is not named yet, Open.
    event SeatsDrawn(
        DealId indexed dealId, uint8 indexed round, bool redraw, Seating seating, Phase phase, uint256 deadline
    );
    /// @notice Seat `seat` of `account` committed. `deadline` is not 0 when it was the last: then `phase` began.
    event Committed(
        DealId indexed dealId,
        address indexed account,
        uint8 round,
        uint256 seat,
        bytes32 commitment,
        Phase phase,
        uint256 deadline
    );
    /// @notice The provider opened its commitment; seats reveal until `deadline`. The round's seating has `opened` = `digest` now.
    event ResultOpened(
        DealId indexed dealId, uint8 indexed round, bytes32 digest, ResultOpening opening, bytes32 dataId, uint256 deadline
    );
    /// @notice The provider named its data; seats fetch and commit until `deadline`. The seating has `opened` = `dataId` now.
    event DataNamed(DealId indexed dealId, uint8 indexed round, bytes32 dataId, uint256 deadline);
    /// @notice Seat `seat` of `account` revealed. `served` counts for the provider's own digest only.
    event Revealed(
        DealId indexed dealId, address indexed account, uint8 round, uint256 seat, bytes32 vote, bool served, SeatState state
    );
    /// @notice A round came to `finding`. `phase` is Due when a lone seat's word is not enough, else Appealable until `deadline`.
    event Tallied(DealId indexed dealId, uint8 indexed round, Finding finding, Phase phase, uint256 deadline);
    /// @notice `appellant` paid `fee` for round `round`.
    event Appealed(DealId indexed dealId, address indexed appellant, uint8 indexed round, uint256 fee);
    /// @notice The verdict went to the core. `finding` is what stands: of the last round that was tallied, or None.
    event DisputeExecuted(DealId indexed dealId, Verdict indexed verdict, Finding finding, address keeper);
    /// @notice The deal had ended without a verdict of this contract; locks and fees went back.
    event DisputeUnwound(DealId indexed dealId, address keeper);
    /// @notice How the money of a dispute was divided, smallest units: `amounts[i]` to `accounts[i]`, seats first, in the order
    /// of rounds, then those who advanced fees, then keepers; `toFund` to the pool's fund; `lost` by seats, `claim` from the provider.
    event MoneyDivided(
        DealId indexed dealId, address[] accounts, uint256[] amounts, uint256 toFund, uint256 lost, uint256 claim
    );
    /// @notice A panel found the version broken, or that honest re-runs of it disagree, for the `count`th time.
    event VersionMarked(VersionId indexed version, DealId indexed dealId, Finding finding, uint256 count);

    error LastCallOutOfBounds(uint256 lastCall, uint256 least, uint256 most);
    error CoreMismatch(address found, address needed);
    error StrategyNotThis(DealId dealId, address strategy);
    error PoolMismatch(DealId dealId, PoolId found, PoolId needed);
    error SeatingMismatch(DealId dealId, uint8 round);
    error SeatingsIncomplete(DealId dealId, uint256 found, uint256 needed);
    error NotInDispute(DealId dealId);
    error PhaseWrong(DealId dealId, Phase found, Phase needed);
    error LastCallPassed(DealId dealId, uint256 lastCall, uint256 time);
    error SeatUnknown(DealId dealId, uint256 seat, uint256 seats);
    error SeatNotYours(DealId dealId, uint256 seat, address account, address caller);
    error SeatStateWrong(DealId dealId, uint256 seat, SeatState found, SeatState needed);
    error CommitmentZero(DealId dealId, uint256 seat);
    error VoteMismatch(DealId dealId, uint256 seat, bytes32 found, bytes32 committed);
    error VoteUnknown(DealId dealId, bytes32 vote);
    error ProviderOnly(DealId dealId, address provider, address caller);
    error OpeningMismatch(DealId dealId, uint176 found, uint176 committed);
    error DataIdZero(DealId dealId);
    error RoundIsLast(DealId dealId, uint8 round);
    error DealNotEnded(DealId dealId);
    error NothingToUnwind(DealId dealId);

    // ---- rounds

    /// @notice Asks the pool for the seats that are due: of the first round (from None), of the panel that a lone seat calls, or
    /// again of seats that missed their commit (each loses a quarter of its stake now) or of a lone seat that found no digest.
    /// Anyone, until the last call. Emits {RoundQueued}. When the pool cannot seat a redraw, the round goes on without it.
    /// `seating`: of the round that stands; all zero before the first draw.
    /// Reverts with NotInDispute, StrategyNotThis, PoolMismatch, SeatingMismatch, PhaseWrong, LastCallPassed, and staking's
    /// SeatsUnavailable when no round can ever sit.
    function queue(bytes32[12] calldata record, PoolTerms calldata pool, Seating calldata seating) external;

    /// @notice Draws the queued seats and begins the next phase. Anyone, from Queued, until the last call; earns a third of 2 %
    /// of the fees of the drawn seats at once (a redraw: as far as what the replaced seats lost pays it). When the pool postpones
    /// the draw, nothing changes here and nobody earns. Emits {SeatsDrawn}. Cost grows with the number of seats.
    /// `seating`: a redraw: of this round; a later round: of the one before; the first draw: all zero.
    /// Reverts as {queue}, and with staking's TicketNotNext and SeedPending.
    function draw(bytes32[12] calldata record, PoolTerms calldata pool, Seating calldata seating) external;

    /// @notice Commits seat `seat` to a vote. Its account or that one's operator, once, in Commit. The last commit begins the next
    /// phase. Emits {Committed}. Reverts with SeatingMismatch, PhaseWrong, SeatUnknown, SeatNotYours, SeatStateWrong,
    /// CommitmentZero.
    /// @param commitment keccak256(abi.encode(dealId, round, account, vote, salt)): a copy cannot be revealed by the copier.
    function commit(DealId dealId, Seating calldata seating, uint256 seat, bytes32 commitment) external;

    /// @notice Opens the commitment of the result, and says where the data is. The provider or its delegate (scope 2), in Open,
    /// not about delivery. Nobody else: whoever copied it could name other data. Once is enough for all rounds of a dispute.
    /// Emits {ResultOpened}. Reverts with SeatingMismatch, PhaseWrong, ProviderOnly, OpeningMismatch, DataIdZero.
    /// @param dataId The result directory's sha2-256 root (protocol 5.2).
    function open(DealId dealId, Seating calldata seating, ResultOpening calldata opening, bytes32 dataId) external;

    /// @notice Names the result data of a delivery challenge, in Open. The provider or its delegate (scope 2). Fetching takes seats
    /// a reveal window at most, so that is what they have to commit. Emits {DataNamed}. Reverts as {open}.
    function nameData(DealId dealId, Seating calldata seating, bytes32 dataId) external;

    /// @notice Reveals a vote, in Reveal, by the seat's account or that one's operator. The last reveal tallies ({Tallied}).
    /// Emits {Revealed}. Reverts with SeatingMismatch, PhaseWrong, SeatUnknown, SeatNotYours, SeatStateWrong, VoteUnknown,
    /// VoteMismatch.
    /// @param served Whether the result data can be fetched and has the provider's digest; counts when `vote` is that digest.
    function reveal(
        DealId dealId, Seating calldata seating, uint256 seat, bytes32 vote, bytes32 salt, bool served
    ) external;

    /// @notice Writes down what time has done, for whoever wants to read it in logs and state ({Tallied} among it). Anyone; never
    /// necessary. Reverts with SeatingMismatch, or PhaseWrong when nothing is due.
    function advance(DealId dealId, Seating calldata seating) external;

    /// @notice Pays for the next size. Anyone, once a round, in Appealable and before the last call. Takes the fees (seats times
    /// the seat fee, smallest units) from the caller's token balance, who approved this contract, into the ledger. They come
    /// back when the round is not tallied in time (less what its draw cost), and as far as the pot reaches when this appeal
    /// brought the verdict that stands. Emits {Appealed} and {RoundQueued}. Reverts with PhaseWrong, LastCallPassed, RoundIsLast,
    /// staking's SeatsUnavailable when the pool cannot seat the round, and whatever the token says.
    /// @dev Calls the token: UNTRUSTED, under the lock.
    function appeal(bytes32[12] calldata record, PoolTerms calldata pool, Seating calldata seating) external;

    // ---- endings

    /// @notice Gives the verdict to the core and every unit of the dispute to its owner. Anyone, from Executable, or once the last
    /// call has passed, until the mediation deadline; earns what is left of the keepers' 2 %. Emits {DisputeExecuted},
    /// {MoneyDivided} and {VersionMarked}. Cost grows with the number of seats, at most 26.
    /// @param seatings Of all rounds that were drawn, in their order.
    /// @param opening As {ResultOpened} said; needed when the verdict is Correct, else ignored.
    function execute(
        bytes32[12] calldata record, PoolTerms calldata pool, Seating[] calldata seatings, ResultOpening calldata opening
    ) external;

    /// @notice Returns locks and fees of a dispute whose deal ended otherwise (the mediation deadline passed). Money as on no fault.
    /// Anyone, once. Emits {DisputeUnwound}, {MoneyDivided}. Reverts with DealNotEnded, NothingToUnwind.
    function unwind(bytes32[12] calldata record, PoolTerms calldata pool, Seating[] calldata seatings) external;

    // ---- views

    /// @notice All that is kept of the dispute of a deal, as it was last written: see {phaseOf} for what time has done since.
    /// @return round The running round, phase, deadline and seats in it (RoundWord); 0: none.
    /// @return replaced The first lone seat, which found no digest, while its fee is open [0..159], and what seats lost that were
    /// replaced, smallest units [160..255].
    /// @return ticket Of a redraw that is queued, in the pool's queue.
    function disputeStateOf(DealId dealId) external view returns (RoundWord round, uint256 replaced, uint256 ticket);

    /// @notice Phase and deadline at this second, and the finding if the round has come to one. `seating`: of the round.
    function phaseOf(DealId dealId, Seating calldata seating)
        external
        view
        returns (Phase phase, uint256 deadline, Finding finding);

    /// @notice An earlier round of the same dispute, as it ended, with its finding where the phase was (RoundWord); 0: none.
    function pastRoundOf(DealId dealId, uint8 round) external view returns (RoundWord);

    /// @notice What a seat committed to; after a reveal of a digest that is not the provider's, that digest; else 0.
    function commitmentOf(DealId dealId, uint8 round, uint256 seat) external view returns (bytes32);

    /// @notice Who paid for a round by appeal (0: nobody).
    function appellantOf(DealId dealId, uint8 round) external view returns (address);

    /// @notice How often panels found the version broken or its re-runs in disagreement.
    function marksOf(VersionId version) external view returns (uint256);

    function core() external view returns (ILilypad);
    function staking() external view returns (ILilypadStaking);

    /// @notice Seconds before the mediation deadline at which an unfinished round is void.
    function lastCall() external view returns (uint32);
}
