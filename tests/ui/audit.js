// What of a page some people cannot read or reach, as a list of sentences. Walks all shadow roots.
() => {
  const parent = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null
  const walk = function* (root) {
    for (const each of root.querySelectorAll("*")) {
      yield each
      if (each.shadowRoot) yield* walk(each.shadowRoot)
    }
  }
  const parts = (color) => {
    const found = color.match(/^rgba?\(([\d.]+),? ([\d.]+),? ([\d.]+)(?:,? ?\/? ?([\d.]+))?\)$/)
    return found ? [+found[1], +found[2], +found[3], found[4] === undefined ? 1 : +found[4]] : null
  }
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]))
  const behind = (node) => {
    const layers = []
    for (let at = node; at; at = parent(at)) {
      const style = getComputedStyle(at)
      if (style.backgroundImage !== "none") return null
      const color = parts(style.backgroundColor)
      if (color && color[3] > 0) layers.push(color)
      if (color && color[3] === 1) break
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255])
  }
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x)
    return (high + 0.05) / (low + 0.05)
  }
  const isSeen = (node) => {
    const box = node.getBoundingClientRect()
    if (box.width < 1 || box.height < 1 || box.right < 0 || box.left > innerWidth) return false
    for (let at = node; at; at = parent(at)) {
      const style = getComputedStyle(at)
      if (style.visibility === "hidden" || style.display === "none" || +style.opacity === 0) return false
      if (at.getAttribute("aria-hidden") === "true" && at.tagName !== "SVG") return false
    }
    return true
  }
  const scrolls = (node) => {
    for (let at = node; at; at = parent(at)) if (["auto", "scroll"].includes(getComputedStyle(at).overflowX)) return true
    return false
  }
  const isOff = (node) => {
    for (let at = node; at; at = parent(at)) if (at.disabled || at.getAttribute("aria-disabled") === "true") return true
    return false
  }
  const nameOf = (node) => {
    const by = node.getAttribute("aria-labelledby")
    const labelled = by && by.split(" ").map((id) => node.getRootNode().getElementById?.(id)?.textContent ?? "").join("")
    return (node.getAttribute("aria-label") || labelled || node.textContent.trim() || node.title || node.placeholder
      || [...(node.labels ?? [])].map((label) => label.textContent).join("") || node.querySelector("[aria-label], title")
      || "")
  }
  const where = (node) => `<${node.tagName.toLowerCase()} class="${node.getAttribute("class") ?? ""}">`
  const said = new Set()
  for (const node of walk(document)) {
    const own = [...node.childNodes].filter((child) => child.nodeType === 3).map((child) => child.textContent).join("").trim()
    const isControl = node.matches("button, a[href], input:not([type=hidden]), select, textarea, [role=button], [role=slider], [role=combobox]")
    if ((!own && !isControl) || !isSeen(node)) continue
    if (isControl && !nameOf(node)) said.add(`no name: ${where(node)}`)
    if (isControl && node.getBoundingClientRect().right > innerWidth + 1 && !scrolls(node))
      said.add(`beyond the window: ${where(node)} ${nameOf(node).slice(0, 40)}`)
    if (!own) continue
    const style = getComputedStyle(node)
    const isDrawn = node instanceof SVGElement
    const stretch = node.offsetWidth ? node.getBoundingClientRect().width / node.offsetWidth : 1
    const isScaled = Math.abs(stretch - 1) > 0.05  // offsetWidth is rounded
    const size = Math.round(10 * parseFloat(style.fontSize) * (isScaled ? stretch : 1)) / 10
    if (size < 12) said.add(`${size} px: ${where(node)} ${own.slice(0, 40)}`)
    const ink = parts(isDrawn ? style.fill : style.color), paper = behind(node)
    if (!ink || !paper || isOff(node)) continue
    const ratio = contrast(over(ink, paper), paper)
    const isLarge = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700)
    if (ratio < (isLarge ? 3 : 4.5)) said.add(`contrast ${ratio.toFixed(2)}: ${where(node)} ${own.slice(0, 40)}`)
  }
  if (document.scrollingElement.scrollWidth > innerWidth) said.add(`scrolls sideways: ${document.scrollingElement.scrollWidth} px`)
  return [...said]
}
