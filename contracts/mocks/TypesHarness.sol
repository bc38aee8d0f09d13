// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {LilypadDomain} from "../core/LilypadDomain.sol";
import {LilypadRules} from "../core/LilypadRules.sol";
import {AccountWord} from "../types/AccountWord.sol";
import {Address, toWord} from "../types/Address.sol";
import {Deal, DealLib} from "../types/Deal.sol";
import {DealWord, DealWordLib, DisputeKind, Status} from "../types/DealWord.sol";
import {DealId, PoolId, VersionId} from "../types/Ids.sol";
import {JobOffer, JobOfferLib} from "../types/JobOffer.sol";
import {ResourceOffer, ResourceOfferLib} from "../types/ResourceOffer.sol";
import {ModuleTerms, ModuleWords, PoolTerms, PoolWords, TermsLib} from "../types/Terms.sol";

/// @title Test double: opens the internal libraries, so that Python can be compared with them on random values
contract TypesHarness is LilypadRules, LilypadDomain {
    using JobOfferLib for JobOffer;
    using ResourceOfferLib for ResourceOffer;
    using DealLib for Deal;
    using DealLib for bytes32[12];

    constructor(Parameters memory parameters_) LilypadRules(parameters_) LilypadDomain(address(this)) {}

    // ---- offers and terms

    function jobHash(
        bytes32[4] calldata words,
        address token,
        bytes32 module,
        bytes32 pool,
        address solver,
        address provider
    ) external pure returns (bytes32 hash, bool canonical) {
        JobOffer memory job;
        canonical = job.load(words);
        job.share(words, toWord(token), module, pool, toWord(solver), toWord(provider));
        hash = job.structHash();
    }

    function resourceHash(bytes32[6] calldata words, bytes32 pool)
        external
        pure
        returns (bytes32 hash, address solver, bool canonical)
    {
        ResourceOffer memory resource;
        Address named;
        (named, canonical) = resource.load(words, pool);
        return (resource.structHash(), named.plain(), canonical);
    }

    function moduleId(ModuleTerms calldata terms) external pure returns (VersionId) {
        return TermsLib.id(terms);
    }

    function poolId(PoolTerms calldata terms) external pure returns (PoolId) {
        return TermsLib.id(terms);
    }

    function moduleWordsId(ModuleWords calldata words) external pure returns (VersionId id, bool fits) {
        return (words.id(), words.fits());
    }

    function poolWordsId(PoolWords calldata words) external pure returns (PoolId id, bool fits) {
        return (words.id(), words.fits());
    }

    function isMember(bytes32 root, bytes32 value, bytes32[] calldata proof) external pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root, keccak256(abi.encode(keccak256(abi.encode(value)))));
    }

    // ---- records

    function dealHash(bytes32[12] memory words) external pure returns (bytes32) {
        return words.structHash();
    }

    /// @notice The same by way of the fields.
    function dealHashOfFields(bytes32[12] memory words) external pure returns (bytes32) {
        return words.load().structHash();
    }

    /// @notice The same from what a settlement brings.
    function settledHash(bytes32[5] calldata shared, bytes32 details) external pure returns (bytes32) {
        return DealLib.hashOf(shared, details);
    }

    function dealId(bytes32[12] memory words) external view returns (bytes32) {
        return _digestOf(words.structHash());
    }

    /// @notice Unpacks and packs again.
    function repack(bytes32[12] memory words) external pure returns (bytes32[12] memory) {
        return words.load().pack();
    }

    // ---- numbers

    function charge(bytes32[12] memory words, uint256 units) external view returns (Charge memory) {
        return _charge(words.load(), units);
    }

    function figures(bytes32[12] memory words)
        external
        view
        returns (uint256 value, uint256 lockedTotal, uint256 premium, uint256 penalty, uint256 auditFee)
    {
        Deal memory deal = words.load();
        return (_value(deal), _lockedTotal(deal), _premiumUp(deal), _penalty(deal), _auditFee(deal.seatFee));
    }

    function seatFee(uint256 value, uint256 floor_, uint256 moduleMinimum) external pure returns (uint256) {
        return _seatFeeUp(value, floor_, moduleMinimum);
    }

    // ---- results

    function digest(bytes32 head, bytes32 content) external pure returns (bytes32) {
        return _digest(head, content);
    }

    function commitment(DealId deal, address provider, bytes32 digest_, bytes32 salt) external pure returns (uint176) {
        return _commitment(deal, toWord(provider), digest_, salt);
    }

    function lottery(DealId deal, uint256 auditBps, uint32 submittedIn)
        external
        view
        returns (bool known, bool drawn, bool expired)
    {
        return _lottery(deal, auditBps, submittedIn);
    }

    // ---- packed words

    function account(uint256 word)
        external
        pure
        returns (uint256 free, uint256 locked, uint32 jobFloor, uint32 resourceFloor)
    {
        AccountWord w = AccountWord.wrap(word);
        return (w.free(), w.locked(), w.jobFloor(), w.resourceFloor());
    }

    function addFree(uint256 word, uint256 amount) external pure returns (AccountWord) {
        return AccountWord.wrap(word).addFree(amount);
    }

    function subFree(uint256 word, uint256 amount) external pure returns (AccountWord) {
        return AccountWord.wrap(word).subFree(amount);
    }

    function lock(uint256 word, uint256 amount) external pure returns (AccountWord) {
        return AccountWord.wrap(word).lock(amount);
    }

    function subLocked(uint256 word, uint256 amount) external pure returns (AccountWord) {
        return AccountWord.wrap(word).subLocked(amount);
    }

    function raiseFloors(uint256 word, uint32 job, uint32 resource) external pure returns (AccountWord) {
        return AccountWord.wrap(word).raiseFloors(job, resource);
    }

    function agreed(address provider, uint256 judgeWindow, uint256 deadline, bool auditable)
        external
        pure
        returns (DealWord)
    {
        return DealWordLib.agreed(toWord(provider), judgeWindow, deadline, auditable);
    }

    function resultsSubmitted(uint176 commitment_, uint256 deadline, uint32 period) external pure returns (DealWord) {
        return DealWordLib.resultsSubmitted(commitment_, deadline, period);
    }

    function inMediation(DealWord word, DisputeKind kind, uint256 deadline) external pure returns (DealWord) {
        return word.inMediation(kind, deadline);
    }

    function delivered(DealWord word, uint256 deadline) external pure returns (DealWord) {
        return word.delivered(deadline);
    }

    function ended(DealWord word, Status final_, uint256 time) external pure returns (DealWord) {
        return word.ended(final_, time);
    }

    /// @notice The fields of a deal word; provider and judge window mean something in Agreed only, period and commitment after.
    function dealWord(DealWord word)
        external
        pure
        returns (
            Status status,
            DisputeKind kind,
            bool deliveryChallenged,
            uint256 deadline,
            uint32 period,
            uint176 commitment_,
            address provider,
            uint256 judgeWindow
        )
    {
        status = word.status();
        kind = word.disputeKind();
        deliveryChallenged = word.deliveryWasChallenged();
        deadline = word.deadline();
        period = word.period();
        commitment_ = word.commitment();
        provider = word.provider().plain();
        judgeWindow = word.judgeWindow();
    }
}
