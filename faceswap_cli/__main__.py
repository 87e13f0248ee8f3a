"""python -m faceswap_cli: the same as the command faceswap-cli; torchrun starts it so."""

from faceswap_cli.cli import cli

if __name__ == "__main__":
    cli(prog_name="faceswap-cli")
