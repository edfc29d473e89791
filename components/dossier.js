// Sections of rows with bars about one thing. A row can be picked; Esc or × closes all of it.
export function render({model}) {
  const root = block("section", "dossier")
  const close = () => { model.closed = {at: Date.now()} }

  const rowOf = (section, row) => {
    const line = block("li", row.marked ? "row marked" : "row")
    const body = block(row.id ? "button" : "div", "entry")
    if (row.id) {
      body.type = "button"
      body.title = section.action ?? ""
      body.addEventListener("click", () => { model.picked = {section: section.title, id: row.id, at: Date.now()} })
    }
    const name = block("span", "name", row.name)
    name.title = row.name
    body.append(name, block("span", "value", row.value))
    if (row.share !== undefined && row.share !== null) {
      const track = block("span", "track")
      const bar = block("span", "bar")
      bar.style.setProperty("--share", Math.max(0, Math.min(1, row.share)))
      track.append(bar)
      body.append(track)
    }
    if (row.note) body.append(block("span", "note", row.note))
    line.append(body)
    return line
  }
  const sectionOf = (section) => {
    const part = block("div", "part")
    part.append(block("h4", "", section.title))
    const rows = block("ul", "rows")
    rows.append(...(section.rows ?? []).map((row) => rowOf(section, row)))
    if (rows.childElementCount) part.append(rows)
    part.append(...(section.words ?? []).map((sentence) => block("p", "words", sentence)))
    return part
  }
  const build = () => {
    root.replaceChildren()
    root.hidden = !model.sections.length
    if (root.hidden) return
    const head = block("header", "head")
    const shut = block("button", "shut", "×")
    shut.type = "button"
    shut.title = "Close (Esc)"
    shut.setAttribute("aria-label", `Close ${model.title}`)
    shut.addEventListener("click", close)
    head.append(block("span", "title", model.title), shut)
    root.setAttribute("aria-label", model.title)
    root.append(head, ...model.sections.map(sectionOf))
  }
  const isOver = (node) => /^(dialog|listbox|menu)$/.test(node.getAttribute?.("role") ?? "")
  const press = (event) => {
    if (event.key !== "Escape" || !root.getClientRects().length || event.composedPath().some(isOver)) return
    event.stopPropagation()  // one press closes one thing
    close()
  }
  document.addEventListener("keydown", press, true)
  model.on("remove", () => document.removeEventListener("keydown", press, true))
  model.on(["title", "sections"], build)
  build()
  return root
}
