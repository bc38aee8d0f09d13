"""Errors of the execution package. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError, LilypadError, UsageError


class ManifestInvalid(UsageError):
    """A module manifest breaks a rule; `figures["field"]` names the place, such as `limits.fuel`."""

    code = "manifest-invalid"
    hint = "Correct the named field of lilypad_module.json; the rules are in the published schema and docs/modules.md."

    def __init__(self, field: str, problem: str, **figures: object) -> None:
        super().__init__(f"{field or 'manifest'}: {problem}", field=field, problem=problem, **figures)


class InputsInvalid(UsageError):
    """Inputs or input files do not fit what the module declares; `figures["field"]` names the input."""

    code = "inputs-invalid"
    hint = "See the module's inputs with `lilypad module show`; nothing was signed or paid."

    def __init__(self, field: str, problem: str, **figures: object) -> None:
        super().__init__(f"{field or 'inputs'}: {problem}", field=field, problem=problem, **figures)


class ModuleBroken(LilypadError):
    """The artefact was obtained, but it does not load, or is not what its manifest says."""

    code = "module-broken"
    hint = "Tell the module's publisher; choose another version. No honest party can run this one."
    exit_code = 10


class ContentMismatch(ModuleBroken):
    """Bytes that were loaded do not have the content hash that was pinned."""

    code = "content-mismatch"
    hint = "Fetch the content again from another source; it must have the pinned hash before the job may start."
    exit_code = 41


class NameRefused(LilypadError):
    """A file name or path breaks the rules for names in inputs and results."""

    code = "name-refused"
    hint = "Use relative paths of NFC letters, digits and ordinary punctuation, without `..` or control characters."
    exit_code = 2


class ResultRefused(LilypadError):
    """A result directory, receipt or worker reply is malformed, too large or holds what results may not hold."""

    code = "result-refused"
    hint = "Do not accept this result; challenge the delivery or fetch it from another source."
    exit_code = 41


class PolicyUnsupported(LilypadError):
    """The module declares a comparison policy that this version cannot apply."""

    code = "policy-unsupported"
    hint = "Only the policy `exact` can be checked by this version; pick a module that declares it."
    exit_code = 10


class EngineMismatch(ConfigurationError):
    """The installed engine is not the one whose fuel this release counts."""

    code = "engine-mismatch"
    hint = "Install the dependencies that this release pins: `pip install -e .`."


class ScheduleUnsupported(LilypadError):
    """The module bills by a fuel schedule (engine and version) that this release does not count."""

    code = "schedule-unsupported"
    hint = (
        "Run the release of Lilypad that has this schedule, or ask the publisher for a version under the present one."
    )
    exit_code = 10


class CapacityExceeded(LilypadError):
    """All job slots of the worker pool are taken."""

    code = "capacity-exceeded"
    hint = "Wait for a running job to end, or raise the provider's capacity."
    exit_code = 10


class WorkerUnavailable(ConfigurationError):
    """The fork server cannot be started or does not answer."""

    code = "worker-unavailable"
    hint = "Run `lilypad doctor`; look at forkserver.log in the worker folder."


class SandboxUnsafe(ConfigurationError):
    """The sandbox self-test failed, so this machine may not offer."""

    code = "sandbox-unsafe"
    hint = "Each failing check of `lilypad doctor` names its fix."
