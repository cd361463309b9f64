"""Kubernetes quantities as numbers: ``250m`` is 0.25, ``2Gi`` is 2 147 483 648.

Only what manifests of pods contain: decimal and binary suffixes and plain or exponent
numbers. Units stay with the resource: CPUs for ``cpu``, bytes for ``memory``, pieces for
the rest.
"""

from __future__ import annotations

import math
import re

from rsc.errors import UserError

_FACTORS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}
# As utils.IsGPUResourceKey of KubeRay, and learner.gpuResource in the chart's schema.
_GPU = re.compile(r"gpu$|nvidia\.com/mig-[0-9]+g\.[0-9]+gb$")
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([a-zA-Z]{0,2})$")


def is_gpu(resource: str) -> bool:
    """Return whether KubeRay counts a resource as a GPU of Ray: ``…gpu``, or a slice of one."""
    return _GPU.search(resource) is not None


def quantity(value: object, where: str) -> float:
    """Return a quantity as a number in its base unit.

    Parameters
    ----------
    value : object
        As YAML gives it: text or a number.
    where : str
        How an error names its place.

    Raises
    ------
    UserError
        It is no quantity.
    """
    match = _QUANTITY.match(str(value).strip())
    if match is None or match[2] not in _FACTORS:
        message = f"{where} was {value!r}, must be a quantity of Kubernetes"
        raise UserError(message, "For example 250m, 2, 512Mi or 4Gi.")
    return float(match[1]) * _FACTORS[match[2]]


def ray_cpus(value: object, where: str) -> int:
    """Return the CPUs that Ray gets of a pod: KubeRay rounds its limit up."""
    return math.ceil(quantity(value, where) - 1e-9)


def memory_text(number: float) -> str:
    """Return bytes as a person reads them, e.g. ``1.5 GiB``."""
    if number >= 2**30:
        return f"{number / 2**30:.3g} GiB"
    return f"{number / 2**20:.3g} MiB"
