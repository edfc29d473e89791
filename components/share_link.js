export function render({model}) {
  const root = document.createElement("div")
  root.innerHTML = `<button type="button" class="share" aria-haspopup="dialog">Share</button>
    <div class="sheet" popover role="dialog" aria-label="Share this view">
      <p class="said" role="status"></p>
      <input readonly aria-label="Link to this view" spellcheck="false">
      <p class="note"></p>
    </div>`
  const button = root.querySelector(".share")
  const sheet = root.querySelector(".sheet")
  const said = root.querySelector(".said")
  const field = root.querySelector("input")
  const note = root.querySelector(".note")

  const place = () => {
    const at = button.getBoundingClientRect()
    sheet.style.top = `${at.bottom + 6}px`
    sheet.style.left = `${Math.max(8, Math.min(at.right - 380, window.innerWidth - 396))}px`
  }
  const ask = () => {
    said.textContent = "Making the link …"
    field.hidden = true
    note.textContent = ""
    place()
    sheet.showPopover()
    model.asked = {at: Date.now()}
  }
  const copy = async (link) => {
    try {
      await navigator.clipboard.writeText(link)
      return true
    } catch {  // not allowed, or a page without https
      return false
    }
  }
  const show = async () => {
    if (!sheet.matches(":popover-open")) return
    const {link, problem} = model.answer
    field.hidden = Boolean(problem)
    note.textContent = problem ? "" : model.note
    if (problem) { said.textContent = problem; return }
    field.value = window.location.origin + window.location.pathname + link
    field.focus()
    field.select()
    said.textContent = await copy(field.value) ? "The link is copied." : "Press Ctrl-C to copy the link."
  }
  const draw = () => {
    button.disabled = model.disabled
    button.title = model.disabled ? model.reason : "Copy a link to exactly this view"
  }
  button.addEventListener("click", ask)
  model.on("answer", show)
  model.on("disabled", draw)
  model.on("reason", draw)
  draw()
  return root
}
