// A tree of categories: search, show or hide, show only, select, recolour; a group stands for all of its own.
// All text is set as text, never as HTML.
export function render({model, el}) {
  const root = block("div", "legend")
  const search = block("input", "search")
  search.type = "search"
  search.placeholder = "Search labels"
  search.setAttribute("aria-label", "Search labels")
  const all = block("button", "link", "Show all")
  const none = block("button", "link", "Hide all")
  const restore = block("button", "link", "Default colours")
  const bar = block("div", "bar")
  bar.append(all, none, restore)
  const list = block("ul", "list")
  const empty = block("p", "empty", "No label of that name.")
  const title = block("div", "title")
  root.append(title, search, bar, list, empty)

  const everything = () => model.names.map((_, i) => i)
  const shows = (i) => !model.hidden.includes(i)
  const others = (own) => everything().filter((i) => !own.includes(i))
  const same = (a, b) => a.length === b.length && a.every((value) => b.includes(value))
  const isolated = (own, hidden = model.hidden) => own.length < model.names.length && same(hidden, others(own))
  const toggle = (own) => {
    const visible = own.some(shows)
    const kept = model.hidden.filter((i) => !own.includes(i))
    model.hidden = (visible ? [...kept, ...own] : kept).sort((a, b) => a - b)
  }
  const isolate = (own, hidden = model.hidden) => { model.hidden = isolated(own, hidden) ? [] : others(own) }

  // hovering tells the server at most every 60 ms, and only where the pointer came to rest
  let timer = null
  let wanted = null
  const hover = (i) => {
    if (i === wanted) return
    wanted = i
    clearTimeout(timer)
    timer = setTimeout(() => { if (model.hovered !== i) model.hovered = i }, 60)
  }

  let rows = []
  const filter = () => {
    const wanted = search.value.trim().toLowerCase()
    let found = 0
    for (const {row, own, name, group} of rows) {
      const names = [name, group, ...(own.length > 1 ? own.map((i) => model.names[i]) : [])]
      row.hidden = !names.some((each) => each.toLowerCase().includes(wanted))
        || (wanted === "" && own.length === 1 && group !== "" && folded.has(group) && name !== group)
      found += row.hidden ? 0 : 1
    }
    empty.hidden = found > 0 || rows.length === 0
  }
  const mark = () => {
    for (const {row, box, only, own} of rows) {
      const visible = own.filter(shows).length
      row.classList.toggle("off", visible === 0)
      box.setAttribute("aria-checked", visible === 0 ? "false" : visible < own.length ? "mixed" : "true")
      only.textContent = isolated(own) ? "all" : "only"
    }
    all.disabled = model.hidden.length === 0
    none.disabled = model.hidden.length >= model.names.length
  }

  // colours change in place, so that who chooses one stays where she is
  const dye = (name, color) => { model.dyed = {name, color, at: Date.now()} }
  const isDyed = (i) => i < model.defaults.length && model.defaults[i] !== model.colors[i]
  const paint = () => {
    for (const {own, swatch, picker, undo} of rows) {
      if (swatch === null) continue
      const color = model.colors[own[0]] ?? "transparent"
      swatch.style.setProperty("--color", color)
      if (picker !== null) {
        picker.value = color
        undo.hidden = !isDyed(own[0])
      }
    }
    restore.hidden = !model.editable || !everything().some(isDyed)
  }

  const folded = new Set()
  const entry = (name, own, group, count, isGroup) => {
    const row = block("li", isGroup ? "row group" : group ? "row inner" : "row")
    if (isGroup) {
      const fold = block("button", "fold", "▾")
      fold.setAttribute("aria-label", `Fold ${name}`)
      fold.setAttribute("aria-expanded", String(!folded.has(name)))
      fold.textContent = folded.has(name) ? "▸" : "▾"
      fold.addEventListener("click", () => {
        if (folded.has(name)) folded.delete(name)
        else folded.add(name)
        fold.textContent = folded.has(name) ? "▸" : "▾"
        fold.setAttribute("aria-expanded", String(!folded.has(name)))
        filter()
      })
      row.append(fold)
    }
    const box = block("button", "entry")
    box.setAttribute("role", "checkbox")
    box.title = name
    const swatch = isGroup ? null : block("span", "swatch")
    const picker = !isGroup && model.editable ? block("input", "picker") : null
    const undo = block("button", "undo", "↺")
    undo.hidden = true
    if (picker !== null) {
      picker.type = "color"
      picker.title = "Choose its colour"
      picker.setAttribute("aria-label", `Colour of ${name}`)
      picker.addEventListener("input", () => swatch.style.setProperty("--color", picker.value))
      picker.addEventListener("change", () => dye(name, picker.value))
      undo.title = "Its default colour"
      undo.setAttribute("aria-label", `Default colour of ${name}`)
      undo.addEventListener("click", () => { dye(name, ""); picker.focus() })
      const well = block("span", "well")
      well.append(swatch, picker)
      row.append(well)
    } else if (swatch !== null) box.append(swatch)
    box.append(block("span", "name", name))
    if (count !== null) box.append(block("span", "count", count.toLocaleString("en-US")))
    let before = []
    box.addEventListener("click", (event) => {
      if (event.detail === 2) { isolate(own, before); return }
      before = [...model.hidden]
      toggle(own)
    })
    const only = block("button", "only", "only")
    only.setAttribute("aria-label", `Show only ${name}`)
    only.addEventListener("click", () => isolate(own))
    const pick = block("button", "only pick", "select")
    pick.setAttribute("aria-label", `Select ${name}`)
    pick.addEventListener("click", () => { model.chosen = {positions: own, at: Date.now()} })
    row.append(box, ...(model.selectable ? [pick] : []), only, undo)
    if (!isGroup) {
      // a row that comes to lie under a pointer at rest was not pointed at: only a moving pointer counts
      row.addEventListener("pointermove", (event) => { if (event.movementX || event.movementY) hover(own[0]) })
      row.addEventListener("pointerleave", () => hover(null))
    }
    return {row, box, only, own, name, group, swatch, picker, undo}
  }
  const build = () => {
    title.textContent = model.title
    title.hidden = model.title === ""
    search.hidden = model.names.length <= model.search_from
    const positions = everything()
    const groupOf = (i) => (model.groups.length === model.names.length ? model.groups[i] : "")
    // names arrive before counts when both change: a new name has no count yet
    const count = (own) => (own.every((i) => i < model.counts.length)
      ? own.reduce((sum, i) => sum + model.counts[i], 0) : null)
    const single = (i, group) => entry(model.names[i], [i], group, count([i]), false)
    const seen = new Set()
    rows = []
    for (const i of positions) {
      const group = groupOf(i)
      const own = positions.filter((other) => groupOf(other) === group)
      if (group === "" || (own.length === 1 && model.names[i] === group)) { rows.push(single(i, "")); continue }
      if (seen.has(group)) continue
      seen.add(group)
      rows.push(entry(group, own, "", count(own), true), ...own.map((each) => single(each, group)))
    }
    list.replaceChildren(...rows.map(({row}) => row))
    mark()
    paint()
    filter()
  }
  search.addEventListener("input", filter)
  all.addEventListener("click", () => { model.hidden = [] })
  none.addEventListener("click", () => { model.hidden = everything() })
  restore.addEventListener("click", () => dye("", ""))
  model.on("hidden", mark)
  model.on(["colors", "defaults"], paint)
  model.on(["names", "counts", "title", "groups", "search_from", "selectable", "editable"], build)
  build()
  return root
}
