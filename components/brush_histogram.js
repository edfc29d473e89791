// A histogram of all values in grey and of some in colour, with a range to brush. All text is set as text.
const WIDE = 220, HIGH = 72
const NS = "http://www.w3.org/2000/svg"

export function render({model}) {
  const root = document.createElement("div")
  root.className = "brush"
  const title = document.createElement("div")
  title.className = "title"
  const svg = document.createElementNS(NS, "svg")
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`)
  svg.setAttribute("preserveAspectRatio", "none")
  const foot = document.createElement("div")
  foot.className = "foot"
  const field = (label) => {
    const input = document.createElement("input")
    input.type = "number"
    input.step = "any"
    foot.append(input)
    input.dataset.end = label
    return input
  }
  const from = field("from"), to = field("to")
  const clear = document.createElement("button")
  clear.textContent = "Clear"
  foot.append(clear)
  root.append(title, svg, foot)

  const make = (tag, attributes) => {
    const node = document.createElementNS(NS, tag)
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
    svg.append(node)
    return node
  }
  const short = (value) => Number(value.toPrecision(4))
  const span = () => model.bounds[1] - model.bounds[0] || 1
  const place = (value) => Math.min(WIDE, Math.max(0, WIDE * (value - model.bounds[0]) / span()))
  const valueAt = (event) => {
    const box = svg.getBoundingClientRect()
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))
    return model.bounds[0] + share * span()
  }
  let shade, drawn = model.ends
  const written = new Set() // fields that somebody writes in, which new bars must not overwrite

  const mark = () => {
    const ends = drawn
    shade.setAttribute("x", ends ? place(ends[0]) : 0)
    shade.setAttribute("width", ends ? Math.max(1, place(ends[1]) - place(ends[0])) : 0)
    if (!written.has(from)) from.value = short(ends ? ends[0] : model.bounds[0])
    if (!written.has(to)) to.value = short(ends ? ends[1] : model.bounds[1])
    clear.disabled = !ends
  }
  const build = () => {
    title.textContent = model.title
    svg.setAttribute("aria-label", `Histogram of ${model.title}`)
    svg.setAttribute("role", "img")
    from.setAttribute("aria-label", `${model.title} from`)
    to.setAttribute("aria-label", `${model.title} to`)
    clear.setAttribute("aria-label", `Clear ${model.title}`)
    svg.replaceChildren()
    shade = make("rect", {class: "shade", y: 0, height: HIGH})
    const most = Math.max(1, ...model.counts)
    const wide = WIDE / Math.max(1, model.counts.length)
    const bar = (kind, count, i) => {
      // a bin of few among many must not vanish
      const high = count ? Math.max(1.5, (HIGH - 4) * count / most) : 0
      make("rect", {class: kind, x: i * wide + 0.25, y: HIGH - high, width: Math.max(0.5, wide - 0.5), height: high})
    }
    model.counts.forEach((count, i) => bar("all", count, i))
    model.front.forEach((count, i) => bar("some", count, i))
    mark()
  }
  const settle = (ends) => { drawn = ends; mark(); model.ends = ends }

  let start = null
  svg.addEventListener("pointerdown", (event) => { start = valueAt(event); svg.setPointerCapture(event.pointerId) })
  svg.addEventListener("pointermove", (event) => {
    if (start === null) return
    const end = valueAt(event)
    drawn = [Math.min(start, end), Math.max(start, end)]
    mark()
  })
  svg.addEventListener("pointerup", (event) => {
    if (start === null) return
    const end = valueAt(event), ends = [Math.min(start, end), Math.max(start, end)]
    start = null
    // a click is no range
    if (ends[1] - ends[0] > span() / 200) settle(ends)
    else { drawn = model.ends; mark() }
  })
  svg.addEventListener("dblclick", () => settle(null))
  clear.addEventListener("click", () => settle(null))
  for (const input of [from, to]) {
    input.addEventListener("input", () => written.add(input))
    input.addEventListener("blur", () => written.delete(input))
    input.addEventListener("change", () => {
      written.delete(input)
      const ends = [Number(from.value), Number(to.value)]
      if (from.value !== "" && to.value !== "" && ends[1] >= ends[0]) settle(ends)
      else mark()
    })
  }
  model.on("ends", () => { drawn = model.ends; mark() })
  model.on(["title", "bounds", "counts", "front"], build)
  build()
  return root
}
