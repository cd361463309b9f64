"""A Ray to work with: the one that is there, a cluster's, or a local one until the end.

Ray says much that is of no use to a person who trains (every actor that could be
restarted is an error to its core); here it is told to be quiet, and only here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from rsc.config.run import RunConfig
from rsc.errors import TemporaryError


@contextmanager
def local_ray(config: RunConfig, *, ray_running: bool = False) -> Iterator[None]:
    """Have a Ray to work with: the one that is there, or a local one until the end.

    Parameters
    ----------
    config : RunConfig
        Says how many processes there will be.
    ray_running : bool
        Connect to the cluster that this process runs in; never start a Ray.

    Raises
    ------
    TemporaryError
        Ray did not start, or there is no cluster to connect to.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # An answer that nobody fetches, because an earlier one failed, is no news.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's core reports every actor that could be restarted as an error, RLlib warns of every
    # algorithm on its new stack: neither is of use to a person who trains.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    resources = config.resources
    processes = resources.num_env_runners + resources.num_learners + 1
    address = os.environ.get("RAY_ADDRESS") or ("auto" if ray_running else "local")
    remote = address != "local"
    try:
        with _silent_stderr():  # the core announces its log level there, whatever it is
            ray.init(
                address=address,
                num_cpus=None if remote else max(os.cpu_count() or 1, processes),
                include_dashboard=None if remote else False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except Exception as error:
        raise TemporaryError(
            f"Ray did not start: {' '.join(str(error).split())[:200]}",
            "It must be able to write its temporary folder (/tmp/ray) and to start processes.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def is_loss(error: BaseException) -> bool:
    """Whether Ray lost a process or a node; False for what our own code raised in one."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return isinstance(error.cause, ray.exceptions.RayError)
    return isinstance(error, ray.exceptions.RayError)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere; exceptions pass as ever."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
