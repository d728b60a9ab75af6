"use strict";
// One changed image as a card. Everything from data is set as text, never as markup.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
// Probabilities that the records do not hold lie below a known one, whose negative stands for them.
const probability = (value) => {
  const below = value < 0 || Object.is(value, -0);
  return below || value < 0.0005 ? `<${percent(Math.max(Math.abs(value), 0.001))}` : percent(value);
};

function makeCard(data, item) {
  const method = data.methods[item.m];
  const family = data.families[method.family];
  const name = (index) => family.classes[index];
  const [old, now] = item.a;
  const kind = item.k === "changed" && item.l !== null ? "still wrong" : item.k;
  const facts = [item.l === null ? "true class unknown" : `true class ${name(item.l)}`, `gap ${item.g.toFixed(2)}`];
  if (data.methods.length > 1) facts.push(method.name);
  if (data.families.length > 1) facts.push(family.name);
  return element(
    "li",
    { class: "case" },
    element(
      "div",
      { class: "case-head" },
      element("span", { class: `badge ${item.k}` }, kind),
      element("h3", { class: "clamped", title: item.n }, item.n),
      element("p", { class: "clamped" }, name(old), " → ", element("strong", {}, name(now))),
      element("p", { class: "case-facts clamped" }, facts.join(" · ")),
    ),
    element("div", { class: "tiles" }, ...makeTiles(item, name)),
  );
}

function makeTiles(item, name) {
  const tiles = item.c.map(([index, before, after], position) => {
    const tags = [];
    if (index === item.a[0]) tags.push(["answer before", ""]);
    if (index === item.a[1]) tags.push(["answer after", ""]);
    if (index === item.l) tags.push(["true", " true"]);
    const hasMap = position < (item.mapCount ?? 0);
    const canvas = hasMap ? element("canvas", { role: "img", "data-map": position, "aria-label": `Map of ${name(index)}` }) : null;
    return element(
      "figure",
      { class: "tile" },
      canvas,
      element(
        "figcaption",
        {},
        element("span", { class: "clamped", title: name(index) }, name(index)),
        ...tags.flatMap(([text, more]) => [" ", element("span", { class: `tag${more}` }, text)]),
        element("span", { class: "bars" }, ...makeBar("before", before), ...makeBar("after", after)),
      ),
    );
  });
  if (!item.picture) return tiles;
  const picture = element("img", { alt: `Picture of ${item.n}`, class: "picture" });
  return [element("figure", { class: "tile" }, picture, element("figcaption", {}, "what the network saw")), ...tiles];
}

function makeBar(side, value) {
  const bar = element("span", { class: `bar ${side}` });
  bar.style.width = `${100 * Math.abs(value)}%`;
  return [bar, element("span", {}, probability(value))];
}

async function paintCard(data, item, card, view) {
  if (!item.picture) return;
  const content = data.pictures[item.picture];
  card.querySelector("img.picture").src = `data:image/jpeg;base64,${content}`;
  if (!item.maps) return;
  const [image, maps] = await Promise.all([decode(content), decode(item.maps)]);
  const { naturalWidth: width, naturalHeight: height } = image;
  const picture = pixelsOf(image, { x: 0, y: 0, width, height }, width, height);
  const method = data.methods[item.m];
  const fill = view === "again" ? fillColor(method, data.families[method.family], picture) : null;
  const side = data.drawing.side;
  for (const canvas of card.querySelectorAll("canvas[data-map]")) {
    const part = { x: 0, y: side * Number(canvas.dataset.map), width: side, height: side };
    const map = pixelsOf(maps, part, width, height);
    const pixels = fill ? masked(picture, map, method.threshold, fill) : overlay(picture, map, data.drawing);
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  }
}
