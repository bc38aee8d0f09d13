// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PoolId, VersionId} from "../types/Ids.sol";
import {ModuleTerms} from "../types/Terms.sol";

/// @dev A name under an account: the first 24 bytes of keccak256(abi.encode(publisher, keccak256(bytes(name)))). A renamed
/// name keeps its first id, to which the new one leads.
type NameId is bytes24;
/// @dev A curated list: keccak256(abi.encode(first curator, keccak256(bytes(name)))).
type ListId is bytes32;

/// @title Published modules: names, versions, lineage, royalties, curated lists
/// @notice `publisher/name:version` is one version id, for ever. A name stands under the account that published first under
/// it, so nobody can take somebody else's and there is nothing to race for: a copy of a pending publication fails, or stands
/// under the copier's own account. Nobody's permission is needed, and there is no owner of the whole.
/// A name belongs to its owner, at first the publisher. The owner may sell it, and may name an operator (a hot key that
/// publishes and deprecates, and can neither move the name nor send income elsewhere) and an account that is paid.
/// The core needs nothing of this contract to open deals: whoever names a version id brings its terms.
///
/// Royalties: terms whose `royaltyTo` is this contract accrue in the core and are paid out by {claim}, to the owner at the
/// moment of the claim: income that waits goes with the name. Of what a version earns, `parentShareBps` goes to its parent, which passes
/// on its own share, and so on for at most five ancestors; each share is rounded down and the rest stays with the younger
/// version, so the parts add up to the wei. Terms with another `royaltyTo` bypass this contract (and cannot name a paying parent).
/// Trusts the core alone. The token of a sale is UNTRUSTED and chosen by both sides.
interface ILilypadModules {
    /// @notice What a sale asks. `buyer` 0: anyone.
    struct Sale {
        address token;
        uint96 price; // smallest units
        address buyer;
        uint40 expiry; // unix seconds, the last second at which it may be bought
    }

    /// @notice Deals whose royalties wait in one place of the core: those of one solver in one pool.
    struct Source {
        address solver; // 0: deals without one
        address strategy; // of the pool; 0 in the Unverified pool
        PoolId pool;
    }

    /// @notice One entry of a curated list.
    struct ListEntry {
        VersionId version;
        string label; // short name in this list, "name:version"
        string note; // why it is here: deterministic, reviewed, GPU...
    }

    // ---- names and versions

    event NameCreated(NameId indexed name, address indexed publisher, string text);
    /// @notice A version exists for ever. `parentShareBps` of its income goes to its parent; forks of it owe at least `forkShareBps`.
    event VersionPublished(
        VersionId indexed version,
        NameId indexed name,
        address indexed publisher,
        ModuleTerms terms,
        string nameText,
        string versionText,
        uint16 parentShareBps,
        uint16 forkShareBps,
        address by
    );
    /// @notice New quotes should not use the version any more; deals and forks still may.
    event VersionDeprecated(VersionId indexed version, NameId indexed name, address by, string note);
    /// @notice `publisher/text` now means `name` too.
    event NameRenamed(NameId indexed name, address indexed publisher, string text);
    event NameTransferred(NameId indexed name, address indexed from, address indexed to);
    event NameOffered(NameId indexed name, Sale sale);
    event NameOfferWithdrawn(NameId indexed name);
    event NameSold(NameId indexed name, address indexed from, address indexed to, address token, uint96 price);
    event OperatorNamed(NameId indexed name, address indexed operator);
    event PayeeNamed(NameId indexed name, address indexed payee);
    /// @notice `amount` of what `earner` earned in `token` became ledger credit of `to`, as owner of `name`.
    event RoyaltyPaid(VersionId indexed earner, NameId indexed name, address indexed to, address token, uint256 amount);

    error NameUnknown(NameId name);
    error NameTaken(address publisher, string text, address owner);
    error NameNotYours(NameId name, address owner, address caller);
    error AccountInvalid(address account);
    error TextInvalid(string text, uint256 index);
    error NameHashMismatch(bytes32 found, bytes32 needed);
    error VersionTaken(address publisher, bytes32 nameHash, VersionId version);
    error VersionUnknown(VersionId version);
    error VersionDeprecatedBefore(VersionId version);
    error ManifestMissing();
    error BpsTooHigh(uint256 found, uint256 most);
    error ParentMissing(uint16 parentShareBps);
    error ParentShareTooLow(VersionId parent, uint256 found, uint256 least);
    error LineageTooDeep(VersionId parent, uint256 found, uint256 most);
    error RoyaltyBypassesSplit(address royaltyTo);
    error LineageBroken(uint256 index, VersionId found, VersionId needed);
    error LineageIncomplete(VersionId version, VersionId parent);
    error NameNotForSale(NameId name);
    error SaleExpired(NameId name, uint256 expiry, uint256 time);
    error SaleDiffers(NameId name, address token, uint256 price);
    error SaleForAnother(NameId name, address buyer, address caller);
    error SaleInvalid(NameId name);

    /// @notice Registers a version; its id is the hash of `terms`. The first version under a name creates the name, which
    /// only `terms.publisher` itself can do; later the name's owner publishes, or its operator (whose versions must pay
    /// royalties here and share nothing with a parent). Emits {NameCreated} the first time, and {VersionPublished}.
    /// @param terms Terms as the core hashes them: `nameHash` is keccak256 of "name:version".
    /// @param nameText 1 to 63 of a-z, 0-9 and, not first, a hyphen.
    /// @param versionText 1 to 64 of A-Z, a-z, 0-9 and, not first, dot, underscore, plus, hyphen.
    /// @param parentShareBps Of its income, to its parent; at least what the parent asked of its forks.
    /// @param forkShareBps What forks of this version shall owe at least; at most 10,000.
    /// Reverts with TextInvalid, NameHashMismatch, ManifestMissing, BpsTooHigh, NameNotYours, VersionTaken, ParentMissing,
    /// VersionUnknown (the parent), ParentShareTooLow, LineageTooDeep, RoyaltyBypassesSplit, AccountInvalid (royalty to nobody).
    function publish(
        ModuleTerms calldata terms,
        string calldata nameText,
        string calldata versionText,
        uint16 parentShareBps,
        uint16 forkShareBps
    ) external returns (VersionId version);

    /// @notice Marks a version as not for new quotes, for ever; nothing else changes. The name's owner or operator.
    /// Emits {VersionDeprecated}. Reverts with VersionUnknown, NameNotYours, VersionDeprecatedBefore.
    /// @param note For people: why, and what to use instead.
    function deprecate(VersionId version, string calldata note) external;

    // ---- ownership

    /// @notice Lets `name` be called `text` under the caller's account as well; all versions stay, old references too. Clears
    /// operator and sale. The name's owner. Emits {NameRenamed}. Reverts with NameNotYours, TextInvalid, NameTaken.
    function rename(NameId name, string calldata text) external;

    /// @notice Gives the name, and all income that was not claimed, to `to`. Clears operator, payee and sale. The name's
    /// owner. Emits {NameTransferred}. Reverts with NameNotYours, AccountInvalid.
    function transfer(NameId name, address to) external;

    /// @notice Offers the name for sale, in place of an earlier offer. The name's owner. Emits {NameOffered}.
    /// Reverts with NameNotYours, SaleInvalid (a gift needs a named buyer).
    function offer(NameId name, Sale calldata sale) external;

    /// @notice Takes the offer back. The name's owner. Emits {NameOfferWithdrawn}. Reverts with NameNotYours, NameNotForSale.
    function withdrawOffer(NameId name) external;

    /// @notice Buys the name: pays the owner from the caller's wallet, which approved this contract for the price, and
    /// transfers the name, in this one call. Emits {NameTransferred} and {NameSold}. Reverts with NameNotForSale, SaleExpired,
    /// SaleDiffers (the owner changed its mind meanwhile), SaleForAnother.
    /// @dev Calls the token last: UNTRUSTED.
    function buy(NameId name, address token, uint96 price) external;

    /// @notice Lets `operator` (0: nobody) publish and deprecate under the name. The name's owner. Emits {OperatorNamed}.
    function setOperator(NameId name, address operator) external;

    /// @notice Lets `payee` (0: the owner) receive the name's royalties. The name's owner. Emits {PayeeNamed}.
    /// Reverts with NameNotYours, AccountInvalid.
    function setPayee(NameId name, address payee) external;

    // ---- royalties

    /// @notice Sweeps and claims from the core what a version earned from the given sources and credits the owners of its line
    /// in the core's ledger. Anyone may call. Emits {RoyaltyPaid} for each payee.
    /// A version that was never registered pays its publisher alone.
    /// Cost grows with the number of sources and ancestors.
    /// @param line Terms of the version, of its parent, and so on as far as shares are due.
    /// @return amount What was claimed, smallest units.
    /// Reverts with the core's RoyaltyNotYours when the terms pay another account, LineageBroken, LineageIncomplete.
    function claim(address token, ModuleTerms[] calldata line, Source[] calldata sources)
        external
        returns (uint256 amount);

    // ---- curated lists

    event ListCreated(ListId indexed list, address indexed curator, string text);
    event ListTransferred(ListId indexed list, address indexed from, address indexed to);
    event ListEntryAdded(ListId indexed list, VersionId indexed version, string label, string note);
    event ListEntryRemoved(ListId indexed list, VersionId indexed version, string label);
    /// @notice `root` is the OpenZeppelin standard tree over the list's distinct version ids (bytes32), as the curator computed it.
    event ListRootPublished(ListId indexed list, bytes32 indexed root);

    error ListTaken(ListId list, address curator);
    error ListNotYours(ListId list, address curator, address caller);
    error ListLabelTaken(ListId list, string label, VersionId version);
    error ListLabelUnknown(ListId list, string label);

    /// @notice Creates an empty list of the caller's. Emits {ListCreated}. Reverts with ListTaken, TextInvalid.
    /// @param text As a module's name.
    function createList(string calldata text) external returns (ListId list);

    /// @notice Takes entries out, puts entries in, and publishes the root that then holds, in one call, so that root and
    /// entries never disagree for longer than a transaction. The curator. Cost grows with the number of entries.
    /// Emits {ListEntryRemoved}, {ListEntryAdded}, {ListRootPublished}.
    /// Reverts with ListNotYours, ListLabelUnknown, ListLabelTaken, VersionUnknown (not registered), TextInvalid.
    /// @param removed Labels of entries to take out, before the others come in.
    /// @param root Root over all entries afterwards; not checked here, every tool computes it from the events and compares.
    /// 0 for an empty list; no offer may name it, since there 0 means "any deterministic module".
    function updateList(ListId list, string[] calldata removed, ListEntry[] calldata added, bytes32 root) external;

    /// @notice Hands a list over. The curator. Emits {ListTransferred}. Reverts with ListNotYours, AccountInvalid.
    function transferList(ListId list, address to) external;

    // ---- views

    /// @notice The id under which a name is kept, after renames too; whether it exists tells {nameOf}.
    function nameIdOf(address publisher, string calldata text) external view returns (NameId);

    /// @notice Owner (0: the name does not exist), operator and payee of a name.
    function nameOf(NameId name) external view returns (address owner, address operator, address payee);

    /// @notice The standing offer of a name; all zero when there is none.
    function saleOf(NameId name) external view returns (Sale memory);

    /// @notice The version that `publisher/name:version` means; 0: none. Where a renamed name is concerned, versions answer to the
    /// publisher and name under which they were published.
    function versionOf(address publisher, string calldata nameText, string calldata versionText)
        external
        view
        returns (VersionId);

    /// @notice What is recorded of a version; name 0: not registered. `depth` counts its ancestors.
    function recordOf(VersionId version)
        external
        view
        returns (NameId name, uint16 parentShareBps, uint16 forkShareBps, uint8 depth, bool deprecated);

    /// @notice How {claim} would divide `amount` now.
    function splitOf(ModuleTerms[] calldata line, uint256 amount)
        external
        view
        returns (address[] memory payees, uint256[] memory amounts);

    /// @notice Curator (0: no such list) and last published root of a list.
    function listOf(ListId list) external view returns (address curator, bytes32 root);

    /// @notice The version that a list calls `label`; 0: none.
    function listed(ListId list, string calldata label) external view returns (VersionId);
}
