"""`lilypad module new|lint|test|certify|pack`: an author's work on this machine; no network, no account."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import PATH, connection_options
from lilypad_agents.cli.output import Output, table, time_text
from lilypad_agents.cli.settings import Choice

if TYPE_CHECKING:
    from lilypad_agents.agents.author.certify import Certificate
    from lilypad_agents.execution.lint import Finding

IMPORT_EXAMPLES = """\b
Examples:
  lilypad module import ./lilypad-module-cowsay
  lilypad module import https://example.org/someone/lilypad-module-cowsay:v0.0.4
  lilypad module import ./lilypad_module.json.tmpl --dir ./mine --name mine --json
  lilypad module import ./old --repair
\b
Reads the template, never executes it. The report names the line of every
hazard; with an error in it nothing is written and the exit code is 2.
Of a repository one file is fetched, over https, from a public address. A tag
that means another commit than when it was imported first is refused.
"""
CERTIFY_EXAMPLES = """\b
Examples:
  lilypad module certify ./hello -n 5
  lilypad module certify cowsay:v0.0.1 -n 3 --json
\b
Every run is a process of its own with another environment, time zone, order of
files, number of cores and optimisation level. Then each thing that the engine
fixes is changed once, to see what the result leans on.
"""


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module new hello\n  lilypad module new sums --wasm ./build/sums.wasm\n  lilypad module new hello --dir ./work/hello")
@click.argument("name")
@click.option("--dir", "folder", type=PATH, metavar="DIR", help="Where to write it; default: ./NAME.")
@click.option("--wasm", type=PATH, metavar="FILE", help="Your compiled program, instead of one that greets.")
def new(out: Output, name: str, folder: Path | None, wasm: Path | None) -> None:
    """Write a module that runs at once: a manifest and a program, to be changed into your own."""
    from lilypad_agents.agents.author.template import write_template

    target = folder or Path(name)
    files = write_template(target, name, wasm=None if wasm is None else _bytes(wasm))
    data = {"name": name, "folder": str(target), "files": [str(path) for path in files]}

    def show() -> None:
        for path in files:
            out.print(str(path))
        out.note(f"Try it: `lilypad module test {target}`, then `lilypad module publish {target}`.")

    out.finish(data, show)


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module lint ./hello\n  lilypad module lint ./hello --json")
@click.argument("folder", metavar="DIR", type=PATH)
def lint(out: Output, folder: Path) -> None:
    """Check a module's folder: every finding names its field. Nothing is run. Exit code 2 with an error in it."""
    from lilypad_agents.agents.author.errors import LintFailed
    from lilypad_agents.agents.provider.results import content_cid
    from lilypad_agents.cli.local import source_folder
    from lilypad_agents.execution.lint import Severity
    from lilypad_agents.execution.lint import lint as check

    findings = check(source_folder(folder), content_cid=content_cid)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    error = LintFailed(f"{len(errors)} fields have to be corrected.", findings=len(errors)) if errors else None
    out.finish({"findings": [finding.to_json() for finding in findings]}, lambda: _show_findings(out, findings), error=error)


def _show_findings(out: Output, findings: list[Finding]) -> None:
    from lilypad_agents.execution.display import printable

    for finding in findings:
        fix = f" {finding.fix}" if finding.fix else ""
        out.print(printable(f"{finding.severity}: {finding.field}: {finding.message}.{fix}"))
    if not findings:
        out.print("Nothing to correct.")


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module test ./hello\n  lilypad module test ./hello --json")
@click.argument("folder", metavar="DIR", type=PATH)
def test(out: Output, folder: Path) -> None:
    """Run every example of a module's folder and compare its end with what the manifest expects."""
    from lilypad_agents.agents.author.errors import ExamplesFailed
    from lilypad_agents.agents.author.runs import pack_source, run_examples
    from lilypad_agents.cli.local import source_folder

    runs = run_examples(pack_source(source_folder(folder)))
    failed = [run.index for run in runs if run.problems]
    error = ExamplesFailed(f"{len(failed)} of {len(runs)} examples failed.", failed=failed) if failed else None

    def show() -> None:
        for run in runs:
            verdict = "passed" if not run.problems else "FAILED"
            out.print(f"example {run.index}  {verdict}  exit code {run.result.exit_code}, {run.result.fuel} fuel, {run.units} units, data id {run.data_id}")
            for problem in run.problems:
                out.print(f"           {problem}")

    out.finish({"examples": [run.to_json() for run in runs]}, show, error=error)


@click.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad module pack ./hello -o ./packed\n  lilypad module pack ./hello -o ./packed --publisher 0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65 --json")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("-o", "--output", "target", type=PATH, required=True, metavar="DIR", help="An empty or new folder.")
@click.option("--publisher", metavar="ADDRESS", help="Who publishes it; default: whom the manifest names, else nobody.")
@click.option("--royalty-to", metavar="ADDRESS", help="Who gets the royalty where the manifest does not say.")
def pack(out: Output, folder: Path, target: Path, publisher: str | None, royalty_to: str | None) -> None:
    """Write a module as content-addressed files: canonical manifest, one CAR with everything, all digests."""
    from lilypad_agents.agents.author.packing import write_pack
    from lilypad_agents.agents.author.runs import pack_source
    from lilypad_agents.agents.creator.terms import terms_of
    from lilypad_agents.cli.jobspec import account_of
    from lilypad_agents.cli.local import source_folder
    from lilypad_agents.protocol.ids import NOBODY, hex_of

    account = NOBODY if publisher is None else account_of(publisher)
    payee = None if royalty_to is None else account_of(royalty_to)
    packed = pack_source(source_folder(folder), account, royalty_to=payee)
    root, contents = write_pack(packed, target)
    manifest = packed.manifest
    data = {
        "name": f"{manifest.publisher}/{manifest.name}:{manifest.version}",
        "version": hex_of(terms_of(manifest).id),
        "manifestDigest": hex_of(packed.digest),
        "root": str(root),
        "folder": str(target),
        "contents": [item.to_json() for item in contents],
    }

    def show() -> None:
        out.print(f"name      {data['name']}")
        out.print(f"version   {data['version']}")
        out.print(f"car       {target / 'module.car'}, root {root}")
        out.print(table(("what", "bytes", "cid"), [(item.what, item.size, item.cid) for item in contents]))
        if manifest.publisher == NOBODY:
            out.note("Nobody is its publisher: name one with --publisher to get the version id that publishing would give.")
        if manifest.royalty_bps and royalty_to is None:
            out.note("Publishing lets the registry divide a royalty: give its address with --royalty-to to get the same version id.")

    out.finish(data, show)


@click.command(cls=LilypadCommand, epilog=CERTIFY_EXAMPLES)
@click.argument("reference", metavar="MODULE")
@click.option("-n", "--runs", type=click.IntRange(2, 100), default=5, show_default=True, help="Runs of each example.")
@functools.partial(connection_options, short=False)
def certify(out: Output, choice: Choice, reference: str, runs: int) -> None:
    """Run a module's examples again and again under changed circumstances; show the evidence and the determinism class."""
    from lilypad_agents.agents.author.certify import certify as examine
    from lilypad_agents.agents.author.errors import NotDeterministic

    specs = _example_specs(choice, reference)
    certificate = examine(specs, runs)
    data = {
        "verdict": certificate.verdict,
        "leansOn": list(certificate.leans_on),
        "examples": len(specs),
        "runs": runs,
        "evidence": [item.to_json() for item in certificate.evidence],
    }
    error = None
    if not certificate.holds:
        error = NotDeterministic(f"The module is {certificate.verdict}: its runs do not give one result.", verdict=certificate.verdict)
    out.finish(data, lambda: _show_certificate(out, certificate, runs), error=error)


def _example_specs(choice: Choice, reference: str) -> list[Any]:
    from lilypad_agents.agents.author.runs import example_spec, local_module, pack_source
    from lilypad_agents.agents.creator.references import LocalFolder, parse_reference
    from lilypad_agents.cli.local import load_module, source_folder
    from lilypad_agents.cli.options import open_creator
    from lilypad_agents.content.cid import Cid
    from lilypad_agents.content.limits import Limits

    parsed = parse_reference(reference)
    if isinstance(parsed, LocalFolder):
        packed = pack_source(source_folder(parsed.path))
        module = local_module(packed)
        return [example_spec(module, example, packed.contents) for example in module.manifest.examples]
    module = load_module(choice, reference)
    most = {slot.name: slot.max_bytes for slot in module.manifest.files}
    contents: dict[str, bytes] = {}
    with open_creator(choice) as creator:
        for example in module.manifest.examples:
            for name, cid in example.files.items():
                contents[cid] = creator.session.fetch_public(Cid.parse(cid), Limits(max_bytes=most[name], max_entries=1))
    return [example_spec(module, example, contents) for example in module.manifest.examples]


def _show_certificate(out: Output, certificate: Certificate, runs: int) -> None:
    rows = [
        (
            item.example,
            item.kind,
            item.setting.opt_level,
            len(item.setting.cpus) or "all",
            item.setting.environment.get("TZ", "-"),
            time_text(item.started_at),
            item.exit_code,
            item.fuel,
            item.fingerprint[:16],
        )
        for item in certificate.evidence
    ]
    out.print(table(("example", "run", "optimised", "cores", "zone", "at", "exit", "fuel", "fingerprint"), rows))
    leans = f"; the result leans on {', '.join(certificate.leans_on)}, which the engine fixes" if certificate.leans_on else ""
    out.print(f"class     {certificate.verdict}{leans}")


@click.command("import", cls=LilypadCommand, epilog=IMPORT_EXAMPLES)
@click.argument("source", metavar="FILE_DIR_OR_REPOSITORY")
@click.option("--dir", "folder", type=PATH, metavar="DIR", help="Where to write the manifest; default: beside the old file, ./NAME for a repository.")
@click.option("--name", metavar="NAME", help="Name of the module; default: from its folder or repository.")
@click.option("--version", default="v0.1.0", show_default=True, metavar="VERSION", help="Version of the module.")
@click.option("--repair", is_flag=True, help="Take out comments, mend commas; every change is shown.")
@click.option("--image-id", metavar="sha256:HEX", help="The image's id, where the file has a tag.")
@click.option("--archive", metavar="CID", help="CID of the image as a docker-archive.")
@click.option("--repository", metavar="URL", help="Where a file or folder comes from, to be recorded.")
@click.option("--ref", metavar="REF", help="Tag, branch or commit of a repository; of another folder, to be recorded.")
@click.option("--commit", metavar="COMMIT", help="What the tag or branch has to mean; also takes a tag that moved there.")
def import_module(
    out: Output, source: str, folder: Path | None, name: str | None, version: str, repair: bool, image_id: str | None,
    archive: str | None, repository: str | None, ref: str | None, commit: str | None,
) -> None:  # fmt: skip
    """Turn an old module (lilypad_module.json.tmpl) into a manifest, and report every hazard by line."""
    from lilypad_agents.agents.author.importing import find_old, refusal_of, write_imported
    from lilypad_agents.execution.oldmodule.importer import Origin
    from lilypad_agents.execution.oldmodule.importer import import_module as read

    old = find_old(source, ref, commit)
    origin = Origin(
        name=name or old.name, version=version, repository=old.repository or repository, ref=old.ref, commit=old.commit,
        path=old.shown, image_id=image_id, archive=archive,
    )  # fmt: skip
    imported = read(old.raw, origin, repair=repair)
    error = refusal_of(imported)
    written = None if error is not None else str(write_imported(imported, folder or old.folder))
    findings = imported.report.findings
    data = {"manifest": written, "commit": old.commit, "report": [finding.to_json() for finding in findings]}
    out.finish(data, lambda: _show_import(out, old.shown, old.commit, findings, written), error=error)


def _show_import(out: Output, file: str, commit: str | None, findings: list[Any], written: str | None) -> None:
    from lilypad_agents.execution.display import printable

    for finding in findings:
        place = f"{file}:{finding.line}" if finding.line else file
        where = f" {finding.path}:" if finding.path else ""
        fix = f" {finding.fix}" if finding.fix else ""
        out.print(printable(f"{place}: {finding.severity}: {finding.code}:{where} {finding.message}.{fix}"))
    if written is not None:
        out.print(f"Wrote {written}" + (f", of the commit {commit}" if commit else ""))
        out.note("Next: `lilypad module lint`, which names what is still missing.")


def _bytes(path: Path) -> bytes:
    from lilypad_agents.errors import ConfigurationError

    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The file {path} cannot be read: {error.strerror}.") from None
