"use strict";
const clamp = (value) => Math.max(0, Math.min(100, value));
// a picture whose part left of a line shows the look before
const swipe = (frame, before, bar, handle) => {
  const show = () => {
    const share = Number(handle.value);
    before.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    bar.style.left = `${share}%`;
  };
  const follow = (event) => {
    const box = frame.getBoundingClientRect();
    handle.value = String(clamp((100 * (event.clientX - box.left)) / box.width));
    show();
  };
  frame.classList.add("live");
  handle.addEventListener("input", show);
  frame.addEventListener("pointerdown", (event) => { frame.setPointerCapture(event.pointerId); follow(event); handle.focus({ preventScroll: true }); });
  frame.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
  show();
};
document.documentElement.classList.add("live-page");
const slider = document.getElementById("slider");
swipe(slider, slider.querySelector(".before"), slider.querySelector(".bar"), document.getElementById("handle"));
for (const [id, name, when] of [["evidence", "show-evidence", true], ["outlines", "hide-outlines", false]]) {
  const box = document.getElementById(id);
  const set = () => slider.classList.toggle(name, box.checked === when);
  box.addEventListener("change", set);
  set();
}
// two looks of one change, any of its strip
const strips = new Map();
for (const figure of document.querySelectorAll(".swipe")) {
  const facts = JSON.parse(figure.dataset.strip);
  const height = figure.querySelector("svg").viewBox.baseVal.height;
  const [from, to, play] = [figure.querySelector(".from"), figure.querySelector(".to"), figure.querySelector(".play")];
  const state = { facts, height, width: figure.querySelector("svg").viewBox.baseVal.width, from: facts.before, to: facts.after, image: figure.querySelector(".strip") };
  const draw = () => {
    for (const [side, index] of [["before", state.from], ["after", state.to]]) {
      const part = figure.querySelector(`.side.${side}`);
      part.querySelector(".roll").setAttribute("transform", `translate(0 ${-index * height})`);
      part.querySelector("svg").setAttribute("aria-label", `${figure.dataset.label} on ${facts.frames[index][0]}`);
      part.querySelector(".tag").textContent = `${side} ${facts.frames[index][0]}`;
    }
    from.value = String(state.from);
    to.value = String(state.to);
  };
  for (const choice of [from, to]) {
    facts.frames.forEach(([day, seen], index) => choice.add(new Option(seen ? `${day} •` : day, String(index))));
    choice.addEventListener("change", () => { state[choice === from ? "from" : "to"] = Number(choice.value); draw(); });
  }
  let timer = 0;
  const handle = figure.querySelector(".handle");
  const stop = () => { clearInterval(timer); timer = 0; state.to = facts.after; handle.value = "50"; handle.dispatchEvent(new Event("input")); play.setAttribute("aria-pressed", "false"); draw(); };
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    play.setAttribute("aria-pressed", "true");
    handle.value = "0";
    handle.dispatchEvent(new Event("input"));
    let index = 0;
    const step = () => { if (index === facts.frames.length) { stop(); return; } state.to = index; index += 1; draw(); };
    step();
    timer = setInterval(step, 450);
  });
  swipe(figure.querySelector(".pair"), figure.querySelector(".side.before"), figure.querySelector(".bar"), handle);
  draw();
  strips.set(figure, state);
}
// both looks as one picture that can stand alone
const save = async (button) => {
  const figure = button.closest("article").querySelector(".swipe");
  const state = strips.get(figure);
  const source = new Image();
  source.src = state.image.getAttribute("href");
  await source.decode();
  const side = 780;
  const tall = Math.round((side * state.height) / state.width);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1600, tall + 150];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = false;
  const write = (text, x, y, size, colour, weight = "") => { pen.font = `${weight} ${size}px system-ui, sans-serif`; pen.fillStyle = colour; pen.fillText(text, x, y, canvas.width - x - 10); };
  write(button.dataset.title, 14, 42, 28, "#1b1c1f", "600");
  const marks = new Path2D(figure.querySelector(".corner").getAttribute("d"));
  for (const [index, left] of [[state.from, 10], [state.to, 810]]) {
    pen.drawImage(source, 0, index * state.height, state.width, state.height, left, 66, side, tall);
    pen.save();
    pen.translate(left, 66);
    pen.scale(side / state.width, tall / state.height);
    for (const [colour, width] of [["#1b1c1f", 0.6], ["#ffd92f", 0.3]]) { pen.strokeStyle = colour; pen.lineWidth = width; pen.stroke(marks); }
    pen.restore();
    pen.fillStyle = "#000a";
    pen.fillRect(left, 66, 190, 44);
    write(state.facts.frames[index][0], left + 14, 98, 28, "#fff", "600");
  }
  const [share, length] = state.facts.bar;
  pen.fillStyle = "#1b1c1f";
  pen.fillRect(14, tall + 92, share * side, 5);
  write(length, 14 + share * side + 12, tall + 100, 22, "#1b1c1f");
  write(`↑ grid north    ${button.dataset.place}`, 810, tall + 100, 22, "#1b1c1f");
  write(button.dataset.credit, 14, tall + 136, 20, "#53565d");
  const link = document.createElement("a");
  link.download = button.dataset.name;
  link.href = canvas.toDataURL("image/png");
  link.click();
};
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", () => save(button));
for (const link of document.querySelectorAll(".link")) {
  link.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link.href);
      link.textContent = "link copied";
    } catch {
      link.textContent = "link is in the address bar";
    }
  });
}
if (window.matchMedia("(min-width: 60rem)").matches) for (const part of document.querySelectorAll("#changes ~ .list details.more")) part.open = true;
const reveal = () => { for (let part = document.getElementById(decodeURIComponent(location.hash.slice(1))); part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true; };
window.addEventListener("hashchange", reveal);
// what a reader has folded away on the screen is not printed either: other change types
window.addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details:not(#others)")) if (!part.closest("#others")) part.open = true; });
reveal();
