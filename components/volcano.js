// A scatter of names; dots are one path a colour, so that thousands cost little.
const LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 36

export function render({model}) {
  const root = document.createElement("div")
  root.className = "volcano"
  const tip = document.createElement("div")
  tip.className = "tip"
  tip.hidden = true
  let place = []

  const ticks = (low, high, wanted) => {
    const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough))
    const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10)
    const found = []
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(Number(at.toPrecision(6)))
    return found
  }
  const nearest = (event, most) => {
    const box = root.getBoundingClientRect()
    const x = event.clientX - box.left, y = event.clientY - box.top
    let best = -1, distance = most * most
    place.forEach(([px, py], i) => {
      const d = (px - x) ** 2 + (py - y) ** 2
      if (d < distance) { distance = d; best = i }
    })
    return best
  }
  const build = () => {
    const n = model.names.length
    if (model.x.length !== n || model.y.length !== n) return  // they come one after the other
    const width = Math.max(240, root.clientWidth || 240), height = model.tall
    place = []
    if (!n) {
      root.replaceChildren(tip)
      return
    }
    const far = Math.max(1, ...model.x.map(Math.abs)) * 1.06, high = Math.max(1, ...model.y) * 1.06
    const right = width - RIGHT, bottom = height - BOTTOM
    const toX = (value) => LEFT + (value + far) / (2 * far) * (right - LEFT)
    const toY = (value) => bottom - value / high * (bottom - TOP)
    const svg = make("svg", {width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `${model.x_title} against ${model.y_title}, ${n} dots`})
    for (const value of ticks(-far, far, 6)) {
      svg.append(make("line", {x1: toX(value), x2: toX(value), y1: TOP, y2: bottom, class: value === 0 ? "zero" : "grid"}))
      svg.append(make("text", {x: toX(value), y: bottom + 14, class: "tick", "text-anchor": "middle"}, String(value)))
    }
    for (const value of ticks(0, high, 4)) {
      svg.append(make("line", {x1: LEFT, x2: right, y1: toY(value), y2: toY(value), class: "grid"}))
      svg.append(make("text", {x: LEFT - 6, y: toY(value) + 4, class: "tick", "text-anchor": "end"}, String(value)))
    }
    svg.append(make("text", {x: (LEFT + right) / 2, y: height - 5, class: "title", "text-anchor": "middle"}, model.x_title))
    svg.append(make("text", {x: 12, y: (TOP + bottom) / 2, class: "title", "text-anchor": "middle",
      transform: `rotate(-90 12 ${(TOP + bottom) / 2})`}, model.y_title))
    const paths = {grey: "", up: "", down: ""}
    place = model.x.map((x, i) => {
      const at = [toX(x), toY(model.y[i])]
      const kind = Math.abs(x) < model.least_x || model.y[i] < model.least_y ? "grey" : x > 0 ? "up" : "down"
      paths[kind] += `M${at[0].toFixed(1)} ${at[1].toFixed(1)}h0`
      return at
    })
    for (const [kind, d] of Object.entries(paths)) if (d) svg.append(make("path", {d, class: `dots ${kind}`}))
    const boxes = []
    const write = (name, className) => {
      const i = model.names.indexOf(name)
      if (i < 0) return
      const [x, y] = place[i], wide = widthOf(name) + 4
      const toLeft = x + wide + 6 > right
      const box = [toLeft ? x - wide - 5 : x + 5, y - 8, wide, 15]
      const clash = boxes.some((b) => box[0] < b[0] + b[2] && b[0] < box[0] + box[2] && box[1] < b[1] + b[3] && b[1] < box[1] + box[3])
      if ((clash && !className) || box[0] < LEFT) return
      boxes.push(box)
      if (className) svg.append(make("circle", {cx: x, cy: y, r: 5, class: "ring"}))
      svg.append(make("text", {x: toLeft ? x - 6 : x + 6, y: y + 4, class: `name ${className}`, "text-anchor": toLeft ? "end" : "start"}, name))
    }
    if (model.picked) write(model.picked, "mine")
    for (const name of model.labelled) if (name !== model.picked) write(name, "")
    root.replaceChildren(svg, tip)
  }
  root.addEventListener("pointermove", (event) => {
    const at = nearest(event, 12)
    tip.hidden = at < 0
    root.classList.toggle("near", at >= 0)
    if (at < 0) return
    tip.textContent = `${model.names[at]}  ${model.x[at]}, ${model.y[at]}`
    const [x, y] = place[at]
    tip.style.left = `${Math.min(x + 10, Math.max(0, root.clientWidth - tip.offsetWidth - 2))}px`
    tip.style.top = `${Math.max(0, y - 30)}px`
  })
  root.addEventListener("pointerleave", () => { tip.hidden = true })
  root.addEventListener("click", (event) => {
    const at = nearest(event, 12)
    if (at >= 0) model.picked = model.names[at]
  })
  model.on(["names", "x", "y", "least_x", "least_y", "labelled", "x_title", "y_title", "picked", "tall"], build)
  onWidth(model, root, build)
  build()
  return root
}
