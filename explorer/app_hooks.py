"""What the server runs when it starts and when it ends; nothing here belongs to one tab.

Bokeh executes this file more than once in a process, each time as a new module, before it builds its routes:
so whatever lasts lives in imported modules, and everything is harmless to do twice.
"""

from __future__ import annotations

import threading
from typing import Any

from explorer.app import downloads, uploads
from explorer.settings import settings
from explorer.supervisor import supervisor

uploads.register()
downloads.register()


def on_server_loaded(server_context: Any) -> None:  # noqa: ARG001  (the name and the argument are Bokeh's)
    """Start the worker and throw away uploads that nobody will resume."""
    supervisor().start()
    threading.Thread(target=uploads.remove_stale, args=(settings().uploads,), daemon=True).start()


def on_server_unloaded(server_context: Any) -> None:  # noqa: ARG001
    """End the worker."""
    supervisor().stop()
