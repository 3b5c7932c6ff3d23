// Gives verdicts on the page of `groundbreak review` by keys alone: node review.mjs ADDRESS SHOTS_FOLDER
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [address, shots] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const found = { console: [], requests: [], axe: {}, overflow: {} };
const context = await browser.newContext({ viewport: { width: 1600, height: 900 } });
const page = await context.newPage();
page.on("request", (request) => { if (!request.url().startsWith("data:") && !request.url().startsWith(new URL(address).origin)) found.requests.push(request.url()); });
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) found.console.push(message.text()); });
page.on("pageerror", (error) => found.console.push(String(error)));
await page.goto(address, { waitUntil: "load" });
const settled = () => page.waitForTimeout(350);
const seen = () => page.evaluate(() => ({
  now: document.getElementById("now").textContent, day: document.getElementById("day").textContent,
  left: document.getElementById("left").textContent, problem: document.getElementById("problem").textContent,
  roll: document.getElementById("roll").getAttribute("transform"),
}));
await page.waitForFunction(() => document.getElementById("day").textContent !== "");
await settled();
found.at_first = await seen();
await page.keyboard.press(" ");
found.blinked = await seen();
await page.keyboard.press("ArrowRight");
found.stepped = await seen();
const box = () => page.evaluate(() => document.getElementById("picture").getAttribute("viewBox").split(" ").map(Number));
found.far = await box();
await page.keyboard.press("z");
found.near = await box();
await page.keyboard.press("t");
await page.keyboard.type("steel frame 1 c");
await page.keyboard.press("Enter");
await settled();
await page.keyboard.press("1");
await settled();
found.judged = await seen();
await page.keyboard.press("n");
await settled();
await page.keyboard.press("ArrowUp");
await settled();
found.back = await seen();
for (const scheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme: scheme });
  for (const width of [1600, 1024, 400]) {
    await page.setViewportSize({ width, height: 900 });
    found.overflow[`${scheme} ${width}`] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await page.screenshot({ path: `${shots}/${scheme}-${width}.png` });
    const report = await page.evaluate(async (source) => { (0, eval)(source); return axe.run(document, { resultTypes: ["violations"] }); }, axe).catch((error) => ({ failed: String(error) }));
    found.axe[`${scheme} ${width}`] = report.failed ?? report.violations.map((v) => [v.impact, v.id, v.nodes[0].html.slice(0, 120)]);
  }
}
await browser.close();
console.log(JSON.stringify(found));
