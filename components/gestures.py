"""What Bokeh's plots make of a hand that rests: `drag_after_rest`."""

from __future__ import annotations

from bokeh.models import CustomJS
from bokeh.plotting import figure

# Bokeh takes a button held still for 0.3 s for a press, after which dragging does nothing until it is let go: a lasso
# begun with care would be lost. Nothing here listens to presses, so none begins; a timer takes no longer time.
_NO_PRESS = 'Bokeh.require("core/ui_gestures").UIGestures.press_threshold = 2 ** 31 - 1'


def drag_after_rest(plot: figure) -> None:
    """Let a drag begin however long the button was held still before, from when the plot first has its size."""
    plot.js_on_change("inner_width", CustomJS(code=_NO_PRESS))
