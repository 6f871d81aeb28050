"use strict";
(() => {
  const form = document.getElementById("filter");
  const body = document.querySelector("#results tbody");
  const rows = Array.from(body.rows, row => ({ row, text: row.textContent.toLowerCase() }));
  const filter = () => {
    const words = document.getElementById("words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(Array.from(form.querySelectorAll("input:checked"), box => box.value));
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !wanted.has(row.dataset.outcome) || !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length}`;
  };
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  document.querySelectorAll("#results th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      document.querySelectorAll("#results th").forEach(each => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => {
        const [x, y] = [value(a.row, column), value(b.row, column)];
        return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
      });
      body.append(...rows.map(each => each.row));
    });
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", event => event.preventDefault());
  form.hidden = false;
  filter();
})();
