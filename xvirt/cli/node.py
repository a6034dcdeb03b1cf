"""`node`, `version`, `completion`: about nodes and the command itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from xvirt import __version__
from xvirt.cli.session import Session, pass_session
from xvirt.cli.tables import to_json, to_yaml
from xvirt.client.pki import init_pki


@click.group()
def node() -> None:
    """Nodes: certificates, facts, tokens."""


@node.command("init-pki")
@click.option("--dir", "directory", required=True, type=click.Path(path_type=Path), help="Folder for keys.")
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="A node; its certificate serves.")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="A client; its certificate connects.")
def init_pki_command(directory: Path, nodes: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Make a CA and certificates for a small installation. What is there is kept; names are added."""
    for path in init_pki(directory, nodes, clients):
        click.echo(path)


@node.command("info")
@pass_session
def info(session: Session) -> None:
    """What the node is: capacity, versions, accelerator, pools."""
    with session.connect_node("node info") as place:
        client = place.client
        described = client.node_info()
        click.echo(to_yaml(described.document).rstrip())
        click.echo(f"capabilities: {', '.join(described.capabilities)}")


@node.command("accept-epoch")
@click.argument("authority")
@pass_session
def accept_epoch(session: Session, authority: str) -> None:
    """Take older tokens of AUTHORITY (of a cluster: the UID of its namespace kube-system) again, on this host.

    For a cluster whose etcd was restored from a backup: this host knows newer generations, or a newer epoch, and refuses what comes.
    From now on the restored cluster's wish holds, which may be an older one. Nothing changes until it is sent."""
    with session.connect_node("node accept-epoch") as place:
        client = place.client
        refs = client.accept_epoch(authority)
    for ref in refs:
        click.echo(f"{ref} takes any token of {authority} once more")
    if not refs:
        click.echo(f"{authority} has nothing here now; deleted objects of it may be declared again")


@click.command()
@click.option("--client", "is_client_only", is_flag=True, help="Ask nobody.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default=None, help="How to print.")
@pass_session
def version(session: Session, is_client_only: bool, output: str | None) -> None:
    """Versions of this command and of the node or cluster. Where that cannot be reached, the first is printed all the same."""
    found: dict[str, Any] = {"client": {"version": __version__}}
    if output is None:
        click.echo(f"client: {__version__}")
    try:
        if not is_client_only:
            with session.connect() as place:
                about = place.about()
            found[about.word] = dict(about.versions)
    finally:
        if output is not None:
            click.echo((to_yaml(found) if output == "yaml" else to_json(found)).rstrip())
    if output is None and not is_client_only:
        click.echo(about.sentence)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script: `source <(xvirt completion bash)`."""
    cls = get_completion_class(shell)
    if cls is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(cls(context.find_root().command, {}, "xvirt", "_XVIRT_COMPLETE").source())
