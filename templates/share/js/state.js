// The page's state and what it says, decided as on the server (`page/state.rs`).

let room = null; // the room of the contract, once an answer or the stream has told it
let order = null; // this visitor's order in it
let alone = null; // what this visitor bought alone
const shop = { state: page.shop, left: Number(page.left), opens: page.state !== "short", barred: false };

const TICKING = ["scheduled", "live", "short", "open", "full", "sold_out", "paused"];

function stateNow() {
  if (room && room.state !== "open") {
    return room.state;
  }
  if (room && Date.parse(room.expires_at) <= now()) {
    return "expired";
  }
  if (page.room && !room) {
    return page.state;
  }
  if (["scheduled", "paused"].includes(shop.state) || (shop.state === "ended" && !room)) {
    return shop.state;
  }
  if (room && room.seats_left <= 0) {
    return "full";
  }
  if (shop.left <= 0 && !(room && room.units_kept > 0)) {
    return "sold_out";
  }
  return room ? "open" : shop.opens ? "live" : "short";
}

/** How many are missing, and what for: the whole room, or the next step of its ladder. */
function stillOpen() {
  const [first, more] = room.tiers;
  const next = room.tiers.find((tier) => tier.size > room.seats_taken);
  if (!more) {
    return [say("open_head", room.seats_left), say("open_sub", room.size)];
  }
  const missing = next.size - room.seats_taken;
  return next === first ? [say("open_head", missing), say("ladder_sub", first.size)] : [say("ladder_head", missing, yuan(next.price_fen)), say("ladder_due")];
}

function formed() {
  const less = room.final_price_fen < room.price_fen;
  return less ? say("ladder_formed", room.seats_paid, yuan(room.final_price_fen)) : say("formed_sub", room.seats_paid);
}

/** The steps of a ladder: reached, the highest of them, next, later. */
function paintSteps() {
  const reached = room.tiers.filter((tier) => tier.size <= room.seats_paid).length;
  [...$("steps").children].forEach((step, place) => {
    step.className = ["reached", "now", "next", ""][Math.min(Math.max(place - reached + 2, 0), 3)];
    step.setAttribute("aria-current", step.className === "now" ? "step" : "false");
  });
  if (room.final_price_fen !== null) {
    $("price").lastChild.data = yuan(room.final_price_fen).slice(1);
  }
}

function headline(state) {
  const fill = {
    open: stillOpen,
    formed: () => [say("formed_head"), formed()],
    live: () => [say("live_head"), page.least ? say("ladder_sub", page.least) : page.sku ? say("live_sub", page.size - 1) : say("step_join")],
  }[state];
  const [head, sub] = fill ? fill() : [say(`${state}_head`), say(`${state}_sub`)];
  if (order && order.state === "paid" && ["open", "full"].includes(state)) {
    return [head, say("yours_paid")];
  }
  return [head, order && state === "formed" && order.state === "confirmed" ? say("yours_confirmed") : sub];
}

function deadline() {
  if (shop.state === "scheduled") {
    return [say("starts_in"), Number(page.until)];
  }
  return room ? [say("closes_in"), Date.parse(room.expires_at)] : [say(page.room ? "closes_in" : "ends_in"), Number(page.until)];
}

const waits = (one) => one && one.state === "awaiting_payment";

/** Brings the page up to what is known. */
function paint() {
  const state = stateNow();
  page.state = state;
  if (room || !page.room) {
    [$("head").textContent, $("sub").textContent] = headline(state);
  }
  if (room) {
    paintSeats();
    if ($("steps")) {
      paintSteps();
    }
  }
  $("time").hidden = !TICKING.includes(state);
  paintBar(state);
  tick();
}

let over = false; // time ran out and the server was asked what came of it

function tick() {
  const [label, until] = deadline();
  const left = until - now();
  $("label").textContent = label;
  $("left").textContent = span(left);
  const unpaid = [order, alone].find(waits);
  const held = unpaid ? Date.parse(unpaid.pay_by) - now() : null;
  if (unpaid) {
    const [places, said] = unpaid === order ? ["#sub, #hold", say("pay_left", span(held, 2))] : ["#hold", say("alone_left", span(held, 2))];
    for (const place of document.querySelectorAll(places)) {
      place.textContent = said;
    }
  }
  const due = left <= 0 || (held !== null && held <= 0);
  if (due && !over) {
    setTimeout(refresh, 1000 + Math.random() * 2000);
  }
  over = due;
}
