"""The dlt load under way."""
from __future__ import annotations

import dlt


def current_load_id() -> str | None:
    """The load that this extraction belongs to; None outside a pipeline, where a resource is only iterated."""
    from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

    try:
        return str(dlt.current.load_package_state()["load_id"])
    except CurrentLoadPackageStateNotAvailable:
        return None
