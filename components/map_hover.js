// Asks for the point under the pointer, one question at a time: while an answer is on its way only the
// newest place is kept, so a fast hand never floods the server.
// Runs for two kinds of event: cb_obj is a mouse event of the figure, or the answer that has changed.
const state = probe.tags[0]
const ask = (x, y) => {
  state.waiting = true
  state.next = null
  probe.data = {x: [x], y: [y]}
}
if (cb_obj === answer) {
  state.waiting = false
  if (state.next !== null) ask(...state.next)
} else if (cb_obj.event_name === "mouseleave") {
  if (state.waiting) state.next = [NaN, NaN]
  else ask(NaN, NaN)
} else if (state.waiting) {
  state.next = [cb_obj.x, cb_obj.y]
} else {
  ask(cb_obj.x, cb_obj.y)
}
