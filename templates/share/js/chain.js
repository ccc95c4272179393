// The page of a chain, decided as on the server (`page/chain.rs`): what is left, who cut, what a visitor can do about it.

let chain = null; // the chain of the contract, once an answer or the stream has told it
let order = null; // its owner's order, if this visitor is the owner
const shop = { state: page.shop, left: Number(page.left) };

const TICKING = ["scheduled", "live", "paused", "sold_out", "open", "floor_reached"];
const ENDED = ["bought", "expired"];

function stateNow() {
  if (!chain && page.chain) {
    return page.state;
  }
  if (chain && chain.state !== "open") {
    return chain.state;
  }
  if (chain && Date.parse(chain.expires_at) <= now()) {
    return "expired";
  }
  if (["scheduled", "paused"].includes(shop.state)) {
    return shop.state;
  }
  if (chain) {
    return "open";
  }
  return shop.state === "live" && shop.left <= 0 ? "sold_out" : shop.state;
}

function headline(state) {
  const fill = {
    open: () => [say("chain_left", yuan(chain.remaining_fen)), say("chain_next", chain.cuts_needed - chain.cuts_taken, yuan(chain.next_cut_fen))],
    floor_reached: () => [say("chain_floor_head", yuan(chain.floor_price_fen)), say("chain_floor_sub")],
    bought: () => [say("chain_bought_head"), say("chain_bought_sub")],
    expired: () => [say("chain_expired_head"), say("chain_expired_sub")],
    paused: () => [say("paused_head"), say("chain_paused_sub")],
    sold_out: () => [say("sold_out_head"), say("chain_sold_out_sub")],
    ended: () => [say("ended_head"), say("chain_ended_sub")],
  }[state];
  return fill ? fill() : null;
}

const cutOf = (cut) =>
  make(
    "li",
    cut.you ? { class: "you" } : {},
    make("b", { "aria-hidden": "true" }, [...cut.helper].find((letter) => letter !== "*") || "•"),
    make("span", {}, make("bdi", {}, cut.helper), cut.own ? ` ${say("chain_own")}` : ""),
    make("i", {}, `−${yuan(cut.amount_fen)}`),
  );

function paintChain() {
  const cut = chain.start_price_fen - chain.price_fen;
  $("price").lastChild.data = yuan(chain.price_fen).slice(1);
  $("way").value = cut;
  const said = say("chain_progress", chain.cuts_taken, chain.cuts_needed, yuan(cut));
  if ($("news").textContent !== said || chain.you) {
    $("news").textContent = said;
    $("cuts").replaceChildren(...chain.cuts.map(cutOf));
  }
}

const until = () => (chain ? Date.parse(chain.buy_by || chain.expires_at) : Number(page.until));

/** Brings the page up to what is known. */
function paint() {
  const state = stateNow();
  page.state = state;
  if (chain) {
    paintChain();
  }
  const told = (chain || !page.chain) && headline(state);
  if (told) {
    [$("head").textContent, $("sub").textContent] = told;
  }
  $("time").hidden = !TICKING.includes(state);
  paintBar(state);
  tick();
}

let over = false; // time ran out and the server was asked what came of it

function tick() {
  const left = until() - now();
  $("left").textContent = span(left);
  $("until").hidden = Boolean(chain && chain.buy_by);
  const unpaid = order && order.state === "awaiting_payment";
  const held = unpaid ? Date.parse(order.pay_by) - now() : null;
  if (unpaid) {
    for (const place of document.querySelectorAll("#sub, #hold")) {
      place.textContent = say("alone_left", span(held, 2));
    }
  }
  const due = left <= 0 || (held !== null && held <= 0);
  if (due && !over) {
    setTimeout(refresh, 1000 + Math.random() * 2000);
  }
  over = due;
}

const begin = (sku) =>
  entered(async () => {
    const started = (await post(`/v1/campaigns/${page.campaign}/chains`, { sku })).chain;
    const link = await post("/v1/shares", { campaign_id: page.campaign, target_id: started.id, channel: "page" });
    location.assign(address(link.path));
    await wait(10_000); // the page is leaving
  });

const cut = () =>
  entered(async () => {
    const helped = await post(`/v1/chains/${page.chain}/cuts`);
    chain = helped.chain;
    tell(say("chain_thanks", yuan(helped.cut.amount_fen)));
  });

const buy = () =>
  entered(async () => {
    order = (await post(`/v1/chains/${page.chain}/orders`)).order;
    await pay();
  });

async function pay() {
  await post(`/v1/orders/${order.id}/payment`);
  if (await checkout(order.amount_fen)) {
    order = await post(`/v1/sandbox/orders/${order.id}/pay`);
    tell(WORDS[`error_${order.reason}`] || say("alone_paid"));
  }
  await refresh();
}

async function giveUp() {
  order = await post(`/v1/orders/${order.id}/cancel`);
  await refresh();
}

let own = null;

/** The owner hands on a link of their own; others the one they came by. */
async function share() {
  if (chain && chain.you) {
    own = own || (await entered(() => post("/v1/shares", { campaign_id: page.campaign, target_id: page.chain, channel: "page" })));
  }
  await handOn(own || { url: document.querySelector("[rel=canonical]").href, path: `/s/${token}` });
}

/** The buttons that make sense now, the main one first. */
function choices(state) {
  const owner = chain && chain.you && chain.you.owner;
  if (order && order.state === "awaiting_payment") {
    return [button(say("pay", yuan(order.amount_fen)), "go", does(pay)), button(say("cancel_alone"), "quiet", does(giveUp))];
  }
  if (owner && ["open", "floor_reached"].includes(state)) {
    const price = button(say("chain_buy", yuan(chain.price_fen)), state === "open" ? "quiet" : "go", does(buy));
    return state === "open" ? [button(say("invite"), "go", does(share)), ...(shop.floorOnly ? [] : [price])] : [price];
  }
  if (state === "open" && chain && !(chain.you && chain.you.helped)) {
    return [button(say("chain_cut", yuan(chain.next_cut_fen)), "go", does(cut))];
  }
  if (shop.state === "live" && shop.left > 0 && page.sku && !owner) {
    return [button(say("chain_start"), page.chain ? "quiet" : "go", does(() => begin(page.sku)))];
  }
  return [];
}

let barred = "";

function paintBar(state) {
  if (!("sandbox" in page)) {
    return;
  }
  const done = chain && chain.you && chain.you.helped ? [make("p", {}, say("chain_helped", yuan(chain.you.your_cut_fen)))] : [];
  const buttons = [...done, ...choices(state)];
  const looks = buttons.map((one) => one.textContent).join("|");
  if (looks !== barred) {
    $("bar").replaceChildren(...buttons);
    barred = looks;
  }
  for (const one of document.querySelectorAll("#bar button, .begin")) {
    one.disabled = busy;
  }
}

async function askShop() {
  const told = await get(`/v1/campaigns/${page.campaign}`);
  ahead = Date.parse(told.now) - Date.now();
  shop.state = told.state;
  shop.floorOnly = told.bargain.buy_at === "floor_price";
  for (const item of told.items) {
    const place = document.querySelector(`[data-stock="${CSS.escape(item.sku)}"]`);
    if (place) {
      place.textContent = say("facts", item.stock_left, item.stock);
    }
  }
  shop.left = told.items.filter((item) => !page.sku || item.sku === page.sku).reduce((sum, item) => sum + item.stock_left, 0);
}

async function askChain() {
  const told = await get(`/v1/chains/${page.chain}`);
  order = told.you && told.you.order_id ? await get(`/v1/orders/${told.you.order_id}`) : null;
  chain = told;
  paint();
}

/** Asks for everything that may have changed, as this visitor. */
async function refresh() {
  try {
    await askShop();
    if (page.chain) {
      await askChain();
    }
    paint();
  } catch {
    // Silence: the next look comes.
  }
}

const LOOK = 5000;
const TRY_AGAIN = 30_000;
let looking = null;

/** Starts or ends looking. A stream that fails again and again must not put the next look off. */
function look(on) {
  if (on && !looking) {
    looking = setInterval(() => document.hidden || askChain().catch(() => {}), LOOK);
  } else if (!on) {
    clearInterval(looking);
    looking = null;
  }
}

function follow() {
  const stream = new EventSource(`/v1/chains/${page.chain}/live`);
  stream.addEventListener("chain", ({ data }) => {
    look(false);
    const told = JSON.parse(data);
    if (ENDED.includes(told.state)) {
      stream.close();
    }
    // The stream does not know this visitor: whoever may have a part asks.
    if (kept.get("session")) {
      return askChain().catch(() => {});
    }
    chain = told;
    return paint();
  });
  stream.addEventListener("error", () => {
    look(true);
    if (stream.readyState === EventSource.CLOSED) {
      setTimeout(follow, TRY_AGAIN);
    }
  });
}

function start() {
  for (const one of document.querySelectorAll(".begin")) {
    one.hidden = shop.state !== "live";
    one.addEventListener("click", does(() => begin(one.dataset.sku)));
  }
  $("top").append(button(say("share"), "send", does(share)));
  setInterval(tick, 1000);
  setInterval(() => document.hidden || askShop().then(paint, () => {}), 3 * LOOK + Math.random() * LOOK);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  paint();
  refresh();
  if (page.chain && !ENDED.includes(page.state)) {
    follow();
  }
}

start();
