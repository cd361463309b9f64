"""The objects of one run: a manifest filled in, its sampler groups sized for the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rsc.cluster.manifest.capacity import samplers_needed
from rsc.cluster.manifest.rayjob import (
    Submission,
    fill_in,
    parse_resource,
    rayjob_name,
    rayjob_of,
)
from rsc.config.load import dump_yaml
from rsc.config.run import RunConfig


def run_objects(
    config: RunConfig,
    documents: Iterable[Mapping[str, Any]],
    *,
    shipped: bool,
    samplers: int | None,
    resources: Iterable[str],
    run_id: str = "run",
    name: str | None = None,
    namespace: str = "default",
    image: str | None = None,
    storage: str | None = None,
) -> tuple[tuple[dict[str, Any], ...], Submission]:
    """Return the objects of a run and what was filled in.

    Parameters
    ----------
    config : RunConfig
        What will be trained.
    documents : iterable of mapping
        The objects of a manifest.
    shipped : bool
        Whether it is the shipped manifest, which is for any run: its sampler groups get the
        size this run needs. A manifest of the user's is a limit that stays, unless `samplers`
        says otherwise.
    samplers : int or None
        Most pods of each sampler group; None leaves it to `shipped`.
    resources : iterable of str
        Changes to what groups ask for, each as ``--resource`` takes it.
    run_id, name, namespace, image, storage
        As in `Submission`; the RayJob's name begins with `name`, or with the run's.

    Raises
    ------
    UserError
        A name or a change is wrong, or the manifest has no place for it.
    """
    submission = Submission(
        name=rayjob_name(name or config.name, run_id),
        run_id=run_id,
        namespace=namespace,
        train_yaml=dump_yaml(config),
        files=dict(config.sources),
        image=image,
        storage=storage,
        samplers=samplers,
        resources=tuple(parse_resource(text) for text in resources),
    )
    objects = fill_in(documents, submission)
    if samplers is None and shipped:
        submission = replace(submission, samplers=samplers_needed(config, rayjob_of(objects)))
        objects = fill_in(documents, submission)
    return objects, submission
