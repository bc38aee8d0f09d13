"""Deploys Lilypad, or checks a deployment: `ape run deploy --network ethereum:devnet --account TEST::0`.

Running it again changes nothing; after a kill it goes on where it stopped. Parameters are a preset of protocol section
15 with `--set name=value` for any of them. Writes `deployments/<chain id>.json`. All logic is in
`lilypad_agents.chain.deployer`, which works without Ape; here are Ape's networks and accounts.
"""

import json
from pathlib import Path

import click
from ape.cli import AccountAliasPromptChoice, ConnectedProviderCommand, account_option, ape_cli_context, network_option
from ape.logging import logger

ROOT = Path(__file__).resolve().parent.parent


class ApeSender:
    """Sends through an Ape account; whatever Ape says about a refusal becomes a DeploymentFailed."""

    def __init__(self, account, provider):
        self.account = account
        self.provider = provider
        self.address = str(account.address)

    def send(self, to, data, value=0):
        from ape.exceptions import ApeException

        from lilypad_agents.chain.deployer import DeploymentFailed

        fields = {"sender": self.address, "data": data, "value": value, **({"receiver": to} if to else {})}
        transaction = self.provider.network.ecosystem.create_transaction(**fields)
        try:
            receipt = self.account.call(transaction)
        except ApeException as error:
            raise DeploymentFailed(f"Ape did not get the transaction mined: {error}", reason=str(error)) from error
        return bytes.fromhex(str(receipt.txn_hash)[2:])


def _show(book, findings, path):
    widths = max(len(name) for name in book["contracts"])
    click.echo(f"chain {book['chainId']}, preset {book['parameters']['preset']}, address book {path}")
    if not book["factory"]["canonical"]:
        click.echo(f"Own factory {book['factory']['address']}: addresses differ from those on other chains.")
    sizes = {finding.subject: finding.code_bytes for finding in findings}
    for name, entry in book["contracts"].items():
        click.echo(f"{name:{widths}}  {entry['address']}  block {entry['block']:>8}  {sizes.get(name, 0):>6} bytes")
    for finding in findings:
        for problem in finding.problems:
            click.echo(f"{finding.subject}: {problem}", err=True)


def _report(event, *, alert=False, **fields):
    (logger.warning if alert else logger.info)(" ".join([event.replace("_", " "), *map(str, fields.values())]))


def _quiet(_context, _parameter, as_json):
    """Ape writes its log to standard output, where only the JSON belongs."""
    if as_json:
        logger.set_level("WARNING")
    return as_json


@click.command(cls=ConnectedProviderCommand)
@ape_cli_context()
@network_option()
@account_option(prompt=None)
@click.option("--preset", "preset_name", default=None, help="production, testnet or devnet; by default devnet on local chains")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="another value for one parameter")
@click.option("--book", type=click.Path(path_type=Path), default=None, help="address book; by default deployments/<chain id>.json")
@click.option("--verify", is_flag=True, help="only compare the chain with the address book; exit 1 when they differ")
@click.option("--json", "as_json", is_flag=True, callback=_quiet, help="print the address book as JSON, and nothing else")
def cli(_cli_ctx, provider, account, preset_name, assignments, book, verify, as_json):
    """Deploy the contracts of Lilypad, or verify a deployment."""
    from lilypad_agents.chain.deployer import Deployment
    from lilypad_agents.chain.deployment_check import check_deployment
    from lilypad_agents.chain.deployment_plan import overridden, parse_assignments, preset
    from lilypad_agents.chain.keys import LOCAL_CHAINS
    from lilypad_agents.chain.rpc import Rpc, RpcConfig
    from lilypad_agents.errors import LilypadError

    uri = getattr(provider, "uri", None) or getattr(provider, "http_uri", None)
    if not uri:
        raise click.UsageError("This network has no JSON-RPC endpoint; use ethereum:devnet or another node.")
    rpc = Rpc(RpcConfig((str(uri),), provider.chain_id))
    path = book or ROOT / "deployments" / f"{provider.chain_id}.json"
    try:
        if verify:
            document = json.loads(path.read_text(encoding="utf-8"))
        else:
            chosen = preset(preset_name or ("devnet" if provider.chain_id in LOCAL_CHAINS else "production"))
            parameters = overridden(chosen, parse_assignments(assignments))
            sender = ApeSender(account or AccountAliasPromptChoice().select_account(), provider)
            document = Deployment(rpc, sender, parameters, path, notify=_report).run()
        findings = check_deployment(rpc, document)
    except LilypadError as error:
        raise click.ClickException(f"{error.code}: {error.message}\n{error.way_out}") from error
    except OSError as error:
        raise click.ClickException(f"There is no address book {path} ({error.strerror}); deploy first.") from error
    finally:
        rpc.close()
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document, findings, path)
    if any(finding.problems for finding in findings):
        raise SystemExit(1)
