export function render({model}) {
  const root = block("div")
  const button = block("button", "ask", "?")
  button.type = "button"
  button.title = "Keys, and what each figure means (?)"
  button.setAttribute("aria-label", "Help: keys, and what each figure means")
  button.setAttribute("aria-haspopup", "dialog")
  const sheet = block("dialog")
  sheet.setAttribute("aria-label", "Help")
  const search = block("input")
  search.type = "text"  // a search field would take the first Esc for itself
  search.placeholder = "Find a word"
  search.setAttribute("aria-label", "Find a word")
  const close = block("button", "close", "×")
  close.type = "button"
  close.title = "Close (Esc)"
  close.setAttribute("aria-label", "Close")
  const act = block("button", "act")
  act.type = "button"
  const head = block("header")
  head.append(block("h2", "", "Help"), search, act, close)
  const body = block("div", "body")
  body.tabIndex = 0  // reached by Tab, so that the arrow keys scroll it
  body.setAttribute("role", "region")
  body.setAttribute("aria-label", "Explanations")
  sheet.append(head, body)
  root.append(button, sheet)

  const row = ({name, text, keys, source}) => {
    const term = block("dt")
    if (keys) keys.forEach((key) => term.append(block("kbd", "", key)))
    else term.textContent = name
    const told = block("dd", "", keys ? name : text)
    if (source) told.append(block("span", "source", source))
    const both = block("div", "row")
    both.dataset.words = `${name} ${text ?? ""} ${source ?? ""}`.toLowerCase()
    both.append(term, told)
    return both
  }
  const draw = () => {
    body.replaceChildren(...model.sections.map((section) => {
      const part = block("section")
      const list = block("dl", section.rows.some((each) => each.keys) ? "keys" : "")
      list.append(...section.rows.map(row))
      part.append(block("h3", "", section.title), list)
      return part
    }))
    act.textContent = model.action
    act.hidden = !model.action
    find()
  }
  const find = () => {
    const wanted = search.value.trim().toLowerCase()
    body.querySelectorAll(".row").forEach((each) => { each.hidden = !each.dataset.words.includes(wanted) })
    body.querySelectorAll("section").forEach((part) => { part.hidden = !part.querySelector(".row:not([hidden])") })
  }
  const open = () => { if (!sheet.open) { search.value = ""; find(); sheet.showModal() } }
  const press = (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || types(event.composedPath()[0])) return
    event.preventDefault()
    open()
  }

  button.addEventListener("click", open)
  close.addEventListener("click", () => sheet.close())
  sheet.addEventListener("click", (event) => { if (event.target === sheet) sheet.close() })  // beside the sheet
  sheet.addEventListener("keydown", (event) => { if (event.key !== "Escape") event.stopPropagation() })
  act.addEventListener("click", () => { sheet.close(); model.acted = {at: Date.now()} })
  search.addEventListener("input", find)
  document.addEventListener("keydown", press)
  model.on("sections", draw)
  model.on("action", draw)
  model.on("remove", () => document.removeEventListener("keydown", press))
  draw()
  return root
}
