// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Address} from "../types/Address.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {Opening, SignedJob, Term} from "../types/Calls.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, Status} from "../types/DealWord.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {ResourceOffer, ResourceOfferLib} from "../types/ResourceOffer.sol";
import {ModuleWords, PoolWords, TermWordsLib} from "../types/Terms.sol";
import {WordsLib} from "../types/Words.sol";
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
    using DealLib for Deal;

    uint256 internal constant WHOLE_GROUP = type(uint256).max;
    /// @dev Rounds of a full dispute: 1, 3, 7, 15 seats.
    uint256 private constant ROUNDS = 4;

    /// @dev What is known of a group while its jobs open one by one.
    struct Group {
        ResourceOffer resource;
        ModuleWords module;
        PoolWords pool;
        Address solver; // that either offer may name
        AccountWord providerWord;
        Address providerKey; // that consented for the provider
        uint256 providerCap; // what providerKey may still lock
        uint256 used; // deals opened on the offer
        uint256 fund; // of the pool; 0 when unverified
    }

    /// @return dealIds One an opened job.
    /// @return deal The record of the last one.
    function _openAll(Opening calldata opening) internal returns (DealId[] memory dealIds, Deal memory deal) {
        Group memory group;
        _revertWith(_checkGroup(group, deal, opening));
        dealIds = new DealId[](opening.jobs.length);
        JobOffer memory job;
        bytes memory failure;
        for (uint256 i = 0; i < dealIds.length; i++) {
            (dealIds[i], failure) = _openJob(group, deal, job, opening.jobs[i]);
            _revertWith(failure);
        }
        _writeProvider(group);
    }

    function _openWhatCanBe(uint256 index, Opening calldata opening) internal {
        Group memory group;
        Deal memory deal;
        bytes memory failure = _checkGroup(group, deal, opening);
        if (failure.length != 0) {
            emit Skipped(index, WHOLE_GROUP, failure);
            return;
        }
        JobOffer memory job;
        for (uint256 i = 0; i < opening.jobs.length; i++) {
            (, failure) = _openJob(group, deal, job, opening.jobs[i]);
            if (failure.length != 0) emit Skipped(index, i, failure);
        }
        _writeProvider(group);
    }

    // ---- the group: resource offer, module, pool

    /// @dev Also fills in the fields of the record that are equal for the group.
    function _checkGroup(Group memory group, Deal memory deal, Opening calldata opening)
        private
        view
        returns (bytes memory failure)
    {
        ResourceOffer memory resource = group.resource;
        group.module = TermWordsLib.moduleWords(WordsLib.copy(opening.module));
        group.pool = TermWordsLib.poolWords(WordsLib.copy(opening.pool));
        deal.module = VersionId.unwrap(group.module.id());
        deal.pool = PoolId.unwrap(group.pool.id());
        bool canonical;
        (group.solver, canonical) = resource.load(opening.resource, deal.pool);
        if (!(canonical && group.module.fits() && group.pool.fits())) return _failure(EncodingNotCanonical.selector);
        deal.resourceOfferHash = resource.structHash();
        if (deal.pool != 0) {
            failure = _checkPool(group);
            if (failure.length != 0) return failure;
            deal.strategy = group.pool.strategy();
            group.fund = _funds[_fundKey(deal.strategy, resource.token, PoolId.wrap(deal.pool))];
            deal.seatFloor = group.pool.seatFeeFloor();
        }
        failure = _checkModule(group, deal, opening.membership);
        if (failure.length != 0) return failure;
        failure = _checkResource(group, deal.resourceOfferHash, opening.resourceSignature);
        deal.typeHash = DealLib.TYPEHASH;
        deal.provider = resource.provider;
        deal.publisher = group.module.publisher();
        deal.royaltyTo = group.module.royaltyTo();
        deal.token = resource.token;
        deal.price = resource.price;
        deal.unitPrice = resource.unitPrice;
        deal.royaltyBps = group.module.royaltyBps();
    }

    function _checkPool(Group memory group) private view returns (bytes memory failure) {
        PoolWords pool = group.pool;
        if (pool.token() != group.resource.token) {
            return _failure(TokenNotOfPool.selector, _word(group.resource.token), _word(pool.token()));
        }
        uint256 windows;
        uint256 least;
        // Safe: windows fit 32 bits, amounts 96.
        unchecked {
            windows = ROUNDS * (2 * (pool.commitWindow() + pool.revealWindow()) + pool.appealWindow());
            least = (_seatFeeUp(pool.maxValue(), pool.seatFeeFloor(), group.module.minSeatFee()) * SEAT_STAKE_TENTHS + 9) / 10;
        }
        // Half of the limit stays for the draws and the queue.
        if (windows > MEDIATION_LIMIT / 2) return _above(Term.PoolWindows, windows, MEDIATION_LIMIT / 2);
        if (pool.commitWindow() == 0 || pool.revealWindow() == 0 || pool.appealWindow() == 0) {
            return _below(Term.PoolWindows, 0, 1);
        }
        if (pool.seatStake() < least) return _below(Term.SeatStake, pool.seatStake(), least);
    }

    function _checkModule(Group memory group, Deal memory deal, bytes32[] calldata membership)
        private
        pure
        returns (bytes memory failure)
    {
        ModuleWords module = group.module;
        // A royalty that nobody may claim would be stuck.
        uint256 most = module.royaltyTo().isZero() ? 0 : MAX_ROYALTY_BPS;
        if (module.royaltyBps() > most) return _above(Term.RoyaltyBps, module.royaltyBps(), most);
        if (!module.strategy().isZero() && module.strategy() != deal.strategy) {
            return _failure(StrategyNotOfPool.selector, _word(module.strategy()), _word(deal.strategy));
        }
        bytes32 root = group.resource.modules;
        bool offered = root == 0
            ? module.deterministic()
            : MerkleProof.verifyCalldata(membership, root, keccak256(abi.encode(keccak256(abi.encode(deal.module)))));
        if (!offered) return _failure(ModuleNotOffered.selector, uint256(deal.module), uint256(root));
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
    function _writeProvider(Group memory group) private {
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

    /// @dev `deal` and `job` are reused from job to job: memory would grow with the batch otherwise.
    function _openJob(Group memory group, Deal memory deal, JobOffer memory job, SignedJob calldata signed)
        private
        returns (DealId dealId, bytes memory failure)
    {
        bytes32[4] memory words = WordsLib.copy(signed.words);
        if (!job.load(words)) return (dealId, _failure(EncodingNotCanonical.selector));
        ResourceOffer memory resource = group.resource;
        job.share(words, deal.token, deal.module, deal.pool, group.solver, deal.provider);
        failure = _checkRequirements(job, resource);
        if (failure.length != 0) return (dealId, failure);
        failure = _checkWindows(job, resource);
        if (failure.length != 0) return (dealId, failure);
        _fill(deal, group, job);
        failure = _checkMoney(deal, group, job);
        if (failure.length != 0) return (dealId, failure);
        return _bind(group, deal, job, signed.signature);
    }

    function _checkRequirements(JobOffer memory job, ResourceOffer memory resource) private pure returns (bytes memory failure) {
        if (job.cpuMilli > resource.cpuMilli) return _above(Term.Cpu, job.cpuMilli, resource.cpuMilli);
        if (job.ramMib > resource.ramMib) return _above(Term.Ram, job.ramMib, resource.ramMib);
        if (job.diskMib > resource.diskMib) return _above(Term.Disk, job.diskMib, resource.diskMib);
        if (job.gpuCount > resource.gpuCount) return _above(Term.GpuCount, job.gpuCount, resource.gpuCount);
        if (job.vramMib > resource.vramMib) return _above(Term.Vram, job.vramMib, resource.vramMib);
        if (job.flags & ~resource.flags != 0) return _above(Term.Flags, job.flags, resource.flags);
        if (job.maxUnits > resource.maxUnits) return _above(Term.Units, job.maxUnits, resource.maxUnits);
    }

    function _checkWindows(JobOffer memory job, ResourceOffer memory resource) private view returns (bytes memory failure) {
        uint256 least = Math.max(resource.minSubmitWindow, MIN_SUBMIT_WINDOW);
        uint256 most = Math.min(resource.maxJudgeWindow, MAX_JUDGE_WINDOW);
        if (job.submitWindow < least) return _below(Term.SubmitWindow, job.submitWindow, least);
        if (job.submitWindow > MAX_SUBMIT_WINDOW) return _above(Term.SubmitWindow, job.submitWindow, MAX_SUBMIT_WINDOW);
        if (job.judgeWindow < MIN_JUDGE_WINDOW) return _below(Term.JudgeWindow, job.judgeWindow, MIN_JUDGE_WINDOW);
        if (job.judgeWindow > most) return _above(Term.JudgeWindow, job.judgeWindow, most);
    }

    /// @dev The fields of the record that belong to this job. _checkMoney refuses amounts that do not fit 96 bits.
    function _fill(Deal memory deal, Group memory group, JobOffer memory job) private pure {
        deal.creator = job.creator;
        // Each offer names the shared solver or none.
        deal.solver = Address.wrap(Address.unwrap(group.resource.solver) | Address.unwrap(job.solver));
        deal.solverFeeBps = job.solverFeeBps * SafeCast.toUint(!deal.solver.isZero());
        deal.inputs = job.inputs;
        deal.maxUnits = job.maxUnits;
        deal.submitWindow = job.submitWindow;
        deal.judgeWindow = job.judgeWindow;
        deal.auditBps = job.auditBps;
        uint256 value = _value(deal);
        deal.collateral = _shareDown(value, job.collateralBps);
        if (deal.pool != 0) {
            deal.seatFee = _seatFeeUp(value, group.pool.seatFeeFloor(), group.module.minSeatFee());
        }
        deal.jobOfferHash = job.structHash();
    }

    function _checkMoney(Deal memory deal, Group memory group, JobOffer memory job)
        private
        view
        returns (bytes memory failure)
    {
        if (job.solverFeeBps > MAX_SOLVER_FEE_BPS) return _above(Term.SolverFeeBps, job.solverFeeBps, MAX_SOLVER_FEE_BPS);
        if (job.auditBps > BPS) return _above(Term.AuditBps, job.auditBps, BPS);
        if (job.auditBps < group.module.minAuditBps()) return _below(Term.AuditBps, job.auditBps, group.module.minAuditBps());
        if (job.collateralBps > group.resource.maxCollateralBps) {
            return _above(Term.CollateralBps, job.collateralBps, group.resource.maxCollateralBps);
        }
        uint256 value = _value(deal);
        if (value == 0) return _below(Term.Value, 0, 1);
        // No sum below overflows: the value fits 160 bits, and what follows from it fits far less than 256.
        if (value > type(uint96).max) return _above(Term.Value, value, type(uint96).max);
        if (deal.collateral > type(uint96).max) return _above(Term.Collateral, deal.collateral, type(uint96).max);
        if (deal.pool == 0) {
            if (job.auditBps != 0) return _above(Term.AuditBps, job.auditBps, 0);
        } else {
            failure = _checkDeterrence(deal, group, value, job.collateralBps);
            if (failure.length != 0) return failure;
        }
        uint256 total = _lockedTotal(deal);
        if (total > job.maxPrice) return _above(Term.Price, total, job.maxPrice);
    }

    /// @dev Protocol 6.5 and 6.6.
    function _checkDeterrence(Deal memory deal, Group memory group, uint256 value, uint256 collateralBps)
        private
        pure
        returns (bytes memory failure)
    {
        if (value > group.pool.maxValue()) return _above(Term.Value, value, group.pool.maxValue());
        uint256 auditFee = _auditFee(deal);
        uint256 least;
        // Safe: rates fit 32 bits, the value and the seat fee that follows from it 99.
        unchecked {
            if (deal.auditBps * DETECTION_BPS * (BPS + collateralBps) < DETERRENCE_BPS * BPS * BPS) {
                return _failure(DeterrenceTooLow.selector, deal.auditBps, collateralBps);
            }
            least = value + _premiumUp(deal) + auditFee;
        }
        if (deal.collateral < least) return _below(Term.Collateral, deal.collateral, least);
        if (group.fund < auditFee) return _below(Term.FundCover, group.fund, auditFee);
    }

    /// @dev Consent and money of both sides, then the effects of one pair.
    function _bind(Group memory group, Deal memory deal, JobOffer memory job, bytes calldata signature)
        private
        returns (DealId dealId, bytes memory failure)
    {
        failure = _checkParties(group, deal, job);
        if (failure.length != 0) return (dealId, failure);
        dealId = DealId.wrap(_digestOf(deal.structHash()));
        if (!_deals[dealId].isIn(Status.None)) {
            return (dealId, _failure(DealExists.selector, _word(dealId)));
        }
        AccountWord creatorWord = _accounts[job.token][job.creator];
        uint256 nonceWord = _jobNonces[job.creator][job.nonce >> 7];
        failure = _checkNonce(deal.jobOfferHash, job, creatorWord, nonceWord);
        if (failure.length != 0) return (dealId, failure);
        Address key = _signerOf(job.creator, deal.jobOfferHash, signature, SCOPE_OFFERS);
        if (key.isZero()) {
            return (dealId, _failure(SignatureInvalid.selector, uint256(deal.jobOfferHash), _word(job.creator)));
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
        emit DealOpened(dealId, deal.creator.plain(), deal.provider.plain(), deal.pack());
    }

    function _checkParties(Group memory group, Deal memory deal, JobOffer memory job)
        private
        view
        returns (bytes memory failure)
    {
        bool distinct = !deal.creator.isZero() && deal.creator != deal.provider && deal.creator != deal.solver
            && deal.provider != deal.solver;
        // Two offers that name different solvers cannot be expressed: both share one word.
        if (!distinct) {
            return _failure(PartiesNotDistinct.selector, _word(deal.creator), _word(deal.provider), _word(deal.solver));
        }
        if (block.timestamp > job.expiry) {
            return _failure(OfferExpired.selector, uint256(deal.jobOfferHash), job.expiry, block.timestamp);
        }
        uint256 volume = group.resource.volume;
        if (volume != ResourceOfferLib.UNLIMITED && group.used >= volume) {
            return _failure(VolumeUsedUp.selector, uint256(deal.resourceOfferHash), group.used, volume);
        }
    }

    function _checkNonce(bytes32 hash, JobOffer memory job, AccountWord creatorWord, uint256 nonceWord)
        private
        pure
        returns (bytes memory failure)
    {
        uint256 bits = nonceWord >> (job.nonce & 127);
        if (job.nonce < creatorWord.jobFloor() || bits >> 128 & 1 == 1) {
            return _failure(OfferCancelled.selector, uint256(hash), _word(job.creator), job.nonce);
        }
        if (bits & 1 == 1) return _failure(NonceUsed.selector, uint256(hash), _word(job.creator), job.nonce);
    }

    function _checkFunds(
        Group memory group,
        Deal memory deal,
        AccountWord creatorWord,
        Address creatorKey,
        uint256 total
    ) private view returns (bytes memory failure) {
        if (creatorWord.free() < total) {
            return _failure(FundsMissing.selector, _word(deal.creator), _word(deal.token), creatorWord.free(), total);
        }
        uint256 has = group.providerWord.free();
        if (has < deal.collateral) {
            return _failure(FundsMissing.selector, _word(deal.provider), _word(deal.token), has, deal.collateral);
        }
        uint256 cap = _capLeft(deal.creator, creatorKey, deal.token);
        if (cap < total) return _failure(CapExceeded.selector, _word(deal.creator), _word(creatorKey), cap, total);
        if (group.providerCap < deal.collateral) {
            return _failure(CapExceeded.selector, _word(deal.provider), _word(group.providerKey), group.providerCap, deal.collateral);
        }
    }
}
