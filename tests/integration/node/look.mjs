// Looks at pages in headless Chromium: what the console says, what was requested from elsewhere,
// which rules of accessibility are broken. Reads a list of looks as JSON from standard input:
// {url, scheme: "light" | "dark", width, screenshot?: file, evaluate?: expression,
// frame?: expression in the page's first frame, script?: bool,
// steps?: what a person does, one after the other: [["click", selector], ["fill", selector, text],
// ["press", key], ["back"], ["forward"], ["reload"], ["until", expression], ["value", expression]],
// token?: what to sign in with, where the page asks for it};
// writes as many answers: {console, requests, violations, overflow, value, values, title};
// values are those of the steps `value`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const looks = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath: process.env.NBPIPE_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const deeds = {
  click: (page, on) => page.click(on),
  fill: (page, on, text) => page.fill(on, text),
  press: (page, key) => page.keyboard.press(key),
  back: page => page.goBack(),
  forward: page => page.goForward(),
  reload: page => page.reload(),
  until: async (page, expression) => {  // waitForFunction needs a page that allows eval
    const look = () => page.evaluate(expression).catch(error => {
      if (!/context was destroyed|navigation/.test(error)) throw error;
    });
    for (let left = 600; !await look(); left -= 1) {
      if (!left) throw new Error(`never came true: ${expression}`);
      await page.waitForTimeout(100);
    }
  },
  value: (page, expression) => page.evaluate(expression),
};
const answers = [];
for (const look of looks) {
  const context = await browser.newContext({
    colorScheme: look.scheme,
    viewport: { width: look.width, height: look.height ?? 900 },
    javaScriptEnabled: look.script !== false,
    extraHTTPHeaders: look.headers ?? {},
  });
  const page = await context.newPage();
  const said = [];
  const requests = [];
  page.on("console", message => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", error => said.push(String(error)));
  page.on("request", request => requests.push(request.url()));
  const response = await page.goto(look.url, { waitUntil: "load" });
  if (look.token) {
    await page.fill("#token", look.token);
    await Promise.all([page.waitForEvent("load"), page.click("button")]);
  }
  await page.waitForTimeout(look.wait ?? 300);
  let value = null;
  if (look.evaluate) value = await page.evaluate(look.evaluate);
  const values = [];
  for (const [name, ...given] of look.steps ?? []) {
    const found = await deeds[name](page, ...given);
    if (name === "value") values.push(found);
  }
  if (look.frame) value = await page.frames()[1].evaluate(look.frame);
  let violations = [];
  if (look.script !== false) {
    await page.evaluate(axe);
    const found = await page.evaluate("axe.run(document, {iframes: false})");
    violations = found.violations.map(each => `${each.id}: ${each.nodes[0].html.slice(0, 200)}`);
  }
  const overflow = await page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth");
  if (look.screenshot) await page.screenshot({ path: look.screenshot, fullPage: look.whole !== false });
  answers.push({ console: said, requests, violations, overflow, value, values,
    title: await page.title(), status: response ? response.status() : 0 });
  await context.close();
}
await browser.close();
process.stdout.write(JSON.stringify(answers));
