// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {Opening, SignedJob, Term} from "../types/Calls.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, Status} from "../types/DealWord.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {ResourceOffer, ResourceOfferLib} from "../types/ResourceOffer.sol";
import {ModuleTerms, PoolTerms, TermsLib} from "../types/Terms.sol";
import {LilypadConsent} from "./LilypadConsent.sol";
import {LilypadRules} from "./LilypadRules.sol";
import {LilypadStorage} from "./LilypadStorage.sol";

/// @title Opening deals from two signed offers
/// @dev A group is one resource offer with the job offers it serves. What is equal for the group is checked and hashed
/// once, and the provider's words are written once. Checks answer with an encoded error instead of reverting, and all of
/// them come before the first write of a pair, so that one bad pair spoils nothing. Protocol 3.4, 6.5, 6.6.
abstract contract LilypadOpening is LilypadStorage, LilypadConsent, LilypadRules {
    using JobOfferLib for JobOffer;
    using ResourceOfferLib for ResourceOffer;
    using TermsLib for ModuleTerms;
    using TermsLib for PoolTerms;
    using DealLib for Deal;

    uint256 internal constant WHOLE_GROUP = type(uint256).max;
    /// @dev Rounds of a full dispute: 1, 3, 7, 15 seats.
    uint256 private constant ROUNDS = 4;

    /// @dev What is known of a group while its jobs open one by one.
    struct Group {
        ResourceOffer resource;
        bytes32 resourceHash;
        ModuleTerms module;
        PoolTerms pool;
        bytes32 version;
        address solver;
        AccountWord providerWord;
        address providerKey;
        uint256 providerCap; // what providerKey may still lock
        uint256 used; // deals opened on the offer
        uint256 fund; // of the pool; 0 when unverified
    }

    /// @return dealIds One an opened job.
    /// @return deal The record of the last one.
    function _openAll(Opening calldata opening) internal returns (DealId[] memory dealIds, Deal memory deal) {
        (Group memory group, bytes memory failure) = _checkGroup(opening);
        _revertWith(failure);
        dealIds = new DealId[](opening.jobs.length);
        _prepare(deal, group);
        for (uint256 i = 0; i < opening.jobs.length; i++) {
            (dealIds[i], failure) = _openJob(group, deal, opening.jobs[i]);
            _revertWith(failure);
        }
        _writeProvider(group);
    }

    function _openWhatCanBe(uint256 index, Opening calldata opening) internal {
        (Group memory group, bytes memory failure) = _checkGroup(opening);
        if (failure.length != 0) {
            emit Skipped(index, WHOLE_GROUP, failure);
            return;
        }
        Deal memory deal;
        _prepare(deal, group);
        for (uint256 i = 0; i < opening.jobs.length; i++) {
            (, failure) = _openJob(group, deal, opening.jobs[i]);
            if (failure.length != 0) emit Skipped(index, i, failure);
        }
        _writeProvider(group);
    }

    // ---- the group: resource offer, module, pool

    function _checkGroup(Opening calldata opening) private view returns (Group memory group, bytes memory failure) {
        group.module = opening.module;
        group.pool = opening.pool;
        group.version = VersionId.unwrap(group.module.id());
        bytes32 poolId = PoolId.unwrap(group.pool.id());
        bool canonical;
        (group.solver, canonical) = group.resource.load(opening.resource, poolId);
        if (!canonical) return (group, abi.encodePacked(EncodingNotCanonical.selector));
        group.resourceHash = group.resource.structHash();
        if (poolId != 0) {
            failure = _checkPool(group);
            if (failure.length != 0) return (group, failure);
            group.fund = _funds[_fundKey(group.pool.strategy, group.resource.token, PoolId.wrap(poolId))];
        }
        failure = _checkModule(group, opening.membership);
        if (failure.length != 0) return (group, failure);
        failure = _checkResource(group, opening.resourceSignature);
    }

    function _checkPool(Group memory group) private view returns (bytes memory) {
        PoolTerms memory pool = group.pool;
        if (pool.token != group.resource.token) {
            return abi.encodeWithSelector(TokenNotOfPool.selector, group.resource.token, pool.token);
        }
        uint256 windows = ROUNDS * (2 * uint256(pool.commitWindow) + 2 * uint256(pool.revealWindow) + pool.appealWindow);
        // Half of the limit stays for the draws and the queue.
        if (windows > MEDIATION_LIMIT / 2) return _above(Term.PoolWindows, windows, MEDIATION_LIMIT / 2);
        if (pool.commitWindow == 0 || pool.revealWindow == 0 || pool.appealWindow == 0) {
            return _below(Term.PoolWindows, 0, 1);
        }
        uint256 largest = _seatFeeUp(pool.maxValue, pool.seatFeeFloor, group.module.minSeatFee);
        uint256 least = (largest * SEAT_STAKE_TENTHS + 9) / 10;
        if (pool.seatStake < least) return _below(Term.SeatStake, pool.seatStake, least);
        return "";
    }

    function _checkModule(Group memory group, bytes32[] calldata membership) private pure returns (bytes memory) {
        ModuleTerms memory module = group.module;
        if (module.royaltyBps > MAX_ROYALTY_BPS) return _above(Term.RoyaltyBps, module.royaltyBps, MAX_ROYALTY_BPS);
        if (module.strategy != address(0) && module.strategy != group.pool.strategy) {
            return abi.encodeWithSelector(StrategyNotOfPool.selector, module.strategy, group.pool.strategy);
        }
        bytes32 root = group.resource.modules;
        bool offered = root == 0
            ? module.deterministic
            : MerkleProof.verifyCalldata(membership, root, keccak256(abi.encode(keccak256(abi.encode(group.version)))));
        if (!offered) return abi.encodeWithSelector(ModuleNotOffered.selector, group.version, root);
        return "";
    }

    function _checkResource(Group memory group, bytes calldata signature) private view returns (bytes memory) {
        ResourceOffer memory resource = group.resource;
        address provider = resource.provider;
        bytes32 hash = group.resourceHash;
        if (block.timestamp > resource.expiry) {
            return abi.encodeWithSelector(OfferExpired.selector, hash, resource.expiry, block.timestamp);
        }
        group.providerWord = _accounts[resource.token][provider];
        group.used = uint32(_resourceUses[provider][resource.nonce >> 3] >> (uint256(resource.nonce) & 7) * 32);
        if (resource.nonce < group.providerWord.resourceFloor() || group.used == type(uint32).max) {
            return abi.encodeWithSelector(OfferCancelled.selector, hash, provider, resource.nonce);
        }
        group.providerKey = _signerOf(provider, hash, signature, SCOPE_OFFERS);
        if (group.providerKey == address(0)) return abi.encodeWithSelector(SignatureInvalid.selector, hash, provider);
        group.providerCap = _capLeft(provider, group.providerKey, resource.token);
        return "";
    }

    /// @dev The fields of the record that are equal for the group.
    function _prepare(Deal memory deal, Group memory group) private pure {
        deal.typeHash = DealLib.TYPEHASH;
        deal.provider = group.resource.provider;
        deal.publisher = group.module.publisher;
        deal.royaltyTo = group.module.royaltyTo;
        deal.strategy = group.pool.strategy;
        deal.token = group.resource.token;
        deal.module = group.version;
        deal.pool = group.resource.pool;
        deal.price = group.resource.price;
        deal.unitPrice = group.resource.unitPrice;
        deal.royaltyBps = group.module.royaltyBps;
        deal.resourceOfferHash = group.resourceHash;
        if (deal.pool != 0) deal.seatFloor = group.pool.seatFeeFloor;
    }

    /// @dev Writes what the group's jobs changed on the provider's side.
    function _writeProvider(Group memory group) private {
        ResourceOffer memory resource = group.resource;
        address provider = resource.provider;
        _accounts[resource.token][provider] = group.providerWord;
        _setCapLeft(provider, group.providerKey, resource.token, group.providerCap);
        if (resource.volume == ResourceOfferLib.UNLIMITED) return; // no counter: each deal locks collateral
        uint256 shift = (uint256(resource.nonce) & 7) * 32;
        uint256 word = _resourceUses[provider][resource.nonce >> 3];
        uint256 others = word & ~(uint256(type(uint32).max) << shift);
        _resourceUses[provider][resource.nonce >> 3] = others | group.used << shift;
    }

    // ---- one job of a group

    function _openJob(Group memory group, Deal memory deal, SignedJob calldata signed)
        private
        returns (DealId dealId, bytes memory failure)
    {
        JobOffer memory job;
        if (!job.load(signed.words)) return (dealId, abi.encodePacked(EncodingNotCanonical.selector));
        ResourceOffer memory resource = group.resource;
        job.share(signed.words, resource.token, group.version, resource.pool, group.solver, resource.provider);
        failure = _checkRequirements(job, resource);
        if (failure.length != 0) return (dealId, failure);
        failure = _checkWindows(job, resource);
        if (failure.length != 0) return (dealId, failure);
        _fill(deal, group, job);
        failure = _checkMoney(deal, group, job);
        if (failure.length != 0) return (dealId, failure);
        return _bind(group, deal, job, signed.signature);
    }

    function _checkRequirements(JobOffer memory job, ResourceOffer memory resource) private pure returns (bytes memory) {
        if (job.cpuMilli > resource.cpuMilli) return _above(Term.Cpu, job.cpuMilli, resource.cpuMilli);
        if (job.ramMib > resource.ramMib) return _above(Term.Ram, job.ramMib, resource.ramMib);
        if (job.diskMib > resource.diskMib) return _above(Term.Disk, job.diskMib, resource.diskMib);
        if (job.gpuCount > resource.gpuCount) return _above(Term.GpuCount, job.gpuCount, resource.gpuCount);
        if (job.vramMib > resource.vramMib) return _above(Term.Vram, job.vramMib, resource.vramMib);
        if (job.flags & ~resource.flags != 0) return _above(Term.Flags, job.flags, resource.flags);
        if (job.maxUnits > resource.maxUnits) return _above(Term.Units, job.maxUnits, resource.maxUnits);
        return "";
    }

    function _checkWindows(JobOffer memory job, ResourceOffer memory resource) private view returns (bytes memory) {
        uint256 least = resource.minSubmitWindow > MIN_SUBMIT_WINDOW ? resource.minSubmitWindow : MIN_SUBMIT_WINDOW;
        uint256 most = resource.maxJudgeWindow < MAX_JUDGE_WINDOW ? resource.maxJudgeWindow : MAX_JUDGE_WINDOW;
        if (job.submitWindow < least) return _below(Term.SubmitWindow, job.submitWindow, least);
        if (job.submitWindow > MAX_SUBMIT_WINDOW) return _above(Term.SubmitWindow, job.submitWindow, MAX_SUBMIT_WINDOW);
        if (job.judgeWindow < MIN_JUDGE_WINDOW) return _below(Term.JudgeWindow, job.judgeWindow, MIN_JUDGE_WINDOW);
        if (job.judgeWindow > most) return _above(Term.JudgeWindow, job.judgeWindow, most);
        return "";
    }

    /// @dev The fields of the record that belong to this job; collateral and seat fee may be cut to 96 bits here, which
    /// _checkMoney refuses before anything counts.
    function _fill(Deal memory deal, Group memory group, JobOffer memory job) private pure {
        deal.creator = job.creator;
        deal.solver = group.resource.solver == address(0) ? job.solver : group.resource.solver;
        deal.solverFeeBps = deal.solver == address(0) ? 0 : job.solverFeeBps;
        deal.inputs = job.inputs;
        deal.maxUnits = job.maxUnits;
        deal.submitWindow = job.submitWindow;
        deal.judgeWindow = job.judgeWindow;
        deal.auditBps = job.auditBps;
        uint256 value = _value(deal);
        deal.collateral = uint96(value * job.collateralBps / BPS);
        if (deal.pool != 0) {
            deal.seatFee = uint96(_seatFeeUp(value, group.pool.seatFeeFloor, group.module.minSeatFee));
        }
        deal.jobOfferHash = job.structHash();
    }

    function _checkMoney(Deal memory deal, Group memory group, JobOffer memory job)
        private
        view
        returns (bytes memory)
    {
        if (job.solverFeeBps > MAX_SOLVER_FEE_BPS) return _above(Term.SolverFeeBps, job.solverFeeBps, MAX_SOLVER_FEE_BPS);
        if (job.auditBps > BPS) return _above(Term.AuditBps, job.auditBps, BPS);
        if (job.auditBps < group.module.minAuditBps) return _below(Term.AuditBps, job.auditBps, group.module.minAuditBps);
        if (job.collateralBps > group.resource.maxCollateralBps) {
            return _above(Term.CollateralBps, job.collateralBps, group.resource.maxCollateralBps);
        }
        uint256 value = _value(deal);
        if (value == 0) return _below(Term.Value, 0, 1);
        // No sum below overflows: the value fits 160 bits, and what follows from it fits far less than 256.
        if (value > type(uint96).max) return _above(Term.Value, value, type(uint96).max);
        uint256 collateral = value * job.collateralBps / BPS;
        if (collateral > type(uint96).max) return _above(Term.Collateral, collateral, type(uint96).max);
        if (deal.pool == 0) {
            if (job.auditBps != 0) return _above(Term.AuditBps, job.auditBps, 0);
        } else {
            bytes memory failure = _checkDeterrence(deal, group, value, job.collateralBps);
            if (failure.length != 0) return failure;
        }
        uint256 total = _lockedTotal(deal);
        if (total > job.maxPrice) return _above(Term.Price, total, job.maxPrice);
        return "";
    }

    /// @dev Protocol 6.5 and 6.6.
    function _checkDeterrence(Deal memory deal, Group memory group, uint256 value, uint256 collateralBps)
        private
        pure
        returns (bytes memory)
    {
        if (value > group.pool.maxValue) return _above(Term.Value, value, group.pool.maxValue);
        if (uint256(deal.auditBps) * DETECTION_BPS * (BPS + collateralBps) < DETERRENCE_BPS * BPS * BPS) {
            return abi.encodeWithSelector(DeterrenceTooLow.selector, deal.auditBps, collateralBps);
        }
        uint256 auditFee = AUDIT_SEATS * uint256(deal.seatFee);
        uint256 least = value + _premiumUp(deal) + auditFee;
        if (deal.collateral < least) return _below(Term.Collateral, deal.collateral, least);
        if (group.fund < auditFee) return _below(Term.FundCover, group.fund, auditFee);
        return "";
    }

    /// @dev Consent and money of both sides, then the effects of one pair.
    function _bind(Group memory group, Deal memory deal, JobOffer memory job, bytes calldata signature)
        private
        returns (DealId dealId, bytes memory failure)
    {
        failure = _checkParties(group, deal, job);
        if (failure.length != 0) return (dealId, failure);
        dealId = DealId.wrap(_hashTypedDataV4(deal.structHash()));
        if (_deals[dealId].status() != Status.None) {
            return (dealId, abi.encodeWithSelector(DealExists.selector, dealId));
        }
        AccountWord creatorWord = _accounts[job.token][job.creator];
        uint256 nonceWord = _jobNonces[job.creator][job.nonce >> 7];
        failure = _checkNonce(deal.jobOfferHash, job, creatorWord, nonceWord);
        if (failure.length != 0) return (dealId, failure);
        address key = _signerOf(job.creator, deal.jobOfferHash, signature, SCOPE_OFFERS);
        if (key == address(0)) {
            return (dealId, abi.encodeWithSelector(SignatureInvalid.selector, deal.jobOfferHash, job.creator));
        }
        uint256 total = _lockedTotal(deal);
        failure = _checkFunds(group, deal, creatorWord, key, total);
        if (failure.length != 0) return (dealId, failure);

        _accounts[job.token][job.creator] = creatorWord.lock(total);
        if (key != job.creator) {
            _setCapLeft(job.creator, key, job.token, _capLeft(job.creator, key, job.token) - total);
        }
        _jobNonces[job.creator][job.nonce >> 7] = nonceWord | 1 << (job.nonce & 127);
        group.providerWord = group.providerWord.lock(deal.collateral);
        if (group.providerKey != deal.provider) group.providerCap -= deal.collateral;
        group.used += 1;
        DealWord word = DealWordLib.agreed(
            deal.provider, deal.judgeWindow, block.timestamp + deal.submitWindow, deal.auditBps != 0
        );
        _move(dealId, DealWord.wrap(0), word);
        emit DealOpened(dealId, deal.creator, deal.provider, deal.pack());
    }

    function _checkParties(Group memory group, Deal memory deal, JobOffer memory job)
        private
        view
        returns (bytes memory)
    {
        bool distinct = deal.creator != address(0) && deal.creator != deal.provider && deal.creator != deal.solver
            && deal.provider != deal.solver;
        // Two offers that name different solvers cannot be expressed: both share one word.
        if (!distinct) {
            return abi.encodeWithSelector(PartiesNotDistinct.selector, deal.creator, deal.provider, deal.solver);
        }
        if (block.timestamp > job.expiry) {
            return abi.encodeWithSelector(OfferExpired.selector, deal.jobOfferHash, job.expiry, block.timestamp);
        }
        uint256 volume = group.resource.volume;
        if (volume != ResourceOfferLib.UNLIMITED && group.used >= volume) {
            return abi.encodeWithSelector(VolumeUsedUp.selector, group.resourceHash, group.used, volume);
        }
        return "";
    }

    function _checkNonce(bytes32 hash, JobOffer memory job, AccountWord creatorWord, uint256 nonceWord)
        private
        pure
        returns (bytes memory)
    {
        uint256 bits = nonceWord >> (job.nonce & 127);
        if (job.nonce < creatorWord.jobFloor() || bits >> 128 & 1 == 1) {
            return abi.encodeWithSelector(OfferCancelled.selector, hash, job.creator, job.nonce);
        }
        if (bits & 1 == 1) return abi.encodeWithSelector(NonceUsed.selector, hash, job.creator, job.nonce);
        return "";
    }

    function _checkFunds(
        Group memory group,
        Deal memory deal,
        AccountWord creatorWord,
        address creatorKey,
        uint256 total
    ) private view returns (bytes memory) {
        if (creatorWord.free() < total) {
            return abi.encodeWithSelector(FundsMissing.selector, deal.creator, deal.token, creatorWord.free(), total);
        }
        uint256 has = group.providerWord.free();
        if (has < deal.collateral) {
            return abi.encodeWithSelector(FundsMissing.selector, deal.provider, deal.token, has, deal.collateral);
        }
        uint256 cap = _capLeft(deal.creator, creatorKey, deal.token);
        if (cap < total) return abi.encodeWithSelector(CapExceeded.selector, deal.creator, creatorKey, cap, total);
        if (group.providerCap < deal.collateral) {
            return abi.encodeWithSelector(
                CapExceeded.selector, deal.provider, group.providerKey, group.providerCap, deal.collateral
            );
        }
        return "";
    }

    // ---- failures as values

    function _above(Term term, uint256 found, uint256 most) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(TermAbove.selector, term, found, most);
    }

    function _below(Term term, uint256 found, uint256 least) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(TermBelow.selector, term, found, least);
    }

    /// @dev Reverts with an encoded error; does nothing when there is none.
    function _revertWith(bytes memory failure) internal pure {
        if (failure.length == 0) return;
        // Safe: hands an error that lies in memory to the caller as it is.
        assembly ("memory-safe") {
            revert(add(failure, 32), mload(failure))
        }
    }
}
