"""The views, in the order of the steps."""

from explorer.app.views.base import View
from explorer.app.views.data import DataView
from explorer.app.views.explore import ExploreView
from explorer.app.views.export import ExportView
from explorer.app.views.home import HomeView
from explorer.app.views.map import MapView
from explorer.app.views.quality import QualityView

VIEWS: dict[str, type[View]] = {
    "home": HomeView,
    "data": DataView,
    "map": MapView,
    "quality": QualityView,
    "explore": ExploreView,
    "export": ExportView,
}
