// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Address} from "../types/Address.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {Opening, SignedJob, Term} from "../types/Calls.sol";
import {DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, Status} from "../types/DealWord.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {ResourceOffer, ResourceOfferLib} from "../types/ResourceOffer.sol";
import {ModuleWords, PoolWords} from "../types/Terms.sol";
import {LilypadConsent} from "./LilypadConsent.sol";
import {LilypadFailures} from "./LilypadFailures.sol";
import {LilypadRules} from "./LilypadRules.sol";
import {LilypadStorage} from "./LilypadStorage.sol";

/// @title Opening deals from two signed offers
/// @dev A group is one resource offer with the job offers it serves. What is equal for the group is checked and hashed
/// once, and the provider's words are written once. Checks answer with an encoded error instead of reverting, and all of
/// them come before the first write of a pair, so that one bad pair spoils nothing. Protocol 3.4, 6.5, 6.6.
abstract contract LilypadOpening is LilypadStorage, LilypadConsent, LilypadRules, LilypadFailures {
    using JobOfferLib for JobOffer;
    using ResourceOfferLib for ResourceOffer;
    using DealLib for bytes32[12];

    uint256 internal constant WHOLE_GROUP = type(uint256).max;
    /// @dev Rounds of a full dispute: 1, 3, 7, 15 seats.
    uint256 private constant ROUNDS = 4;

    /// @dev What is known of a group while its jobs open one by one, and of the job at hand.
    struct Group {
        ResourceOffer resource;
        JobOffer job; // the one at hand; it and the record are used again for the next one
        bytes32[12] record; // what the group shares is filled in once
        Address solver; // that either offer may name
        AccountWord providerWord;
        Address providerKey; // that consented for the provider
        uint256 providerCap; // what providerKey may still lock
        uint256 used; // deals opened on the offer
        uint256 fund; // of the pool; 0 when unverified
        // of the job at hand
        DealId dealId;
        bytes32 accrual; // hash of the place where fees accrue
        uint256 collateral;
        uint256 total; // what the creator locks
        AccountWord creatorWord;
        uint256 nonceWord;
        Address creatorKey; // that consented for the creator
        uint256 creatorCap; // what creatorKey may still lock
    }

    /// @return dealIds One an opened job.
    function _openAll(Opening calldata opening) internal returns (DealId[] memory dealIds) {
        Group memory group = _maker(_freshGroup)();
        _revertWith(_checkGroup(group, opening));
        SignedJob[] calldata jobs = opening.jobs;
        dealIds = new DealId[](jobs.length);
        for (uint256 i = 0; i < jobs.length; i++) {
            _revertWith(_openJob(group, opening, jobs[i]));
            dealIds[i] = group.dealId;
        }
        _writeProvider(group);
    }

    function _openWhatCanBe(uint256 index, Opening calldata opening) internal {
        Group memory group = _maker(_freshGroup)();
        bytes memory failure = _checkGroup(group, opening);
        if (failure.length != 0) {
            emit Skipped(index, WHOLE_GROUP, failure);
            return;
        }
        SignedJob[] calldata jobs = opening.jobs;
        for (uint256 i = 0; i < jobs.length; i++) {
            failure = _openJob(group, opening, jobs[i]);
            if (failure.length != 0) emit Skipped(index, i, failure);
        }
        _writeProvider(group);
    }

    function _openJob(Group memory group, Opening calldata opening, SignedJob calldata signed)
        private
        returns (bytes memory failure)
    {
        failure = _checkJob(group, opening, signed);
        if (failure.length != 0) return failure;
        _useOffers(group);
        _lock(group);
        _move(group.dealId, DealWord.wrap(0), _agreedWord(group));
        _logOpened(group);
    }

    /// @dev Memory for a group that is not filled with zeroes first, as a declaration would (1.5k gas): every field is written
    /// before it is read. 17 words of its own, 21 of the resource offer, 23 of the job offer, 12 of the record.
    function _freshGroup() internal pure returns (uint256 group) {
        // Safe: takes the memory that the four parts need from the free memory, and points from the first to the others.
        assembly ("memory-safe") {
            group := mload(64)
            mstore(group, add(group, 544)) // resource
            mstore(add(group, 32), add(group, 1216)) // job
            mstore(add(group, 64), add(group, 1952)) // record
            mstore(64, add(group, 2336))
        }
    }

    /// @dev The same function under the type of what it makes: a function that returned the struct would zero one first.
    function _maker(function () pure returns (uint256) fresh)
        internal
        pure
        returns (function () pure returns (Group memory) maker)
    {
        // Safe: a pointer to a struct is a number.
        assembly ("memory-safe") {
            maker := fresh
        }
    }

    // ---- the group: resource offer, module, pool

    function _checkGroup(Group memory group, Opening calldata opening) internal view returns (bytes memory failure) {
        ResourceOffer memory resource = group.resource;
        bytes32[12] memory record = group.record;
        ModuleWords calldata module = opening.module;
        PoolWords calldata pool = opening.pool;
        bytes32 version = VersionId.unwrap(module.id());
        bytes32 poolId = PoolId.unwrap(pool.id());
        bool canonical;
        (group.solver, canonical) = resource.load(opening.resource, poolId);
        if (!(canonical && module.fits() && pool.fits())) return _failure(EncodingNotCanonical.selector);
        bytes32 hash = resource.structHash();
        record[1] = opening.resource[0]; // provider and price stand there as in a record
        record[2] = opening.resource[1]; // token and unit price likewise
        record[4] = version;
        record[5] = poolId;
        record[8] = DealLib.wordOf(module.publisher(), pool.seatFeeFloor());
        record[9] = hash;
        group.fund = 0;
        if (poolId != 0) {
            failure = _checkPool(resource, module, pool);
            if (failure.length != 0) return failure;
            group.fund = _funds[_fundKey(pool.strategy(), resource.token, PoolId.wrap(poolId))];
        }
        failure = _checkModule(resource, opening, version);
        if (failure.length != 0) return failure;
        return _checkResource(group, hash, opening.resourceSignature);
    }

    function _checkPool(ResourceOffer memory resource, ModuleWords calldata module, PoolWords calldata pool)
        private
        view
        returns (bytes memory failure)
    {
        if (pool.token() != resource.token) {
            return _failure(TokenNotOfPool.selector, _word(resource.token), _word(pool.token()));
        }
        uint256 windows;
        uint256 least;
        uint256 leastFloor;
        // Safe: windows fit 32 bits, amounts 96.
        unchecked {
            leastFloor = (pool.maxValue() * SEAT_FLOOR_BPS + BPS - 1) / BPS;
            windows = ROUNDS * (2 * (pool.commitWindow() + pool.revealWindow()) + pool.appealWindow());
            least = (_seatFeeUp(pool.maxValue(), pool.seatFeeFloor(), module.minSeatFee()) * SEAT_STAKE_TENTHS + 9) / 10;
        }
        // Half of the limit stays for the draws and the queue.
        if (windows > MEDIATION_LIMIT / 2) return _above(Term.PoolWindows, windows, MEDIATION_LIMIT / 2);
        if (pool.commitWindow() == 0 || pool.revealWindow() == 0 || pool.appealWindow() == 0) {
            return _below(Term.PoolWindows, 0, 1);
        }
        if (pool.seatFeeFloor() < leastFloor) return _below(Term.SeatFeeFloor, pool.seatFeeFloor(), leastFloor);
        if (pool.seatStake() < least) return _below(Term.SeatStake, pool.seatStake(), least);
    }

    function _checkModule(ResourceOffer memory resource, Opening calldata opening, bytes32 version)
        private
        pure
        returns (bytes memory failure)
    {
        ModuleWords calldata module = opening.module;
        // A royalty that nobody may claim would be stuck.
        uint256 most = module.royaltyTo().isZero() ? 0 : MAX_ROYALTY_BPS;
        if (module.royaltyBps() > most) return _above(Term.RoyaltyBps, module.royaltyBps(), most);
        if (!module.strategy().isZero() && module.strategy() != opening.pool.strategy()) {
            return _failure(StrategyNotOfPool.selector, _word(module.strategy()), _word(opening.pool.strategy()));
        }
        bytes32 root = resource.modules;
        bool offered = root == 0
            ? module.deterministic()
            : MerkleProof.verifyCalldata(opening.membership, root, keccak256(abi.encode(keccak256(abi.encode(version)))));
        if (!offered) return _failure(ModuleNotOffered.selector, uint256(version), uint256(root));
    }

    function _checkResource(Group memory group, bytes32 hash, bytes calldata signature)
        private
        view
        returns (bytes memory failure)
    {
        ResourceOffer memory resource = group.resource;
        Address provider = resource.provider;
        if (block.timestamp > resource.expiry) {
            return _failure(OfferExpired.selector, uint256(hash), resource.expiry, block.timestamp);
        }
        group.providerWord = _accounts[resource.token][provider];
        group.used = uint32(_resourceUses[provider][resource.nonce >> 3] >> (resource.nonce & 7) * 32);
        if (resource.nonce < group.providerWord.resourceFloor() || group.used == type(uint32).max) {
            return _failure(OfferCancelled.selector, uint256(hash), _word(provider), resource.nonce);
        }
        group.providerKey = _signerOf(provider, hash, signature, SCOPE_OFFERS);
        if (group.providerKey.isZero()) return _failure(SignatureInvalid.selector, uint256(hash), _word(provider));
        group.providerCap = _capLeft(provider, group.providerKey, resource.token);
    }

    /// @dev Writes what the group's jobs changed on the provider's side.
    function _writeProvider(Group memory group) internal {
        ResourceOffer memory resource = group.resource;
        Address provider = resource.provider;
        _accounts[resource.token][provider] = group.providerWord;
        _setCapLeft(provider, group.providerKey, resource.token, group.providerCap);
        if (resource.volume == ResourceOfferLib.UNLIMITED) return; // no counter: each deal locks collateral
        uint256 shift = (resource.nonce & 7) * 32;
        uint256 word = _resourceUses[provider][resource.nonce >> 3];
        uint256 others = word & ~(uint256(type(uint32).max) << shift);
        _resourceUses[provider][resource.nonce >> 3] = others | group.used << shift;
    }

    // ---- one job of a group

    /// @dev Every check of a pair; fills in what the record and the effects need.
    function _checkJob(Group memory group, Opening calldata opening, SignedJob calldata signed)
        internal
        view
        returns (bytes memory failure)
    {
        JobOffer memory job = group.job;
        ResourceOffer memory resource = group.resource;
        bytes32[12] memory record = group.record;
        if (!job.load(signed.words)) return _failure(EncodingNotCanonical.selector);
        job.share(signed.words, resource.token, record[4], record[5], group.solver, resource.provider);
        failure = _checkRequirements(job, resource);
        if (failure.length != 0) return failure;
        failure = _checkMoney(group, job, resource, opening);
        if (failure.length != 0) return failure;
        return _checkParties(group, job, resource, signed.signature);
    }

    function _checkRequirements(JobOffer memory job, ResourceOffer memory resource)
        private
        view
        returns (bytes memory failure)
    {
        if (job.cpuMilli > resource.cpuMilli) return _above(Term.Cpu, job.cpuMilli, resource.cpuMilli);
        if (job.ramMib > resource.ramMib) return _above(Term.Ram, job.ramMib, resource.ramMib);
        if (job.diskMib > resource.diskMib) return _above(Term.Disk, job.diskMib, resource.diskMib);
        if (job.gpuCount > resource.gpuCount) return _above(Term.GpuCount, job.gpuCount, resource.gpuCount);
        if (job.vramMib > resource.vramMib) return _above(Term.Vram, job.vramMib, resource.vramMib);
        if (job.flags & ~resource.flags != 0) return _above(Term.Flags, job.flags, resource.flags);
        if (job.maxUnits > resource.maxUnits) return _above(Term.Units, job.maxUnits, resource.maxUnits);
        uint256 least = Math.max(resource.minSubmitWindow, MIN_SUBMIT_WINDOW);
        uint256 most = Math.min(resource.maxJudgeWindow, MAX_JUDGE_WINDOW);
        if (job.submitWindow < least) return _below(Term.SubmitWindow, job.submitWindow, least);
        if (job.submitWindow > MAX_SUBMIT_WINDOW) return _above(Term.SubmitWindow, job.submitWindow, MAX_SUBMIT_WINDOW);
        if (job.judgeWindow < MIN_JUDGE_WINDOW) return _below(Term.JudgeWindow, job.judgeWindow, MIN_JUDGE_WINDOW);
        if (job.judgeWindow > most) return _above(Term.JudgeWindow, job.judgeWindow, most);
    }

    /// @dev Also writes the record: its amounts fit their fields once they are checked.
    function _checkMoney(Group memory group, JobOffer memory job, ResourceOffer memory resource, Opening calldata opening)
        private
        view
        returns (bytes memory failure)
    {
        ModuleWords calldata module = opening.module;
        uint256 auditBps = job.auditBps;
        if (job.solverFeeBps > MAX_SOLVER_FEE_BPS) return _above(Term.SolverFeeBps, job.solverFeeBps, MAX_SOLVER_FEE_BPS);
        if (auditBps > BPS) return _above(Term.AuditBps, auditBps, BPS);
        if (auditBps < module.minAuditBps()) return _below(Term.AuditBps, auditBps, module.minAuditBps());
        if (job.collateralBps > resource.maxCollateralBps) {
            return _above(Term.CollateralBps, job.collateralBps, resource.maxCollateralBps);
        }
        uint256 value = _gross(resource.price, resource.unitPrice, job.maxUnits);
        if (value == 0) return _below(Term.Value, 0, 1);
        // No sum below overflows: the value fits 160 bits, and what follows from it fits far less than 256.
        if (value > type(uint96).max) return _above(Term.Value, value, type(uint96).max);
        uint256 collateral = _shareDown(value, job.collateralBps);
        if (collateral > type(uint96).max) return _above(Term.Collateral, collateral, type(uint96).max);
        bool verified = group.record[5] != 0;
        uint256 seatFee;
        if (verified) {
            seatFee = _seatFeeUp(value, opening.pool.seatFeeFloor(), module.minSeatFee());
            failure = _checkDeterrence(group, job, opening.pool.maxValue(), value, collateral, seatFee);
            if (failure.length != 0) return failure;
        } else if (auditBps != 0) {
            return _above(Term.AuditBps, auditBps, 0);
        }
        // Each offer names the shared solver or none.
        Address solver = Address.wrap(Address.unwrap(resource.solver) | Address.unwrap(job.solver));
        uint256 solverFeeBps = solver.isZero() ? 0 : job.solverFeeBps;
        uint256 total = _totalOf(value, module.royaltyBps(), solverFeeBps, verified, _premiumUp(seatFee, auditBps));
        if (total > job.maxPrice) return _above(Term.Price, total, job.maxPrice);
        group.total = total;
        group.collateral = collateral;
        bytes32[12] memory record = group.record;
        record[0] = DealLib.wordOf(job.creator, collateral);
        record[3] = DealLib.numbersOf(job.maxUnits, seatFee, auditBps, module.royaltyBps(), solverFeeBps, job.judgeWindow);
        uint256 royaltyTo = Address.unwrap(module.royaltyTo());
        record[6] = DealLib.wordOf(solver, royaltyTo);
        record[7] = DealLib.wordOf(opening.pool.strategy(), royaltyTo >> 96 | job.submitWindow << 64);
        record[10] = job.inputs;
    }

    /// @dev Protocol 6.5 and 6.6.
    function _checkDeterrence(
        Group memory group,
        JobOffer memory job,
        uint256 maxValue,
        uint256 value,
        uint256 collateral,
        uint256 seatFee
    ) private pure returns (bytes memory failure) {
        if (value > maxValue) return _above(Term.Value, value, maxValue);
        uint256 auditFee = _auditFee(seatFee);
        uint256 least;
        // Safe: rates fit 32 bits, the value and the seat fee that follows from it 99.
        unchecked {
            if (job.auditBps * DETECTION_BPS * (BPS + job.collateralBps) < DETERRENCE_BPS * BPS * BPS) {
                return _failure(DeterrenceTooLow.selector, job.auditBps, job.collateralBps);
            }
            least = value + _premiumUp(seatFee, job.auditBps) + auditFee;
        }
        if (collateral < least) return _below(Term.Collateral, collateral, least);
        if (group.fund < auditFee) return _below(Term.FundCover, group.fund, auditFee);
    }

    /// @dev Who is bound, and whether they are willing and able.
    function _checkParties(Group memory group, JobOffer memory job, ResourceOffer memory resource, bytes calldata signature)
        private
        view
        returns (bytes memory failure)
    {
        bytes32[12] memory record = group.record;
        Address creator = job.creator;
        Address solver = Address.wrap(Address.unwrap(resource.solver) | Address.unwrap(job.solver));
        bool distinct = !creator.isZero() && creator != resource.provider && creator != solver && resource.provider != solver;
        // Two offers that name different solvers cannot be expressed: both share one word.
        if (!distinct) {
            return _failure(PartiesNotDistinct.selector, _word(creator), _word(resource.provider), _word(solver));
        }
        bytes32 hash = job.structHash();
        if (block.timestamp > job.expiry) {
            return _failure(OfferExpired.selector, uint256(hash), job.expiry, block.timestamp);
        }
        if (resource.volume != ResourceOfferLib.UNLIMITED && group.used >= resource.volume) {
            return _failure(VolumeUsedUp.selector, uint256(record[9]), group.used, resource.volume);
        }
        record[11] = hash;
        group.accrual = record.accrualOf();
        DealId dealId = DealId.wrap(_digestOf(record.hashOf(group.accrual, record.detailsOf())));
        group.dealId = dealId;
        if (!_deals[dealId].isIn(Status.None)) return _failure(DealExists.selector, _word(dealId));
        failure = _checkNonce(group, hash, job);
        if (failure.length != 0) return failure;
        group.creatorKey = _signerOf(creator, hash, signature, SCOPE_OFFERS);
        if (group.creatorKey.isZero()) return _failure(SignatureInvalid.selector, uint256(hash), _word(creator));
        return _checkFunds(group, creator, resource);
    }

    function _checkNonce(Group memory group, bytes32 hash, JobOffer memory job)
        private
        view
        returns (bytes memory failure)
    {
        AccountWord creatorWord = _accounts[job.token][job.creator];
        uint256 nonceWord = _jobNonces[job.creator][job.nonce >> 7];
        uint256 bits = nonceWord >> (job.nonce & 127);
        if (job.nonce < creatorWord.jobFloor() || bits >> 128 & 1 == 1) {
            return _failure(OfferCancelled.selector, uint256(hash), _word(job.creator), job.nonce);
        }
        if (bits & 1 == 1) return _failure(NonceUsed.selector, uint256(hash), _word(job.creator), job.nonce);
        group.creatorWord = creatorWord;
        group.nonceWord = nonceWord;
    }

    function _checkFunds(Group memory group, Address creator, ResourceOffer memory resource)
        private
        view
        returns (bytes memory failure)
    {
        uint256 total = group.total;
        uint256 collateral = group.collateral;
        uint256 has = group.creatorWord.free();
        if (has < total) return _failure(FundsMissing.selector, _word(creator), _word(resource.token), has, total);
        has = group.providerWord.free();
        if (has < collateral) {
            return _failure(FundsMissing.selector, _word(resource.provider), _word(resource.token), has, collateral);
        }
        uint256 cap = _capLeft(creator, group.creatorKey, resource.token);
        if (cap < total) return _failure(CapExceeded.selector, _word(creator), _word(group.creatorKey), cap, total);
        group.creatorCap = cap;
        cap = group.providerCap;
        if (cap < collateral) {
            return _failure(CapExceeded.selector, _word(resource.provider), _word(group.providerKey), cap, collateral);
        }
    }

    // ---- effects

    /// @dev Uses up the job offer's nonce, one deal of the resource offer, and what delegates may lock.
    function _useOffers(Group memory group) internal {
        JobOffer memory job = group.job;
        _jobNonces[job.creator][job.nonce >> 7] = group.nonceWord | 1 << (job.nonce & 127);
        // Safe: _checkFunds compared both caps, which have no bound for the accounts themselves.
        unchecked {
            if (group.creatorKey != job.creator) {
                _setCapLeft(job.creator, group.creatorKey, job.token, group.creatorCap - group.total);
            }
            if (group.providerKey != group.resource.provider) group.providerCap -= group.collateral;
            group.used += 1;
        }
    }

    function _lock(Group memory group) internal {
        JobOffer memory job = group.job;
        _accounts[job.token][job.creator] = group.creatorWord.lock(group.total);
        group.providerWord = group.providerWord.lock(group.collateral);
    }

    function _agreedWord(Group memory group) internal view returns (DealWord) {
        JobOffer memory job = group.job;
        uint256 deadline;
        // Safe: the time and 32 bits.
        unchecked {
            deadline = block.timestamp + job.submitWindow;
        }
        return DealWordLib.agreed(group.resource.provider, job.judgeWindow, deadline, job.auditBps != 0);
    }

    function _logOpened(Group memory group) internal {
        bytes32[12] memory record = group.record;
        bytes32 topic = DealOpened.selector;
        DealId dealId = group.dealId;
        Address creator = group.job.creator;
        Address provider = group.resource.provider;
        // Safe: emits DealOpened from the twelve words where they lie; the compiler would copy them one by one (1.4k gas).
        assembly ("memory-safe") {
            log4(record, 384, topic, dealId, creator, provider)
        }
    }
}
