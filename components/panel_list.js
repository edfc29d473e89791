export function render({model}) {
  const list = document.createElement("ol");
  list.setAttribute("aria-label", "Panels");

  const act = (item, action, more = {}) => { model.acted = {id: item.id, action, ...more, at: Date.now()}; };

  const button = (item, action, sign, words, disabled) => {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = sign;
    element.title = words;
    element.setAttribute("aria-label", `${words}: ${item.title}`);
    element.disabled = disabled;
    element.addEventListener("click", (event) => { event.stopPropagation(); act(item, action); });
    return element;
  };

  const line = (item, i) => {
    const li = document.createElement("li");
    li.dataset.id = item.id;
    li.className = item.id === model.value ? "chosen" : "";
    li.addEventListener("click", () => { model.value = item.id; });

    const picture = document.createElement("div");
    picture.className = "picture";
    if (item.image) {
      const image = document.createElement("img");
      image.src = item.image;
      image.alt = "";
      picture.append(image);
    }

    const words = document.createElement("div");
    words.className = "words";
    const title = document.createElement("input");
    title.value = item.title;
    title.setAttribute("aria-label", `Title of panel ${i + 1}`);
    title.addEventListener("change", () => act(item, "rename", {title: title.value}));
    title.addEventListener("keydown", (event) => { if (event.key === "Enter") title.blur(); event.stopPropagation(); });
    const detail = document.createElement("div");
    detail.className = "detail";
    detail.textContent = item.detail ?? "";
    words.append(title, detail);

    const buttons = document.createElement("div");
    buttons.className = "buttons";
    buttons.append(
      button(item, "up", "▲", "Move up", i === 0),
      button(item, "down", "▼", "Move down", i === model.items.length - 1),
      button(item, "remove", "✕", "Remove", false),
    );
    li.append(picture, words, buttons);
    return li;
  };

  const draw = () => list.replaceChildren(...model.items.map(line));
  for (const name of ["items", "value"]) model.on(name, draw);
  draw();
  return list;
}
