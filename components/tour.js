const WORDS = /^(.*):has-text\("(.*)"\)$/
const GAP = 14, EDGE = 12, WIDTH = 340

const isSeen = (element) => {
  const box = element.getBoundingClientRect()
  return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== "hidden"
}

const all = (selector, root) => {
  const found = [...root.querySelectorAll(selector)]
  for (const each of root.querySelectorAll("*")) if (each.shadowRoot) found.push(...all(selector, each.shadowRoot))
  return found
}

const look = (selectors) => {
  for (const selector of selectors) {
    const [, plain, words] = selector.match(WORDS) ?? [null, selector, ""]
    const found = all(plain, document).find((each) => isSeen(each) && each.textContent.includes(words))
    if (found) return found
  }
  return null
}

export function render({model}) {
  const root = document.createElement("div")
  root.innerHTML = `<div class="ring" aria-hidden="true"></div>
    <div class="card" role="dialog" aria-labelledby="title" aria-describedby="text" tabindex="-1">
      <p class="count"></p><h2 id="title"></h2><p id="text"></p>
      <footer><button type="button" class="end">End the tour</button><span></span>
        <button type="button" class="back">Back</button><button type="button" class="next"></button></footer>
    </div>`
  const [ring, card] = [root.querySelector(".ring"), root.querySelector(".card")]
  const [end, back, next] = ["end", "back", "next"].map((name) => root.querySelector(`.${name}`))
  let before = null, watching = 0, shown = -1

  const place = () => {
    watching = requestAnimationFrame(place)  // what is pointed at may still be on its way, or move
    const at = look(model.stops[model.stop]?.at ?? [])
    ring.hidden = !at
    const {width, height} = card.getBoundingClientRect()
    let left = (window.innerWidth - width) / 2, top = (window.innerHeight - height) / 2
    if (at) {
      const box = at.getBoundingClientRect()
      const edge = {left: Math.max(box.left - 4, 2), top: Math.max(box.top - 4, 2),
        right: Math.min(box.right + 4, window.innerWidth - 2), bottom: Math.min(box.bottom + 4, window.innerHeight - 2)}
      Object.assign(ring.style, {left: `${edge.left}px`, top: `${edge.top}px`,
        width: `${edge.right - edge.left}px`, height: `${edge.bottom - edge.top}px`})
      left = edge.left
      if (edge.bottom + GAP + height < window.innerHeight) top = edge.bottom + GAP
      else if (edge.top - GAP - height > 0) top = edge.top - GAP - height
      else {
        const right = edge.right + GAP
        left = right + width < window.innerWidth ? right : edge.left - GAP - width
        top = edge.top
        if (left < EDGE) { left = edge.right - width - GAP; top = edge.bottom - height - GAP }
      }
    }
    card.style.left = `${Math.max(EDGE, Math.min(left, window.innerWidth - width - EDGE))}px`
    card.style.top = `${Math.max(EDGE, Math.min(top, window.innerHeight - height - EDGE))}px`
  }
  const remember = () => { if (model.memory && model.seen) window.localStorage.setItem(model.memory, "seen") }
  const close = () => { model.stop = -1 }
  const go = (by) => {
    const to = model.stop + by
    if (to >= model.stops.length) close()
    else if (to >= 0) model.stop = to
  }
  const draw = () => {
    const stop = model.stops[model.stop]
    root.hidden = !stop
    if (!stop) {
      cancelAnimationFrame(watching)
      if (shown >= 0) { model.seen = true; before?.focus() }
      shown = -1
      return
    }
    if (shown < 0) {
      before = document.activeElement
      while (before?.shadowRoot?.activeElement) before = before.shadowRoot.activeElement
    }
    shown = model.stop
    root.querySelector(".count").textContent = `${model.stop + 1} of ${model.stops.length}`
    root.querySelector("h2").textContent = stop.title
    root.querySelector("#text").textContent = stop.text
    back.disabled = model.stop === 0
    next.textContent = model.stop === model.stops.length - 1 ? "Done" : "Next"
    cancelAnimationFrame(watching)
    place()
    card.focus({preventScroll: true})
  }
  card.addEventListener("keydown", (event) => {
    const by = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (by) go(by)
    else if (event.key === "Escape") close()
    else return
    event.preventDefault()
    event.stopPropagation()
  })
  end.addEventListener("click", close)
  back.addEventListener("click", () => go(-1))
  next.addEventListener("click", () => go(1))
  model.on("stop", draw)
  model.on("stops", draw)
  model.on("seen", remember)
  model.on("remove", () => cancelAnimationFrame(watching))
  model.seen = Boolean(model.memory && window.localStorage.getItem(model.memory))
  root.style.setProperty("--width", `${WIDTH}px`)
  draw()
  return root
}
