// The page of an invite, decided as on the server (`page/invite.rs`): who this visitor is bound to, their own code, what they can do now.

let told = null; // the campaign of the contract, once an answer has told it

const you = () => (told && told.you) || {};

function stateNow() {
  if (!told) {
    return page.state;
  }
  if (told.state !== "live") {
    return told.state;
  }
  if (!told.switches.join) {
    return "closed";
  }
  return told.referral.budget_exhausted ? "exhausted" : "live";
}

/** Whether the link this visitor came by is their own. */
const isMine = () => Boolean(page.code) && you().invite_code === page.code;

function headline(state) {
  const { bond, newcomer } = you();
  if (state === "live") {
    if (isMine()) {
      return [say("refer_own_head"), say("refer_own_sub")];
    }
    if (bond) {
      return [say("refer_bound_head", bond.inviter), say("refer_bound_sub")];
    }
    if (page.inviter && told && told.newcomers_only && newcomer === false) {
      return [say("refer_known_head"), say("refer_known_sub")];
    }
    return page.inviter ? [say("refer_head", page.inviter), say("refer_sub")] : [say("refer_open_head"), say("refer_open_sub")];
  }
  const own = ["closed", "exhausted"].includes(state);
  return [say(own ? `refer_${state}_head` : `${state}_head`), say(`refer_${state}_sub`)];
}

const inChina = { timeZone: "Asia/Shanghai", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const moment = (time) => new Date(time).toLocaleString(document.documentElement.lang === "en" ? "en-GB" : "zh-CN", inChina);

/** What is this visitor's own: their code, and the bond as far as the headline does not tell it. */
function paintMine(state) {
  const { bond, invite_code } = you();
  const lines = [];
  if (bond && (state !== "live" || isMine())) {
    lines.push(make("p", {}, say("refer_bound_head", bond.inviter)));
  }
  if (bond && bond.expires_at) {
    lines.push(make("p", {}, say("refer_until", moment(bond.expires_at))));
  }
  if (invite_code) {
    lines.push(make("p", {}, `${say("refer_code")} `, make("b", {}, invite_code)));
  }
  const looks = lines.map((line) => line.textContent).join("|");
  if ($("mine").dataset.looks !== looks) {
    $("mine").dataset.looks = looks;
    $("mine").replaceChildren(...lines);
  }
}

/** Brings the page up to what is known. */
function paint() {
  const state = stateNow();
  page.state = state;
  if (told) {
    [$("head").textContent, $("sub").textContent] = headline(state);
    paintMine(state);
  }
  $("time").hidden = state === "ended";
  showButtons(choices(state));
  tick();
}

let over = false; // time ran out and the server was asked what came of it

function tick() {
  const left = Number(page.until) - now();
  $("left").textContent = span(left);
  if (left <= 0 && !over && page.state !== "ended") {
    setTimeout(refresh, 1000 + Math.random() * 2000);
  }
  over = left <= 0;
}

/** Whether this visitor can accept the invite: a bond by the first touch stays, one by the last may be replaced once its protection is over. */
function canAccept(state) {
  const { bond, newcomer } = you();
  if (state !== "live" || !page.code || isMine()) {
    return false;
  }
  if (told && told.newcomers_only && newcomer === false) {
    return false;
  }
  if (!bond) {
    return true;
  }
  const { touch, protected_seconds: spared } = told.referral.bond;
  const same = (kept.get("bound") || {})[page.campaign] === page.code;
  return touch === "last" && !same && now() >= Date.parse(bond.bound_at) + 1000 * (spared || 0);
}

const accept = () =>
  entered(async () => {
    await post(`/v1/campaigns/${page.campaign}/bonds`, { invite_code: page.code });
    kept.set({ bound: { ...kept.get("bound"), [page.campaign]: page.code } });
    tell(say("refer_accepted"));
    await refresh();
  });

/** This visitor's own code with the link that carries it; made at the first time. */
const handOnMine = () =>
  entered(async () => {
    const { invite_code: code, share: link } = await post(`/v1/campaigns/${page.campaign}/invites`);
    await refresh();
    await handOn({ ...link, code });
  });

/** Who has a code hands on a link of their own; others the one they came by. */
async function share() {
  if (you().invite_code) {
    await handOnMine();
  } else {
    await handOn({ url: document.querySelector("[rel=canonical]").href, path: `/s/${token}` });
  }
}

/** The buttons that make sense now, the main one first. */
function choices(state) {
  const first = canAccept(state) ? [button(you().bond ? say("refer_switch") : say("refer_accept"), "go", does(accept))] : [];
  const opens = told ? told.switches.open : "opens" in page;
  if (state !== "live" || !(opens || you().invite_code)) {
    return first;
  }
  return [...first, button(you().invite_code ? say("refer_send") : say("refer_get"), first.length ? "quiet" : "go", does(handOnMine))];
}

/** Asks for everything that may have changed, as this visitor. */
async function refresh() {
  try {
    told = await get(`/v1/campaigns/${page.campaign}`);
    ahead = Date.parse(told.now) - Date.now();
    const starts = told.state === "scheduled";
    page.until = Date.parse(starts ? told.starts_at : told.ends_at);
    $("label").textContent = say(starts ? "starts_in" : "ends_in");
    $("until").textContent = say(starts ? "deadline_start" : "deadline_end", moment(Number(page.until)));
    paint();
  } catch {
    // Silence: the next look comes.
  }
}

const LOOK = 15_000;

function start() {
  $("top").append(button(say("share"), "send", does(share)));
  setInterval(tick, 1000);
  setInterval(() => document.hidden || refresh(), LOOK + Math.random() * LOOK);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  paint();
  if (kept.get("session") || stored) {
    refresh();
  }
}

start();
