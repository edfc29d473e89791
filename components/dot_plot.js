// Dots by group and name as SVG; names are buttons below the dots.
const STEP = 24, LINE = 22, MOST = 9, TOP = 6

export function render({model}) {
  const root = document.createElement("div")
  root.className = "dots"
  const color = (value, most) => {
    const at = most > 0 ? Math.round(value / most * (model.palette.length - 1)) : 0
    return model.palette[Math.max(0, Math.min(model.palette.length - 1, at))]
  }
  const build = () => {
    const rows = model.groups.length
    if (model.shares.length !== rows || model.values.length !== rows) return  // they come one after the other
    if ([...model.shares, ...model.values].some((line) => line.length !== model.names.length)) return
    if (!rows || !model.names.length) {
      root.replaceChildren()
      return
    }
    const left = widest(model.groups, 170) + 24, below = widest(model.names, 110) * 0.72 + 18
    const wide = left + model.names.length * STEP + widest(model.names.slice(-1), 110) * 0.72
    const high = TOP + rows * LINE + below
    const svg = make("svg", {width: Math.max(wide, 366), height: high + 52, role: "group", "aria-label": "Dot plot"})
    const all = Math.max(1e-12, ...model.values.flat())
    const tops = model.names.map((_, j) => Math.max(...model.values.map((line) => line[j])))
    model.groups.forEach((group, i) => {
      const y = TOP + i * LINE + LINE / 2
      if (model.group_colors.length === rows) {
        svg.append(make("rect", {x: 0, y: y - 5, width: 10, height: 10, rx: 3, fill: model.group_colors[i]}))
      }
      const text = make("text", {x: 16, y: y + 4}, clipped(group, left - 22))
      text.append(make("title", {}, group))
      svg.append(text, make("line", {x1: left, x2: left + model.names.length * STEP, y1: y, y2: y, class: "grid"}))
      model.names.forEach((name, j) => {
        const share = model.shares[i][j], value = model.values[i][j]
        const dot = make("circle", {cx: left + j * STEP + STEP / 2, cy: y, r: Math.max(0.8, MOST * Math.sqrt(share)),
          fill: color(value, model.per_name ? tops[j] : all), class: "dot"})
        dot.append(make("title", {}, `${name} in ${group}: ${model.value_title} ${value.toFixed(2)}, ${model.share_title} ${(100 * share).toFixed(0)} %`))
        svg.append(dot)
      })
    })
    model.names.forEach((name, j) => {
      const x = left + j * STEP + STEP / 2, y = TOP + rows * LINE + 12
      const text = make("text", {x, y, transform: `rotate(45 ${x} ${y})`, class: name === model.picked ? "name mine" : "name",
        tabindex: 0, role: "button", "aria-pressed": String(name === model.picked)}, clipped(name, 110))
      onPick(text, () => { model.picked = model.picked === name ? "" : name })
      svg.append(text)
    })
    legend(svg, high + 8, all)
    root.replaceChildren(svg)
  }
  const legend = (svg, y, all) => {
    svg.append(make("text", {x: 0, y: y + 8, class: "soft"}, model.value_title))
    const n = model.palette.length, step = 90 / n
    model.palette.forEach((fill, i) => svg.append(make("rect", {x: 14 + i * step, y: y + 18, width: step + 0.5, height: 9, fill})))
    svg.append(make("text", {x: 0, y: y + 27, class: "soft"}, "0"))
    svg.append(make("text", {x: 108, y: y + 27, class: "soft"}, model.per_name ? "its most" : all.toPrecision(2)))
    svg.append(make("text", {x: 196, y: y + 8, class: "soft"}, model.share_title));
    [0.2, 0.5, 1].forEach((share, i) => {
      svg.append(make("circle", {cx: 206 + i * 46, cy: y + 24, r: MOST * Math.sqrt(share), class: "plain"}))
      svg.append(make("text", {x: 206 + i * 46 + MOST * Math.sqrt(share) + 3, y: y + 28, class: "soft"}, String(100 * share)))
    })
    svg.append(make("text", {x: 346, y: y + 28, class: "soft", "text-anchor": "start"}, "%"))
  }
  model.on(["names", "groups", "group_colors", "shares", "values", "value_title", "share_title", "per_name", "palette", "picked"], build)
  build()
  return root
}
