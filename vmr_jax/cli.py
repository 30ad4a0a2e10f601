"""The `vmr` command: prepare, check and simulate data, score predictions, reproduce tables."""

import typer

app = typer.Typer(
    help="Video moment retrieval in JAX.", no_args_is_help=True, pretty_exceptions_enable=False
)


def main() -> None:
    """Run the command; a user's mistake ends in one line, not in a stack trace."""
    app()


if __name__ == "__main__":
    main()
