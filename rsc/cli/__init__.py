"""What a person types: `rsc` and its commands.

`rsc.cli.app` is the one error edge; one module holds each group of commands. Modules
here import only typer and rich at the top: everything heavy is imported inside the
command that needs it, so that ``rsc --help`` answers at once and no command that trains
nothing loads Ray or torch.
"""
