// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICommitReveal} from "../interfaces/ICommitReveal.sol";
import {IRandomness, SeedStatus} from "../interfaces/IRandomness.sol";

/// @title Seeds that bonded participants make together
/// @notice See {ICommitReveal} for the rules and for who can bias what. Protocol 6.4.
contract CommitRevealRandomness is ICommitReveal {
    uint256 private constant LEAST_PARTICIPANTS = 2; // the seed of a single one would be its choice

    /// @inheritdoc ICommitReveal
    uint32 public immutable periodSeconds;
    /// @inheritdoc ICommitReveal
    uint32 public immutable lookaheadSeconds;
    /// @inheritdoc ICommitReveal
    uint32 public immutable revealSeconds;
    /// @inheritdoc ICommitReveal
    uint32 public immutable leastParticipants;
    /// @inheritdoc ICommitReveal
    uint256 public immutable bond;

    /// @dev One period. `mix` is the exclusive or of a hash of each secret, which no order of reveals changes.
    struct Round {
        bytes32 mix;
        uint32 committed;
        uint32 revealed;
    }

    mapping(uint32 period => Round) private _rounds;
    /// @inheritdoc ICommitReveal
    mapping(uint32 period => mapping(address account => bytes32 commitment)) public commitmentOf;
    /// @inheritdoc ICommitReveal
    mapping(address account => uint256 wei_) public freeBondOf;

    error TimesInvalid(uint32 periodSeconds, uint32 lookaheadSeconds, uint32 revealSeconds);
    error ParticipantsTooFew(uint32 found, uint256 least);
    error BondZero();

    constructor(
        uint32 periodSeconds_,
        uint32 lookaheadSeconds_,
        uint32 revealSeconds_,
        uint32 leastParticipants_,
        uint256 bond_
    ) {
        if (periodSeconds_ == 0 || lookaheadSeconds_ == 0 || revealSeconds_ == 0) {
            revert TimesInvalid(periodSeconds_, lookaheadSeconds_, revealSeconds_);
        }
        if (leastParticipants_ < LEAST_PARTICIPANTS) revert ParticipantsTooFew(leastParticipants_, LEAST_PARTICIPANTS);
        if (bond_ == 0) revert BondZero();
        periodSeconds = periodSeconds_;
        lookaheadSeconds = lookaheadSeconds_;
        revealSeconds = revealSeconds_;
        leastParticipants = leastParticipants_;
        bond = bond_;
    }

    // ---- taking part

    /// @inheritdoc ICommitReveal
    function deposit() public payable {
        freeBondOf[msg.sender] += msg.value;
        emit BondDeposited(msg.sender, msg.value);
    }

    /// @inheritdoc ICommitReveal
    function withdraw(uint256 amount) external {
        uint256 has = freeBondOf[msg.sender];
        if (has < amount) revert BondMissing(msg.sender, has, amount);
        freeBondOf[msg.sender] = has - amount;
        emit BondWithdrawn(msg.sender, amount);
        (bool ok,) = msg.sender.call{value: amount}(""); // UNTRUSTED, and last
        if (!ok) revert WithdrawalRefused(msg.sender, amount);
    }

    /// @inheritdoc ICommitReveal
    function commit(uint32 period, bytes32 commitment) external payable {
        if (msg.value != 0) deposit();
        // Said by the caller: a commitment that is mined a period late could never be opened.
        uint256 next = uint256(currentPeriod()) + 1;
        if (period != next) revert PeriodNotNext(period, next);
        if (commitment == 0) revert CommitmentEmpty();
        if (commitmentOf[period][msg.sender] != 0) revert CommittedBefore(period, msg.sender);
        uint256 has = freeBondOf[msg.sender];
        if (has < bond) revert BondMissing(msg.sender, has, bond);
        freeBondOf[msg.sender] = has - bond;
        commitmentOf[period][msg.sender] = commitment;
        _rounds[period].committed += 1;
        emit Committed(period, msg.sender, commitment);
    }

    /// @inheritdoc ICommitReveal
    function reveal(uint32 period, address account, bytes32 secret) external {
        if (block.timestamp < revealStart(period)) revert RevealTooEarly(period, revealStart(period), block.timestamp);
        if (block.timestamp > revealEnd(period)) revert RevealTooLate(period, revealEnd(period), block.timestamp);
        bytes32 commitment = keccak256(abi.encode(block.chainid, address(this), period, account, secret));
        bytes32 needed = commitmentOf[period][account];
        if (commitment != needed) revert CommitmentUnknown(period, account, commitment, needed);
        delete commitmentOf[period][account];
        Round memory round = _rounds[period];
        // Hashed once more: the commitment itself has been known since it was made.
        round.mix ^= keccak256(abi.encode(commitment, secret));
        round.revealed += 1;
        _rounds[period] = round;
        freeBondOf[account] += bond;
        emit Revealed(period, account, secret);
        if (_isWhole(round)) emit SeedRecorded(period, _seed(period, round), msg.sender);
    }

    /// @inheritdoc ICommitReveal
    function reclaim(uint32 period, address account) external {
        if (block.timestamp <= revealEnd(period)) revert RevealsNotOver(period, revealEnd(period), block.timestamp);
        if (_rounds[period].revealed != 0) revert OthersRevealed(period, _rounds[period].revealed);
        if (commitmentOf[period][account] == 0) revert NothingToReclaim(period, account);
        delete commitmentOf[period][account];
        freeBondOf[account] += bond;
        emit Reclaimed(period, account);
    }

    // ---- IRandomness

    /// @inheritdoc IRandomness
    function periodBlocks() external pure returns (uint32) {
        return 0;
    }

    /// @inheritdoc IRandomness
    function currentPeriod() public view returns (uint32) {
        return uint32(block.timestamp / periodSeconds);
    }

    /// @inheritdoc IRandomness
    function seed(uint32 period) public view returns (SeedStatus, bytes32) {
        Round memory round = _rounds[period];
        if (block.timestamp < _start(period)) return (SeedStatus.Pending, 0);
        if (_isWhole(round)) return (SeedStatus.Known, _seed(period, round));
        bool lost = round.committed < leastParticipants || block.timestamp > revealEnd(period);
        return (lost ? SeedStatus.Expired : SeedStatus.Pending, bytes32(0));
    }

    /// @inheritdoc IRandomness
    /// @dev The last reveal has stored the seed already: answers it, or reverts. The proof is not read.
    function record(uint32 period, bytes calldata) external view returns (bytes32) {
        (SeedStatus status, bytes32 value) = seed(period);
        if (status == SeedStatus.Pending) revert SeedNotKnown(period, revealStart(period));
        if (status == SeedStatus.Expired) revert SeedLost(period);
        return value;
    }

    /// @inheritdoc IRandomness
    /// @dev A seed that is Known needs no record and lives for ever.
    function lifetime() external pure returns (uint32) {
        return type(uint32).max;
    }

    /// @inheritdoc IRandomness
    function delay() external view returns (uint32) {
        uint256 time = uint256(periodSeconds) + lookaheadSeconds + revealSeconds + 1;
        return time > type(uint32).max ? type(uint32).max : uint32(time);
    }

    // ---- views

    /// @inheritdoc ICommitReveal
    function participantsOf(uint32 period) external view returns (uint256 committed, uint256 revealed) {
        return (_rounds[period].committed, _rounds[period].revealed);
    }

    /// @inheritdoc ICommitReveal
    function revealStart(uint32 period) public view returns (uint256) {
        return _start(period) + lookaheadSeconds;
    }

    /// @inheritdoc ICommitReveal
    function revealEnd(uint32 period) public view returns (uint256) {
        return revealStart(period) + revealSeconds;
    }

    function _start(uint32 period) private view returns (uint256) {
        return uint256(period) * periodSeconds;
    }

    /// @dev Whether every secret is there, and enough of them.
    function _isWhole(Round memory round) private view returns (bool) {
        return round.revealed == round.committed && round.committed >= leastParticipants;
    }

    function _seed(uint32 period, Round memory round) private view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), period, round.mix));
    }
}
