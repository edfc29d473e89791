"""The views, in the order of the steps."""

from explorer.app.views.base import View
from explorer.app.views.data.screen import DataView
from explorer.app.views.explore.screen import ExploreView
from explorer.app.views.figures.screen import ExportView
from explorer.app.views.home import HomeView
from explorer.app.views.map.screen import MapView
from explorer.app.views.quality.screen import QualityView

VIEWS: dict[str, type[View]] = {
    "home": HomeView,
    "data": DataView,
    "map": MapView,
    "quality": QualityView,
    "explore": ExploreView,
    "export": ExportView,
}
