"use strict";
// Pixels: a map over its picture, and the picture as it was asked about again.

async function decode(content) {
  const image = new Image();
  image.src = `data:image/jpeg;base64,${content}`;
  await image.decode();
  return image;
}

// The pixels of a part of an image, stretched to a size.
function pixelsOf(image, part, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, part.x, part.y, part.width, part.height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

// 256 colours, blended from the few that the page holds.
function colorTable(stops) {
  const table = new Uint8ClampedArray(256 * 3);
  for (let value = 0; value < 256; value += 1) {
    const place = (value / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      table[3 * value + part] = stops[low][part] + (place - low) * (stops[low + 1][part] - stops[low][part]);
    }
  }
  return table;
}

// The higher a map's value, the more of its colour covers the picture, which is grey below it.
function overlay(picture, map, settings) {
  const out = new Uint8ClampedArray(picture.length);
  const [least, most] = settings.opacity;
  for (let at = 0; at < picture.length; at += 4) {
    const value = map[at];
    const light = 0.2126 * picture[at] + 0.7152 * picture[at + 1] + 0.0722 * picture[at + 2];
    const grey = 0.15 * 255 + 0.8 * light;
    const opacity = least + (most - least) * (value / 255);
    for (let part = 0; part < 3; part += 1) {
      out[at + part] = (1 - opacity) * grey + opacity * settings.table[3 * value + part];
    }
    out[at + 3] = 255;
  }
  return out;
}

// The picture times the map, values at or below the threshold counting as 0; `fill` shows where it is hidden.
function masked(picture, map, threshold, fill) {
  const out = new Uint8ClampedArray(picture.length);
  for (let at = 0; at < picture.length; at += 4) {
    const value = map[at] / 255;
    const kept = value > threshold ? value : 0;
    for (let part = 0; part < 3; part += 1) out[at + part] = kept * picture[at + part] + (1 - kept) * fill[part];
    out[at + 3] = 255;
  }
  return out;
}

function meanColor(picture) {
  const sums = [0, 0, 0];
  for (let at = 0; at < picture.length; at += 4) for (let part = 0; part < 3; part += 1) sums[part] += picture[at + part];
  return sums.map((sum) => (4 * sum) / picture.length);
}

// The colour that hides, 0 to 255 per channel; null where it cannot be told from what the page holds.
function fillColor(method, family, picture) {
  if (method.fill === "black") return [0, 0, 0];
  if (method.fill === "mean") return meanColor(picture);
  return method.fill === "zero" && family.mean ? family.mean.map((value) => 255 * value) : null;
}
