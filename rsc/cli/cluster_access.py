"""What the cluster commands share: which cluster, which manifest, which prices of pods."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rsc.cluster.api.client import Cluster
from rsc.cluster.api.client import connect as connect_to
from rsc.cluster.manifest.source import read_manifest, shipped_manifest
from rsc.errors import UserError

NamespaceOption = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        envvar="RSC_NAMESPACE",
        show_envvar=False,
        show_default="the kubeconfig's",
        help="Namespace of the run.",
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="NAME",
        show_default="the current one",
        help="Context of the kubeconfig.",
    ),
]
ManifestOption = Annotated[
    str | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        show_default="the shipped one",
        help="What helm template printed for your cluster; - is stdin.",
    ),
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="GROUP=MONEY",
        help="Money for one pod and hour: --price learner=1.2. May be given many times.",
    ),
]
ResourceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        metavar="GROUP.NAME=AMOUNT",
        help="What each pod of a group gets: learner.nvidia.com/gpu=1, sampler.memory=4Gi, "
        "head.requests.cpu=500m.",
    ),
]
SamplersOption = Annotated[
    int | None,
    typer.Option(
        "--samplers",
        min=0,
        metavar="N",
        show_default="what the run needs",
        help="Most pods of each sampler group.",
    ),
]
ClusterRunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id, its RayJob, the beginning of one, or 'last'."),
]


def connect(namespace: str | None, context: str | None) -> Cluster:
    """Return the cluster that is meant; the library is loaded only here."""
    return connect_to(namespace, context)


def read_documents(manifest: str | None) -> tuple[dict[str, Any], ...]:
    """Return the objects of a manifest: a file's, stdin's, or the shipped ones."""
    if manifest is None:
        return read_manifest(shipped_manifest(), "the shipped manifest")
    if manifest == "-":
        return read_manifest(sys.stdin.read(), "stdin")
    try:
        text = Path(manifest).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UserError(f"{manifest} could not be read ({why}), must be a manifest") from error
    return read_manifest(text, manifest)


def read_prices(given: list[str] | None) -> dict[str, float]:
    """Return money for one pod and hour by group."""
    prices = {}
    for text in given or []:
        group, _, number = text.partition("=")
        try:
            price = float(number)
        except ValueError:
            price = -1.0
        if not group or not 0 <= price < float("inf"):
            raise UserError(
                f"--price was {text!r}, must be GROUP=MONEY with a number from 0 on",
                "For one pod and hour: --price learner=1.2 --price sampler=0.05 --price head=0.1",
            )
        prices[group] = price
    return prices
