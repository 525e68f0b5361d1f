"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();
  const kept = new Map();

  const themed = (value, colour) => {
    if (typeof value === "string") return /^\$[a-z-]+$/.test(value) ? colour(value.slice(1)) : value;
    if (Array.isArray(value)) return value.map((item) => themed(item, colour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, colour)]));
  };

  const draw = (id) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), fixedrange: true };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("quiet") },
      hoverlabel: { align: "left", bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
    };
    const { data, layout, details } = charts[id];
    const shown = themed({ data, layout }, colour);
    const full = { ...base, ...shown.layout, xaxis: { ...axis, zeroline: false, ...shown.layout.xaxis }, yaxis: { ...axis, zeroline: false, ...shown.layout.yaxis } };
    Plotly.react(id, shown.data, full, { responsive: true, displayModeBar: false });
    if (details && !drawn.has(id)) listen(document.getElementById(id), details);
    drawn.add(id);
  };

  // A chart in what is folded or not chosen has no width yet: it is drawn when it is first seen.
  const visible = (id) => document.getElementById(id).offsetParent !== null;
  const drawSeen = () => {
    for (const id of Object.keys(charts)) {
      if (!visible(id)) continue;
      if (drawn.has(id)) Plotly.Plots.resize(id);
      else draw(id);
    }
    document.documentElement.dataset.charts = String(drawn.size);
  };

  const describe = (card, facts) => {
    const list = document.createElement("dl");
    for (const [name, value] of facts) {
      list.appendChild(document.createElement("dt")).textContent = name;
      list.appendChild(document.createElement("dd")).textContent = value;
    }
    card.replaceChildren(list);
  };

  const factsOf = (cardId, row) => Object.values(charts).find(({ details }) => details && details.card === cardId).details.rows[row];

  const show = (cardId, row) => describe(document.getElementById(cardId), factsOf(cardId, row));

  const mark = (cardId, row) => {
    for (const [id, { data, details }] of Object.entries(charts)) {
      if (!details || details.card !== cardId || !drawn.has(id)) continue;
      const chosen = data.map((trace) => (trace.customdata && row !== null ? [trace.customdata.indexOf(row)].filter((at) => at >= 0) : null));
      Plotly.restyle(id, { selectedpoints: chosen });
    }
    for (const button of document.querySelectorAll(".pick")) {
      if (button.dataset.card !== cardId) continue;
      const mine = Number(button.dataset.row) === row;
      button.setAttribute("aria-pressed", String(mine));
      button.closest("tr").classList.toggle("picked", mine);
    }
  };

  const keep = (cardId, row) => {
    kept.set(cardId, row);
    show(cardId, row);
    mark(cardId, row);
  };

  const listen = (chart, { card }) => {
    chart.on("plotly_hover", ({ points }) => {
      if (points[0].customdata !== undefined) show(card, points[0].customdata);
    });
    chart.on("plotly_unhover", () => {
      if (kept.has(card)) show(card, kept.get(card));
    });
    chart.on("plotly_click", ({ points }) => {
      if (points[0].customdata !== undefined) keep(card, points[0].customdata);
    });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".pick");
    if (button) keep(button.dataset.card, Number(button.dataset.row));
  });
  document.addEventListener("toggle", drawSeen, true);
  document.addEventListener("panel", drawSeen);
  drawSeen();
  dark.addEventListener("change", () => {
    drawn.forEach(draw);
    kept.forEach((row, card) => mark(card, row));
  });
})();
