"use strict";
(() => {
  // Columns are sorted by the figure behind a cell where it has one, else by its text; what is unknown comes last.
  const keyOf = (cell) => (cell.dataset.key === undefined ? cell.textContent.trim() : cell.dataset.key);

  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
    const figures = rows.some(([, row]) => row.cells[column].dataset.key !== undefined);
    const words = new Intl.Collator(undefined, { numeric: true });
    rows.sort(([one], [other]) => {
      if (one === "" || other === "") return (one === "") - (other === "");
      const order = figures ? Number(one) - Number(other) : words.compare(one, other);
      return down ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll(".scroll table")) {
    if (!table.tHead || table.tBodies[0].rows.length < 2) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }

  document.querySelectorAll(".panels").forEach((list, index) => {
    const panels = [...list.children];
    if (panels.length < 2) return;
    const label = document.createElement("label");
    const choice = document.createElement("select");
    choice.id = `choice-${index}`;
    choice.append(...panels.map((panel, at) => new Option(panel.dataset.title, String(at))));
    const choose = () => {
      panels.forEach((panel, at) => {
        panel.hidden = at !== Number(choice.value);
      });
      document.dispatchEvent(new Event("panel"));
    };
    choice.addEventListener("change", choose);
    label.className = "choice";
    label.append(`${list.dataset.name} (${panels.length})`, choice);
    list.before(label);
    list.classList.add("chosen");
    choose();
  });
})();
