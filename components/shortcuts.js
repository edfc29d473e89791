// Hears single keys of the page and tells the server; puts the cursor into a field when the server asks for it.
const OPEN = ["dialog", "listbox", "menu", "presentation"]
const PATIENCE = 10_000 // milliseconds in which a field has to appear

// fields lie in shadow roots, which a query of the document does not enter
const fields = (root, found = []) => {
  for (const node of root.querySelectorAll("*")) {
    if (/^(INPUT|TEXTAREA)$/.test(node.tagName) && types(node)) found.push(node)
    if (node.shadowRoot) fields(node.shadowRoot, found)
  }
  return found
}
const labelOf = (field) => field.getAttribute("aria-label") ?? field.labels?.[0]?.textContent ?? ""

export function render({model}) {
  const press = (event) => {
    if (!model.active || event.ctrlKey || event.metaKey || event.altKey || !model.keys.includes(event.key)) return
    const path = event.composedPath().filter((node) => node instanceof Element)
    if (path.length && types(path[0])) return
    if (path.some((node) => node.tagName === "DIALOG" || OPEN.includes(node.getAttribute("role")))) return
    if (event.key !== "Escape") event.preventDefault() // the letter must not land in the field that gets the cursor
    model.pressed = {key: event.key, at: Date.now()}
  }
  const seek = (label, until) => {
    const field = fields(document).find((each) => labelOf(each).trim() === label && each.getClientRects().length > 0)
    if (field) { field.focus(); field.select?.() }
    else if (performance.now() < until) setTimeout(() => seek(label, until), 50)
  }
  // before others hear it: who closes something by the same key has not yet done so
  window.addEventListener("keydown", press, {capture: true})
  model.on("focus", () => { if (model.focus.label) seek(model.focus.label, performance.now() + PATIENCE) })
  model.on("remove", () => window.removeEventListener("keydown", press, {capture: true}))
  const said = document.createElement("span")
  said.setAttribute("aria-keyshortcuts", model.keys.join(" "))
  return said
}
