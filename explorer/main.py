"""What `panel serve explorer` runs once per tab."""

from explorer.app.shell import Shell

Shell().page.servable(title="Atlas Explorer")
