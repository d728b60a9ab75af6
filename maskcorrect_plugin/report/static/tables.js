"use strict";
// Tables that are sorted by a click on a column's head: numbers from the largest down first, texts from A to Z.
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  function compare(a, b, numeric) {
    if (a === "" || b === "") return (a === "") - (b === "");  // what has no value comes last
    return numeric ? Number(a) - Number(b) : collator.compare(a, b);
  }

  function sort(table, column, numeric, direction) {
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].dataset.sort;
    const sign = (a, b) => (a === "" || b === "" ? 1 : direction);
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      return sign(a, b) * compare(a, b, numeric);
    });
    body.append(...rows);
  }

  function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const numeric = head.classList.contains("number");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = head.title;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const first = numeric ? "descending" : "ascending";
        const second = numeric ? "ascending" : "descending";
        const order = before === first ? second : first;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        sort(table, column, numeric, order === "ascending" ? 1 : -1);
      });
    });
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  // A printed page has no folds.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => { fold.open = true; }));
})();
