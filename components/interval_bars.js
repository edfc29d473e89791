// Cards of horizontal bars with whiskers; positions are percentages, so that width costs nothing.
export function render({model}) {
  const root = block("div", "cards")
  const at = (share) => `${Math.max(0, Math.min(100, 100 * share / model.top))}%`
  const known = (value) => value !== null && value !== undefined

  const line = (card, bar) => {
    const row = block("button", "row")
    row.type = "button"
    row.title = bar.tip ?? ""
    row.setAttribute("aria-label", `${card.title}, ${bar.name}: ${bar.text}. ${bar.tip ?? ""}`)
    const track = block("span", "track")
    if (known(bar.value)) {
      const fill = block("span", "fill")
      fill.style.width = at(bar.value)
      fill.style.background = card.color
      track.append(fill)
    }
    if (known(bar.low) && known(bar.high)) {
      const whisker = block("span", "whisker")
      whisker.style.left = at(bar.low)
      whisker.style.width = `calc(${at(bar.high)} - ${at(bar.low)})`
      track.append(whisker)
    }
    row.append(block("span", "name", bar.name), track, block("span", "text", bar.text))
    row.addEventListener("click", () => { model.picked = {card: card.title, bar: bar.name, at: Date.now()} })
    return row
  }
  const build = () => {
    const letters = Math.max(0, ...model.cards.flatMap((card) => card.bars.map((bar) => bar.name.length)))
    root.style.setProperty("--name", `${letters + 1}ch`)
    if (!model.cards.length) {
      root.replaceChildren(block("p", "soft", model.empty))
      return
    }
    root.replaceChildren(...model.cards.map((card) => {
      const box = block("section", "card")
      const head = block("div", "head")
      const swatch = block("i", "swatch")
      swatch.style.background = card.color
      head.append(swatch, block("span", "", card.title))
      box.append(head, ...card.bars.map((bar) => line(card, bar)))
      return box
    }))
  }
  model.on(["cards", "top", "empty"], build)
  build()
  return root
}
