"""Handing a signed offer to a solver, inputs first. Every part is harmless to repeat."""

from __future__ import annotations

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.journal import Job
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.solver.wire import ContentKind, Scope
from lilypad_agents.content.cid import Cid

_INLINE_DOCUMENT = 48 * 1024  # up to here the inputs document travels with the offer


def post(session: Session, job: Job) -> None:
    """Uploads the input files, then the offer with its inputs document. Raises SolverUnreachable and its refusals."""
    if job.offer is None:
        raise RequestInvalid(f"The job {job.name} was found on the chain; its offer is not here to be posted again.")
    scope = Scope("offer", job.offer.struct_hash)
    document_cid, *files = (Cid.parse(text) for text in job.roots)
    for cid in files:
        session.solver.put_content(cid, session.store, scope, ContentKind.INPUTS)
    document: bytes | None = session.store.get(document_cid)
    if document is not None and len(document) > _INLINE_DOCUMENT:
        session.solver.put_content(document_cid, session.store, scope, ContentKind.INPUTS)
        document = None
    session.solver.post_job_offer(job.offer, job.signature, job.terms, job.pool, document_cid, document)
