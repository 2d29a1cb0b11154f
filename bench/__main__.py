"""`python -m bench`, which `make bench` calls."""

import typer

from bench.run import main

typer.run(main)
