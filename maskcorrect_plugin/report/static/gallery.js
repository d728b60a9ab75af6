"use strict";
// The gallery: which of the changed images are displayed, in which order. A few at a time, so that thousands open at once.
(() => {
  const PAGE = 12;
  const list = document.getElementById("gallery");
  if (!list) return;
  const data = JSON.parse(document.getElementById("cases").textContent);
  data.drawing.table = colorTable(data.drawing.colors);
  const part = (id) => document.getElementById(id);
  const [method, search, order, view, pictured, more, status] =
    ["method", "search", "order", "view", "pictured", "more", "status"].map(part);
  const collator = new Intl.Collator(undefined, { numeric: true });
  const orders = {
    moved: (a, b) => Math.abs(b.d) - Math.abs(a.d),
    unsure: (a, b) => a.g - b.g,
    sure: (a, b) => b.g - a.g,
    name: (a, b) => collator.compare(a.n, b.n),
  };
  let found = [];
  let shown = 0;

  for (const item of data.cases) {
    const family = data.families[data.methods[item.m].family];
    const classes = [...item.a, ...(item.l === null ? [] : [item.l])].map((index) => family.classes[index]);
    item.text = [item.n, ...classes].join("\n").toLowerCase();
  }

  function matches(item, kind) {
    return (method.value === "" || item.m === Number(method.value))
      && (!kind || item.k === kind)
      && (!pictured.checked || Boolean(item.picture))
      && item.text.includes(search.value.trim().toLowerCase());
  }

  const kindChosen = () => document.querySelector("input[name=kind]:checked").value;

  function choose() {
    for (const radio of document.querySelectorAll("input[name=kind]")) {
      const count = data.cases.filter((item) => matches(item, radio.value)).length;
      radio.parentElement.querySelector(".n").textContent = count.toLocaleString("en");
    }
    const kind = kindChosen();
    found = data.cases.filter((item) => matches(item, kind)).sort(orders[order.value]);
    list.replaceChildren();
    shown = 0;
    showMore();
    part("map-legend").hidden = view.value !== "map";
    part("again-legend").hidden = view.value === "map";
  }

  function showMore() {
    const next = found.slice(shown, shown + PAGE);
    const cards = next.map((item) => makeCard(data, item));
    list.append(...cards);
    shown += next.length;
    next.forEach((item, position) => paintCard(data, item, cards[position], view.value));
    more.hidden = shown >= found.length;
    status.textContent = found.length
      ? `${found.length.toLocaleString("en")} images, ${shown.toLocaleString("en")} of them displayed.`
      : "No changed image is like that.";
    return cards[0];
  }

  function offer() {
    data.methods.forEach((entry, number) => {
      const family = data.families.length > 1 ? ` (${data.families[entry.family].name})` : "";
      method.append(new Option(entry.name + family, String(number)));
    });
    if (data.methods.length > 1) method.append(new Option("all methods", ""));
    method.parentElement.hidden = data.methods.length < 2;
    const some = data.cases.some((item) => item.picture);
    pictured.checked = some;
    part("pictured-field").hidden = !some || data.cases.every((item) => item.picture);
    part("view-field").hidden = !data.methods.some((entry) => entry.threshold !== null);
    part("legend").hidden = false;
    part("filters").hidden = false;
    const colors = part("colors").getContext("2d");
    for (let at = 0; at < 64; at += 1) {
      const [red, green, blue] = data.drawing.table.slice(3 * 4 * at, 3 * 4 * at + 3);
      colors.fillStyle = `rgb(${red} ${green} ${blue})`;
      colors.fillRect(at, 0, 1, 1);
    }
  }

  offer();
  [method, order, view, pictured, ...document.querySelectorAll("input[name=kind]")].forEach((field) => {
    field.addEventListener("change", choose);
  });
  search.addEventListener("input", choose);
  more.addEventListener("click", () => {
    const first = showMore();  // the keyboard goes on where the new images begin
    first.tabIndex = -1;
    first.focus();
  });
  choose();
})();
