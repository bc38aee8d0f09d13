"""The fields of a manifest, one function per section; called by `manifest.parse_manifest` only."""

from __future__ import annotations

import re
from typing import Any

from lilypad_agents.execution import manifest as m
from lilypad_agents.execution.arguments import MAX_TEMPLATES, Template, read_template
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.fields import UINT256, Fields, read_object
from lilypad_agents.execution.manifest_rules import check_rules
from lilypad_agents.execution.schema import SchemaRefused, check_schema

NAME_FORM = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_FORM = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
ACCOUNT_FORM = r"0x[0-9a-fA-F]{40}"
RAW_CID_FORM = r"bafkrei[a-z2-7]{52}"
CID_FORM = r"(?:bafkrei|bafybei)[a-z2-7]{52}"
GIB = 1 << 30


def read_manifest(document: Any, *, source: bool) -> m.Manifest:
    """All fields, then the rules between them. Raises ManifestInvalid."""
    if isinstance(document, dict) and document.get("schema") != m.SCHEMA_ID:
        raise ManifestInvalid("schema", f"must be {m.SCHEMA_ID!r}, the one version that this release knows")
    manifest = read_object(document, "", lambda fields: _manifest(fields, document, source))
    check_rules(manifest, source=source)
    return manifest


def _manifest(f: Fields, document: dict[str, Any], source: bool) -> m.Manifest:
    f.raw("schema")
    _catalogue(f)
    engine = f.choice("engine", ("wasm", "container", "bacalhau"))
    for other in {"wasm", "container", "bacalhau"} - {engine}:
        if f.has(other):
            raise f.refuse(other, f"must be absent, since the engine is {engine}")
    return m.Manifest(
        document=document,
        publisher=f.text(
            "publisher", form=f"{ACCOUNT_FORM}|(?!0x){NAME_FORM}", what="account or alias", **_optional(source)
        ),
        name=f.text("name", form=NAME_FORM, what="module name ([a-z0-9][a-z0-9-]{0,62})"),
        version=f.text("version", form=VERSION_FORM, what="version ([A-Za-z0-9][A-Za-z0-9._+-]{0,63})"),
        title=f.text("title", most=120, default=None),
        description=f.text("description", most=4_000, default=None),
        licence=f.section("licence", _licence),
        inputs=_inputs(f),
        files=f.items("files", _file_slot),
        artifacts=f.items("artifacts", _artifact),
        engine=engine,
        wasm=f.section("wasm", lambda w: _wasm(w, source)) if engine == "wasm" else None,
        container=f.section("container", _container) if engine == "container" else None,
        bacalhau=f.section("bacalhau", _bacalhau) if engine == "bacalhau" else None,
        outputs=f.section("outputs", _outputs, m.Outputs(None, ())),
        compare=f.section("compare", lambda c: _compare(c, engine)),
        verification=f.section("verification", _verification, m.Verification(None, 0, 0)),
        deterministic=f.boolean("deterministic", True),
        resources=f.section("resources", _resources),
        limits=f.section("limits", _limits),
        metering=f.section("metering", _metering, m.Metering("none", 1, None)),
        seed=f.section("seed", _seed),
        network=f.choice("network", ("none",)),
        royalty_bps=f.integer("royaltyBps", 0, 3_000, 0),
        royalty_to=f.text("royaltyTo", form=ACCOUNT_FORM, what="account", default=None),
        parent=_parent(f),
        examples=f.items("examples", _example, least=1),
    )


def _optional(absent_allowed: bool) -> dict[str, Any]:
    return {"default": None} if absent_allowed else {}


def _catalogue(f: Fields) -> None:
    """Fields for people; they are checked and stay in the document."""
    f.texts("authors", most=50)
    f.text("homepage", default=None, form=r"https?://\S+", what="web address")
    f.text("icon", default=None, form=rf"https?://\S+|{CID_FORM}", what="web address or CID")
    f.texts("tags", most=32, form=r"[a-z0-9][a-z0-9-]{0,31}", what="tag")
    texts = lambda *names: lambda section: [section.text(name, default=None) for name in names]  # noqa: E731
    f.section("model", texts("name", "type", "size"), None)
    f.section("source", texts("repository", "commit", "recipe"), None)
    f.section("importedFrom", lambda s: (texts("repository", "commit", "path")(s), s.texts("flags")), None)


def _parent(f: Fields) -> str | None:
    if f.raw("parent", None) is None:
        return None  # null says on purpose that there is none
    return f.text("parent", form=r"0x[0-9a-f]{64}", what="version id")


def _licence(f: Fields) -> m.Licence:
    form = {"form": r"[A-Za-z0-9.+() :-]{1,200}", "what": "SPDX expression"}
    return m.Licence(
        f.text("code", **form), f.text("weights", default=None, **form), f.text("outputs", default=None, **form)
    )


def _inputs(f: Fields) -> Any:
    schema = f.raw("inputs")
    try:
        check_schema(schema, "inputs")
    except SchemaRefused as failure:
        raise ManifestInvalid(failure.path, failure.problem) from None
    return schema


def _file_slot(f: Fields) -> m.FileSlot:
    return m.FileSlot(
        name=f.file_path("name"),
        required=f.boolean("required", True),
        max_bytes=f.integer("maxBytes", 0, 4 * GIB),
        media_type=_media_type(f),
    )


def _artifact(f: Fields) -> m.Artifact:
    return m.Artifact(
        f.file_path("path"), f.text("cid", form=CID_FORM, what="CID (v1, base32)"), f.integer("bytes", 0, 64 * GIB)
    )


def _media_type(f: Fields) -> str | None:
    return f.text(
        "mediaType",
        default=None,
        most=100,
        form=r"[a-z0-9.+-]+/[a-z0-9.+*-]+(; ?[a-z0-9-]+=[\w.-]+)*",
        what="media type",
    )


def _wasm(f: Fields, source: bool) -> m.WasmSection:
    module = f.file_path("module") if source else f.text("module", form=CID_FORM, what="CID (v1, base32)")
    return m.WasmSection(module, f.text("entry", most=100, default="_start"), _args(f), _env(f))


def _container(f: Fields) -> m.ContainerSection:
    return m.ContainerSection(
        image_id=f.text("imageId", form=r"sha256:[0-9a-f]{64}", what="image id (sha256:...), never a tag"),
        archive=f.text("archive", form=CID_FORM, what="CID (v1, base32)"),
        platform=f.choice("platform", ("linux/amd64", "linux/arm64")),
        args=_args(f),
        env=_env(f),
        workdir=f.text("workdir", default=None, form=r"/\S*", what="absolute path"),
    )


def _bacalhau(f: Fields) -> Any:
    kind = f.choice("kind", ("wasm", "docker"))
    return {"kind": kind, "section": _wasm(f, source=False) if kind == "wasm" else _container(f)}


def _args(f: Fields) -> tuple[Template, ...]:
    values = f.raw("args", [])
    if not isinstance(values, list) or len(values) > MAX_TEMPLATES:
        raise f.refuse("args", f"must be a list of at most {MAX_TEMPLATES} templates")
    return tuple(read_template(value, f"{f.path('args')}[{index}]") for index, value in enumerate(values))


def _env(f: Fields) -> tuple[tuple[str, Template], ...]:
    values = f.raw("env", {})
    if not isinstance(values, dict) or len(values) > MAX_TEMPLATES:
        raise f.refuse("env", f"must be an object of at most {MAX_TEMPLATES} templates")
    for name in values:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
            raise f.refuse("env", f"{ascii(name)[:80]} is no name of a variable")
    return tuple((name, read_template(values[name], f"{f.path('env')}.{name}")) for name in sorted(values))


def _outputs(f: Fields) -> m.Outputs:
    return m.Outputs(f.section("stdout", _media_type, None), f.items("files", _output_file))


def _output_file(f: Fields) -> m.OutputFile:
    schema = f.raw("schema", None)
    if schema is not None:
        try:
            check_schema(schema, f.path("schema"))
        except SchemaRefused as failure:
            raise ManifestInvalid(failure.path, failure.problem) from None
    return m.OutputFile(f.file_path("path"), _media_type(f), schema, f.boolean("required", True))


def _compare(f: Fields, engine: str) -> m.Compare:
    default = m.COUNTED_PARTS if engine == "wasm" else tuple(p for p in m.COUNTED_PARTS if p != "stderr")
    counts = f.texts("counts", most=4) if f.has("counts") else default
    if len(set(counts)) != len(counts) or not counts or not set(counts) <= set(m.COUNTED_PARTS):
        raise f.refuse("counts", f"must be a selection of {', '.join(m.COUNTED_PARTS)}")
    policy = f.choice("policy", m.POLICIES)
    params = f.raw("params", {})
    if not isinstance(params, dict) or policy == "exact" and params:
        raise f.refuse("params", "must be an object, and is empty for the policy exact")
    return m.Compare(policy, tuple(part for part in m.COUNTED_PARTS if part in counts), params)


def _verification(f: Fields) -> m.Verification:
    strategy = f.text("strategy", default=None, form=ACCOUNT_FORM, what="account of a strategy")
    return m.Verification(strategy, f.integer("minAuditBps", 0, 10_000, 0), f.integer("minSeatFee", 0, UINT256, 0))


def _resources(f: Fields) -> m.Resources:
    return m.Resources(
        cpu_milli=f.integer("cpuMilli", 1, 1_000_000),
        ram_mib=f.integer("ramMib", 1, 1 << 22),
        disk_mib=f.integer("diskMib", 0, 1 << 26),
        gpu_count=f.integer("gpuCount", 0, 64, 0),
        vram_mib=f.integer("vramMib", 0, 1 << 20, 0),
        flags=f.texts("flags", most=32, form=r"[a-z0-9][a-z0-9_.-]{0,31}", what="flag"),
    )


def _limits(f: Fields) -> m.ModuleLimits:
    return m.ModuleLimits(
        fuel=f.integer("fuel", 1, 1 << 62),
        wall_seconds=f.integer("wallSeconds", 1, 7 * 86_400),
        stdout_bytes=f.integer("stdoutBytes", 0, GIB),
        stderr_bytes=f.integer("stderrBytes", 0, GIB),
        output_bytes=f.integer("outputBytes", 0, 16 * GIB),
        output_files=f.integer("outputFiles", 0, 8_000),
        processes=f.integer("processes", 1, 4_096),
    )


def _metering(f: Fields) -> m.Metering:
    kind = f.choice("kind", ("none", "fuel", "tokens", "bytes"))
    if kind == "none":
        for name in ("per", "schedule"):
            if f.has(name):
                raise f.refuse(name, "has no meaning when nothing is metered")
        return m.Metering("none", 1, None)
    return m.Metering(kind, f.integer("per", 1, 1 << 62), f.text("schedule", most=100))


def _seed(f: Fields) -> m.SeedPolicy:
    policy = f.choice("policy", ("none", "deal", "input"))
    name = f.text("input", most=64, default=None)
    if (policy == "input") is (name is None):
        raise f.refuse("input", "names the integer input when the policy is input, and is absent otherwise")
    return m.SeedPolicy(policy, name)


def _example(f: Fields) -> m.Example:
    inputs, files = f.raw("inputs", {}), f.raw("files", {})
    if not isinstance(inputs, dict):
        raise f.refuse("inputs", "must be an object")
    if not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        raise f.refuse("files", "must map file names to paths or CIDs")
    return m.Example(inputs, files, f.section("expect", _expectation))


def _expectation(f: Fields) -> m.Expectation:
    stdout = f.raw("stdout", None)
    if stdout is not None and not isinstance(stdout, str):
        raise f.refuse("stdout", "must be a text")
    root = f.text("root", default=None, form=CID_FORM, what="CID (v1, base32)")
    return m.Expectation(f.integer("exitCode", 0, 511, None), stdout, root)
