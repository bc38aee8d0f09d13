"""The command line without any network: help, usage errors, forms of output, laziness, settings, accounts, local runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click
import pytest

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.main import COMMANDS, cli
from lilypad_agents.cli.output import Output, table
from lilypad_agents.cli.settings import Choice, creator_settings, environment, keystore_path, settings_file, test_index as index_of
from lilypad_agents.errors import ConfigurationError, InsufficientFunds, UsageError
from tests.support.cli_schemas import check_object

PROJECT = Path(__file__).resolve().parents[3]


def lilypad(*words: str, cwd: Path, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LILYPAD_")}
    return subprocess.run(
        [sys.executable, "-m", "lilypad_agents.cli", *words],
        cwd=cwd,
        env={**kept, "HOME": str(cwd), "XDG_CONFIG_HOME": str(cwd / "config"), **env},
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
    )


def all_commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in [*group.list_commands(context), *(["version"] if group is cli else [])]:
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = list(all_commands())


# ---- what exists


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_help__every_command__has_json_debug_and_examples(path: tuple[str, ...], command: click.Command) -> None:
    """beh:J20 beh:J21"""
    assert isinstance(command, LilypadCommand)
    names = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--debug"} <= names
    assert command.help
    assert "lilypad " + " ".join(path) in (command.epilog or ""), "no example"
    schema = resources.files("lilypad_agents.cli.schemas") / f"{'-'.join(path)}.json"
    assert schema.is_file() or path in (("provider", "start"), ("solver", "start"), ("mediator", "start"), ("seeds", "start"))


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_options__of_one_command__never_share_a_name(path: tuple[str, ...], command: click.Command) -> None:
    """The later one would win in silence: `certify -n 5` once named a network."""
    names = [option for parameter in command.params if isinstance(parameter, click.Option) for option in (*parameter.opts, *parameter.secondary_opts)]
    assert len(names) == len(set(names))


def test_certify__n__is_the_number_of_runs(tmp_path: Path) -> None:
    """beh:K13"""
    assert lilypad("module", "new", "hello", cwd=tmp_path).returncode == 0
    done = lilypad("module", "certify", "./hello", "-n", "2", "--json", cwd=tmp_path)
    found = check_object(done.stdout)["data"]
    assert (done.returncode, found["verdict"], found["runs"]) == (0, "exact", 2)
    assert [item["kind"] for item in found["evidence"]].count("repeat") == 2
    assert lilypad("module", "certify", "./hello", "-n", "1", cwd=tmp_path).returncode == 2


def test_schemas__every_file__belongs_to_a_command() -> None:
    """beh:J20"""
    known = {"-".join(path) for path, _ in ALL} | {"result", "event"}
    found = {path.name.removesuffix(".json") for path in resources.files("lilypad_agents.cli.schemas").iterdir() if path.name.endswith(".json")}
    assert found <= known


def test_commands__of_the_issue__exist() -> None:
    paths = {" ".join(path) for path, _ in ALL}
    wanted = "devnet up|devnet down|devnet status|devnet reset|run|quote|job list|job show|job wait|job logs|job fetch|job cancel|job accept|job challenge|job resume"
    wanted += "|module list|module show|module run|account list|account new|account import|account show|account facts|deposit|withdraw|balance|doctor|config show"
    wanted += "|provider start|provider status|provider why|provider earnings|provider drain|solver start|solver status"
    for group, names in (("module", "new import lint test certify pack publish deprecate search fork earnings claim"), ("list", "create add remove publish show")):
        wanted += "".join(f"|{group} {name}" for name in names.split())
    assert set(wanted.split("|")) <= paths


def test_help__of_the_whole__imports_nothing_heavy() -> None:
    """What makes `lilypad --help` slow is what it imports."""
    code = "import sys; from lilypad_agents.cli.main import cli; cli.main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"'([\w.]+)'", done.stderr))
    heavy = {"httpx", "eth_utils", "eth_abi", "pydantic", "rich", "coincurve", "wasmtime", "structlog", "jsonschema", "ape"}
    assert not heavy & loaded
    assert all(name in done.stdout for name in COMMANDS)


def test_run__imports__never_load_ape_or_the_engine() -> None:
    code = "import sys, lilypad_agents.cli.commands.run, lilypad_agents.agents.creator.client; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(re.findall(r"'([\w.]+)'", done.stdout))
    assert not {"ape", "web3", "wasmtime", "structlog", "prometheus_client"} & loaded


# ---- wrong words


def test_usage__unknown_command__names_the_nearest(tmp_path: Path) -> None:
    done = lilypad("rnu", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean `run`?" in done.stderr


@pytest.mark.parametrize("words", [["run", "--json"], ["quote", "x", "--nope", "--json"], ["job", "frob", "--json"]])
def test_usage__with_json__is_one_object_too(tmp_path: Path, words: list[str]) -> None:
    """beh:J20"""
    done = lilypad(*words, cwd=tmp_path)
    assert done.returncode == 2
    found = check_object(done.stdout)
    assert (found["ok"], found["error"]["code"]) == (False, "usage")


def test_run__without_any_network__says_how_to_get_one(tmp_path: Path) -> None:
    done = lilypad("run", "cowsay:v0.0.1", cwd=tmp_path)
    assert done.returncode == 10
    assert "lilypad devnet up" in done.stderr


def test_old_names__still_work_and_say_what_they_are_called_now(tmp_path: Path) -> None:
    done = lilypad("resource-provider", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "`resource-provider` is called `provider` now." in done.stderr
    assert lilypad("version", cwd=tmp_path).stdout.strip()
    for old in ("--target", "-t", "--web3-rpc-url", "--input", "-i", "-n", "--inputs-path"):
        names = {option for parameter in cli.get_command(click.Context(cli), "run").params for option in parameter.opts}  # type: ignore[union-attr]
        assert old in names


def test_bug__unforeseen_exception__gives_a_sentence_a_report_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """beh:J21"""
    secret = "planted-secret"

    @click.command(cls=LilypadCommand)
    def broken(out: Output) -> None:
        hidden = secret
        raise RuntimeError("unforeseen" if hidden else "")

    with pytest.raises(SystemExit) as ended:
        broken.main([], prog_name="broken")
    shown = capsys.readouterr().err
    assert ended.value.code == 1
    assert "internal-error: RuntimeError: unforeseen" in shown and "Traceback" not in shown
    report = Path(re.search(r"The report is (\S+\.txt)\.", shown)[1])  # type: ignore[index]
    assert "RuntimeError: unforeseen" in report.read_text()
    assert secret not in report.read_text()
    report.unlink()


def test_error__of_ours__shows_code_hint_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """beh:J21"""

    @click.command(cls=LilypadCommand)
    def poor(out: Output) -> None:
        raise InsufficientFunds("has \x1b[31mnothing", has=0)

    with pytest.raises(SystemExit) as ended:
        poor.main([], prog_name="poor")
    shown = capsys.readouterr().err
    assert ended.value.code == 11
    assert r"insufficient-funds: has \x1b[31mnothing" in shown
    assert "lilypad deposit" in shown


def test_interrupt__in_any_command__ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    """beh:J16"""

    @click.command(cls=LilypadCommand)
    def slow(out: Output) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        slow.main(["--json"], prog_name="slow")
    assert ended.value.code == 130
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "interrupted"


def test_reader_gone__pipe_closed__is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m lilypad_agents.cli --help | head -c 1", shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert "Error" not in done.stderr and "Traceback" not in done.stderr


# ---- forms of output


def test_output__json__is_exact_for_large_numbers_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("x", as_json=True)
    out.print("for people")
    out.finish({"big": 2**60, "small": 7, "bytes": b"\x01", "flag": True, "nothing": None, "list": (1, 2**53)})
    found = json.loads(capsys.readouterr().out)
    assert found["data"] == {"big": str(2**60), "small": 7, "bytes": "0x01", "flag": True, "nothing": None, "list": [1, str(2**53)]}


def test_output__with_an_error__keeps_the_data_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("x", as_json=True)
    out.finish({"a": 1}, error=UsageError("no"))
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["data"], found["error"]["code"], out.exit_code) == (False, {"a": 1}, "usage", 2)


def test_output__jsonl__prints_events_and_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output("x", as_json=True, as_jsonl=True)
    out.event({"event": "state", "id": "0x"}, "for people")
    out.finish({})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["state", "end"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)


def test_table__cells_of_strangers__cannot_break_lines_or_drive_the_terminal() -> None:
    """flt:S19"""
    text = table(("name", "note"), [("a\nb", "\x1b[2Jx"), ("c\td", "y")])
    assert text.splitlines() == ["NAME  NOTE", r"a b   \x1b[2Jx", "c d   y"]


# ---- settings


def test_settings_file__order__is_named_project_devnet_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """beh:J25"""
    monkeypatch.chdir(tmp_path)
    for name in ("LILYPAD_CONFIG", "LILYPAD_NETWORK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert settings_file(None, None) is None
    user = tmp_path / "xdg" / "lilypad"
    user.mkdir(parents=True)
    (user / "config.toml").write_text("")
    (user / "mine.toml").write_text("")
    assert settings_file(None, None) == user / "config.toml"
    assert settings_file("mine", None) == user / "mine.toml"
    (tmp_path / ".devnet").mkdir()
    (tmp_path / ".devnet" / "devnet.json").write_text("{}")
    (tmp_path / ".devnet" / "creator.toml").write_text("")
    assert settings_file(None, None) == tmp_path / ".devnet" / "creator.toml"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert settings_file("devnet", None) == tmp_path / ".devnet" / "creator.toml"
    (below / "lilypad.toml").write_text("")
    assert settings_file(None, None) == Path("lilypad.toml")
    assert settings_file(None, Path("x.toml")) == Path("x.toml")
    with pytest.raises(ConfigurationError, match="no network 'other'"):
        settings_file("other", None)


def test_environment__variables_of_the_shell_and_of_ape__are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LILYPAD_ROOT", "/x")
    monkeypatch.setenv("LILYPAD_RPC_URL", "http://x")
    monkeypatch.setenv("LILYPAD_RPC", "http://y")
    found = environment()
    assert "LILYPAD_ROOT" not in found and "LILYPAD_RPC_URL" not in found
    assert found["LILYPAD_RPC"] == "http://y"


def test_config_show__every_setting__names_its_origin_and_hides_passwords(tmp_path: Path) -> None:
    """beh:J25"""
    (tmp_path / "lilypad.toml").write_text('rpc = ["http://user:planted@host/x"]\n[creator]\nmatch_s = 5\n')
    done = lilypad("config", "show", "--json", cwd=tmp_path, LILYPAD_CREATOR_JUDGE_WINDOW_S="9")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in check_object(done.stdout)["data"]["settings"]}
    assert rows["match_s"]["origin"].startswith("file ")
    assert (rows["judge_window_s"]["value"], rows["judge_window_s"]["origin"]) == ("9", "environment LILYPAD_CREATOR_JUDGE_WINDOW_S")
    assert rows["results"]["origin"] == "default"
    assert "planted" not in done.stdout and "(hidden)" in rows["rpc"]["value"]


@pytest.mark.parametrize(
    ("text", "variable"),
    [('spelling = "wrong"', ""), ("[creator]\nnope = 1", ""), ('rpc = "no list', ""), ("", "LILYPAD_NOPE"), ('confirmations = "many"', "")],
)
def test_config_show__unknown_or_malformed_setting__is_an_error_that_names_it(tmp_path: Path, text: str, variable: str) -> None:
    """beh:J25"""
    (tmp_path / "lilypad.toml").write_text(text)
    done = lilypad("config", "show", cwd=tmp_path, **({variable: "1"} if variable else {}))
    assert done.returncode == 10
    assert done.stderr


# ---- accounts


def test_account__new_and_import__keep_the_key_private_and_out_of_sight(tmp_path: Path) -> None:
    """beh:J24 beh:L17"""
    key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
    made = lilypad("account", "new", "alice", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    data = check_object(made.stdout)["data"]
    for path in (data["keystore"], data["passwordFile"]):
        assert Path(path).stat().st_mode & 0o077 == 0
    imported = lilypad("account", "import", "bob", "--json", cwd=tmp_path, stdin=key + "\n")
    assert check_object(imported.stdout)["data"]["account"] == "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
    listed = lilypad("account", "list", cwd=tmp_path)
    assert "alice" in listed.stdout and "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23" in listed.stdout
    for done in (made, imported, listed):
        assert key not in done.stdout + done.stderr
    again = lilypad("account", "new", "alice", cwd=tmp_path)
    assert (again.returncode, "exists" in again.stderr) == (10, True)


@pytest.mark.parametrize(("words", "stdin"), [(["import", "x"], "not a key"), (["import", "x"], "00" * 32), (["new", "creator"], ""), (["new", "../x y"], "")])
def test_account__nonsense__is_refused_and_leaves_no_file(tmp_path: Path, words: list[str], stdin: str) -> None:
    done = lilypad("account", *words, cwd=tmp_path, stdin=stdin)
    assert done.returncode in (2, 10)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(("name", "index"), [("test:4", 4), ("7", 7), ("creator", 4), ("creator2", 10), ("alice", None), ("test:x", None)])
def test_account_name__of_the_devnet__means_a_test_account(name: str, index: int | None) -> None:
    assert index_of(name) == index


def test_keystore_path__names_and_paths() -> None:
    keys = Path("/keys")
    assert keystore_path(keys, "alice") == keys / "alice.json"
    assert keystore_path(keys, "./x.json") == Path("x.json")
    for name in ("", ".hidden", "a b"):
        with pytest.raises(UsageError):
            keystore_path(keys, name)


# ---- local runs


def test_local__folder__runs_without_any_network(tmp_path: Path) -> None:
    """beh:K12 beh:L10"""
    done = lilypad("run", str(PROJECT / "modules" / "cowsay"), "--local", "-i", "Message=alone", "--json", "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = check_object(done.stdout)["data"]
    assert data["exitCode"] == 0
    assert b"< alone >" in (tmp_path / "out" / "stdout").read_bytes()
    again = lilypad("module", "run", str(PROJECT / "modules" / "cowsay"), "--local", "-i", "Message=alone", "--json", cwd=tmp_path)
    assert check_object(again.stdout)["data"]["dataId"] == data["dataId"]


@pytest.mark.parametrize("words", [["./nowhere"], [str(PROJECT / "modules" / "wordcount")], [str(PROJECT / "modules" / "cowsay"), "-i", "Nope=1"]])
def test_local__bad_folder_or_inputs__are_refused(tmp_path: Path, words: list[str]) -> None:
    done = lilypad("run", *words, "--local", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_local__name_of_a_folder_here__says_how_to_mean_the_folder(tmp_path: Path) -> None:
    """beh:K1"""
    assert lilypad("module", "new", "hello", cwd=tmp_path).returncode == 0
    done = lilypad("module", "run", "hello", "--local", cwd=tmp_path)
    assert done.returncode != 0 and "`./hello`" in done.stderr
    assert lilypad("module", "run", "./hello", "--local", "-i", "Name=x", cwd=tmp_path).returncode == 0


def test_help__of_the_whole__is_quick(tmp_path: Path) -> None:
    """Generous, since other tests may run beside it; the import test above is the sharp one."""
    began = time.monotonic()
    assert lilypad("--help", cwd=tmp_path).returncode == 0
    assert time.monotonic() - began < 5


def test_password_file__of_the_command_or_the_environment__opens_the_key_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ignored unless an account was named as well, although the error's hint told to give it."""
    settings = tmp_path / "lilypad.toml"
    settings.write_text(f'data = "{tmp_path}"\nrpc = ["http://127.0.0.1:1"]\nkeystore = "key.json"\npassword_file = "old"\n')
    monkeypatch.delenv("LILYPAD_PASSWORD_FILE", raising=False)
    assert creator_settings(Choice(config=settings)).password_file == tmp_path / "old"
    monkeypatch.setenv("LILYPAD_PASSWORD_FILE", "/of/the/environment")
    assert creator_settings(Choice(config=settings)).password_file == Path("/of/the/environment")
    assert creator_settings(Choice(config=settings, password_file=Path("/given"))).password_file == Path("/given")
