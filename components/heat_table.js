// A table whose cells are tinted by their share, and can be picked.
export function render({model}) {
  const root = block("div", "heat")

  const heading = (name, at) => {
    const cell = block("th", "column")
    cell.setAttribute("scope", "col")
    cell.title = name
    const words = block("span", "words", name)
    if (model.colors.length === model.columns.length) {
      const swatch = block("i", "swatch")
      swatch.style.background = model.colors[at]
      cell.append(swatch)
    }
    cell.append(words)
    return cell
  }
  const cellOf = (i, j) => {
    const text = model.texts[i][j]
    const cell = block("td", text ? "full" : "blank")
    if (!text) return cell
    cell.style.setProperty("--share", model.shades[i]?.[j] ?? 0)
    const button = block("button", "", text)
    button.type = "button"
    const mine = model.picked.row === model.rows[i] && model.picked.column === model.columns[j]
    button.setAttribute("aria-pressed", String(mine))
    button.setAttribute("aria-label", `${model.rows[i]}, ${model.columns[j]}: ${text}`)
    button.title = [`${model.rows[i]} → ${model.columns[j]}: ${text}`, model.action].filter(Boolean).join("\n")
    button.addEventListener("click", () => {
      model.picked = {row: model.rows[i], column: model.columns[j], at: Date.now()}
    })
    cell.append(button)
    return cell
  }
  const build = () => {
    if (!model.rows.length) {
      root.replaceChildren(block("p", "soft", model.empty))
      return
    }
    if (model.texts.length !== model.rows.length) return  // they come one after the other
    const table = block("table", "")
    const head = block("tr", "")
    head.append(block("th", "corner", model.corner), ...model.columns.map(heading))
    const thead = block("thead", "")
    thead.append(head)
    const tbody = block("tbody", "")
    tbody.append(...model.rows.map((name, i) => {
      const line = block("tr", "")
      const first = block("th", "row", name)
      first.setAttribute("scope", "row")
      first.title = name
      line.append(first, ...model.columns.map((_, j) => cellOf(i, j)))
      return line
    }))
    table.append(thead, tbody)
    root.replaceChildren(table)
  }
  model.on(["rows", "columns", "texts", "shades", "colors", "corner", "action", "empty", "picked"], build)
  build()
  return root
}
