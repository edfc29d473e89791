// Streams one file to the server with PUT: the browser reads it from disk as it goes, so memory stays flat.
// A transfer that breaks is asked how much has arrived and goes on from there, a few times.
const RETRIES = 4

function units(bytes) {
  const names = ["B", "kB", "MB", "GB", "TB"]
  let step = 0
  while (bytes >= 1000 && step < names.length - 1) { bytes /= 1000; step += 1 }
  return `${bytes >= 100 || step === 0 ? Math.round(bytes) : bytes.toFixed(1)} ${names[step]}`
}

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

const address = (url, query) => `${url}${url.includes("?") ? "&" : "?"}${new URLSearchParams(query)}`
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("")

function answer(request) {
  try { return JSON.parse(request.responseText) } catch { return null }
}

class Transfer {
  constructor(model, file, told) {
    this.model = model
    this.file = file
    this.told = told
    this.id = fresh()
    this.tries = 0
    this.cancelled = false
    this.began = performance.now()
    this.speed = null
    this.mark = {time: this.began, sent: 0}
  }

  headers(request) {
    request.setRequestHeader("X-Atlas-Upload", "1")
    for (const [name, value] of Object.entries(this.model.headers)) request.setRequestHeader(name, value)
  }

  send(offset) {
    const request = this.request = new XMLHttpRequest()
    request.open("PUT", address(this.model.url, {name: this.file.name, id: this.id, offset}))
    this.headers(request)
    request.setRequestHeader("Content-Type", "application/octet-stream")
    request.upload.addEventListener("progress", (event) => this.progress(offset + event.loaded))
    request.addEventListener("load", () => this.finished(request))
    request.addEventListener("error", () => this.broken())
    request.send(offset ? this.file.slice(offset) : this.file)
  }

  progress(sent) {
    const now = performance.now()
    if (now - this.mark.time > 400) {
      const rate = (sent - this.mark.sent) * 1000 / (now - this.mark.time)
      this.speed = this.speed === null ? rate : 0.7 * this.speed + 0.3 * rate
      this.mark = {time: now, sent}
    }
    this.told.progress(sent, this.speed)
  }

  finished(request) {
    const body = answer(request)
    if (request.status >= 200 && request.status < 300 && body !== null) this.told.done(body)
    else if (body !== null && body.error) this.told.failed(String(body.error))
    else if (request.status === 413) this.told.failed(`The server does not take files of ${units(this.file.size)}.`)
    else this.told.failed(`The server refused the file (status ${request.status}). Reload the page and try again.`)
  }

  broken() {
    if (this.cancelled) return
    this.tries += 1
    if (this.tries > RETRIES) {
      this.told.failed("The connection was lost before the whole file had arrived. Check it and choose the file again.")
      return
    }
    this.told.waiting()
    this.timer = setTimeout(() => this.ask(), 500 * 2 ** this.tries)
  }

  // Before the first byte and after every break: how much is there, and would the rest be taken? A refusal
  // in the middle of a transfer can get lost on its way back, one before it cannot.
  ask() {
    const request = this.request = new XMLHttpRequest()
    request.open("GET", address(this.model.url, {id: this.id, name: this.file.name, size: this.file.size}))
    this.headers(request)
    request.addEventListener("load", () => {
      if (request.status !== 200) return answer(request)?.error ? this.finished(request) : this.broken()
      const received = Number(answer(request)?.received ?? 0)
      this.mark = {time: performance.now(), sent: received}
      this.send(received > 0 && received <= this.file.size ? received : 0)
    })
    request.addEventListener("error", () => this.broken())
    request.send()
  }

  cancel() {
    this.cancelled = true
    clearTimeout(this.timer)
    this.request.abort()
    const request = new XMLHttpRequest()
    request.open("DELETE", address(this.model.url, {id: this.id}))
    this.headers(request)
    request.send()
  }
}

export function render({model}) {
  const root = block("div", "drop")
  const input = block("input", "")
  input.type = "file"
  input.hidden = true
  const idle = block("div", "idle")
  const label = block("div", "label")
  const browse = block("button", "button", "Browse…")
  const hint = block("div", "hint")
  idle.append(label, browse, hint)
  const busy = block("div", "busy")
  const head = block("div", "head")
  const name = block("span", "name")
  const line = block("span", "line")
  line.setAttribute("aria-live", "polite")
  head.append(name, line)
  const track = block("div", "track")
  track.setAttribute("role", "progressbar")
  track.setAttribute("aria-valuemin", "0")
  track.setAttribute("aria-valuemax", "100")
  const fill = block("div", "fill")
  track.append(fill)
  const cancel = block("button", "button", "Cancel")
  busy.append(head, track, cancel)
  const message = block("div", "message")
  message.setAttribute("role", "alert")
  root.append(input, idle, busy, message)

  let transfer = null
  const accepted = (file) => model.accept.length === 0 || model.accept.some((end) => file.name.toLowerCase().endsWith(end.toLowerCase()))
  const refuse = (text) => {
    transfer = null
    model.error = text
    model.state = "failed"
  }
  const told = {
    progress(sent, speed) {
      const share = transfer.file.size ? sent / transfer.file.size : 1
      const percent = Math.min(100, Math.floor(share * 100))
      fill.style.width = `${percent}%`
      track.setAttribute("aria-valuenow", String(percent))
      const parts = [`${units(sent)} of ${units(transfer.file.size)}`]
      if (speed) parts.push(`${units(speed)}/s`, `${clock((transfer.file.size - sent) / speed)} left`)
      if (sent >= transfer.file.size) parts.splice(1, 2, "checking")
      line.textContent = parts.join(" · ")
      // the server-side value is for other parts of the page; the bar itself does not wait for it
      if (share === 1 || share - model.fraction >= 0.01) model.fraction = Math.min(1, share)
    },
    waiting() { line.textContent = "Connection lost, trying again…" },
    done(body) {
      const seconds = (performance.now() - transfer.began) / 1000
      transfer = null
      model.fraction = 1
      model.seconds = seconds
      model.response = body
      model.state = "done"
    },
    failed: refuse,
  }
  const start = (files) => {
    if (model.state === "uploading" || files.length === 0) return
    if (files.length > 1) return refuse(`${files.length} files were dropped; one can be read at a time. Drop a single file.`)
    const file = files[0]
    model.file_name = file.name
    model.size = file.size
    model.fraction = 0
    if (!accepted(file)) return refuse(`"${file.name}" is not a ${model.accept.join(" or ")} file. Choose a file that ends in ${model.accept.join(" or ")}.`)
    if (file.size === 0) return refuse(`"${file.name}" is empty (0 bytes). Choose another file, or copy it again from where it came.`)
    if (model.max_size && file.size > model.max_size) return refuse(`"${file.name}" has ${units(file.size)}; this server takes up to ${units(model.max_size)}.`)
    model.error = ""
    model.response = {}
    model.state = "uploading"
    transfer = new Transfer(model, file, told)
    told.progress(0, null)
    transfer.ask()
  }
  const stop = () => {
    if (transfer === null) return
    transfer.cancel()
    transfer = null
    model.state = "cancelled"
  }

  const show = () => {
    const uploading = model.state === "uploading"
    root.classList.toggle("uploading", uploading)
    idle.hidden = uploading
    busy.hidden = !uploading
    label.textContent = model.label
    hint.textContent = model.hint
    input.accept = model.accept.join(",")
    name.textContent = model.file_name
    const texts = {
      failed: model.error,
      cancelled: `Cancelled; nothing of "${model.file_name}" was kept.`,
      done: `"${model.file_name}" (${units(model.size)}) has arrived.`,
    }
    message.textContent = texts[model.state] ?? ""
    message.className = `message ${model.state}`
    message.hidden = message.textContent === ""
  }
  input.addEventListener("change", () => { start([...input.files]); input.value = "" })
  browse.addEventListener("click", () => input.click())
  cancel.addEventListener("click", stop)
  for (const kind of ["dragenter", "dragover"]) root.addEventListener(kind, (event) => {
    event.preventDefault()
    root.classList.add("over")
  })
  root.addEventListener("dragleave", (event) => { if (!root.contains(event.relatedTarget)) root.classList.remove("over") })
  root.addEventListener("drop", (event) => {
    event.preventDefault()
    root.classList.remove("over")
    start([...event.dataTransfer.files])
  })
  model.on(["state", "label", "hint", "accept", "error", "file_name"], show)
  model.on("cancel", stop)
  model.on("remove", stop)
  show()
  return root
}
