// Asks for the point under the pointer, one question at a time: while an answer is on its way only the
// newest place is kept, so a fast hand never floods the server.
// Runs for two kinds of event: cb_obj is a mouse event of the figure, or the answer that has changed.
const PATIENCE = 2000 // milliseconds; an answer lost with the connection must not silence the map for good
const state = (window.__map_hover ??= new WeakMap()).get(probe) ?? {asked: 0, since: -Infinity, waiting: false, next: null}
window.__map_hover.set(probe, state)

const ask = (x, y) => {
  state.waiting = true
  state.since = performance.now()
  state.next = null
  state.asked += 1
  probe.data = {x: [x], y: [y], n: [state.asked]} // the number makes each question differ from the last
}
const move = (x, y) => {
  if (state.waiting && performance.now() - state.since < PATIENCE) state.next = [x, y]
  else ask(x, y)
}

if (cb_obj === answer) {
  state.waiting = false
  if (state.next !== null) ask(...state.next)
} else if (cb_obj.event_name === "mouseleave") {
  move(NaN, NaN)
} else {
  move(cb_obj.x, cb_obj.y)
}
