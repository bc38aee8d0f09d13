// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev Votes that are not result digests. No digest is that small, so a commitment tells nobody which kind it hides.
bytes32 constant VOTE_UNAVAILABLE = bytes32(uint256(1)); // artefact or inputs (delivery: the data) were not served
bytes32 constant VOTE_MODULE_BROKEN = bytes32(uint256(2)); // obtained, but does not run, or is not what its terms say
bytes32 constant VOTE_CANNOT_RUN = bytes32(uint256(3)); // the mediator's own trouble
bytes32 constant VOTE_SERVED = bytes32(uint256(4)); // delivery only: the data was there
bytes32 constant VOTE_WORDS_MOST = bytes32(uint256(255)); // up to here nothing is a digest

/// @notice Where a dispute stands at the panel strategy. Protocol 6.2.
enum Phase {
    None, // the strategy has not been told of the dispute
    Due, // a draw has to be asked for: of missing seats, of the lone seat again, of the panel that a lone seat calls
    Queued, // seats are waiting to be drawn
    Commit, // seats run the job (fetch the data) and commit
    Open, // the provider's own window: it opens its commitment (delivery: names its data, before the seats commit)
    Reveal, // seats reveal
    Appealable, // there is a finding; the next size can be paid for
    Executable, // the last window is over; the finding waits to be executed
    Executed
}

/// @notice What is known of one seat of a round. The order matters: everything from Confirms on has revealed.
enum SeatState {
    Silent, // drawn, has not committed
    Committed,
    Confirms, // revealed the provider's digest, and the data was there (delivery: the data was there)
    Unserved, // revealed the provider's digest, but the result data was not there
    OtherDigest, // revealed another digest, or any digest while the provider had not opened
    Unavailable, // artefact or inputs (delivery: data) were not served
    ModuleBroken, // obtained, but it does not run, or is not what its terms say
    CannotRun // says nothing about anybody
}

/// @notice What a round came to. Strict majority of all its seats, whether they acted or not.
enum Finding {
    None,
    Confirmed, // the provider's digest and the data served: Correct (delivery: Delivered)
    OtherDigest, // one other digest: Wrong
    Unserved, // inputs, artefact or result data not served: Wrong (delivery: NotDelivered)
    NotOpened, // the provider let its window pass: Wrong (delivery: NotDelivered), whatever the seats say
    Broken, // ModuleBroken: NoFault, and the version is marked
    Divided, // no majority though more than half of the seats found a digest: NoFault, and the version is marked
    Absent // too few seats ran the job to say anything: NoFault
}

/// @notice Facts of a drawn round, which callers bring back: the chain keeps their hash. As {SeatsDrawn} emitted them; after
/// {ResultOpened} or {DataNamed} `opened` is what that event says.
struct Seating {
    address provider;
    uint32 revealWindow; // seconds
    uint32 appealWindow; // seconds
    bytes32 opened; // the provider's digest (delivery: its data id); 0 until it opened
    address[] accounts; // one a seat, an account may hold several
}
