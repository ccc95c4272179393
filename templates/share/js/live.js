// News: the room's stream, or a look every few seconds while the stream is silent; the campaign's figures now and then.

const LOOK = 5000;
const LOOK_AT_SHOP = 15_000;
const TRY_AGAIN = 30_000;

/** Takes over what an answer or the stream tells of the room. Who sits where only an answer to this visitor tells. */
function learn(told) {
  room = told;
  paint();
}

/** Asks for everything that may have changed, as this visitor. */
async function refresh() {
  try {
    await askShop();
    await askAlone();
    if (page.room) {
      await askRoom();
    }
  } catch {
    // Silence: the next look comes.
  }
}

async function askShop() {
  const told = await get(`/v1/campaigns/${page.campaign}`);
  ahead = Date.parse(told.now) - Date.now();
  shop.state = told.state;
  shop.barred = "only" in page && Boolean(told.you) && !told.you.newcomer;
  if (told.state !== "scheduled" && !page.room) {
    page.until = Date.parse(told.ends_at);
  }
  for (const item of told.items) {
    const place = document.querySelector(`[data-stock="${CSS.escape(item.sku)}"]`);
    if (place) {
      place.textContent = say("facts", item.stock_left, item.stock);
    }
    for (const sale of document.querySelectorAll(`[data-sku="${CSS.escape(item.sku)}"]:is(.buy, .alone)`)) {
      sale.dataset.left = item.stock_left;
    }
  }
  const wanted = told.items.filter((item) => !page.sku || item.sku === page.sku);
  shop.left = wanted.reduce((sum, item) => sum + item.stock_left, 0);
  shop.opens = wanted.some((item) => item.stock_left >= item.units_to_open);
  paintSales();
  paint();
}

/** Of several items, those that can be bought now have their buttons. */
function paintSales() {
  for (const sale of document.querySelectorAll(".buy, .alone")) {
    sale.hidden = shop.state !== "live" || Number(sale.dataset.left) < Number(sale.dataset.needs);
  }
}

/** What this visitor bought alone here, if it still stands. */
async function askAlone() {
  const id = (kept.get("alone") || {})[page.campaign];
  const told = id && kept.get("session") ? await get(`/v1/orders/${id}`).catch(() => null) : null;
  alone = told && ["awaiting_payment", "confirmed"].includes(told.state) ? told : null;
  paint();
}

async function askRoom() {
  const told = await get(`/v1/rooms/${page.room}`);
  if (told.you) {
    order = await get(`/v1/orders/${told.you.order_id}`);
  } else if (order) {
    order = null;
  }
  learn(told);
}

let looking = null;

/** Starts or ends looking. A stream that fails again and again must not put the next look off. */
function look(on) {
  if (on && !looking) {
    looking = setInterval(() => document.hidden || askRoom().catch(() => {}), LOOK);
  } else if (!on) {
    clearInterval(looking);
    looking = null;
  }
}

function follow() {
  const stream = new EventSource(`/v1/rooms/${page.room}/live`);
  stream.addEventListener("room", ({ data }) => {
    look(false);
    const told = JSON.parse(data);
    if (told.state !== "open") {
      stream.close();
    }
    // The stream does not know this visitor: whoever may have a seat asks.
    return kept.get("session") ? askRoom().catch(() => learn(told)) : learn(told);
  });
  stream.addEventListener("error", () => {
    look(true);
    if (stream.readyState === EventSource.CLOSED) {
      setTimeout(follow, TRY_AGAIN);
    }
  });
}

function start() {
  for (const [kind, begin] of [[".buy", open], [".alone", buyAlone]]) {
    for (const buy of document.querySelectorAll(kind)) {
      buy.addEventListener("click", does(() => begin(buy.dataset.sku)));
    }
  }
  paintSales();
  const send = button(say("share"), "send", does(share));
  $("top").append(send);
  setInterval(tick, 1000);
  setInterval(() => document.hidden || askShop().catch(() => {}), LOOK_AT_SHOP + Math.random() * LOOK);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  paint();
  const known = kept.get("session") || stored ? refresh() : Promise.resolve();
  if (page.room && !["formed", "failed"].includes(page.state)) {
    follow();
  }
  known.then(() => {
    if (location.hash === "#pay" && order && order.state === "awaiting_payment") {
      history.replaceState(null, "", location.pathname + location.search);
      act(pay);
    }
  });
}

start();
