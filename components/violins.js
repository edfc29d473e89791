// Violins by group, one row of them a name, as SVG.
const HIGH = 58, TOP = 6, NARROWEST = 26, WIDEST = 46

export function render({model}) {
  const root = document.createElement("div")
  root.className = "violins"
  const build = () => {
    const rows = model.names.length, n = model.groups.length
    if (model.shapes.length !== rows || model.medians.length !== rows || model.tops.length !== rows) return
    if ([...model.shapes, ...model.medians].some((line) => line.length !== n) || model.colors.length !== n) return  // they come one after the other
    if (!rows || !n) {
      root.replaceChildren()
      return
    }
    const left = widest(model.names, 110) + 34, tail = widest(model.groups.slice(-1), 150) * 0.72
    const step = Math.max(NARROWEST, Math.min(WIDEST, ((root.clientWidth || 400) - left - tail) / n)), half = step / 2 - 3
    const below = widest(model.groups, 150) * 0.72 + 18
    const wide = left + n * step + tail
    const svg = make("svg", {width: wide, height: TOP + rows * HIGH + below, role: "group", "aria-label": `Violins ${model.unit}`})
    model.names.forEach((name, i) => {
      const floor = TOP + (i + 1) * HIGH - 8, tall = HIGH - 14
      const text = make("text", {x: 0, y: floor - tall / 2 + 4, class: name === model.picked ? "name mine" : "name", tabindex: 0,
        role: "button", "aria-pressed": String(name === model.picked)}, clipped(name, 110))
      onPick(text, () => { model.picked = model.picked === name ? "" : name })
      svg.append(text)
      svg.append(make("line", {x1: left, x2: left + n * step, y1: floor, y2: floor, class: "grid"}))
      svg.append(make("text", {x: left - 5, y: floor + 3, class: "tick", "text-anchor": "end"}, "0"))
      svg.append(make("text", {x: left - 5, y: floor - tall + 8, class: "tick", "text-anchor": "end"}, model.tops[i].toPrecision(2)))
      model.shapes[i].forEach((widths, j) => {
        if (!widths.length) return
        const x = left + j * step + step / 2, bin = tall / widths.length
        const y = (k) => floor - (k + 0.5) * bin
        const right = widths.map((w, k) => `${(x + half * w).toFixed(1)} ${y(k).toFixed(1)}`)
        const others = widths.map((w, k) => `${(x - half * w).toFixed(1)} ${y(k).toFixed(1)}`).reverse()
        const shape = make("path", {d: `M${right.join("L")}L${others.join("L")}Z`, fill: model.colors[j], class: "shape"})
        const median = model.medians[i][j]
        shape.append(make("title", {}, `${name} in ${model.groups[j]}: median ${median}`))
        svg.append(shape)
        const at = floor - median / model.tops[i] * tall
        svg.append(make("line", {x1: x - half / 2, x2: x + half / 2, y1: at, y2: at, class: "median"}))
      })
    })
    model.groups.forEach((group, j) => {
      const x = left + j * step + step / 2, y = TOP + rows * HIGH + 12
      const text = make("text", {x, y, transform: `rotate(45 ${x} ${y})`}, clipped(group, 150))
      text.append(make("title", {}, group))
      svg.append(text)
    })
    root.replaceChildren(svg)
  }
  model.on(["names", "groups", "colors", "shapes", "medians", "tops", "picked", "unit"], build)
  onWidth(model, root, build)
  build()
  return root
}
