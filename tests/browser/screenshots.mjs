// Every state of the page in both languages, on a phone and on a desk, as pictures.
//
//     node tests/browser/screenshots.mjs PROGRAM FOLDER [PART-OF-A-NAME]

import { spawn } from "node:child_process";
import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Shop, bargain, programme } from "./shop.mjs";
import { desktop, launch, phone } from "./chromium.mjs";

const [program, folder, only = ""] = process.argv.slice(2);
const HOSTILE = "<b>樱桃</b> \"&\" 🍒 مرحبا ".repeat(5).slice(0, 118);

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

/** Starts the program in a folder of its own; answers its address, its key and the demo's links. */
async function start(data) {
  const listen = `127.0.0.1:${await freePort()}`;
  const env = { PATH: process.env.PATH, LIEBIAN_LISTEN: listen, LIEBIAN_DATA_DIR: data, LIEBIAN_RATE_LIMITS: "off" };
  const server = spawn(program, ["dev"], { env, stdio: ["ignore", "pipe", "inherit"] });
  const links = [];
  for await (const line of createInterface(server.stdout)) {
    const [name, value] = line.split(/=(.*)/);
    if (name === "share_url") {
      links.push(new URL(value).pathname);
    }
    if (name === "operator_key") {
      server.stdout.resume();
      return { server, links, shop: new Shop(`http://${listen}`, value) };
    }
  }
  throw new Error(`${program} ended`);
}

/** The paths of all states. */
async function states(shop, links) {
  const rules = (await shop.call("GET", "/v1/campaigns")).items.find((one) => one.items[0].sku === "cherry-1kg").rules_text;
  const title = "智利车厘子1公斤，三人成团半价49.50元";
  const item = { title: "智利车厘子JJ级 1公斤" };
  const texts = { title, rules_text: rules };
  const cherries = await shop.publish(texts, item);
  const shared = async (campaign, { room, people }) => shop.share(people[0].shopper, campaign, room);
  const all = Object.fromEntries(links.map((link, place) => [`demo${place + 1}`, link]));
  const open = await shop.room(cherries, 1);
  all.open = await shared(cherries, open);
  await shop.room(cherries, 2);
  await shop.room(cherries, 1, 1, ["赵一", "Grace"]);
  all.rooms = await shop.share(open.people[0].shopper, cherries);
  all.held = await shared(cherries, await shop.room(cherries, 1, 1));
  all.full = await shared(cherries, await shop.room(cherries, 2, 1));
  all.formed = await shared(cherries, await shop.room(cherries, 3));
  const english = await shop.publish();
  all.english = await shared(english, await shop.room(english, 1, 1, ["Mei", "Ben"]));
  const five = await shop.publish({ title: "转角面包店：五人拼一箱，每人26.80元" }, { title: "周末面包盒", list_price_fen: 4200, tiers: [{ size: 5, price_fen: 2680 }] });
  all.five = await shared(five, await shop.room(five, 2, 1));
  const twelve = await shop.publish({ title: "Twelve for a crate of pears" }, { tiers: [{ size: 12, price_fen: 4950 }] });
  all.twelve = await shared(twelve, await shop.room(twelve, 5, 1));
  const crowd = await shop.publish({ title: "Sixty for a lorry of pears" }, { tiers: [{ size: 60, price_fen: 4950 }] });
  all.crowd = await shared(crowd, await shop.room(crowd, 9, 2));
  const steps = [[2, 4950], [3, 4480], [5, 3980]].map(([size, price_fen]) => ({ size, price_fen }));
  const offers = { ...item, tiers: steps, leader_price_fen: 4200, solo_price_fen: 7900 };
  const ladder = await shop.publish({ ...texts, title: "智利车厘子1公斤，人越多越便宜" }, offers);
  all.ladder_live = await shop.share(open.people[0].shopper, ladder);
  all.ladder_first = await shared(ladder, await shop.room(ladder, 1));
  all.ladder_open = await shared(ladder, await shop.room(ladder, 3));
  all.ladder_formed = await shared(ladder, await shop.room(ladder, 5));
  const newcomers = await shop.publish({ ...texts, newcomers_only: true, accept_from: 2 }, { ...item, solo_price_fen: 7900 });
  all.newcomers = await shared(newcomers, await shop.room(newcomers, 1));
  const soldOut = await shop.publish(texts, { ...item, stock: 1 });
  all.sold_out = await shared(soldOut, await shop.room(soldOut, 1));
  const paused = await shop.publish(texts, item);
  all.paused = await shared(paused, await shop.room(paused, 1));
  await shop.step(paused, "pause");
  const ended = await shop.publish(texts, item);
  all.ended = await shop.share(open.people[0].shopper, ended);
  await shop.step(ended, "end");
  const hour = new Date(Date.now() + 3_600_000).toISOString();
  const scheduled = await shop.publish({ ...texts, starts_at: hour }, item);
  all.scheduled = await shop.share(open.people[0].shopper, scheduled);
  const goods = ["Pears 1 kg", "Plums 1 kg"].map((name) => ({ sku: name.slice(0, 4), title: name, list_price_fen: 3980, stock: 50, tiers: [{ size: 2, price_fen: 1990 }, { size: 3, price_fen: 1690 }], solo_price_fen: name < "Pl" ? 2980 : null }));
  all.several = await shop.share(open.people[0].shopper, await shop.publish({ title: "Orchard week: two for the price of one", items: goods }));
  const hostile = await shop.publish({ title: HOSTILE, rules_text: `${HOSTILE}\n\n  ${HOSTILE}` }, { title: HOSTILE });
  all.hostile = await shared(hostile, await shop.room(hostile, 1, 1, ["<i>Eve", "مرحبا"]));
  const brief = await shop.publish({ ...texts, room_ttl_seconds: 60 }, item);
  all.failed = await shared(brief, await shop.room(brief, 1));
  await shop.advance(70);
  const expired = await shop.room(brief, 1, 1);
  await shop.advance(62);
  all.expired = await shared(brief, expired);
  all.revoked = await shop.share(open.people[0].shopper, cherries);
  await shop.call("DELETE", `/v1/shares/${all.revoked.slice(3)}`, undefined, open.people[0].shopper);
  all.unknown = `/s/${"A".repeat(32)}`;
  return all;
}

/** The paths of all states of a bargain. */
async function chains(shop) {
  const all = {};
  const names = ["王小雨", "陈晨", "Ada", "李明", "赵一"];
  const rules_text = "发起后请朋友帮忙，每人一刀，七刀从划线价砍到底价。\n划线价为本店最近三十天的日常售价。\n数量有限，砍到底价不等于已经买到，付款为准。";
  const item = { sku: "cream", title: "山茶花保湿面霜 50克", list_price_fen: 19900, floor_price_fen: 9900, stock: 120 };
  const cuts = { helpers: 7, curve: "front_loaded", self_cuts: 1, newcomer_cuts: 1 };
  const publish = (changes = {}) => shop.publish({ ...bargain(), title: "山茶面霜，请朋友一起砍到99元", rules_text, items: [item], cuts, ...changes });
  const shown = async (campaign, helpers, more = names) => {
    const { chain, owner } = await shop.chain(campaign, helpers, more);
    return { chain, owner, path: await shop.share(owner, campaign, chain) };
  };
  const cream = await publish();
  const open = await shown(cream, 3);
  all.chain_open = open.path;
  all.chain_live = await shop.share(open.owner, cream);
  all.chain_first = (await shown(cream, 0)).path;
  all.chain_last = (await shown(cream, 5)).path;
  all.chain_floor = (await shown(cream, 6)).path;
  const bought = await shown(cream, 4);
  all.chain_bought = bought.path;
  const { order } = await shop.call("POST", `/v1/chains/${bought.chain}/orders`, {}, bought.owner);
  await shop.pay(bought.owner, order.id);
  const chance = await publish({ cuts: { ...cuts, helpers: 12, curve: "random", newcomer_cuts: 2 } });
  const half = await shown(chance, 3);
  all.chain_random = half.path;
  all.chain_random_proof = `/v1/chains/${half.chain}/proof`;
  const whole = await shown(chance, 6);
  all.chain_random_done = whole.path;
  all.chain_random_done_proof = `/v1/chains/${whole.chain}/proof`;
  all.chain_crowd = (await shown(await publish({ cuts: { ...cuts, helpers: 60 } }), 40)).path;
  const english = await shop.publish({ ...bargain(), cuts: { helpers: 2, curve: "even", self_cuts: 0 }, buy_at: "floor_price" });
  all.chain_english = (await shown(english, 1, ["Mei", "Ben"])).path;
  const goods = ["Cream", "Soap"].map((title, place) => ({ ...item, sku: title.toLowerCase(), title, list_price_fen: 19900 - 5000 * place }));
  all.chain_several = await shop.share(open.owner, await shop.publish({ ...bargain(), items: goods }));
  const hostile = await publish({ title: HOSTILE, rules_text: HOSTILE, items: [{ ...item, title: HOSTILE }] });
  all.chain_hostile = (await shown(hostile, 2, ["<i>Eve", "مرحبا"])).path;
  const paused = await publish();
  all.chain_paused = (await shown(paused, 2)).path;
  await shop.step(paused, "pause");
  all.chain_sold_out = await shop.share(open.owner, await publish({ items: [{ ...item, stock: 0 }] }));
  const hour = new Date(Date.now() + 3_600_000).toISOString();
  all.chain_scheduled = await shop.share(open.owner, await publish({ starts_at: hour }));
  const over = await publish();
  all.chain_ended = await shop.share(open.owner, over);
  await shop.step(over, "end");
  const brief = await publish({ chain_ttl_seconds: 60 });
  const late = await shown(brief, 2);
  await shop.advance(62);
  all.chain_expired = late.path;
  return Object.defineProperties(all, { helped: { value: all.chain_open }, started: { value: all.chain_live } });
}

/** The paths of all states of an invite. */
async function invites(shop) {
  const all = {};
  const wen = await shop.shopper("王小雨");
  const title = "纸上山水：国画入门十二课，邀请朋友一起学";
  const rules_text = "课程价299.00元，没有划线价，对所有人一样。\n奖励只来自付款的订单，退款按比例收回。只有两级，没有第三级。";
  const item = { sku: "ink", title: "国画入门十二课", list_price_fen: 29900 };
  const bond = { newcomers_only: true, expires_after_seconds: 15_552_000 };
  const invite = async (changes = {}) => {
    const campaign = await shop.publish({ ...programme(), title, rules_text, items: [item], bond, ...changes });
    return { campaign, ...(await shop.invite(wen, campaign)) };
  };
  const live = await invite({ bond: {} });
  all.invite_live = live.path;
  all.invite_newcomers = (await invite()).path;
  all.invite_plain = await shop.share(await shop.shopper("Shop"), live.campaign);
  const beside = [{ sku: "brush-set", levels: [{ basis_points: 250 }, { basis_points: 100 }] }, { sku: "paper-a3", levels: [{ fixed_fen: 300 }] }];
  const sku_overrides = [{ sku: "talk", levels: [{ fixed_fen: 500 }] }, ...beside];
  const items = [item, { sku: "talk", title: "作业点评（三次）", list_price_fen: 9900 }];
  all.invite_several = (await invite({ items, sku_overrides, bond: { touch: "last", protected_seconds: 604_800 } })).path;
  all.invite_one_level = (await invite({ levels: [{ fixed_fen: 2000 }], freeze_seconds: 0, bond: {}, withdrawal: { max_fen: 5000 } })).path;
  all.invite_nothing = (await invite({ items: [], bond: {} })).path;
  const english = await shop.publish(programme());
  all.invite_english = (await shop.invite(await shop.shopper("Mei"), english)).path;
  all.invite_hostile = (await invite({ title: HOSTILE, rules_text: HOSTILE, items: [{ ...item, title: HOSTILE }] })).path;
  const paused = await invite();
  all.invite_paused = paused.path;
  await shop.step(paused.campaign, "pause");
  const ended = await invite();
  all.invite_ended = ended.path;
  await shop.step(ended.campaign, "end");
  const closed = await invite();
  all.invite_closed = closed.path;
  await shop.call("POST", `/operator/v1/campaigns/${closed.campaign}/switches`, { join: false });
  const spent = await invite({ budget_fen: 2990 });
  all.invite_exhausted = spent.path;
  await shop.earn(wen, spent.campaign, spent.code, 29900);
  const hour = new Date(Date.now() + 3_600_000).toISOString();
  all.invite_scheduled = await shop.share(wen, await shop.publish({ ...programme(), title, rules_text, items: [item], starts_at: hour }));
  return all;
}

/** What a visitor sees who accepts an invite, and then invites. */
async function takesPartInInvite(page, invite, shoot) {
  await page.goto(invite);
  await page.click("#bar .go");
  await page.fill("dialog input", "小林");
  await shoot("invite_you_name");
  await page.click("dialog .go");
  await page.waitForFunction(() => document.getElementById("toast").textContent);
  await shoot("invite_you_accepted");
  await page.click("#bar .go");
  await page.waitForFunction(() => document.querySelector("dialog img")?.complete);
  await shoot("invite_you_code");
  const own = await page.inputValue("dialog #link");
  await page.keyboard.press("Escape");
  await page.waitForTimeout(5200);
  await shoot("invite_you_both", { fullPage: true });
  await page.goto(own);
  await page.waitForSelector("#mine b");
  await shoot("invite_you_own");
}

/** What a helper sees, and then as the owner of a chain. */
async function takesPartInChain(page, helped, started, shoot) {
  await page.goto(helped);
  await page.click("#bar .go");
  await page.fill("dialog input", "小林");
  await shoot("chain_you_name");
  await page.click("dialog .go");
  await page.waitForSelector("#cuts .you");
  await shoot("chain_you_helped", { fullPage: true });
  await page.goto(started);
  await page.click("#bar .go");
  await page.waitForSelector("#cuts .you");
  await page.waitForSelector("#bar .quiet");
  await shoot("chain_you_owner", { fullPage: true });
  await page.click("#bar .quiet");
  await page.waitForSelector(".sum");
  await shoot("chain_you_checkout");
  await page.click("dialog .quiet");
  await page.waitForSelector("#hold, #bar .quiet");
  await shoot("chain_you_held");
}

/** What a visitor sees who takes part. */
async function takesPart(page, path, shoot) {
  await page.goto(path);
  await page.click("#bar .go");
  await page.fill("dialog input", "小林");
  await shoot("you_name");
  await page.click("dialog .go");
  await page.waitForSelector(".sum");
  await shoot("you_checkout");
  await page.click("dialog .quiet");
  await page.waitForSelector(".you.held");
  await shoot("you_held");
  await page.click("#bar .go");
  await page.click("dialog .go");
  await page.waitForSelector(".you.paid");
  await shoot("you_paid");
  await page.click("#bar .go");
  await page.waitForFunction(() => document.querySelector("dialog img")?.complete);
  await shoot("you_invite");
}

async function shootAll(browser, base, all, shop) {
  const wanted = Object.entries(all).filter(([name]) => name.includes(only));
  for (const [kind, made] of [["phone", phone], ["desk", desktop]]) {
    for (const lang of ["zh", "en"]) {
      const context = await made(browser, { locale: lang === "zh" ? "zh-CN" : "en-GB", baseURL: base });
      const page = await context.newPage();
      const shoot = async (name, more = {}) => {
        await page.waitForTimeout(250);
        await page.screenshot({ path: join(folder, `${kind}-${lang}-${name}.png`), scale: "css", ...more });
      };
      for (const [name, path] of wanted) {
        await page.goto(path);
        await page.waitForTimeout(200);
        await shoot(name);
        if (kind === "phone") {
          await shoot(`${name}-whole`, { fullPage: true });
        }
      }
      if ("you".includes(only)) {
        const seat = await shop.room(all.campaign, 1);
        await takesPart(page, await shop.share(seat.people[0].shopper, all.campaign, seat.room), shoot);
      }
      if ("chain_you".includes(only)) {
        const own = await made(browser, { locale: lang === "zh" ? "zh-CN" : "en-GB", baseURL: base });
        const helper = await own.newPage();
        const take = async (name, more = {}) => {
          await helper.waitForTimeout(250);
          await helper.screenshot({ path: join(folder, `${kind}-${lang}-${name}.png`), scale: "css", ...more });
        };
        await takesPartInChain(helper, all.helped, all.started, take);
        await own.close();
      }
      if ("invite_you".includes(only)) {
        const own = await made(browser, { locale: lang === "zh" ? "zh-CN" : "en-GB", baseURL: base });
        const friend = await own.newPage();
        const take = async (name, more = {}) => {
          await friend.waitForTimeout(250);
          await friend.screenshot({ path: join(folder, `${kind}-${lang}-${name}.png`), scale: "css", ...more });
        };
        await takesPartInInvite(friend, all.invited, take);
        await own.close();
      }
      await context.close();
    }
  }
  for (const [name, more] of [["dark", { colorScheme: "dark" }], ["wechat", { userAgent: "Mozilla/5.0 MicroMessenger/8.0.50" }], ["no-script", { javaScriptEnabled: false }], ["narrow", { viewport: { width: 320, height: 640 } }]]) {
    const context = await phone(browser, { baseURL: base, ...more });
    const page = await context.newPage();
    await page.goto(all.open);
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(folder, `phone-zh-${name}.png`), scale: "css", fullPage: name === "no-script" });
    await page.goto(all.invite_live);
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(folder, `phone-zh-invite_${name}.png`), scale: "css", fullPage: name === "no-script" });
    await context.close();
  }
}

await mkdir(folder, { recursive: true });
const data = await mkdtemp(join(tmpdir(), "liebian-pictures-"));
const { server, links, shop } = await start(data);
const browser = await launch();
try {
  const all = await states(shop, links);
  const bargains = await chains(shop);
  Object.assign(all, bargains);
  const invited = await invites(shop);
  Object.assign(all, invited);
  const { items } = await shop.call("GET", "/v1/campaigns");
  const campaign = items.find((one) => one.rooms_open > 2).id;
  await shootAll(browser, shop.base, Object.defineProperties(all, { campaign: { value: campaign }, helped: { value: bargains.helped }, started: { value: bargains.started }, invited: { value: invited.invite_live } }), shop);
} finally {
  await browser.close();
  server.kill("SIGTERM");
  await new Promise((done) => server.on("exit", done));
  await rm(data, { recursive: true });
}
