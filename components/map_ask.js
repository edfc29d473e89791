// Asks the server something as the pointer or the view moves, one question at a time: while an answer is on
// its way only the newest question is kept, so a fast hand never floods the server.
// Runs for a mouse event of the figure, for a range that has changed, and for the answer, which is cb_obj then.
const PATIENCE = 2000 // milliseconds; an answer lost with the connection must not silence the map for good
const states = (window.__map_asks ??= new WeakMap())
if (!states.has(probe)) states.set(probe, {asked: 0, since: -Infinity, waiting: false, next: null, timer: null})
const state = states.get(probe)

const send = (values) => {
  state.waiting = true
  state.since = performance.now()
  state.next = null
  state.asked += 1
  probe.data = {values, n: values.map(() => state.asked)} // the number makes each question differ from the last
}
const ask = (values) => {
  if (state.waiting && performance.now() - state.since < PATIENCE) state.next = values
  else send(values)
}

if (cb_obj === answer) {
  state.waiting = false
  if (state.next !== null) send(state.next)
} else if (ranges.length > 0) {
  // x and y change one after the other; the question is asked when both have
  state.timer ??= setTimeout(() => {
    state.timer = null
    ask(ranges.flatMap((range) => [range.start, range.end]))
  }, 0)
} else {
  ask(cb_obj.event_name === "mouseleave" ? [NaN, NaN] : [cb_obj.x, cb_obj.y])
}
