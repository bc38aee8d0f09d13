// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {toWord} from "./Address.sol";
import {JobOffer, JobOfferLib} from "./JobOffer.sol";

/// @notice What a contract asks for: a job offer (protocol 3.1) but for its creator, who is the caller, and the digest of its
/// inputs, which is computed on chain.
struct JobTerms {
    bytes32 module; // version id
    address token; // in which all is paid
    uint96 maxPrice; // smallest units: the most that it may cost, all fees included
    uint64 maxUnits; // metered units at most
    uint32 cpuMilli; // thousandths of a core
    uint32 ramMib;
    uint32 diskMib;
    uint16 gpuCount;
    uint32 vramMib; // per GPU
    uint64 flags; // capability bits that the provider must have
    uint32 submitWindow; // seconds from the match to the result
    uint32 judgeWindow; // seconds from the result to the payment, unless the requester accepts earlier
    uint32 collateralBps; // of the deal's value
    uint16 auditBps; // probability of an audit
    bytes32 pool; // who judges; 0: Unverified
    address solver; // 0: any
    uint16 solverFeeBps; // of gross
    address provider; // 0: any
    uint40 expiry; // unix seconds, the last second at which it may be matched
    uint32 nonce; // one deal at most opens on it
}

/// @title From what a contract asks for to the offer that it signs
library JobTermsLib {
    using JobOfferLib for JobOffer;

    /// @param creator The account that asks and pays.
    /// @param inputs sha2-256 of the inputs document.
    /// @return The struct hash of its job offer: the id of the request.
    function requestId(JobTerms memory terms, address creator, bytes32 inputs) internal pure returns (bytes32) {
        JobOffer memory job;
        job.typeHash = JobOfferLib.TYPEHASH;
        job.creator = toWord(creator);
        job.module = terms.module;
        job.inputs = inputs;
        job.token = toWord(terms.token);
        job.maxPrice = terms.maxPrice;
        job.maxUnits = terms.maxUnits;
        job.cpuMilli = terms.cpuMilli;
        job.ramMib = terms.ramMib;
        job.diskMib = terms.diskMib;
        job.gpuCount = terms.gpuCount;
        job.vramMib = terms.vramMib;
        job.flags = terms.flags;
        job.submitWindow = terms.submitWindow;
        job.judgeWindow = terms.judgeWindow;
        job.collateralBps = terms.collateralBps;
        job.auditBps = terms.auditBps;
        job.pool = terms.pool;
        job.solver = toWord(terms.solver);
        job.solverFeeBps = terms.solverFeeBps;
        job.provider = toWord(terms.provider);
        job.expiry = terms.expiry;
        job.nonce = terms.nonce;
        return job.structHash();
    }
}
