"""What a person types: `rsc` and its commands.

`rsc.cli.app` is the one error edge; one module holds each command. A command parses words,
calls `rsc.api` or the package that does the work, and shows the result. Its module is
imported when it is run (`rsc.cli.lazy_group`), so ``rsc --help`` answers at once; no command
that trains nothing loads Ray or torch.
"""
