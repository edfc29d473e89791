// Two columns of bars with bands between them, drawn as SVG for the width at hand.
const LINE = 16, BAR = 10, TOP = 22, GREY = "#8a8f98"

export function render({model}) {
  const root = document.createElement("div")
  root.className = "alluvial"
  const stacked = (names, sizes, scale) => {
    let at = TOP
    const slots = new Map()
    for (const name of names) {
      const height = (sizes.get(name) ?? 0) * scale
      const slot = Math.max(LINE, height + 3)
      slots.set(name, {start: at + (slot - height) / 2, height, middle: at + slot / 2, filled: 0})
      at += slot
    }
    return [slots, at]
  }
  const sums = (names, side) => {
    const found = new Map(names.map((name) => [name, 0]))
    for (const link of model.links) found.set(link[side], (found.get(link[side]) ?? 0) + link.size)
    return found
  }
  const build = () => {
    const width = Math.max(320, root.clientWidth || 320)
    const lefts = sums(model.left, "row"), rights = sums(model.right, "column")
    const total = model.links.reduce((sum, link) => sum + link.size, 0)
    if (!total) {
      root.replaceChildren()
      return
    }
    const rows = Math.max(model.left.length, model.right.length)
    const scale = Math.max(120, Math.min(260, rows * 16)) / total
    const [from, leftEnd] = stacked(model.left, lefts, scale)
    const [to, rightEnd] = stacked(model.right, rights, scale)
    const height = Math.max(leftEnd, rightEnd) + 4
    const room = Math.min(170, width * 0.27)
    const x0 = room + 6 + BAR, x1 = width - room - 6 - BAR
    const svg = make("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "group",
      "aria-label": `${model.left_title} to ${model.right_title}`})
    svg.append(make("text", {x: room, y: 12, class: "title", "text-anchor": "end"}, model.left_title))
    svg.append(make("text", {x: x1 + BAR + 6, y: 12, class: "title"}, model.right_title))
    const order = new Map(model.right.map((name, at) => [name, at]))
    const links = [...model.links].sort((a, b) => model.left.indexOf(a.row) - model.left.indexOf(b.row)
      || (order.get(a.column) ?? 0) - (order.get(b.column) ?? 0))
    for (const link of links) {
      const a = from.get(link.row), b = to.get(link.column)
      if (!a || !b) continue
      const h = link.size * scale, y0 = a.start + a.filled, y1 = b.start + b.filled, bend = (x0 + x1) / 2
      a.filled += h
      b.filled += h
      const band = make("path", {class: "band", tabindex: 0, role: "button",
        d: `M${x0} ${y0}C${bend} ${y0} ${bend} ${y1} ${x1} ${y1}V${y1 + h}C${bend} ${y1 + h} ${bend} ${y0 + h} ${x0} ${y0 + h}Z`,
        fill: model.colors[link.column] ?? GREY,
        "aria-label": `${link.row} to ${link.column}: ${link.size.toLocaleString("en-US")} ${model.unit}`})
      band.append(make("title", {}, `${link.row} → ${link.column}: ${link.size.toLocaleString("en-US")} ${model.unit}`))
      onPick(band, () => { model.picked = {row: link.row, column: link.column, at: Date.now()} })
      svg.append(band)
    }
    const label = (name, slot, onLeft, n) => {
      const color = onLeft ? "var(--ax-soft, #5b6472)" : model.colors[name] ?? GREY
      svg.append(make("rect", {x: onLeft ? x0 - BAR : x1, y: slot.start, width: BAR, height: Math.max(1, slot.height),
        style: `fill:${color}`}))
      const text = make("text", {x: onLeft ? room : x1 + BAR + 6, y: slot.middle + 4, class: "name",
        "text-anchor": onLeft ? "end" : "start"}, clipped(name, room - 4))
      text.append(make("title", {}, `${name}: ${n.toLocaleString("en-US")} ${model.unit}`))
      svg.append(text)
    }
    for (const [name, slot] of from) label(name, slot, true, lefts.get(name) ?? 0)
    for (const [name, slot] of to) label(name, slot, false, rights.get(name) ?? 0)
    root.replaceChildren(svg)
  }
  model.on(["left", "right", "links", "colors", "left_title", "right_title", "unit"], build)
  onWidth(model, root, build)
  build()
  return root
}
