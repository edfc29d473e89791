// Coloured fields by name and group as SVG; names are buttons left of the fields.
const LINE = 20, NARROWEST = 20, WIDEST = 46, SWATCH = 4
const TOP = 40  // the scale stands above, so that it is seen however many rows follow

export function render({model}) {
  const root = document.createElement("div")
  root.className = "fields"
  const color = (shade) => model.palette[Math.max(0, Math.min(model.palette.length - 1, Math.round(shade * (model.palette.length - 1))))]
  const build = () => {
    const rows = model.names.length, n = model.groups.length
    if (model.shades.length !== rows || model.tips.length !== rows) return  // they come one after the other
    if ([...model.shades, ...model.tips].some((line) => line.length !== n)) return
    if (!rows || !n) {
      root.replaceChildren()
      return
    }
    const left = widest(model.names, 110) + 10, tail = widest(model.groups.slice(-1), 170) * 0.72
    const step = Math.max(NARROWEST, Math.min(WIDEST, ((root.clientWidth || 400) - left - tail) / n))
    const foot = TOP + rows * LINE + SWATCH + 2, below = widest(model.groups, 170) * 0.72 + 18
    const wide = Math.max(left + n * step + tail, 150, widthOf(model.title))
    const svg = make("svg", {width: wide, height: foot + below, role: "group", "aria-label": "Heat map"})
    scale(svg)
    model.names.forEach((name, i) => {
      const text = make("text", {x: 0, y: TOP + i * LINE + LINE / 2 + 4, class: name === model.picked ? "name mine" : "name", tabindex: 0,
        role: "button", "aria-pressed": String(name === model.picked)}, clipped(name, 110))
      onPick(text, () => { model.picked = model.picked === name ? "" : name })
      svg.append(text)
      model.shades[i].forEach((shade, j) => {
        const field = make("rect", {x: left + j * step, y: TOP + i * LINE, width: step, height: LINE, fill: color(shade), class: "field"})
        field.append(make("title", {}, model.tips[i][j]))
        svg.append(field)
      })
    })
    model.groups.forEach((group, j) => {
      if (model.group_colors.length === n) {
        svg.append(make("rect", {x: left + j * step + 0.5, y: TOP + rows * LINE + 2, width: step - 1, height: SWATCH, fill: model.group_colors[j]}))
      }
      const x = left + j * step + step / 2, y = foot + 12
      const text = make("text", {x, y, transform: `rotate(45 ${x} ${y})`}, clipped(group, 170))
      text.append(make("title", {}, group))
      svg.append(text)
    })
    root.replaceChildren(svg)
  }
  const scale = (svg) => {
    svg.append(make("text", {x: 0, y: 12, class: "soft"}, model.title))
    const step = 90 / model.palette.length
    model.palette.forEach((fill, i) => svg.append(make("rect", {x: 14 + i * step, y: 20, width: step + 0.5, height: 9, fill})))
    svg.append(make("rect", {x: 14, y: 20, width: 90.5, height: 9, class: "bar"}))
    svg.append(make("text", {x: 0, y: 29, class: "soft"}, "0"))
    svg.append(make("text", {x: 110, y: 29, class: "soft"}, "1"))
  }
  model.on(["names", "groups", "group_colors", "shades", "tips", "title", "palette", "picked"], build)
  onWidth(model, root, build)
  build()
  return root
}
