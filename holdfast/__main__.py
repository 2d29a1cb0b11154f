"""`python -m holdfast` is the `holdfast` command."""

from holdfast.cli import app

app(prog_name="holdfast")
