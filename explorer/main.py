"""What `panel serve explorer` runs once per tab."""

from components.widget_state import keep_widgets_true
from explorer.app.shell import Shell

keep_widgets_true()
Shell().page.servable(title="Atlas Explorer")
