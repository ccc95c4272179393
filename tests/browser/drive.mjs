// Drives a real browser over the campaign page of a running server.
//
//     node tests/browser/drive.mjs BASE OPERATOR-KEY taking-part|reading|bargaining|inviting

import assert from "node:assert/strict";
import { inspect, walkByKeyboard, watch } from "./checks.mjs";
import { desktop, launch, phone } from "./chromium.mjs";
import { Shop, bargain, programme } from "./shop.mjs";

const [base, key, what] = process.argv.slice(2);
const shop = new Shop(base, key);
const browser = await launch();
const watched = [];

/** A visitor's page, watched. A mark in it goes away if it is ever loaded anew. */
async function visitor(path, more = {}, make = phone) {
  const context = await make(browser, { baseURL: base, ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  watched.push(watch(page, base));
  await page.goto(path);
  await page.evaluate(() => (globalThis.mark = "not loaded anew")).catch(() => {});
  return page;
}

const english = { locale: "en-GB" };
const seats = (page, kind) => page.locator(`#seats .${kind}`);
const state = (page) => page.locator("body").getAttribute("data-state");

/** Waits until the page shows so many seats of these kinds, without having been loaded anew. */
async function sees(page, kinds, state_) {
  await page.waitForFunction(
    ([wanted, expected]) => {
      const right = Object.entries(wanted).every(([kind, count]) => document.querySelectorAll(`#seats .${kind}`).length === count);
      return right && (!expected || document.body.dataset.state === expected);
    },
    [kinds, state_],
  );
  assert.equal(await page.evaluate(() => globalThis.mark), "not loaded anew");
}

async function enterAs(page, name) {
  await page.locator("dialog input").fill(name);
  await page.locator("dialog .go").click();
}

async function pays(page) {
  await page.locator("dialog .sum").waitFor();
  await page.locator("dialog .go").click();
}

/** Two visitors come by one link into a room of three, see each other arrive, pay, and see it form. */
async function fillARoomOfThree() {
  const campaign = await shop.publish();
  const { room, people } = await shop.room(campaign, 1);
  const path = await shop.share(people[0].shopper, campaign, room);
  const [ada, ben] = await Promise.all([visitor(path), visitor(path, english)]);
  await Promise.all([sees(ada, { paid: 1, free: 2 }), sees(ben, { paid: 1, free: 2 })]);
  assert.equal(await ada.locator("#head").textContent(), "还差 2 人");
  assert.equal(await ben.locator("#head").textContent(), "2 more to go");

  await ada.locator("#bar .go").click();
  await enterAs(ada, "小林");
  await sees(ben, { paid: 1, held: 1, free: 1 });
  assert.equal(await ben.locator("#news").textContent(), "2 of 3 seats taken, 1 paid");
  assert.equal(await ben.locator(".you").count(), 0, "a seat is nobody else's");
  await pays(ada);
  await Promise.all([sees(ada, { paid: 2, free: 1, you: 1 }), sees(ben, { paid: 2, free: 1 })]);

  await ben.locator("#bar .go").click();
  await enterAs(ben, "Ben");
  await sees(ada, { paid: 2, held: 1, free: 0 }, "full");
  assert.match(await seats(ada, "held").textContent(), /B\*\*/);
  await pays(ben);
  await Promise.all([sees(ada, { paid: 3, you: 1 }, "formed"), sees(ben, { paid: 3, you: 1 }, "formed")]);
  assert.equal(await ada.locator("#head").textContent(), "成团了！");
  await ben.waitForFunction(() => document.getElementById("sub").textContent === "You are in, and your order is confirmed.");
  assert.equal((await shop.call("GET", `/v1/rooms/${room}`)).state, "formed");
}

/** A visitor opens a room of their own, hands on their own link, and sees a guest come, go, come back and pay. */
async function openOnesOwnRoom() {
  const campaign = await shop.publish({}, { tiers: [{ size: 2, price_fen: 1990 }] });
  const path = await shop.share(await shop.shopper("Shop"), campaign);
  const host = await visitor(path);
  assert.equal(await state(host), "live");
  await host.locator("#bar .go").click();
  await enterAs(host, "陈晨");
  await host.locator("dialog .sum").waitFor();
  assert.equal(await host.locator(".sum").textContent(), "¥19.90");
  await host.evaluate(() => (globalThis.mark = "not loaded anew"));
  await pays(host);
  await sees(host, { paid: 1, you: 1, free: 1 }, "open");

  await host.locator("#bar .go").click();
  const link = await host.locator("dialog #link").inputValue();
  assert.ok(link.startsWith(`${base}/s/`) && !link.endsWith(path), "a link of one's own");
  await host.waitForFunction(() => document.querySelector("dialog img").naturalWidth > 0);
  await inspect(host, "the sheet with the link");
  await host.keyboard.press("Escape");
  await host.locator("dialog").waitFor({ state: "detached" });

  const guest = await visitor(link, english);
  assert.match(await guest.locator(".who").textContent(), /陈\*\* shared this/);
  await guest.locator("#bar .go").click();
  await inspect(guest, "the sheet for the name");
  await enterAs(guest, "Grace");
  await guest.locator("dialog .sum").waitFor();
  await inspect(guest, "the checkout");
  await guest.locator("dialog .quiet").click();
  await Promise.all([sees(host, { paid: 1, held: 1 }, "full"), sees(guest, { held: 1, you: 1 }, "full")]);
  assert.match(await guest.locator("#sub").textContent(), /held for 14:/);
  await guest.locator("#bar .quiet").click();
  await Promise.all([sees(host, { paid: 1, free: 1 }, "open"), sees(guest, { paid: 1, free: 1, you: 0 }, "open")]);

  await guest.locator("#bar .go").click();
  await pays(guest);
  await Promise.all([sees(host, { paid: 2 }, "formed"), sees(guest, { paid: 2, you: 1 }, "formed")]);
}

/** A visitor sees a ladder climb, buys alone, joins, and pays what the tier reached costs. */
async function climbALadder() {
  const tiers = [{ size: 2, price_fen: 4950 }, { size: 3, price_fen: 4480 }];
  const campaign = await shop.publish({}, { tiers, leader_price_fen: 4200, solo_price_fen: 7900 });
  const { room, people } = await shop.room(campaign, 1);
  const page = await visitor(await shop.share(people[0].shopper, campaign, room), english);
  await sees(page, { paid: 1, free: 2 });
  const step = (text) => page.waitForFunction((wanted) => document.querySelector("#steps .now")?.textContent === wanted, text);
  assert.equal(await page.locator("#steps .next").textContent(), "¥49.502 people");
  const bob = await shop.shopper("Bob");
  await shop.pay(bob, (await shop.join(bob, room)).order.id);
  await step("¥49.502 people");
  assert.equal(await page.locator("#head").textContent(), "1 more: ¥44.80 each");

  await page.locator("#bar .quiet", { hasText: "Buy alone" }).click();
  await enterAs(page, "Cleo");
  await page.locator("dialog .sum").waitFor();
  assert.equal(await page.locator(".sum").textContent(), "¥79.00");
  await inspect(page, "the checkout of what is bought alone");
  await page.locator("dialog .quiet").click();
  await page.locator("#bar .quiet", { hasText: "Give up this order" }).waitFor();
  await page.locator("#bar .go", { hasText: "Pay ¥79.00" }).click();
  await pays(page);
  await page.locator("#bar p", { hasText: "What you bought alone is confirmed." }).waitFor();

  await page.locator("#bar .go", { hasText: "Join for ¥49.50" }).click();
  await pays(page);
  await sees(page, { paid: 3, you: 1 }, "formed");
  await step("¥44.803 people");
  assert.equal(await page.locator("#price").textContent(), "¥44.80");
}

/** Whoever has bought before is not asked to join where only newcomers may. */
async function beNoNewcomer() {
  const campaign = await shop.publish({ newcomers_only: true }, { solo_price_fen: 7900 });
  const { room, people } = await shop.room(campaign, 1);
  const page = await visitor(await shop.share(people[0].shopper, campaign, room), english);
  await page.locator("#bar .go", { hasText: "Join for" }).waitFor();
  await page.locator("#bar .quiet", { hasText: "Buy alone" }).click();
  await enterAs(page, "Cleo");
  await pays(page);
  await page.locator("#bar .go", { hasText: "Start a group for ¥49.50" }).waitFor();
}

/** Where streams do not get through, a look every few seconds shows the same. */
async function followWithoutAStream() {
  const campaign = await shop.publish();
  const { room, people } = await shop.room(campaign, 1);
  const path = await shop.share(people[0].shopper, campaign, room);
  const context = await phone(browser, { baseURL: base });
  await context.route("**/live", (route) => route.abort());
  const page = await context.newPage();
  await page.goto(path);
  await shop.join(await shop.shopper("Ada"), room);
  await page.waitForFunction(() => document.querySelectorAll("#seats .held").length === 1, null, { timeout: 15_000 });
}

/** A visitor who is refused is told why and sees how things stand. */
async function beTooLate() {
  const campaign = await shop.publish({}, { stock: 2 });
  const { room, people } = await shop.room(campaign, 1);
  const path = await shop.share(people[0].shopper, campaign, room);
  const late = await visitor(path, english);
  await late.locator("#bar .go").waitFor();
  await late.context().setOffline(true);
  await shop.join(await shop.shopper("Ada"), room);
  await late.context().setOffline(false);
  await late.locator("#bar .go").click();
  await enterAs(late, "Late");
  await late.waitForFunction(() => document.getElementById("toast").textContent === "Sold out for now.");
  await sees(late, { paid: 1, held: 1 }, "sold_out");
  watched.pop(); // a refusal is an error on the console, and so is being offline
}

async function takingPart() {
  await Promise.all([fillARoomOfThree(), openOnesOwnRoom(), followWithoutAStream()]);
  await Promise.all([climbALadder(), beNoNewcomer()]);
  await beTooLate();
}

const HOSTILE = "<img src=x onerror=alert(1)> \"&amp;\" 🍒 \u202eمرحبا".repeat(4).slice(0, 120);

/** Links to pages in every state. */
async function everyState() {
  const all = {};
  const campaign = await shop.publish({ list_rooms: true });
  const link = async ({ room, people }, of = campaign) => shop.share(people[0].shopper, of, room);
  const open = await shop.room(campaign, 1, 1);
  const anybody = open.people[0].shopper;
  all.open = await link(open);
  all.live = await shop.share(anybody, campaign);
  all.full = await link(await shop.room(campaign, 2, 1));
  all.formed = await link(await shop.room(campaign, 3));
  const crowd = await shop.publish({}, { tiers: [{ size: 40, price_fen: 4950 }] });
  all.open_crowd = await link(await shop.room(crowd, 1, 1), crowd);
  const twelve = await shop.publish({}, { tiers: [{ size: 12, price_fen: 4950 }] });
  all.open_twelve = await link(await shop.room(twelve, 1, 1), twelve);
  const tiers = [[2, 4950], [3, 4480], [4, 4280], [5, 3980]].map(([size, price_fen]) => ({ size, price_fen }));
  const ladder = await shop.publish({ newcomers_only: true, accept_from: 2 }, { tiers, leader_price_fen: 4200, solo_price_fen: 7900 });
  all.open_ladder = await link(await shop.room(ladder, 2, 1), ladder);
  all.live_ladder = await shop.share(anybody, ladder);
  all.formed_ladder = await link(await shop.room(ladder, 5), ladder);
  const soldOut = await shop.publish({}, { stock: 1 });
  all.sold_out = await link(await shop.room(soldOut, 1), soldOut);
  const paused = await shop.publish();
  all.paused = await link(await shop.room(paused, 1), paused);
  await shop.step(paused, "pause");
  const ended = await shop.publish();
  all.ended = await shop.share(anybody, ended);
  await shop.step(ended, "end");
  const later = await shop.publish({ starts_at: new Date(Date.now() + 7_200_000).toISOString() });
  all.scheduled = await shop.share(anybody, later);
  const items = ["pear", "plum"].map((sku) => ({ sku, title: sku, list_price_fen: 3980, stock: 50, tiers: [{ size: 2, price_fen: 1990 }] }));
  all.live_several = await shop.share(anybody, await shop.publish({ items }));
  const hostile = await shop.publish({ title: HOSTILE, share_title: HOSTILE, rules_text: `${HOSTILE}\n\n  second line` }, { title: HOSTILE });
  all.open_hostile = await link(await shop.room(hostile, 1, 0, ["<b>Eve"]), hostile);
  const brief = await shop.publish({ room_ttl_seconds: 60 });
  const failing = await shop.room(brief, 1);
  await shop.advance(70);
  all.failed = await link(failing, brief);
  const expiring = await shop.room(brief, 1, 1);
  await shop.advance(62);
  all.expired = await link(expiring, brief);
  return all;
}

/** What the server says the page's state is, the script says too, in both languages; the page is sound at every width. */
async function beSoundInEveryState(all) {
  for (const lang of ["zh", "en"]) {
    const page = await visitor(all.open);
    for (const [name, path] of Object.entries(all)) {
      await page.setViewportSize({ width: 390, height: 844 });
      await page.goto(`${path}?lang=${lang}`);
      const expected = ["sold_out"].find((word) => name === word) || name.split("_")[0];
      const told = await page.evaluate(() => [document.body.dataset.state, document.getElementById("left").textContent]);
      assert.equal(told[0], expected, name);
      await page.waitForFunction(() => [...document.querySelectorAll("script")].length && document.querySelector(".send"));
      assert.equal(await state(page), expected, `${name}, by the script`);
      for (const width of lang === "en" ? [320, 390, 1280] : [320, 390]) {
        await page.setViewportSize({ width, height: 844 });
        await inspect(page, `${name} ${lang} ${width}`);
      }
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await page.emulateMedia({ colorScheme: "dark" });
    for (const name of ["open", "ended", "failed"]) {
      await page.goto(`${all[name]}?lang=${lang}`);
      await page.locator(".send").waitFor();
      await inspect(page, `${name} ${lang} dark`);
    }
    await page.context().close();
  }
}

/** Hostile text is shown as it was typed. */
async function showTextAsText(all) {
  const page = await visitor(all.open_hostile, english);
  page.on("dialog", () => assert.fail("somebody else's script ran"));
  const line = HOSTILE.trim().replace(/\s+/g, " ");
  assert.equal((await page.locator("h1").textContent()).trim().replace(/\s+/g, " "), line);
  assert.equal(await page.locator(".text").textContent(), `${HOSTILE}\n\n  second line`);
  assert.equal(await page.locator("img[src=x]").count(), 0);
  assert.match(await page.locator("#seats .paid").textContent(), /b\*\*/);
  assert.ok((await page.locator(".text").boundingBox()).height > 3 * 20, "lines stay lines");
}

/** Without scripts everything can be read, and other rooms and the other language are links. */
async function readWithoutScripts(all) {
  const page = await visitor(all.open, { ...english, javaScriptEnabled: false });
  for (const text of ["Cherries, half price for three", "¥49.50", "¥99.00", "1 more to go", "How it works", "Three people pay"]) {
    assert.ok(await page.getByText(text).first().isVisible(), text);
  }
  assert.match(await page.locator(".note:visible").textContent(), /^Scripts are off/);
  assert.deepEqual([await seats(page, "paid").count(), await seats(page, "held").count(), await seats(page, "free").count()], [1, 1, 1]);
  assert.equal(await page.locator("button").count(), 0, "no button that does nothing");
  await page.locator(".lang").click();
  assert.equal(await page.locator("#head").textContent(), "还差 1 人");
  await page.goto(all.live);
  await page.locator(".others a").first().click();
  assert.equal(await state(page), "open");
}

/** Time runs, the language can be changed, the keyboard suffices, whoever dislikes motion gets none. */
async function useItByKeyboard(all) {
  const page = await visitor(all.live, { ...english, reducedMotion: "reduce" }, desktop);
  await page.locator(".send").waitFor();
  const before = await page.locator("#left").textContent();
  await page.waitForFunction((text) => document.getElementById("left").textContent !== text, before);
  await walkByKeyboard(page);
  const moving = await page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0);
  await page.locator(".lang").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/lang=zh/);
  assert.equal(await page.locator("#head").textContent(), "开一个团吧");
  assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
}

async function reading() {
  const all = await everyState();
  await Promise.all([beSoundInEveryState(all), showTextAsText(all), readWithoutScripts(all), useItByKeyboard(all)]);
}

const told = (page, id, text) => page.waitForFunction(([where, wanted]) => document.getElementById(where).textContent === wanted, [id, text]);

/** A visitor starts a chain, a friend who came by its link cuts, both see what is left to the fen, and the owner buys on the way. */
async function bargainTogether() {
  const campaign = await shop.publish(bargain());
  const first = await shop.shopper("Shop");
  const owner = await visitor(await shop.share(first, campaign), english);
  assert.equal(await owner.locator("#sub").textContent(), "4 cuts lead to ¥99.00. Every cut is fixed at the start.");
  await owner.locator("#bar .go", { hasText: "Start my own chain" }).click();
  await enterAs(owner, "Ada");
  await owner.waitForURL(/\/s\//);
  await told(owner, "head", "¥60.00 to go");
  await told(owner, "sub", "3 cuts left, the next is exactly ¥30.00");
  await owner.evaluate(() => (globalThis.mark = "not loaded anew"));
  const friend = await visitor(new URL(owner.url()).pathname);
  await friend.locator("#bar .go", { hasText: "帮砍一刀 −¥30.00" }).click();
  await enterAs(friend, "Ben");
  await told(friend, "head", "还差 ¥30.00");
  await friend.locator("#bar p", { hasText: "你已帮砍 ¥30.00" }).waitFor();
  await told(owner, "head", "¥30.00 to go");
  assert.equal(await owner.locator("#price").textContent(), "¥129.00");
  assert.deepEqual(await owner.locator("#cuts li i").allTextContents(), ["−¥40.00", "−¥30.00"]);
  await owner.locator("#bar button", { hasText: "Buy for ¥129.00" }).click();
  await pays(owner);
  await told(owner, "head", "Bought");
  await told(friend, "head", "已经买下");
  assert.equal(await owner.evaluate(() => globalThis.mark), "not loaded anew");
}

/** Links to chains in every state. */
async function everyChain() {
  const all = {};
  const campaign = await shop.publish(bargain());
  const open = await shop.chain(campaign, 1);
  const link = ({ chain, owner }, of = campaign) => shop.share(owner, of, chain);
  all.open = await link(open);
  all.live = await shop.share(open.owner, campaign);
  all.floor_reached = await link(await shop.chain(campaign, 3));
  const bought = await shop.chain(campaign, 2);
  const { order } = await shop.call("POST", `/v1/chains/${bought.chain}/orders`, {}, bought.owner);
  await shop.pay(bought.owner, order.id);
  all.bought = await link(bought);
  const hostile = await shop.publish({ ...bargain(), title: HOSTILE, rules_text: `${HOSTILE}\n\n  second line` }, { title: HOSTILE });
  all.open_hostile = await link(await shop.chain(hostile, 0), hostile);
  const items = ["soap", "oil"].map((sku) => ({ sku, title: sku, list_price_fen: 3980, floor_price_fen: 1980, stock: 50 }));
  all.live_several = await shop.share(open.owner, await shop.publish({ ...bargain(), items }));
  const paused = await shop.publish(bargain());
  all.paused = await link(await shop.chain(paused, 1), paused);
  await shop.step(paused, "pause");
  const ended = await shop.publish(bargain());
  all.ended = await shop.share(open.owner, ended);
  await shop.step(ended, "end");
  const soldOut = await shop.publish({ ...bargain(), reserve_stock: "at_start" }, { stock: 1 });
  await shop.chain(soldOut, 0);
  all.sold_out = await shop.share(open.owner, soldOut);
  const later = await shop.publish({ ...bargain(), starts_at: new Date(Date.now() + 7_200_000).toISOString() });
  all.scheduled = await shop.share(open.owner, later);
  const brief = await shop.publish({ ...bargain(), chain_ttl_seconds: 60 });
  const expired = await shop.chain(brief, 1);
  await shop.advance(62);
  all.expired = await link(expired, brief);
  return all;
}

/** What the server says a page's state is, the script says too; the page is sound at every width, in both languages and in the dark. */
async function areSound(all) {
  for (const lang of ["zh", "en"]) {
    const page = await visitor(Object.values(all)[0]);
    for (const [name, path] of Object.entries(all)) {
      const expected = ["sold_out", "floor_reached"].find((word) => name === word) || name.split("_")[0];
      await page.goto(`${path}?lang=${lang}`);
      assert.equal(await state(page), expected, name);
      await page.locator(".send").waitFor();
      assert.equal(await state(page), expected, `${name}, by the script`);
      for (const [width, colorScheme] of [[320, "light"], [390, "dark"], [1280, "light"]]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 844 });
        await inspect(page, `${name} ${lang} ${width}`);
      }
    }
    await page.context().close();
  }
}

/** Without scripts a chain can be read. */
async function readAChain(all) {
  const page = await visitor(all.open, { ...english, javaScriptEnabled: false });
  for (const text of ["¥129.00", "¥30.00 to go", "2 cuts left, the next is exactly ¥20.00", "2 of 4 cuts, ¥70.00 off", "Check it yourself"]) {
    assert.ok(await page.getByText(text).first().isVisible(), text);
  }
  assert.equal(await page.locator("button").count(), 0, "no button that does nothing");
}

async function bargaining() {
  await bargainTogether();
  const all = await everyChain();
  await Promise.all([areSound(all), readAChain(all)]);
}

const mainButton = (page, text) => page.locator("#bar .go", { hasText: text });

/** One visitor makes a code and hands its link on, the other accepts it, sees who invited, and makes a code of their own. */
async function inviteAFriend() {
  const campaign = await shop.publish(programme());
  const ada = await visitor(await shop.share(await shop.shopper("Shop"), campaign), english);
  assert.equal(await ada.locator("#head").textContent(), "Earn when friends buy");
  assert.equal(await ada.locator("#bar button").count(), 1, "nobody's invite can be accepted");
  await mainButton(ada, "Get my own code").click();
  await enterAs(ada, "Ada");
  const code = await ada.locator("dialog .sum").textContent();
  assert.match(code, /^[0-9A-Z]{8}$/);
  const link = await ada.locator("dialog #link").inputValue();
  await ada.waitForFunction(() => document.querySelector("dialog img").naturalWidth > 0);
  await inspect(ada, "the sheet with the code");
  await ada.keyboard.press("Escape");
  assert.equal(await ada.locator("#mine b").textContent(), code);
  await mainButton(ada, "Pass on my invite").waitFor();

  const ben = await visitor(new URL(link).pathname);
  assert.equal(await ben.locator("#head").textContent(), "接受 A** 的邀请？");
  await mainButton(ben, "接受邀请").click();
  await enterAs(ben, "陈晨");
  await told(ben, "head", "你已接受 A** 的邀请");
  await mainButton(ben, "拿我自己的邀请码").click();
  await ben.locator("dialog .sum").waitFor();
  const second = await ben.locator("dialog .sum").textContent();
  assert.notEqual(second, code);
  const bens = await ben.locator("dialog #link").inputValue();
  await ben.keyboard.press("Escape");
  await mainButton(ben, "把我的邀请发给朋友").waitFor();
  assert.equal(await ben.locator("#mine b").textContent(), second, "also right after the answer before");
  assert.equal(await ben.evaluate(() => globalThis.mark), "not loaded anew");
  const session = await ada.evaluate(() => JSON.parse(localStorage.liebian).session);
  const { items } = await shop.call("GET", "/v1/me/invitees", undefined, { authorization: `Bearer ${session}` });
  assert.deepEqual(items.map(({ name, level }) => [name, level]), [["陈**", 1]]);

  await ada.goto(link);
  await told(ada, "head", "This invite is yours");
  assert.equal(await ada.locator("#bar button").count(), 1, "nobody accepts their own invite");
  watched.pop(); // what follows is refused, and a refusal is an error on the console
  watched.pop();
  await ada.goto(bens);
  await mainButton(ada, "Accept the invite").click();
  await told(ada, "toast", "You have invited them, or somebody who did. It cannot go in a circle.");
  assert.equal(await ada.locator("#head").textContent(), "Accept 陈**'s invite?");
}

/** By the first touch an inviter stays, by the last one another may follow. */
async function keepOrChangeTheInviter() {
  for (const touch of ["first", "last"]) {
    const campaign = await shop.publish({ ...programme(), bond: { touch, expires_after_seconds: 86_400 } });
    const [ada, carl] = await Promise.all(["Ada", "Carl"].map(async (name) => shop.invite(await shop.shopper(name), campaign)));
    const page = await visitor(ada.path, english);
    await mainButton(page, "Accept the invite").click();
    await enterAs(page, "Ben");
    await told(page, "head", "You accepted A**'s invite");
    assert.match(await page.locator("#mine").textContent(), /It holds until .+ \(UTC\+8\)/);
    await mainButton(page, "Get my own code").waitFor();
    await page.goto(carl.path);
    await told(page, "head", "You accepted A**'s invite");
    if (touch === "first") {
      assert.equal(await page.locator("#bar .go").textContent(), "Get my own code");
    } else {
      await mainButton(page, "Accept this invite instead").click();
      await told(page, "head", "You accepted C**'s invite");
      await mainButton(page, "Get my own code").waitFor();
    }
  }
}

/** Whoever has bought before is told, and can invite. */
async function beKnownAlready() {
  const goods = await shop.publish({}, { solo_price_fen: 7900 });
  const page = await visitor(await shop.share(await shop.shopper("Shop"), goods), english);
  await page.locator("#bar .quiet", { hasText: "Buy alone" }).click();
  await enterAs(page, "Cleo");
  await pays(page);
  await page.locator("#bar p", { hasText: "What you bought alone is confirmed." }).waitFor();
  const campaign = await shop.publish({ ...programme(), bond: { newcomers_only: true } });
  await page.goto((await shop.invite(await shop.shopper("Ada"), campaign)).path);
  await told(page, "head", "For newcomers only");
  assert.deepEqual(await page.locator("#bar button").allTextContents(), ["Get my own code"]);
}

/** Whoever comes when the budget is used up is told why. */
async function comeWhenNothingIsLeft() {
  const campaign = await shop.publish({ ...programme(), budget_fen: 2990 });
  const ada = await shop.shopper("Ada");
  const { code, path } = await shop.invite(ada, campaign);
  const page = await visitor(path, english);
  watched.splice(watched.length - 1, 1); // a refusal is an error on the console
  await mainButton(page, "Accept the invite").waitFor();
  await shop.earn(ada, campaign, code, 29900);
  await mainButton(page, "Accept the invite").click();
  await enterAs(page, "Late");
  await told(page, "toast", "Nothing is left of the budget. No invites for now.");
  await told(page, "head", "The budget is used up");
  assert.equal(await page.locator("#bar button").count(), 0);
}

/** Links to invites in every state. */
async function everyInvite() {
  const all = {};
  const ada = await shop.shopper("Ada");
  const invite = async (changes = {}) => {
    const campaign = await shop.publish({ ...programme(), ...changes });
    return { campaign, ...(await shop.invite(ada, campaign)) };
  };
  const live = await invite();
  all.live = live.path;
  all.live_plain = await shop.share(await shop.shopper("Shop"), live.campaign);
  const items = ["ink", "oil"].map((sku) => ({ sku, title: sku, list_price_fen: 3980 }));
  const sku_overrides = [{ sku: "oil", levels: [{ fixed_fen: 500 }] }];
  all.live_several = (await invite({ items, sku_overrides, bond: { newcomers_only: true, touch: "last", protected_seconds: 60 } })).path;
  all.live_hostile = (await invite({ title: HOSTILE, rules_text: HOSTILE, items: [{ sku: "a", title: HOSTILE, list_price_fen: 9_999_999 }] })).path;
  const paused = await invite();
  all.paused = paused.path;
  await shop.step(paused.campaign, "pause");
  const ended = await invite();
  all.ended = ended.path;
  await shop.step(ended.campaign, "end");
  const closed = await invite();
  all.closed = closed.path;
  await shop.call("POST", `/operator/v1/campaigns/${closed.campaign}/switches`, { join: false });
  const spent = await invite({ budget_fen: 2990 });
  all.exhausted = spent.path;
  const later = await shop.publish({ ...programme(), starts_at: new Date(Date.now() + 7_200_000).toISOString() });
  all.scheduled = await shop.share(ada, later);
  await shop.earn(ada, spent.campaign, spent.code, 29900);
  return all;
}

/** Without scripts an invite can be read. */
async function readAnInvite(all) {
  const page = await visitor(all.live, { ...english, javaScriptEnabled: false });
  for (const text of ["Accept A**'s invite?", "10%", "3%", "It ends with level 2.", "¥29.90 at level 1, ¥8.97", "no income is promised"]) {
    assert.ok(await page.getByText(text).first().isVisible(), text);
  }
  assert.match(await page.locator(".note:visible").textContent(), /^Scripts are off/);
  assert.equal(await page.locator("button").count(), 0, "no button that does nothing");
}

/** An invite can be used by keyboard. */
async function acceptByKeyboard(all) {
  const page = await visitor(all.live, english, desktop);
  await page.locator(".send").waitFor();
  await walkByKeyboard(page);
}

async function inviting() {
  await inviteAFriend();
  await comeWhenNothingIsLeft();
  await Promise.all([keepOrChangeTheInviter(), beKnownAlready()]);
  const all = await everyInvite();
  await Promise.all([areSound(all), readAnInvite(all), acceptByKeyboard(all)]);
}

try {
  await { "taking-part": takingPart, reading, bargaining, inviting }[what]();
  assert.deepEqual(watched.flat(), []);
} finally {
  await browser.close();
}
