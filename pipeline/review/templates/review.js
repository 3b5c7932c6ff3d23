"use strict";
const at = (id) => document.getElementById(id);
const token = document.body.dataset.token;
const state = { changes: [], rows: [], index: 0, strip: null, frame: 0, asked: 0, near: false };
const ask = async (path, body) => {
  const how = { headers: { "X-Token": token } };
  if (body) Object.assign(how, { method: "POST", body: JSON.stringify(body) });
  const answer = await fetch(path, how);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
};
const reportErrors = async (work) => { try { at("problem").textContent = ""; await work(); } catch (error) { at("problem").textContent = `not saved: ${error.message}`; } };
const current = () => state.changes[state.index];

// the list is built once: of a thousand changes only the rows that differ are touched
const mark = (index) => {
  const [change, button] = [state.changes[index], state.rows[index]];
  button.textContent = `${change.label} ${change.verdict ?? change.kind}`;
  button.className = change.verdict ? "done" : "";
  if (index === state.index) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
};
const count = () => {
  const left = state.changes.filter((change) => change.waits && !change.verdict).length;
  at("left").textContent = left ? `${left} of ${state.changes.length} without a verdict` : "every change has a verdict";
};
const build = () => {
  state.rows = state.changes.map((_, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => go(index));
    return button;
  });
  state.rows.forEach((_, index) => mark(index));
  at("list").replaceChildren(...state.rows.map((button) => { const row = document.createElement("li"); row.append(button); return row; }));
  count();
};
const frame = (index) => {
  const strip = state.strip;
  if (!strip) return;
  state.frame = Math.max(0, Math.min(strip.frames.length - 1, index));
  at("roll").setAttribute("transform", `translate(0 ${-state.frame * strip.height})`);
  const [day, seen] = strip.frames[state.frame];
  const role = state.frame === strip.before ? "before, " : state.frame === strip.after ? "after, " : "";
  at("day").textContent = `${role}${day}${seen ? " •" : ""}`;
  at("picture").setAttribute("aria-label", `${current().label} on ${day}`);
  [...at("looks").children].forEach((look, place) => look.toggleAttribute("data-now", place === state.frame));
};
const view = () => {
  const strip = state.strip;
  if (!strip) return;
  // the change lies in the middle
  const part = state.near ? 0.5 : 1;
  const [width, height] = [part * strip.width, part * strip.height];
  at("picture").setAttribute("viewBox", `${(strip.width - width) / 2} ${(strip.height - height) / 2} ${width} ${height}`);
  const [length, unit] = strip.bar[1].split(" ");
  at("scale").textContent = `The picture is ${Math.round((part * parseInt(length, 10)) / strip.bar[0])} ${unit} wide; grid north is up. • means: the program sees the change.`;
  at("zoom").setAttribute("aria-pressed", String(state.near));
};
const draw = (strip) => {
  state.strip = strip;
  at("picture").toggleAttribute("hidden", !strip);
  at("looks").replaceChildren();
  at("day").textContent = strip ? "" : "no picture of this change";
  at("scale").textContent = "";
  if (!strip) return;
  for (const [name, value] of [["href", strip.data], ["width", strip.width], ["height", strip.height * strip.frames.length]]) at("strip").setAttribute(name, value);
  for (const path of at("marks").children) path.setAttribute("d", strip.corners);
  view();
  at("looks").replaceChildren(...strip.frames.map(([day, seen]) => { const look = document.createElement("li"); look.title = day; look.className = seen ? "seen" : ""; return look; }));
  frame(strip.after);
};
const show = async () => {
  const change = current();
  at("now").textContent = `${change.label}: ${change.heading}`;
  at("details").textContent = change.details.replace(/^, about/, "About");
  at("place").textContent = change.place;
  at("note").value = change.note ?? "";
  for (const button of at("verdicts").children) { button.setAttribute("aria-pressed", String((change.verdict ?? "") === button.dataset.verdict)); button.disabled = change.drawn; }
  at("note").disabled = change.drawn;
  state.rows[state.index].scrollIntoView({ block: "nearest" });
  state.asked += 1;
  const asked = state.asked;
  const strip = await ask(`strip/${encodeURIComponent(change.id)}`);
  if (asked === state.asked) draw(strip);
};
const go = (index) => {
  const before = state.index;
  state.index = Math.max(0, Math.min(state.changes.length - 1, index));
  mark(before);
  mark(state.index);
  return reportErrors(show);
};
const give = (verdict, note) => reportErrors(async () => {
  const change = current();
  if (change.drawn) return;
  const given = { verdict: verdict || null, note: note.trim() || null };
  await ask(`verdict/${encodeURIComponent(change.id)}`, given);
  Object.assign(change, given);
  mark(state.changes.indexOf(change));
  count();
});
const judge = async (verdict) => {
  const change = current();
  await give(verdict, at("note").value);
  if ((change.verdict ?? "") !== verdict) return;
  const next = state.changes.findIndex((other, index) => index > state.index && other.waits && !other.verdict);
  await go(verdict && next >= 0 ? next : state.index);
};
const blink = () => { if (state.strip) frame(state.frame === state.strip.after ? state.strip.before : state.strip.after); };
const corners = () => { const on = at("marks").toggleAttribute("hidden"); at("marks").style.display = on ? "none" : ""; at("corners").setAttribute("aria-pressed", String(!on)); };
const keys = {
  ArrowDown: () => go(state.index + 1), j: () => go(state.index + 1),
  ArrowUp: () => go(state.index - 1), k: () => go(state.index - 1),
  ArrowLeft: () => frame(state.frame - 1), ArrowRight: () => frame(state.frame + 1),
  " ": blink, m: corners, z: () => { state.near = !state.near; view(); }, t: () => at("note").focus(),
};
const letters = { c: "construction", o: "other change", n: "no change", u: "uncertain" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat && event.key.length === 1 && event.key !== " ") return;
  if (event.target === at("note")) {
    if (event.key === "Enter") { event.preventDefault(); give(current().verdict ?? "", at("note").value); at("note").blur(); }
    if (event.key === "Escape") at("note").blur();
    return;
  }
  if (event.key === "Enter") return;
  const button = [...at("verdicts").children].find((each) => each.querySelector("kbd").textContent === event.key || each.dataset.verdict === letters[event.key]);
  const work = button ? () => judge(button.dataset.verdict) : keys[event.key];
  if (!work) return;
  event.preventDefault();
  work();
});
for (const button of at("verdicts").children) button.addEventListener("click", () => judge(button.dataset.verdict));
for (const [id, key] of [["previous", "ArrowUp"], ["next", "ArrowDown"], ["earlier", "ArrowLeft"], ["later", "ArrowRight"], ["blink", " "], ["corners", "m"], ["zoom", "z"]]) at(id).addEventListener("click", () => keys[key]());
at("note").addEventListener("change", () => give(current().verdict ?? "", at("note").value));
reportErrors(async () => {
  state.changes = await ask("changes");
  if (!state.changes.length) { at("now").textContent = "No change to review"; return; }
  build();
  const first = state.changes.findIndex((change) => change.waits && !change.verdict);
  await go(Math.max(first, 0));
});
