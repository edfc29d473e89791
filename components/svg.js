// What charts share: nodes of SVG, names cut to the room at hand, picking, and drawing anew at another width.
// A chart's own module follows in the same text (`modules.py`), after `html.js`.
const pen = document.createElement("canvas").getContext("2d")
pen.font = "12px Roboto, system-ui, sans-serif"

const make = (tag, attributes = {}, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  if (text !== undefined) node.textContent = text
  return node
}

const widthOf = (text) => pen.measureText(text).width

const widest = (texts, most) => Math.min(most, Math.max(20, ...texts.map(widthOf)))

const clipped = (text, room) => {
  if (widthOf(text) <= room) return text
  let kept = text
  while (kept.length > 1 && widthOf(kept + "…") > room) kept = kept.slice(0, -1)
  return kept + "…"
}

const onPick = (node, pick) => {
  node.addEventListener("click", pick)
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return
    event.preventDefault()
    pick()
  })
}

const onWidth = (model, root, build) => {
  let seen = 0
  const watcher = new ResizeObserver(() => {
    if (Math.abs(root.clientWidth - seen) < 2) return
    seen = root.clientWidth
    build()
  })
  watcher.observe(root)
  model.on("remove", () => watcher.disconnect())
}
