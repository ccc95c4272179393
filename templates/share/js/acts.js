// What a visitor can do: open, join, pay, give up, share. One thing at a time.

/** Takes over a seat just decided. */
function seated(answer) {
  order = answer.order;
  kept.set({ rooms: { ...kept.get("rooms"), [page.campaign]: answer.room.id } });
  return answer;
}

const join = () =>
  entered(async () => {
    const answer = seated(await post(`/v1/rooms/${page.room}/members`, { quantity: 1 }));
    learn(answer.room);
    await pay();
  });

const open = (sku) =>
  entered(async () => {
    const answer = seated(await post(`/v1/campaigns/${page.campaign}/rooms`, { sku, quantity: 1 }));
    const link = await ownLink(answer.room.id);
    location.assign(`${address(link.path)}#pay`);
    await wait(10_000); // the page is leaving
  });

const buyAlone = (sku) =>
  entered(async () => {
    alone = (await post(`/v1/campaigns/${page.campaign}/solo_orders`, { sku, quantity: 1 })).order;
    kept.set({ alone: { ...kept.get("alone"), [page.campaign]: alone.id } });
    await payAlone();
  });

/** The checkout of an order; says so when it is paid and answers the order after it. */
async function settled(one, said) {
  await post(`/v1/orders/${one.id}/payment`);
  if (!(await checkout(one.amount_fen))) {
    return one;
  }
  const paid = await post(`/v1/sandbox/orders/${one.id}/pay`);
  tell(WORDS[`error_${paid.reason}`] || said);
  return paid;
}

async function pay() {
  order = await settled(order, say("paid_head"));
  await refresh();
}

async function payAlone() {
  alone = await settled(alone, say("alone_paid"));
  await refresh();
}

async function giveUp() {
  order = await post(`/v1/orders/${order.id}/cancel`);
  tell(say("cancelled"));
  await refresh();
}

async function giveUpAlone() {
  alone = await post(`/v1/orders/${alone.id}/cancel`);
  await refresh();
}

const links = {};

/** This visitor's own link to a room, or to the campaign. */
async function ownLink(target) {
  const wanted = { campaign_id: page.campaign, channel: "page", ...(target && { target_id: target }) };
  links[target] = links[target] || (await post("/v1/shares", wanted));
  return links[target];
}

/** Who has a seat hands on a link of their own; others the one they came by. */
async function share() {
  const mine = room && room.you;
  await handOn(mine ? await entered(() => ownLink(page.room)) : { url: document.querySelector("[rel=canonical]").href, path: `/s/${token}` });
}

/** The buttons that make sense now, the main one first. */
function choices(state) {
  const sells = shop.state === "live" && page.sku;
  const opens = sells && shop.left >= Number(page.needs);
  if (waits(order)) {
    return [button(say("pay", yuan(order.amount_fen)), "go", does(pay)), button(say("cancel"), "quiet", does(giveUp))];
  }
  if (waits(alone)) {
    return [button(say("pay", yuan(alone.amount_fen)), "go", does(payAlone)), button(say("cancel_alone"), "quiet", does(giveUpAlone))];
  }
  const single = sells && shop.left > 0 && page.solo ? [button(say("buy_alone", yuan(page.solo)), "quiet", does(() => buyAlone(page.sku)))] : [];
  if (["open", "full"].includes(state) && order && order.state === "paid") {
    return [button(say("invite"), "go", does(share))];
  }
  if (state === "open" && !shop.barred) {
    const own = opens ? [button(say("open_another"), "quiet", does(() => open(page.sku)))] : [];
    return [button(say("join_for", yuan(page.price)), "go", does(join)), ...own, ...single];
  }
  if (opens && state !== "sold_out") {
    return [button(say("open_for", yuan(page.own)), "go", does(() => open(page.sku))), ...single];
  }
  return single;
}

/** On a link to the whole campaign: the way back to one's room. */
function wayBack() {
  const own = (kept.get("rooms") || {})[page.campaign];
  return !page.room && own ? [make("a", { href: address(location.pathname, { room: own }), class: "quiet" }, say("mine"))] : [];
}

let barred = "";

function paintBar(state) {
  if (!("sandbox" in page)) {
    return;
  }
  const done = alone && alone.state === "confirmed" ? [make("p", {}, say("alone_done"))] : [];
  const buttons = [...choices(state), ...wayBack(), ...done];
  const looks = buttons.map((one) => one.textContent).join("|");
  if (looks !== barred) {
    const focused = $("bar").contains(document.activeElement);
    $("bar").replaceChildren(...buttons);
    if (focused && buttons.length) {
      buttons[0].focus();
    }
    barred = looks;
  }
  for (const one of document.querySelectorAll("#bar button, .buy, .alone")) {
    one.disabled = busy;
  }
}
