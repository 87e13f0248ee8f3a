"""The group of commands about facesets: what is in them, moving them, other programs' ones."""

import click

from faceswap_cli.commands.curating import info
from faceswap_cli.commands.interop_faceset import export_faceset, import_faceset
from faceswap_cli.commands.packing import pack, unpack


@click.group()
def faceset() -> None:
    """Look at facesets, move them, take over those of other programs."""


for command in (info, pack, unpack, import_faceset, export_faceset):
    faceset.add_command(command)
