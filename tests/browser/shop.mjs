// What operators and shoppers do through the API, in one line each.

import assert from "node:assert/strict";

const MINUTE = 60_000;
let made = 0;

/** A time so many milliseconds from now, as the API takes it. */
const fromNow = (ms) => new Date(Date.now() + ms).toISOString();

/** A group-buy of one item for three people. */
export const definition = () => ({
  kind: "group_buy",
  title: "Cherries, half price for three",
  surface: "web",
  starts_at: fromNow(-MINUTE),
  ends_at: fromNow(10 * 24 * 60 * MINUTE),
  rules_text: "Three people pay 49.50 yuan each for 1 kg of cherries.\nThe list price is our everyday price of the last 30 days.",
  items: [{ sku: "cherry-1kg", title: "Cherries 1 kg", list_price_fen: 9900, stock: 360, tiers: [{ size: 3, price_fen: 4950 }] }],
  limits: { orders_per_user: 9, rooms_opened_per_user: 9, rooms_joined_per_user: 9, unpaid_per_user: 9, users_per_device: 9 },
});

/** A bargain of one item: four cuts from 199.00 down to 99.00. */
export const bargain = () => ({
  ...definition(),
  kind: "bargain",
  title: "Face cream, cut together",
  rules_text: "Four cuts lead from the list price to the floor price.\nThe list price is our everyday price of the last 30 days.",
  items: [{ sku: "cream", title: "Face cream", list_price_fen: 19900, floor_price_fen: 9900, stock: 120 }],
  cuts: { helpers: 4, curve: "front_loaded", self_cuts: 1 },
  limits: { chains_per_user: 9, users_per_device: 9 },
});

export class Shop {
  constructor(base, key) {
    this.base = base;
    this.key = key;
  }

  async call(method, path, body, headers = { authorization: `Bearer ${this.key}` }) {
    const answer = await fetch(this.base + path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }

  /** A published campaign; answers its id. */
  async publish(changes = {}, item = {}) {
    const whole = { ...definition(), ...changes };
    whole.items = Object.keys(item).length ? [{ ...whole.items[0], ...item }] : whole.items;
    const { id } = await this.call("POST", "/operator/v1/campaigns", whole);
    await this.call("POST", `/operator/v1/campaigns/${id}/publish`);
    return id;
  }

  step(campaign, step) {
    return this.call("POST", `/operator/v1/campaigns/${campaign}/${step}`);
  }

  advance(seconds) {
    return this.call("POST", "/v1/sandbox/clock", { advance_seconds: seconds });
  }

  /** A new shopper with a new device: the headers that say who calls. */
  async shopper(name) {
    made += 1;
    const { device_token } = await this.call("POST", "/v1/devices", { signals: { install_id: `${process.pid}-${made}` } }, {});
    const login = { provider: "sandbox", code: `${process.pid}-${made}`, display_name: name };
    const { session_token } = await this.call("POST", "/v1/sessions", login, {});
    return { authorization: `Bearer ${session_token}`, "x-device-token": device_token };
  }

  open(shopper, campaign, sku = "cherry-1kg") {
    return this.call("POST", `/v1/campaigns/${campaign}/rooms`, { sku, quantity: 1 }, shopper);
  }

  join(shopper, room) {
    return this.call("POST", `/v1/rooms/${room}/members`, { quantity: 1 }, shopper);
  }

  pay(shopper, order) {
    return this.call("POST", `/v1/sandbox/orders/${order}/pay`, {}, shopper);
  }

  /** A room with so many paid and so many held seats; answers its id, its leader and everyone's order. */
  async room(campaign, paid, held = 0, names = ["王小雨", "Ada", "陈晨", "李明"]) {
    let room = null;
    const people = [];
    for (let place = 0; place < paid + held; place += 1) {
      const shopper = await this.shopper(names[place % names.length]);
      const seat = room ? await this.join(shopper, room) : await this.open(shopper, campaign);
      room = seat.room.id;
      people.push({ shopper, order: seat.order.id });
      if (place < paid) {
        await this.pay(shopper, seat.order.id);
      }
    }
    return { room, people };
  }

  start(shopper, campaign) {
    return this.call("POST", `/v1/campaigns/${campaign}/chains`, { sku: "cream" }, shopper);
  }

  cut(shopper, chain) {
    return this.call("POST", `/v1/chains/${chain}/cuts`, {}, shopper);
  }

  /** A chain that so many friends have helped; answers it and its owner. */
  async chain(campaign, helpers, [first, ...names] = ["王小雨", "陈晨"]) {
    const owner = await this.shopper(first);
    const { chain } = await this.start(owner, campaign);
    for (let place = 0; place < helpers; place += 1) {
      await this.cut(await this.shopper(names[place % names.length]), chain.id);
    }
    return { chain: chain.id, owner };
  }

  /** A link's path, shared by this shopper. */
  async share(shopper, campaign, room) {
    const wanted = { campaign_id: campaign, ...(room && { target_id: room }) };
    return (await this.call("POST", "/v1/shares", wanted, shopper)).path;
  }
}
