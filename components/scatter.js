// Named points on two axes: circles, and diamonds for those that are marked. A point can be picked.
const W = 420, H = 260, LEFT = 34, FOOT = 30, PAD = 12

export function render({model}) {
  const root = block("div", "scatter")
  const scale = (values, from, to) => {
    const low = Math.min(...values), high = Math.max(...values), wide = high - low || 1
    return (value) => from + (to - from) * (value - low + 0.06 * wide) / (1.12 * wide)
  }
  const outline = (diamond, x, y) => diamond
    ? {points: `${x},${y - 8} ${x + 7},${y} ${x},${y + 8} ${x - 7},${y}`}
    : {cx: x, cy: y, r: 6}
  const build = () => {
    const n = model.names.length
    if (!n) {
      root.replaceChildren(block("p", "soft", model.empty))
      return
    }
    if (model.x.length !== n || model.y.length !== n) return  // they come one after the other
    const svg = make("svg", {viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": `${model.x_title}, ${model.y_title}`})
    const atX = scale(model.x, LEFT, W - PAD), atY = scale(model.y, H - FOOT, PAD)
    svg.append(
      make("path", {class: "axis", d: `M${LEFT},${PAD}V${H - FOOT}H${W - PAD}`}),
      make("text", {class: "title", x: (LEFT + W) / 2, y: H - 8, "text-anchor": "middle"}, model.x_title),
      make("text", {class: "title", x: -(H - FOOT) / 2, y: 16, transform: "rotate(-90)", "text-anchor": "middle"}, model.y_title),
    )
    const taken = []
    // right of the point, left of it, above or below; a name for which there is no room is in the tip only
    const room = (x, y, name) => {
      const wide = 6.6 * name.length
      const tries = [[x + 10, y + 4, "start"], [x - 10, y + 4, "end"], [x, y - 11, "middle"], [x, y + 19, "middle"]]
      for (const [at, base, anchor] of tries) {
        const left = anchor === "start" ? at : anchor === "end" ? at - wide : at - wide / 2
        const box = [left, base - 11, left + wide, base + 3]
        const free = taken.every(([a, b, c, d]) => box[2] < a || box[0] > c || box[3] < b || box[1] > d)
        if (box[0] > LEFT && box[2] < W && free) {
          taken.push(box)
          return {x: at, y: base, "text-anchor": anchor}
        }
      }
      return null
    }
    model.names.forEach((_, i) => {
      const x = atX(model.x[i]), y = atY(model.y[i])
      taken.push([x - 7, y - 7, x + 7, y + 7])
    })
    model.names.forEach((name, i) => {
      const x = atX(model.x[i]), y = atY(model.y[i]), diamond = model.marked[i] ?? false
      const point = make(diamond ? "polygon" : "circle", {
        ...outline(diamond, x, y), class: "point", tabindex: 0, role: "button", "aria-label": name,
        fill: model.colors[i] ?? "var(--ax-accent, #0b6bcb)",
      })
      point.append(make("title", {}, [name, model.notes[i]].filter(Boolean).join("\n")))
      onPick(point, () => { model.picked = {name, at: Date.now()} })
      svg.append(point)
      const place = room(x, y, name)
      if (place) svg.append(make("text", {class: "name", ...place}, name))
    })
    const legend = block("div", "legend")
    legend.append(...model.legend.map((entry) => {
      const item = block("span", "entry")
      const swatch = block("i", entry.shape ? `swatch ${entry.shape}` : "swatch circle")
      if (entry.color) swatch.style.background = entry.color
      item.append(swatch, entry.name)
      return item
    }))
    root.replaceChildren(svg, legend)
  }
  model.on(["names", "x", "y", "colors", "notes", "marked", "x_title", "y_title", "legend", "empty"], build)
  build()
  return root
}
