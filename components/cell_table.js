// A table that sorts by any column and can be picked from.
export function render({model}) {
  const table = block("table", "cells")
  const caption = block("caption", "caption")
  const head = block("thead", "")
  const body = block("tbody", "")
  table.append(caption, head, body)
  const order = {column: null, down: true}
  const percent = (share) => share === null ? "–" : share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`
  const columns = () => [
    {key: "name", title: model.name_title, text: (value) => value},
    {key: "n", title: "n", text: (value) => value.toLocaleString("en-US")},
    {key: "share", title: "%", text: percent},
    ...(model.median.length ? [{key: "median", title: model.median_title, text: (value) => value === null ? "–" : value.toFixed(2)}] : []),
  ]
  const build = () => {
    caption.textContent = model.title
    caption.hidden = model.title === ""
    const total = model.counts.reduce((sum, n) => sum + n, 0)
    const rows = model.names.map((name, i) => ({
      name, n: model.counts[i], share: total ? model.counts[i] / total : null,
      median: model.median[i] ?? null, color: model.colors[i],
    }))
    if (order.column !== null) {
      const sign = order.down ? -1 : 1
      const compare = (a, b) => typeof a === "string" ? a.localeCompare(b) : (a ?? -Infinity) - (b ?? -Infinity)
      rows.sort((a, b) => sign * compare(a[order.column], b[order.column]))
    }
    const line = block("tr", "")
    for (const column of columns()) {
      const cell = block("th", column.key)
      cell.setAttribute("scope", "col")
      const mine = order.column === column.key
      cell.setAttribute("aria-sort", mine ? (order.down ? "descending" : "ascending") : "none")
      const button = block("button", "sort", column.title + (mine ? (order.down ? " ↓" : " ↑") : ""))
      button.addEventListener("click", () => {
        order.down = mine ? !order.down : column.key !== "name"
        order.column = column.key
        build()
      })
      cell.append(button)
      line.append(cell)
    }
    head.replaceChildren(line)
    body.replaceChildren(...rows.map((row) => {
      const line = block("tr", row.name === model.picked ? "picked" : "")
      for (const column of columns()) {
        const cell = block("td", column.key, column.key === "name" ? undefined : column.text(row[column.key]))
        if (column.key === "name") {
          const button = block("button", "entry")
          const swatch = block("span", "swatch")
          swatch.style.background = row.color ?? "transparent"
          swatch.hidden = !row.color
          button.append(swatch, block("span", "", row.name))
          button.addEventListener("click", () => { model.picked = model.picked === row.name ? "" : row.name })
          cell.append(button)
        }
        line.append(cell)
      }
      return line
    }))
  }
  model.on(["names", "counts", "median", "colors", "title", "name_title", "median_title", "picked"], build)
  build()
  return table
}
