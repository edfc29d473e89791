// Names with bars on a common scale, signed bars on both sides of a middle line. A row can be picked.
export function render({model}) {
  const root = block("div", "ranked")
  const title = block("div", "title")
  const list = block("ol", "rows")
  const note = block("div", "note")
  const empty = block("div", "note")
  root.append(title, list, empty, note)
  const shown = (score) => Math.abs(score) >= 1000 || (score !== 0 && Math.abs(score) < 0.001) ? score.toExponential(1) : String(Number(score.toPrecision(3)))

  const mark = () => {
    for (const row of list.children) row.firstChild.setAttribute("aria-pressed", String(row.dataset.name === model.picked))
  }
  const build = () => {
    if (model.names.length !== model.scores.length) return  // they come one after the other
    const most = Math.max(1e-12, ...model.scores.map(Math.abs))
    const signed = model.scores.some((score) => score < 0)
    root.classList.toggle("signed", signed)
    root.classList.toggle("above", model.above)
    list.replaceChildren(...model.names.map((name, i) => {
      const row = block("li", model.scores[i] < 0 ? "row negative" : "row")
      row.dataset.name = name
      const button = block("button", "entry")
      button.title = `${name}: ${model.scores[i]}`
      const track = block("span", "track")
      const bar = block("span", "bar")
      bar.style.setProperty("--share", Math.abs(model.scores[i]) / most)
      track.append(bar)
      button.append(block("span", "name", name), track, block("span", "score", shown(model.scores[i])))
      button.addEventListener("click", () => { model.picked = model.picked === name ? "" : name })
      row.append(button)
      return row
    }))
    title.textContent = model.title
    note.textContent = model.note
    empty.textContent = model.names.length ? "" : model.empty
    mark()
  }
  model.on(["names", "scores", "title", "note", "empty", "above"], build)
  model.on("picked", mark)
  build()
  return root
}
