"""What to open: pure decisions over the live offers and one view of the chain.

The rule is that of `protocol.matching`: jobs oldest first, each the cheapest total, then the oldest offer. What is in
transactions under way counts as spent, so several batches can be in flight without promising money twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from lilypad_agents.agents.solver.book import JobEntry, ResourceEntry
from lilypad_agents.protocol.deal import counterparts
from lilypad_agents.protocol.ids import OfferHash
from lilypad_agents.protocol.matching import Match, Rules, match, reasons
from lilypad_agents.protocol.opening import Pair, grouped
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import figures_of, locked_total
from lilypad_agents.protocol.refusals import ChainView, Refusal, refusal

PairId = tuple[OfferHash, OfferHash]  # job offer, resource offer


@dataclass(frozen=True)
class Situation:
    """What a decision reads. Offers oldest first; `resources` are those of providers that are there.

    `in_flight`: pairs in transactions that are not mined. `paused`: pairs that are not to be tried (again) now.
    """

    jobs: Sequence[JobEntry]
    resources: Sequence[ResourceEntry]
    in_flight: Sequence[Match]
    paused: AbstractSet[PairId]
    view: ChainView
    parameters: Parameters

    @property
    def rules(self) -> Rules:
        return rules_of(self.jobs, self.parameters)


@dataclass(frozen=True)
class Chosen:
    """Pairs to open, in the order of the matching rule."""

    job: JobEntry
    resource: ResourceEntry
    match: Match

    @property
    def pair(self) -> Pair:
        return Pair(
            self.job.offer,
            self.job.signature,
            self.resource.offer,
            self.resource.signature,
            self.job.module,
            self.job.pool,
            self.resource.proof(self.job.module.id),
        )

    @property
    def id(self) -> PairId:
        return self.job.id, self.resource.id


def rules_of(jobs: Iterable[JobEntry], parameters: Parameters) -> Rules:
    """The terms that the jobs brought."""
    listed = list(jobs)
    return Rules(
        modules={entry.module.id: entry.module for entry in listed},
        pools={entry.pool.id: entry.pool for entry in listed if entry.pool.is_verified},
        parameters=parameters,
    )


def choose(situation: Situation) -> list[Chosen]:
    """The pairs to open now."""
    jobs = {entry.id: entry for entry in situation.jobs}
    resources = {entry.id: entry for entry in situation.resources}
    if not jobs or not resources:
        return []
    view = without_promised(situation.view, situation.in_flight)
    view = replace(view, opened=view.opened | situation.paused)
    found = match(
        [entry.offer for entry in situation.jobs],
        [entry.offer for entry in situation.resources],
        situation.rules,
        view,
    )
    return [Chosen(jobs[made.job.struct_hash], resources[made.resource.struct_hash], made) for made in found.matches]


def without_promised(view: ChainView, in_flight: Sequence[Match]) -> ChainView:
    """The view as if all that is under way were open: money locked, nonces and volumes used, caps lowered."""
    if not in_flight:
        return view
    free, caps, uses = dict(view.free), dict(view.caps), dict(view.uses)
    for made in in_flight:
        token = made.job.token
        for account, offer_hash, amount in (
            (made.job.creator, made.job.struct_hash, made.total),
            (made.resource.provider, made.resource.struct_hash, made.collateral),
        ):
            free[token, account] = free.get((token, account), 0) - amount
            speaker = view.speakers.get(offer_hash, account)
            if speaker != account:
                caps[account, speaker, token] = caps.get((account, speaker, token), 0) - amount
        if not made.resource.is_unlimited:
            key = (made.resource.provider, made.resource.nonce)
            uses[key] = uses.get(key, 0) + 1
    used = view.used_nonces | {(made.job.creator, made.job.nonce) for made in in_flight}
    return replace(view, free=free, caps=caps, uses=uses, used_nonces=used)


def match_of(job: JobEntry, resource: ResourceEntry, parameters: Parameters) -> Match | None:
    """The match of a stored pair; None when the two cannot be one deal."""
    if counterparts(job.offer, resource.offer, job.module, job.pool):
        return None
    figures = figures_of(job.offer, resource.offer, job.module, job.pool)
    total = locked_total(figures, parameters.protocol_fee_bps)
    return Match(job.offer, resource.offer, job.module, job.pool, total, figures.collateral)


def batches_of(chosen: Sequence[Chosen], most: int) -> list[list[list[Chosen]]]:
    """Batches of at most `most` pairs, each as the groups of its calldata."""
    found = []
    for start in range(0, len(chosen), most):
        part = chosen[start : start + most]
        by_job = {item.job.id: item for item in part}
        groups = grouped([item.pair for item in part])
        found.append([[by_job[pair.job.struct_hash] for pair in pairs] for _, pairs in groups])
    return found


@dataclass(frozen=True)
class Obstacles:
    """What keeps one pair apart; empty when nothing does."""

    counterpart: OfferHash
    refusals: tuple[Refusal, ...]


def why_job(
    job: JobEntry, situation: Situation, absent: Sequence[tuple[ResourceEntry, float | None]], heartbeat_s: float, most: int
) -> list[Obstacles]:
    """For each resource offer (at most `most`) what keeps it from serving the job; absent providers are said to be so."""
    silence = {entry.id: seconds for entry, seconds in absent}
    entries = [*situation.resources, *(entry for entry, _ in absent)][:most]
    rules = rules_of([job], situation.parameters)
    view = without_promised(situation.view, [made for made in situation.in_flight if made.job.struct_hash != job.id])
    found = []
    for resource, refusals in reasons(job.offer, [entry.offer for entry in entries], rules, view):
        extra = []
        if resource.struct_hash in silence:
            extra.append(_away(resource.provider, silence[resource.struct_hash], heartbeat_s))
        found.append(Obstacles(resource.struct_hash, (*refusals, *extra)))
    return found


def why_resource(resource: ResourceEntry, situation: Situation, away: Refusal | None, most: int) -> list[Obstacles]:
    """The same from the other side: for each open job (at most `most`) what keeps this offer from serving it."""
    view = without_promised(situation.view, situation.in_flight)
    found = []
    for job in situation.jobs[:most]:
        rules = rules_of([job], situation.parameters)
        for _, refusals in reasons(job.offer, [resource.offer], rules, view):
            found.append(Obstacles(job.id, (*refusals, *([away] if away else []))))
    return found


def away_refusal(resource: ResourceEntry, silence: float | None, heartbeat_s: float) -> Refusal | None:
    """What is said of a provider that was not heard of for longer than the heartbeat."""
    if silence is not None and silence <= heartbeat_s:
        return None
    return _away(resource.account, silence, heartbeat_s)


def summary(obstacles: Sequence[Obstacles]) -> dict[str, int]:
    """For how many counterparts each condition failed, most frequent first; by name, and term where it has one."""
    counts: dict[str, int] = {}
    for obstacle in obstacles:
        for name in {condition_of(item) for item in obstacle.refusals}:
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def condition_of(item: Refusal) -> str:
    """The name of a condition: the core's error, with its term where it has one."""
    figures = item.to_json()["figures"]
    detail = figures.get("term") or (figures.get("field") if item.error == "OffersDiffer" else None)
    return f"{item.error}: {detail}" if detail else item.error


def _away(provider: str, silence: float | None, heartbeat_s: float) -> Refusal:
    return refusal(
        "ProviderAway", account=provider, silent=None if silence is None else int(silence), most=int(heartbeat_s)
    )
