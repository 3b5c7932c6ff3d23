// Opens the page of `groundbreak review` and gives one verdict, and prints what that asked for: node opened.mjs ADDRESS
import { chromium } from "playwright-core";

const address = process.argv[2];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const page = await (await browser.newContext({ viewport: { width: 1600, height: 900 } })).newPage();
const found = { console: [], asked: { open: [], verdict: [] } };
const measured = []; // one promise for each reply: all are read to the end before the browser closes
let phase = "open";
const measure = async (response, row) => { row[2] = (await response.body()).length; };
page.on("response", (response) => {
  if (!response.url().startsWith("http")) return;
  const row = [response.request().method(), new URL(response.url()).pathname.split("/")[1], 0];
  found.asked[phase].push(row);
  measured.push(measure(response, row));
});
page.on("pageerror", (error) => found.console.push(String(error)));
const meter = await page.context().newCDPSession(page);
await meter.send("Performance.enable");
const busy = async () => (await meter.send("Performance.getMetrics")).metrics.find((m) => m.name === "ProcessTime").value;
// shown: the picture of this change is decoded and drawn
const shown = (label) => page.waitForFunction(async (wanted) => {
  if (!document.getElementById("now").textContent.startsWith(`${wanted}:`) || !document.getElementById("day").textContent) return false;
  const picture = new Image();
  if (document.getElementById("picture").hasAttribute("hidden")) return true;
  picture.src = document.getElementById("strip").getAttribute("href");
  await picture.decode();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return true;
}, label);
const name = () => page.evaluate(() => document.querySelector("#list [aria-current]").textContent.split(" ")[0]);
let begun = Date.now();
await page.goto(address, { waitUntil: "load" });
await page.waitForFunction(() => document.querySelector("#list [aria-current]"));
await shown(await name());
found.open = { seconds: (Date.now() - begun) / 1000, busy: await busy(), rows: await page.locator("#list li").count() };
const first = await name();
await page.evaluate(() => { for (const row of document.querySelectorAll("#list button")) row.kept = true; });
const before = await busy();
phase = "verdict";
begun = Date.now();
await page.keyboard.press("1");
await page.waitForFunction((old) => !document.getElementById("now").textContent.startsWith(`${old}:`), first);
await shown(await name());
found.verdict = {
  seconds: (Date.now() - begun) / 1000, busy: (await busy()) - before,
  kept: await page.evaluate(() => [...document.querySelectorAll("#list button")].filter((row) => row.kept).length),
};
await Promise.all(measured);
await browser.close();
console.log(JSON.stringify(found));
