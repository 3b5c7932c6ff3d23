"use strict";
const slider = document.getElementById("slider");
const before = slider.querySelector(".before");
const bar = slider.querySelector(".bar");
const handle = document.getElementById("handle");
const show = () => {
  const share = Number(handle.value);
  before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  bar.style.left = `${share}%`;
};
const follow = (event) => {
  const box = slider.getBoundingClientRect();
  handle.value = String(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
  show();
};
slider.classList.add("live");
handle.addEventListener("input", show);
slider.addEventListener("pointerdown", (event) => { slider.setPointerCapture(event.pointerId); follow(event); handle.focus({ preventScroll: true }); });
slider.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
for (const [id, name, when] of [["evidence", "show-evidence", true], ["outlines", "hide-outlines", false]]) {
  const box = document.getElementById(id);
  const set = () => slider.classList.toggle(name, box.checked === when);
  box.addEventListener("change", set);
  set();
}
window.addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
show();
