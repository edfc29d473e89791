// Combinations as columns: a bar for the count, below it a dot for each member. A column can be picked.
export function render({model}) {
  const root = block("div", "upset")
  const words = (at) => {
    const inside = model.names.filter((_, i) => model.members[at][i])
    const who = inside.length === model.names.length ? "all" : inside.length ? inside.join(", ") : "none"
    return `${who}: ${model.counts[at].toLocaleString("en")} ${model.unit}`.trim()
  }
  const column = (at, most) => {
    const button = block("button", "column")
    button.type = "button"
    button.setAttribute("aria-label", words(at))
    button.title = [words(at), model.action].filter(Boolean).join("\n")
    const above = block("span", "above")
    const bar = block("span", "bar")
    bar.style.setProperty("--share", model.counts[at] / most)
    above.append(block("span", "count", model.counts[at].toLocaleString("en")), bar)
    const dots = block("span", "dots")
    dots.append(...model.names.map((_, i) => block("i", model.members[at][i] ? "dot in" : "dot")))
    button.append(above, dots)
    button.addEventListener("click", () => { model.picked = {index: at, at: Date.now()} })
    return button
  }
  const build = () => {
    if (!model.counts.length) {
      root.replaceChildren(block("p", "soft", model.empty))
      return
    }
    if (model.members.length !== model.counts.length) return  // they come one after the other
    const most = Math.max(1, ...model.counts)
    const names = block("div", "names")
    names.append(block("span", "above soft", model.unit), ...model.names.map((name) => {
      const line = block("span", "name", name)
      line.title = name
      return line
    }))
    const columns = block("div", "columns")
    columns.append(...model.counts.map((_, at) => column(at, most)))
    root.replaceChildren(names, columns)
  }
  model.on(["names", "members", "counts", "unit", "action", "empty"], build)
  build()
  return root
}
