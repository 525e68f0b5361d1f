"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const themed = (value, colour) => {
    if (typeof value === "string") return /^\$[a-z-]+$/.test(value) ? colour(value.slice(1)) : value;
    if (Array.isArray(value)) return value.map((item) => themed(item, colour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, colour)]));
  };

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), fixedrange: true };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("quiet") },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
    };
    for (const [id, figure] of Object.entries(charts)) {
      const { data, layout } = themed(figure, colour);
      const full = { ...base, ...layout, xaxis: { ...axis, zeroline: false, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
      Plotly.react(id, data, full, { responsive: true, displayModeBar: false });
    }
    document.documentElement.dataset.charts = String(Object.keys(charts).length);
  };

  draw();
  dark.addEventListener("change", draw);
})();
