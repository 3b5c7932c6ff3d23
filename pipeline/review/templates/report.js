const figure = document.getElementById("slider");
const over = document.getElementById("over");
const handle = document.getElementById("handle");
const show = (share) => { over.style.clipPath = `inset(0 ${100 - share}% 0 0)`; };
handle.addEventListener("input", () => show(Number(handle.value)));
const follow = (event) => {
  const box = figure.getBoundingClientRect();
  handle.value = String(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
  show(Number(handle.value));
};
figure.addEventListener("pointerdown", (event) => { figure.setPointerCapture(event.pointerId); follow(event); });
figure.addEventListener("pointermove", (event) => { if (event.buttons) follow(event); });
