"use strict";
const table = document.getElementById("table");
const body = table.tBodies[0];
const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase(), cells: [...row.cells].map((cell) => cell.textContent.trim()) }));
const [search, show, count] = ["search", "show", "count"].map((id) => document.getElementById(id));
const filter = () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let seen = 0;
  for (const { row, text } of rows) {
    row.hidden = !(words.every((word) => text.includes(word)) && (!show.value || row.classList.contains(show.value)));
    seen += !row.hidden;
  }
  count.textContent = `${seen} of ${rows.length} shown`;
};
const sort = (index, header) => {
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const number = header.classList.contains("n");
  // what is empty comes last, whichever way
  const order = (a, b) => {
    const [one, other] = [a.cells[index], b.cells[index]];
    if (!one || !other) return (one ? 0 : 1) - (other ? 0 : 1);
    return (down ? -1 : 1) * (number ? Number(one) - Number(other) : one.localeCompare(other, "en", { numeric: true }));
  };
  body.append(...rows.sort(order).map(({ row }) => row));
};
[...table.tHead.rows[0].cells].forEach((header, index) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = header.textContent;
  header.replaceChildren(button);
  button.addEventListener("click", () => sort(index, header));
});
search.addEventListener("input", filter);
show.addEventListener("change", filter);
filter();
