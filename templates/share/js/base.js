// What the server knew when it wrote the page (`data-…` of the body), its words and its clock.

const page = document.body.dataset;
const token = location.pathname.split("/")[2];
const [visit = {}] = performance.getEntriesByType("navigation");

const $ = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** The words of a key with each {} filled in, in order; {cut|cuts} is the first word after a 1, else the second. */
function say(key, ...values) {
  let last = "";
  return WORDS[key].replace(/\{(?:([^|}]*)\|([^}]*))?\}/g, (_, one, many) => (many === undefined ? (last = values.shift()) : String(last) === "1" ? one : many));
}

/** Whole fen as yuan: ¥49.50. */
const yuan = (fen) => `¥${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, "0")}`;

/** An element with attributes and children. Text is only ever set as text. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function button(text, kind, act) {
  const made = make("button", { type: "button", class: kind }, text);
  made.addEventListener("click", act);
  return made;
}

/** The page's own address with other parameters; the chosen language stays. */
function address(path, more = {}) {
  const lang = new URLSearchParams(location.search).get("lang");
  const query = new URLSearchParams({ ...more, ...(lang && { lang }) }).toString();
  return query ? `${path}?${query}` : path;
}

// The server's clock against this one. A page out of the browser's store tells an old time: then the first answer sets it right.
const stored = visit.transferSize < visit.encodedBodySize;
let ahead = Number(page.now) - (visit.responseStart ? performance.timeOrigin + visit.responseStart : Date.now());
const now = () => Date.now() + ahead;

/** Milliseconds as 14:59, 23:41:07 or, with days, 3 d 23:41:07. */
function span(ms, units = 3) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const clock = [Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60].slice(s < 3600 ? 3 - units : 0);
  const shown = clock.map((n) => String(n).padStart(2, "0")).join(":");
  return s < 86400 ? shown : `${Math.floor(s / 86400)}${page.day}${shown}`;
}

/** Says something at the foot of the page, also to those who listen. */
function tell(text) {
  $("toast").textContent = text;
  clearTimeout(tell.end);
  tell.end = setTimeout(() => ($("toast").textContent = ""), 5000);
}
