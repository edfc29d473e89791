// A list of categories: search, show or hide one, show only one. All text is set as text, never as HTML.
export function render({model, el}) {
  const make = (tag, className, text) => {
    const node = document.createElement(tag)
    node.className = className
    if (text !== undefined) node.textContent = text
    return node
  }
  const root = make("div", "legend")
  const search = make("input", "search")
  search.type = "search"
  search.placeholder = "Search labels"
  search.setAttribute("aria-label", "Search labels")
  const all = make("button", "link", "Show all")
  const none = make("button", "link", "Hide all")
  const bar = make("div", "bar")
  bar.append(all, none)
  const list = make("ul", "list")
  const empty = make("p", "empty", "No label of that name.")
  const title = make("div", "title")
  root.append(title, search, bar, list, empty)

  const everything = () => model.names.map((_, i) => i)
  const isolated = (i) => model.hidden.length === model.names.length - 1 && !model.hidden.includes(i)
  const toggle = (i) => {
    model.hidden = model.hidden.includes(i) ? model.hidden.filter((h) => h !== i) : [...model.hidden, i].sort((a, b) => a - b)
  }
  const isolate = (i) => { model.hidden = isolated(i) ? [] : everything().filter((other) => other !== i) }

  let rows = []
  const filter = () => {
    const wanted = search.value.trim().toLowerCase()
    let found = 0
    for (const [i, {row}] of rows.entries()) {
      row.hidden = !model.names[i].toLowerCase().includes(wanted)
      found += row.hidden ? 0 : 1
    }
    empty.hidden = found > 0 || rows.length === 0
  }
  const mark = () => {
    for (const [i, {row, box, only}] of rows.entries()) {
      const off = model.hidden.includes(i)
      row.classList.toggle("off", off)
      box.setAttribute("aria-checked", String(!off))
      only.textContent = isolated(i) ? "all" : "only"
    }
    all.disabled = model.hidden.length === 0
    none.disabled = model.hidden.length >= model.names.length
  }
  const build = () => {
    title.textContent = model.title
    title.hidden = model.title === ""
    search.hidden = model.names.length <= model.search_from
    rows = model.names.map((name, i) => {
      const row = make("li", "row")
      const box = make("button", "entry")
      box.setAttribute("role", "checkbox")
      box.title = name
      const swatch = make("span", "swatch")
      swatch.style.setProperty("--color", model.colors[i] ?? "transparent")
      box.append(swatch, make("span", "name", name))
      // names arrive before counts when both change: a new name has no count yet
      if (i < model.counts.length) box.append(make("span", "count", model.counts[i].toLocaleString("en-US")))
      box.addEventListener("click", () => toggle(i))
      const only = make("button", "only", "only")
      only.setAttribute("aria-label", `Show only ${name}`)
      only.addEventListener("click", () => isolate(i))
      row.append(box, only)
      return {row, box, only}
    })
    list.replaceChildren(...rows.map(({row}) => row))
    mark()
    filter()
  }
  search.addEventListener("input", filter)
  all.addEventListener("click", () => { model.hidden = [] })
  none.addEventListener("click", () => { model.hidden = everything() })
  model.on("hidden", mark)
  model.on(["names", "colors", "counts", "title", "search_from"], build)
  build()
  return root
}
