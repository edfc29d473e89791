// The page has lost its server: say so, and come back by itself. What was chosen lies under the page's address.
const banner = document.createElement("div")
banner.setAttribute("role", "alert")
banner.style.cssText = "position:fixed;z-index:10000;left:0;right:0;top:0;padding:9px 16px;text-align:center;" +
  "font:14px/1.4 Roboto,system-ui,sans-serif;background:var(--ax-warn-tint);color:var(--ax-ink);" +
  "border-bottom:1px solid var(--ax-warn)"
banner.textContent = "The connection to the server is lost. Jobs go on; this page comes back by itself as soon as it can."
if (!document.querySelector("[data-ax-lost]")) {
  banner.dataset.axLost = "1"
  document.body.append(banner)
  const probe = document.querySelector("script[src*='bokeh']").src
  const again = async () => {
    try {
      if ((await fetch(probe, {method: "HEAD", cache: "no-store"})).ok) { location.reload(); return }
    } catch { /* not back yet */ }
    setTimeout(again, 2000)
  }
  setTimeout(again, 2000)
}
