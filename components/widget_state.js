// A Material widget keeps a copy of each value of its model, and writes the copy back whenever it has changed. A value
// that comes while an older one is on its way into the copy is overwritten by the older one, here and on the server,
// as if a person had chosen that; and one that comes before the widget listens is never shown. So let widgets read the
// model itself, and write into it only what somebody does.
{
  const state = (React, {model}, name) => {
    const {data} = model
    const {change} = data.property(name)
    const follow = React.useCallback((redraw) => {
      change.connect(redraw)
      return () => change.disconnect(redraw)
    }, [change])
    const value = React.useSyncExternalStore(follow, () => data.attributes[name])
    const choose = React.useCallback((next) => {
      data.setv({[name]: typeof next === "function" ? next(data.attributes[name]) : next})
    }, [data, name])
    return [value, choose]
  }

  // what a widget's code gets as its model: the one it would get, but for the values it keeps
  const reading = (view, model) => new Proxy(model, {
    get: (_, name) => name !== "useState" ? model[name] : (prop) => {
      const isValue = prop in view.model.data.attributes && !view.model.events.includes(prop)
      return isValue ? state(view.react, view, prop) : model.useState(prop)
    },
    set: (_, name, value) => { model[name] = value; return true },
  })

  const direct = new WeakMap()
  const wrap = (render) => {
    const models = new WeakMap()
    return ({view, model, ...others}, ...more) => {
      if (!models.has(model)) models.set(model, reading(view, model))
      return render({view, model: models.get(model), ...others}, ...more)
    }
  }

  // once Panel's models are there, and before any of them is drawn
  document.addEventListener("DOMContentLoaded", () => {
    const View = Bokeh.Models.get("panel.models.esm.ReactComponent").prototype.default_view
    const {lazy_initialize} = View.prototype
    const {get} = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(View).prototype, "render_fn")
    View.prototype.lazy_initialize = async function () {
      await lazy_initialize.call(this)
      const {bundle, esm} = this.model
      const module = bundle && await this._module_cache.get(bundle === "url" ? esm : bundle)
      this.react = module?.default?.React
    }
    Object.defineProperty(View.prototype, "render_fn", {get() {
      const render = get.call(this)
      if (!render || !this.react) return render
      if (!direct.has(render)) direct.set(render, wrap(render))
      return direct.get(render)
    }})
  }, {once: true})
}
