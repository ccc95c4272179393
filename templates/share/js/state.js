// The page's state and what it says, decided as on the server (`page/state.rs`).

let room = null; // the room of the contract, once an answer or the stream has told it
let order = null; // this visitor's order in it
const shop = { state: page.shop, left: Number(page.left) };

const TICKING = ["scheduled", "live", "open", "full", "sold_out", "paused"];

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
  if (shop.left <= 0) {
    return "sold_out";
  }
  return room ? "open" : "live";
}

function headline(state) {
  const fill = {
    open: () => [say("open_head", room.seats_left), say("open_sub", room.size)],
    formed: () => [say("formed_head"), say("formed_sub", room.seats_paid)],
    live: () => [say("live_head"), page.sku ? say("live_sub", page.size - 1) : say("step_join")],
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

/** Brings the page up to what is known. */
function paint() {
  const state = stateNow();
  page.state = state;
  if (room || !page.room) {
    [$("head").textContent, $("sub").textContent] = headline(state);
  }
  if (room) {
    paintSeats();
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
  const held = order && order.state === "awaiting_payment" ? Date.parse(order.pay_by) - now() : null;
  if (held !== null) {
    for (const place of document.querySelectorAll("#sub, #hold")) {
      place.textContent = say("pay_left", span(held, 2));
    }
  }
  const due = left <= 0 || (held !== null && held <= 0);
  if (due && !over) {
    setTimeout(refresh, 1000 + Math.random() * 2000);
  }
  over = due;
}
