// Requests, and who this visitor is. In the sandbox a name is enough; it stays in this browser.

const PATIENCE = 3;

const kept = (() => {
  let all = {};
  try {
    all = JSON.parse(localStorage.liebian || "{}");
  } catch {
    // No storage: this visit only.
  }
  return {
    get: (name) => all[name],
    set(changes) {
      Object.assign(all, changes);
      try {
        localStorage.liebian = JSON.stringify(all);
      } catch {
        // As above.
      }
    },
  };
})();

const chance = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function headers(method) {
  const all = { accept: "application/json" };
  if (kept.get("session")) {
    all.authorization = `Bearer ${kept.get("session")}`;
  }
  if (method === "POST") {
    all["content-type"] = "application/json";
    all["idempotency-key"] = chance();
    all["x-share-token"] = token;
    if (kept.get("device")) {
      all["x-device-token"] = kept.get("device");
    }
  }
  return all;
}

/** Sends a request; the very same again while the server is busy or silent. Throws the problem. A kept answer is asked about each time: it may
 * be a second old, and not know what this visitor did meanwhile. */
async function call(method, path, body) {
  const request = { method, headers: headers(method), body: body && JSON.stringify(body), cache: "no-cache" };
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(path, request).catch(() => null);
    const json = answer ? await answer.json().catch(() => ({})) : {};
    if (answer && answer.ok) {
      return json;
    }
    if (attempt === PATIENCE || (answer && answer.status !== 503 && answer.status !== 429)) {
      throw json;
    }
    tell(say("busy"));
    await wait(1000 * Number((answer && answer.headers.get("retry-after")) || 1 + attempt));
  }
}

const get = (path) => call("GET", path);
const post = (path, body = {}) => call("POST", path, body);

/** Makes sure that this visitor has a name, a device and a session. */
async function enter() {
  if (!kept.get("name")) {
    kept.set({ name: await askName() });
  }
  if (!kept.get("device")) {
    kept.set({ install: kept.get("install") || chance(), code: kept.get("code") || chance() });
    kept.set({ device: (await post("/v1/devices", { signals: { install_id: kept.get("install") } })).device_token });
  }
  if (!kept.get("session")) {
    const login = { provider: "sandbox", code: kept.get("code"), display_name: kept.get("name") };
    kept.set({ session: (await post("/v1/sessions", login)).session_token });
  }
}

/** Does what needs a visitor; whoever's tokens have run out enters again. */
async function entered(act) {
  await enter();
  try {
    return await act();
  } catch (problem) {
    if (!["unauthenticated", "device_required", "device_invalid"].includes(problem.code)) {
      throw problem;
    }
    kept.set({ device: null, session: null });
    await enter();
    return act();
  }
}
