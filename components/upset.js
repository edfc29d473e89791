// Combinations as columns: a bar for the count, below it a dot for each member. A column can be picked.
export function render({model}) {
  const make = (tag, className, text) => {
    const node = document.createElement(tag)
    node.className = className
    if (text !== undefined) node.textContent = text
    return node
  }
  const root = make("div", "upset")
  const words = (at) => {
    const inside = model.names.filter((_, i) => model.members[at][i])
    const who = inside.length === model.names.length ? "all" : inside.length ? inside.join(", ") : "none"
    return `${who}: ${model.counts[at].toLocaleString("en")} ${model.unit}`.trim()
  }
  const column = (at, most) => {
    const button = make("button", "column")
    button.type = "button"
    button.setAttribute("aria-label", words(at))
    button.title = [words(at), model.action].filter(Boolean).join("\n")
    const above = make("span", "above")
    const bar = make("span", "bar")
    bar.style.setProperty("--share", model.counts[at] / most)
    above.append(make("span", "count", model.counts[at].toLocaleString("en")), bar)
    const dots = make("span", "dots")
    dots.append(...model.names.map((_, i) => make("i", model.members[at][i] ? "dot in" : "dot")))
    button.append(above, dots)
    button.addEventListener("click", () => { model.picked = {index: at, at: Date.now()} })
    return button
  }
  const build = () => {
    if (!model.counts.length) {
      root.replaceChildren(make("p", "soft", model.empty))
      return
    }
    if (model.members.length !== model.counts.length) return  // they come one after the other
    const most = Math.max(1, ...model.counts)
    const names = make("div", "names")
    names.append(make("span", "above soft", model.unit), ...model.names.map((name) => {
      const line = make("span", "name", name)
      line.title = name
      return line
    }))
    const columns = make("div", "columns")
    columns.append(...model.counts.map((_, at) => column(at, most)))
    root.replaceChildren(names, columns)
  }
  model.on(["names", "members", "counts", "unit", "action", "empty"], build)
  build()
  return root
}
