// Adds what HTML cannot do: tables that can be sorted, and single cells of the maps as text. All figures are on the page
// without it.
"use strict";
(() => {
  const number = (text) => {
    const value = Number.parseFloat(text.replace(/[,▼▲]/g, "").trim());
    return Number.isNaN(value) ? null : value;
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x === null && y === null) return a.localeCompare(b);
    if (x === null) return 1;
    if (y === null) return -1;
    return x - y;
  };
  const text = (row, column) => row.cells[column].textContent.trim();

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const hint = document.createElement("span");
    hint.className = "hint";
    hint.textContent = " · a heading sorts";
    table.caption.append(hint);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const isUp = head.getAttribute("aria-sort") === "descending" || (column === 0 && !head.hasAttribute("aria-sort"));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows];
        rows.sort((a, b) => (isUp ? 1 : -1) * compare(text(a, column), text(b, column)));
        body.append(...rows);
      });
    });
  }

  for (const figure of document.querySelectorAll("figure[data-cells]")) {
    const map = JSON.parse(figure.querySelector("script").textContent);
    const plot = figure.querySelector("svg.plot");
    const ground = plot.querySelector(".ground");
    const readout = figure.querySelector(".readout");
    const group = figure.querySelector("[tabindex]");
    readout.textContent = "Point at a cell, or use the arrow keys, to read it.";
    const columns = Math.max(...map.rows.map((row) => row.length - 1));
    let [row, column] = [0, 0];
    const time = (s) => (s < 600 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")} min`);
    const show = () => {
      const value = map.rows[row][column + 1] ?? -1;
      const said = value === -1 ? "nothing measured" : value === -2 ? "records waited, none was processed" : `${value} ${map.unit}`;
      const from = map.from + map.width * column;
      readout.textContent = `partition ${map.rows[row][0]}, ${time(from)} to ${time(from + map.width)}: ${said}`;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = ground.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
      [row, column] = [Math.floor(y * map.rows.length), Math.floor(x * columns)];
      show();
    });
    group.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      row = Math.min(Math.max(row + step[0], 0), map.rows.length - 1);
      column = Math.min(Math.max(column + step[1], 0), columns - 1);
      show();
    });
  }
})();
