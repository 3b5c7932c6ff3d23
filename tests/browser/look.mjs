// Opens a page in Chromium without a network and prints, as JSON, what it did: node look.mjs PAGE.html SHOTS_FOLDER [open]
// With `open` it only opens the page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page_path, shots, only] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, offline: true });
const page = await context.newPage();
const found = { requests: [], console: [], dialogs: 0, axe: {}, overflow: {}, timeline: {} };
page.on("request", (request) => { if (!/^(file|data):/.test(request.url())) found.requests.push(request.url()); });
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) found.console.push(message.text()); });
page.on("pageerror", (error) => found.console.push(String(error)));
page.on("dialog", async (dialog) => { found.dialogs += 1; await dialog.dismiss(); });

const meter = await context.newCDPSession(page);
await meter.send("Performance.enable");
const begun = Date.now();
await page.goto(pathToFileURL(page_path).href, { waitUntil: "load" });
await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
found.seconds = (Date.now() - begun) / 1000;
// what the page cost, however busy the machine is with other things
found.busy = (await meter.send("Performance.getMetrics")).metrics.find((m) => m.name === "ProcessTime")?.value;
found.hacked = await page.evaluate(() => window.hacked ?? null);
found.images = await page.evaluate(() => [...document.querySelectorAll("img")].filter((i) => i.loading !== "lazy").every((i) => i.naturalWidth > 0));
if (only === "open") {
  console.log(JSON.stringify(found));
  await browser.close();
  process.exit(0);
}

const slider = page.locator("#slider");
if (await slider.count()) {
  await slider.scrollIntoViewIfNeeded();
  const share = () => page.evaluate(() => document.querySelector("#slider .before").style.clipPath);
  const box = await slider.boundingBox();
  found.at_first = await share();
  await page.mouse.move(box.x + box.width / 2, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 4, box.y + 60, { steps: 4 });
  await page.mouse.up();
  found.by_mouse = await share();
  await page.locator("#handle").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  found.by_keyboard = await share();
  await page.keyboard.press("End");
  await page.keyboard.press("PageDown");
  await page.locator("#evidence").check();
  found.veil = await page.evaluate(() => getComputedStyle(document.querySelector(".veil")).visibility);
  await page.locator("#evidence").uncheck();
  await page.locator("#outlines").uncheck();
  found.outline = await page.evaluate(() => { const o = document.querySelector(".outline"); return o && getComputedStyle(o).display; });
  await page.locator("#outlines").check();
}
const swipe = page.locator("article .swipe").first();
if (await swipe.count()) {
  await swipe.scrollIntoViewIfNeeded();
  const state = () => swipe.evaluate((figure) => ({
    share: figure.querySelector(".before").style.clipPath,
    days: [...figure.querySelectorAll(".tag")].map((tag) => tag.textContent),
    rolls: [...figure.querySelectorAll(".roll")].map((roll) => roll.getAttribute("transform")),
  }));
  found.swipe = { at_first: await state() };
  await swipe.locator(".handle").focus();
  await page.keyboard.press("Home");
  found.swipe.by_keyboard = await state();
  await swipe.locator(".from").selectOption("0");
  found.swipe.chosen = await state();
  await swipe.locator(".play").click();
  found.swipe.playing = await state();
  await swipe.locator(".play").click();
  const download = page.waitForEvent("download");
  await page.locator("article .save").first().click();
  const file = await download;
  found.saved = file.suggestedFilename();
  await file.saveAs(`${shots}/saved.png`);
  const rolled = page.waitForEvent("download");
  await page.locator("article .film").first().click();
  const reel = await rolled;
  found.film = reel.suggestedFilename();
  await reel.saveAs(`${shots}/saved.webp`);
}
const search = page.locator("#search");
if (await search.count()) {
  const listed = () => page.evaluate(() => [...document.querySelectorAll("#table tbody tr")].filter((row) => !row.hidden).map((row) => row.cells[0].querySelector("a").getAttribute("href")));
  found.listed = { at_first: await listed() };
  await page.locator("#table thead button").first().click();
  found.listed.by_name = await listed();
  await page.locator("#table thead button").first().click();
  found.listed.backwards = await listed();
  await search.fill("plain");
  found.listed.searched = await listed();
  await search.fill("");
  await page.locator("#show").selectOption("bad");
  found.listed.bad = await listed();
  await page.locator("#show").selectOption("");
}
for (const scheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme: scheme });
  for (const width of [1600, 1024, 400]) {
    await page.setViewportSize({ width, height: 1000 });
    found.overflow[`${scheme} ${width}`] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    for (const part of await page.locator("details").all()) await part.evaluate((e) => { e.open = true; });
    found.timeline[`${scheme} ${width}`] = await page.evaluate(() => document.querySelector(".timeline")?.getBoundingClientRect().width ?? null);
    await page.screenshot({ path: `${shots}/${scheme}-${width}.png` });
    if (width === 1024) continue;
    const report = await page.evaluate(async (source) => { (0, eval)(source); return axe.run(document, { resultTypes: ["violations"] }); }, axe).catch((error) => ({ failed: String(error) }));
    found.axe[`${scheme} ${width}`] = report.failed ?? report.violations.map((v) => [v.impact, v.id, v.nodes[0].html.slice(0, 120)]);
  }
}
await page.emulateMedia({ media: "print", colorScheme: "light" });
await page.setViewportSize({ width: 800, height: 1100 });
found.printed = await page.evaluate(() => [...document.querySelectorAll(".layer")].map((e) => { const b = e.getBoundingClientRect(); return [Math.round(b.x), Math.round(b.width), getComputedStyle(e).clipPath]; }));
await page.pdf({ path: `${shots}/page.pdf`, format: "A4", printBackground: true });
await browser.close();
console.log(JSON.stringify(found));
