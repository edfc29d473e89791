"""What the server runs when it starts and when it ends; nothing here belongs to one tab.

Bokeh executes this file more than once in a process, each time as a new module, before it builds its routes:
so whatever lasts lives in imported modules, and everything is harmless to do twice.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from typing import Any

# Before anything imports torch, which reads it once: or two threads on two busy cores become 7 to 10 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from components import raster
from explorer.app.leaving import downloads
from explorer.app.stored import library, references, uploads
from explorer.errors import AtlasError
from explorer.jobs.supervisor import supervisor
from explorer.settings import settings

log = logging.getLogger(__name__)

uploads.register()
downloads.register()


def on_server_loaded(server_context: Any) -> None:  # noqa: ARG001  (the name and the argument are Bokeh's)
    """Start the worker, and do in the background what the first person would otherwise wait for."""
    supervisor().start()
    threading.Thread(target=_prepare, name="prepare", daemon=True).start()


def on_server_unloaded(server_context: Any) -> None:  # noqa: ARG001
    """End the worker."""
    supervisor().stop()


def _prepare() -> None:
    uploads.remove_stale(settings().uploads)
    importlib.import_module("explorer.app.shell")
    raster.warm()
    try:
        library.reference(references.current(settings().references[0]))
    except AtlasError as problem:
        log.warning("%s", problem)
