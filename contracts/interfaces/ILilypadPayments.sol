// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {VersionId, PoolId} from "../types/Ids.sol";
import {ModuleTerms} from "../types/Terms.sol";

/// @title The ledger of the core: balances, audit funds, fees that wait for their owner
/// @notice Amounts are in smallest units of a token. The ledger holds at most 2^96 - 1 of each token.
/// Assumptions about tokens: a plain ERC-20 (missing return values and any number of decimals are fine).
/// A token that delivers less than asked is refused at deposit. A token that pauses, blocks accounts or rebases after a
/// deposit harms only balances in that token: no function but deposit and withdraw touches a token.
interface ILilypadPayments {
    /// @notice `amount` of `token` came from `from` and is free credit of `account`.
    event Deposited(address indexed token, address indexed account, address indexed from, uint256 amount);
    /// @notice `amount` of free credit of `account` was sent to `to`.
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);
    /// @notice `amount` of free credit moved inside the ledger.
    event CreditTransferred(address indexed token, address indexed from, address indexed to, uint256 amount);
    /// @notice `amount` of free credit of `from` went into an audit fund.
    event FundDonated(
        address indexed strategy, address indexed token, PoolId indexed pool, address from, uint256 amount
    );
    /// @notice Accrued royalty of a version became free credit of `royaltyTo`.
    event RoyaltyClaimed(
        address indexed token, VersionId indexed version, address indexed royaltyTo, address solver, uint256 amount
    );
    /// @notice Accrued solver fees became free credit of `solver`.
    event SolverFeeClaimed(
        address indexed token, VersionId indexed version, address indexed solver, uint256 amount
    );

    /// @notice What settlements accrued under these terms went to the fees of version and solver and to the pool's fund.
    event AccrualSwept(
        address indexed token, VersionId indexed version, address indexed solver, address strategy, PoolId pool
    );

    error AmountZero();
    error RecipientZero();
    error CreditInsufficient(address account, address token, uint256 has, uint256 needed);
    error TokenDeliveredLess(address token, uint256 asked, uint256 received);
    error LedgerFull(address token, uint256 held, uint256 received);
    error PermitRefused(address token, address owner, uint256 allowance, uint256 needed);
    error RoyaltyNotYours(VersionId version, address royaltyTo, address caller);

    /// @notice Takes `amount` of `token` from the caller, who approved it, and credits `account`. Anyone may call.
    /// Measures what arrived. Emits {Deposited}. Reverts with AmountZero, RecipientZero, TokenDeliveredLess, LedgerFull.
    /// @dev Calls the token: UNTRUSTED, under the lock.
    function deposit(address token, uint256 amount, address account) external;

    /// @notice As deposit, from `owner` to its own credit, with its ERC-2612 permit, which anyone may carry. When the permit
    /// does not use up a nonce of the owner (somebody used it first, or the token knows no permits), only the owner itself may
    /// go on with the allowance that stands: an allowance given for another purpose is not consent. Reverts with PermitRefused
    /// otherwise.
    function depositWithPermit(
        address token,
        address owner,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Sends `amount` of the caller's free credit to `to`. No one's consent is needed and nothing can stop it but
    /// the token itself. Emits {Withdrawn}. Reverts with AmountZero, RecipientZero, CreditInsufficient.
    /// @dev Calls the token last: UNTRUSTED, under the lock.
    function withdraw(address token, uint256 amount, address to) external;

    /// @notice Moves free credit of the caller to others inside the ledger. Cost grows with the number of recipients.
    /// Emits {CreditTransferred} for each. Reverts with CreditInsufficient, RecipientZero, BatchLengthsDiffer.
    function transferCredit(address token, address[] calldata to, uint256[] calldata amounts) external;

    /// @notice Gives free credit of the caller to an audit fund, for good. Emits {FundDonated}.
    function donate(address strategy, address token, PoolId pool, uint256 amount) external;

    /// @notice Moves what settlements of deals with these terms accrued (a settlement writes one word for all three): royalty and
    /// solver fee become claimable, the fund's part covers audits. Anyone may call; does no harm when nothing accrued.
    /// Emits {AccrualSwept}.
    function sweep(address token, VersionId version, address solver, address strategy, PoolId pool) external;

    /// @notice Credits the swept royalty that accrued for a version in deals of `solver` (0: deals without one).
    /// Only the account that the terms name may call. Emits {RoyaltyClaimed}. Reverts with RoyaltyNotYours.
    /// @return amount Smallest units credited to the caller.
    function claimRoyalty(address token, ModuleTerms calldata terms, address solver) external returns (uint256 amount);

    /// @notice Credits the swept solver fees that accrued to `solver` for a version. Anyone may call. Emits {SolverFeeClaimed}.
    /// @return amount Smallest units credited to the solver.
    function claimSolverFee(address token, VersionId version, address solver) external returns (uint256 amount);

    /// @notice Free and locked credit of an account, and the floors below which its offers in this token are cancelled.
    function accountOf(address token, address account)
        external
        view
        returns (uint256 free, uint256 locked, uint32 jobFloor, uint32 resourceFloor);

    /// @notice What an audit fund holds, smallest units.
    function fundOf(address strategy, address token, PoolId pool) external view returns (uint256);

    /// @notice What waits to be swept, smallest units.
    function accruedOf(address token, VersionId version, address solver, address strategy, PoolId pool)
        external
        view
        returns (uint256 royalty, uint256 solverFee, uint256 toFund);

    /// @notice Swept fees that wait to be claimed, smallest units.
    function feesOf(address token, VersionId version, address solver)
        external
        view
        returns (uint256 royalty, uint256 solverFee);

    /// @notice The sum of all credit, escrow, funds, accruals and waiting fees in `token`, smallest units.
    function heldOf(address token) external view returns (uint256);
}
