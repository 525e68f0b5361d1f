"use strict";
(() => {
  const picture = document.getElementById("network");
  if (!picture) return;
  const readout = document.getElementById("readout");
  const hint = "Point at a layer or a line.";
  const parts = [...picture.querySelectorAll(".layer, .width")];
  for (const part of parts) {
    // The browser's own tooltip would say the same a second later, on top of the picture.
    const title = part.querySelector("title");
    part.dataset.says = title.textContent;
    part.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const show = (part) => {
    const groups = new Set(part ? part.dataset.groups.split(" ").filter(Boolean) : []);
    picture.classList.toggle("pointed", Boolean(part));
    for (const other of parts) {
      other.classList.toggle("lit", other === part || other.dataset.groups.split(" ").some((group) => groups.has(group)));
    }
    readout.textContent = part ? part.dataset.says : hint;
  };
  readout.hidden = false;
  picture.addEventListener("pointerover", (event) => show(event.target.closest(".layer, .width")));
  picture.addEventListener("pointerleave", () => show(null));
  show(null);
})();
