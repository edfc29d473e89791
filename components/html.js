// What parts share that are made of blocks of a page. A part's own module follows in the same text (`modules.py`).
const block = (tag, className = "", text) => {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}

// whether keys that go there are text
const types = (at) => at.isContentEditable || /^(TEXTAREA|SELECT)$/.test(at.tagName)
  || (at.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(at.type))
