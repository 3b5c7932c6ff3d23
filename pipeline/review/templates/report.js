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
// what pictures and films to keep are drawn with: the strip of a change, its marks, a white canvas
const opened = async (button) => {
  const figure = button.closest("article").querySelector(".swipe");
  const state = strips.get(figure);
  const source = new Image();
  source.src = state.image.getAttribute("href");
  await source.decode();
  return { state, source, marks: new Path2D(figure.querySelector(".corner").getAttribute("d")), said: button.parentElement.dataset };
};
const sheet = (width, height) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d", { alpha: false });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingEnabled = false;
  const write = (text, x, y, size, colour, weight = "") => { pen.font = `${weight} ${size}px system-ui, sans-serif`; pen.fillStyle = colour; pen.fillText(text, x, y, width - x - 10); };
  // on two lines where one is too short
  const wrap = (text, x, y, size, colour) => {
    pen.font = `${size}px system-ui, sans-serif`;
    const words = text.split(" ");
    let count = words.length;
    while (count > 1 && pen.measureText(words.slice(0, count).join(" ")).width > width - x - 10) count -= 1;
    write(words.slice(0, count).join(" "), x, y, size, colour);
    write(words.slice(count).join(" "), x, y + size + 4, size, colour);
  };
  return { canvas, pen, write, wrap };
};
const look = ({ pen, write }, { state, source, marks }, index, left, top, side, tall) => {
  pen.drawImage(source, 0, index * state.height, state.width, state.height, left, top, side, tall);
  pen.save();
  pen.translate(left, top);
  pen.scale(side / state.width, tall / state.height);
  for (const [colour, width] of [["#1b1c1f", 0.6], ["#ffd92f", 0.3]]) { pen.strokeStyle = colour; pen.lineWidth = width; pen.stroke(marks); }
  pen.restore();
  pen.fillStyle = "#000a";
  pen.fillRect(left, top, 206, 44);
  write(state.facts.frames[index][0], left + 14, top + 32, 28, "#fff", "600");
};
const offer = (href, name) => { const link = document.createElement("a"); link.download = name; link.href = href; link.click(); };
// both looks as one picture that can stand alone
const save = async (button) => {
  const shown = await opened(button);
  const { state, said } = shown;
  const side = 780;
  const tall = Math.round((side * state.height) / state.width);
  const paper = sheet(1600, tall + 170);
  const { pen, write } = paper;
  write(said.title, 14, 42, 28, "#1b1c1f", "600");
  for (const [index, left] of [[state.from, 10], [state.to, 810]]) look(paper, shown, index, left, 66, side, tall);
  const [share, length] = state.facts.bar;
  pen.fillStyle = "#1b1c1f";
  pen.fillRect(14, tall + 92, share * side, 5);
  write(length, 14 + share * side + 12, tall + 100, 22, "#1b1c1f");
  write(`↑ grid north    ${said.place}`, 810, tall + 100, 22, "#1b1c1f");
  paper.wrap(said.credit, 14, tall + 132, 20, "#53565d");
  offer(paper.canvas.toDataURL("image/png"), `${said.name}.png`);
};
// an animated WebP of frames that the browser has compressed: https://developers.google.com/speed/webp/docs/riff_container
const number = (value, bytes) => Array.from({ length: bytes }, (_, place) => (value >> (8 * place)) & 255);
const chunk = (name, ...parts) => {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return [new TextEncoder().encode(name), Uint8Array.from(number(size, 4)), ...parts, new Uint8Array(size % 2)];
};
// the compressed pixels of a single opaque picture, without its header and its colour profile
const pixels = (file) => {
  for (let start = 12; start + 8 <= file.length;) {
    const size = new DataView(file.buffer).getUint32(start + 4, true);
    const end = start + 8 + size + (size % 2);
    if (["VP8 ", "VP8L"].includes(new TextDecoder().decode(file.subarray(start, start + 4)))) return file.subarray(start, end);
    start = end;
  }
  throw new Error("a picture without pixels");
};
const animated = (frames, width, height, pauses) => {
  const size = [...number(width - 1, 3), ...number(height - 1, 3)];
  const parts = [chunk("VP8X", Uint8Array.from([2, 0, 0, 0, ...size])), chunk("ANIM", Uint8Array.from([255, 255, 255, 255, 0, 0]))];
  frames.forEach((frame, index) => parts.push(chunk("ANMF", Uint8Array.from([0, 0, 0, 0, 0, 0, ...size, ...number(pauses[index], 3), 2]), pixels(frame))));
  return new Blob(chunk("RIFF", new TextEncoder().encode("WEBP"), ...parts.flat()), { type: "image/webp" });
};
const film = async (button) => {
  const shown = await opened(button);
  const { state, said } = shown;
  const [side, frames, count] = [640, [], state.facts.frames.length];
  const tall = Math.round((side * state.height) / state.width);
  const height = tall + 124;
  const [share, length] = state.facts.bar;
  for (let index = 0; index < count; index += 1) {
    const { canvas, pen, write, wrap } = sheet(side, height);
    write(said.title, 10, 26, 18, "#1b1c1f", "600");
    look({ pen, write }, shown, index, 0, 40, side, tall);
    if (state.facts.frames[index][1]) { pen.fillStyle = "#000a"; pen.fillRect(side - 150, 40, 150, 34); write("change seen", side - 138, 64, 20, "#fff", "600"); }
    pen.fillStyle = "#0a4f9e";
    pen.fillRect(0, tall + 42, (side * (index + 1)) / count, 6);
    pen.fillStyle = "#1b1c1f";
    pen.fillRect(10, tall + 66, share * side, 4);
    write(`${length}    ↑ grid north    ${said.place}`, 20 + share * side, tall + 73, 16, "#1b1c1f");
    wrap(said.credit, 10, tall + 98, 13, "#53565d");
    const blob = await new Promise((done) => canvas.toBlob(done, "image/webp", 0.85));
    if (blob.type !== "image/webp") { button.textContent = "this browser writes no film"; return; }
    frames.push(new Uint8Array(await blob.arrayBuffer()));
  }
  const address = URL.createObjectURL(animated(frames, side, height, frames.map((_, index) => (index === count - 1 ? 2000 : 500))));
  offer(address, `${said.name}.webp`);
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};
for (const button of document.querySelectorAll(".save")) button.addEventListener("click", () => save(button));
for (const button of document.querySelectorAll(".film")) button.addEventListener("click", () => film(button));
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
