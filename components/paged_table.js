// One page of a table; what sorts, searches and pages is told to the other side, which answers with texts.
export function render({model}) {
  const root = block("div", "paged")
  const bar = block("div", "bar")
  const search = block("input", "search")
  search.type = "search"
  search.placeholder = "Search"
  search.setAttribute("aria-label", "Search the first column")
  const about = block("span", "about")
  about.setAttribute("role", "status")
  const back = block("button", "turn", "‹"), next = block("button", "turn", "›")
  back.type = next.type = "button"
  back.setAttribute("aria-label", "Page before")
  next.setAttribute("aria-label", "Next page")
  bar.append(search, about, back, next)
  const room = block("div", "room")
  const table = block("table", "")
  room.append(table)
  root.append(bar, room)

  let waiting
  search.addEventListener("input", () => {
    clearTimeout(waiting)
    waiting = setTimeout(() => { model.search = search.value }, 150)
  })
  back.addEventListener("click", () => { if (model.page > 0) model.page -= 1 })
  next.addEventListener("click", () => { if ((model.page + 1) * model.page_size < model.found) model.page += 1 })

  const dress = (column) => (column?.kind === "text" ? "" : "number") + (column?.spare ? " spare" : "")
  const heading = (column) => {
    const cell = block("th", dress(column))
    cell.setAttribute("scope", "col")
    const mine = model.order_by === column.key
    cell.setAttribute("aria-sort", mine ? (model.downwards ? "descending" : "ascending") : "none")
    const button = block("button", "sort", column.label + (mine ? (model.downwards ? " ↓" : " ↑") : ""))
    button.type = "button"
    button.title = column.tip
    button.addEventListener("click", () => {
      if (mine) model.downwards = !model.downwards
      else {
        model.downwards = column.kind !== "text" && column.kind !== "p"
        model.order_by = column.key
      }
    })
    cell.append(button)
    return cell
  }
  const pick = (name) => { model.picked = model.picked === name ? "" : name }
  const build = () => {
    const head = block("tr", "")
    head.append(...model.columns.map(heading))
    const thead = block("thead", "")
    thead.append(head)
    const tbody = block("tbody", "")
    tbody.append(...model.lines.map((texts) => {
      const line = block("tr", texts[0] === model.picked ? "picked" : "")
      line.title = model.action
      line.addEventListener("click", () => pick(texts[0]))
      texts.forEach((text, i) => {
        const cell = block("td", dress(model.columns[i]))
        if (i === 0) {
          const button = block("button", "entry", text)
          button.type = "button"
          button.setAttribute("aria-pressed", String(text === model.picked))
          button.addEventListener("click", (event) => { event.stopPropagation(); pick(text) })
          cell.append(button)
        } else cell.textContent = text
        line.append(cell)
      })
      return line
    }))
    table.replaceChildren(thead, tbody)
    const first = model.found ? model.page * model.page_size + 1 : 0
    const last = Math.min((model.page + 1) * model.page_size, model.found)
    const n = (value) => value.toLocaleString("en-US")
    const of = model.found === model.total ? "" : ` found of ${n(model.total)}`
    about.textContent = `${n(first)}–${n(last)} of ${n(model.found)} ${model.unit}${of}`
    back.disabled = model.page === 0
    next.disabled = last >= model.found
    if (search.value !== model.search && root.getRootNode().activeElement !== search) search.value = model.search
  }
  model.on(["columns", "lines", "found", "total", "page", "order_by", "downwards", "picked", "unit", "search"], build)
  build()
  return root
}
