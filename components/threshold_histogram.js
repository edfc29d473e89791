// A histogram with a line to drag. Arrow keys move it too; what the threshold keeps is said by the server.
const WIDE = 440, HIGH = 132, FOOT = 26
const NS = "http://www.w3.org/2000/svg"

export function render({model}) {
  const root = document.createElement("div")
  root.className = "histogram"
  const title = document.createElement("div")
  title.className = "title"
  const svg = document.createElementNS(NS, "svg")
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH + FOOT}`)
  svg.setAttribute("role", "slider")
  svg.setAttribute("tabindex", "0")
  const summary = document.createElement("div")
  summary.className = "summary"
  summary.setAttribute("aria-live", "polite")
  root.append(title, svg, summary)

  const make = (tag, attributes, text) => {
    const node = document.createElementNS(NS, tag)
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
    if (text !== undefined) node.textContent = text
    svg.append(node)
    return node
  }
  const least = () => model.least ?? model.bounds[0]
  const span = () => model.bounds[1] - model.bounds[0] || 1
  const place = (value) => WIDE * (value - model.bounds[0]) / span()
  let bars = [], line, grip, label
  let shown = model.threshold

  const move = () => {
    const x = place(shown)
    for (const {node, middle} of bars) node.setAttribute("class", middle >= shown ? "bar kept" : "bar")
    for (const node of [line, grip]) node.setAttribute("transform", `translate(${x} 0)`)
    label.setAttribute("x", Math.min(Math.max(x, 16), WIDE - 16))
    label.textContent = shown.toFixed(2)
    svg.setAttribute("aria-valuenow", shown)
  }
  const build = () => {
    svg.replaceChildren()
    const most = Math.max(1, ...model.counts)
    const wide = WIDE / Math.max(1, model.counts.length)
    bars = model.counts.map((count, i) => {
      // a bin of few cells among many must not vanish
      const high = count ? Math.max(1.5, (HIGH - 14) * count / most) : 0
      const node = make("rect", {x: i * wide + 0.5, y: HIGH - high, width: Math.max(0.5, wide - 1), height: high})
      return {node, middle: model.bounds[0] + (i + 0.5) * span() / model.counts.length}
    })
    make("line", {class: "base", x1: 0, x2: WIDE, y1: HIGH, y2: HIGH})
    make("text", {class: "end", x: 0, y: HIGH + 20}, String(Number(model.bounds[0].toPrecision(3))))
    make("text", {class: "end last", x: WIDE, y: HIGH + 20}, String(Number(model.bounds[1].toPrecision(3))))
    line = make("line", {class: "line", x1: 0, x2: 0, y1: 0, y2: HIGH})
    grip = make("circle", {class: "grip", cx: 0, cy: HIGH, r: 6})
    label = make("text", {class: "label", y: HIGH + 20})
    title.textContent = model.title
    svg.setAttribute("aria-label", model.title || "Threshold")
    svg.setAttribute("aria-valuemin", least())
    svg.setAttribute("aria-valuemax", model.bounds[1])
    move()
  }
  const set = (value) => {
    const steps = Math.round((value - model.bounds[0]) / model.step)
    const rounded = Number((model.bounds[0] + steps * model.step).toPrecision(8))
    shown = Math.min(Math.max(rounded, least()), model.bounds[1])
    move()
  }
  const at = (event) => {
    const box = svg.getBoundingClientRect()
    return model.bounds[0] + span() * (event.clientX - box.left) / box.width
  }
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); set(at(event)) })
  svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) set(at(event)) })
  svg.addEventListener("pointerup", () => { model.threshold = shown })
  svg.addEventListener("keydown", (event) => {
    const steps = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10}[event.key]
    const ends = {Home: least(), End: model.bounds[1]}
    if (steps === undefined && !(event.key in ends)) return
    event.preventDefault()
    set(steps === undefined ? ends[event.key] : shown + steps * model.step)
    model.threshold = shown
  })
  model.on(["counts", "bounds", "least", "title"], build)
  model.on("threshold", () => { shown = model.threshold; move() })
  model.on("summary", () => { summary.textContent = model.summary })
  summary.textContent = model.summary
  build()
  return root
}
