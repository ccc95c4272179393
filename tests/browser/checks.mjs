// What is wrong with a page as it stands: sizes, names, contrast, order. Each check answers a list of faults, empty when all is well.

import assert from "node:assert/strict";

/** Watches a page for errors and for requests to anybody but the server. */
export function watch(page, base) {
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) {
      faults.push(`request to ${request.url()}`);
    }
  });
  return faults;
}

/** Everything that can be seen from outside a browser by looking at the page. */
export async function inspect(page, what) {
  const faults = await page.evaluate(faultsOfPage);
  assert.deepEqual(faults, [], what);
}

/* Runs in the page. */
function faultsOfPage() {
  const faults = [];
  const seen = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const brief = (element) => `<${element.tagName.toLowerCase()}${element.id && `#${element.id}`} ${element.className}> "${element.textContent.slice(0, 30)}"`;

  // Nothing is wider than the screen.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    faults.push(`the page is ${document.documentElement.scrollWidth} px wide on ${width}`);
  }
  for (const element of all("body *:not(#news)")) {
    const { left, right } = element.getBoundingClientRect();
    if ((right > width + 0.5 || left < -0.5) && right - left > 1) {
      faults.push(`${brief(element)} reaches from ${left} to ${right} on ${width}`);
    }
  }

  // Whatever can be used or looked at has a name; fingers can hit it.
  const named = (element) =>
    element.getAttribute("aria-label") || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent || element.textContent.trim();
  for (const element of all("a, button, input, section, dialog")) {
    if (!named(element)) {
      faults.push(`${brief(element)} has no name`);
    }
  }
  for (const image of all("img")) {
    if (image.getAttribute("alt") === null) {
      faults.push(`${brief(image)} has no alt text`);
    }
  }
  for (const element of all("a, button, input, summary")) {
    const { height } = element.getBoundingClientRect();
    if (height < 24) {
      faults.push(`${brief(element)} is only ${height} px high`);
    }
  }

  // One first heading, and no level left out.
  const levels = all("h1, h2, h3").map((heading) => Number(heading.tagName[1]));
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) {
    faults.push(`headings are ${levels}`);
  }
  if (!document.documentElement.lang || !document.title) {
    faults.push("no language or no title");
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  faults.push(...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `id ${id} twice`));

  // Text stands out: 4.5 to 1 against what is behind it.
  const light = (color) => {
    const parts = color.match(/[\d.]+/g).map(Number);
    const linear = parts.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return { light: 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], solid: parts.length < 4 || parts[3] === 1 };
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = light(getComputedStyle(at).backgroundColor);
      if (color.solid) {
        return color.light;
      }
    }
    return 1;
  };
  for (const element of all("body *:not(script, style, noscript)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (own && !element.closest("#news, .many .free")) {
      const [a, b] = [light(getComputedStyle(element).color).light, behind(element)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) {
        faults.push(`${brief(element)} stands out only ${ratio.toFixed(2)} to 1`);
      }
    }
  }
  return faults;
}

/** Goes through the page by keyboard: every stop is visible, marked, and comes in the order of the text. */
export async function walkByKeyboard(page) {
  const stops = await page.evaluate(() => document.querySelectorAll("a[href], button:not([disabled]), summary, input").length);
  const places = [];
  for (let stop = 0; stop < stops; stop += 1) {
    await page.keyboard.press("Tab");
    const [marked, place] = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      const all = [...document.querySelectorAll("*")];
      return [style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2, all.indexOf(document.activeElement)];
    });
    assert.ok(marked, `stop ${stop} is not marked`);
    places.push(place);
  }
  assert.deepEqual(places, [...places].sort((a, b) => a - b), "stops come in the order of the text");
  assert.equal(new Set(places).size, stops, "every stop is reached");
}
