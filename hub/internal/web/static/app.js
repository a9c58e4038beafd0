"use strict";
// The live page: one event stream from the hub, drawn as a table. Everything
// shown comes from it; text is only ever set as text.

const $ = (id) => document.getElementById(id);
const STORE = "bambuddy-key";
const SILENCE = 40000; // ms without a byte (the hub beats every 15 s) before the connection counts as dead
const STATES = {
  offline: "Offline", idle: "Idle", preparing: "Preparing", printing: "Printing",
  paused: "Paused", finished: "Finished", failed: "Failed",
};
const CONNECTIONS = {
  no_agent: "Waiting for an agent", agent_offline: "Agent offline", connecting: "Connecting", online: "Online", silent: "Silent",
  unreachable: "Unreachable", wrong_access_code: "Wrong access code", wrong_serial: "Another printer answers",
  certificate_changed: "Certificate changed", stopped: "Stopped",
};

const printers = new Map(); // id → {printer, status, row, seen}
let agents = [];
let lastEvent = ""; // id to resume after
let session = null; // AbortController of the running stream

class Refused extends Error {} // the key or session is no good: ask for another

// The key that a person entered goes with each request; "" means the session, whose
// cookie the browser sends by itself.
const headersOf = (key) => (key ? { "X-API-Key": key } : {});

// --- the stream -----------------------------------------------------------

async function run(key, stop) {
  for (let failures = 0; !stop.aborted;) {
    let wait = 0;
    try {
      if (failures === 0) showLink("wait", "Connecting…");
      await stream(key, stop, () => { failures = 0; });
    } catch (err) {
      if (stop.aborted) return;
      if (err instanceof Refused) return leave(err.message);
      wait = err.retryAfter ?? 0;
    }
    if (stop.aborted) return;
    failures++;
    wait ||= Math.min(15, 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
    stale(true);
    // No countdown: it would be read aloud every second.
    showLink("lost", navigator.onLine ? "Connection lost. Trying again…" : "This device is offline.");
    await pause(1000 * wait, stop);
  }
}

async function stream(key, stop, alive) {
  const dead = new AbortController();
  const quit = () => dead.abort();
  stop.addEventListener("abort", quit);
  let timer = setTimeout(quit, SILENCE);
  try {
    const headers = headersOf(key);
    if (lastEvent) headers["Last-Event-ID"] = lastEvent;
    const resp = await fetch("/api/v1/events", { headers, signal: dead.signal, cache: "no-store" });
    if (!resp.ok) await refuse(resp);
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(quit, SILENCE);
      alive();
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      frames.forEach(take);
      draw();
    }
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", quit);
    dead.abort();
  }
}

async function refuse(resp) {
  const { detail } = await resp.json().catch(() => ({}));
  if (resp.status === 401 || resp.status === 403) throw new Refused(detail ?? "The hub refused this key.");
  const err = new Error(detail ?? `The hub answered ${resp.status}.`);
  err.retryAfter = Number(resp.headers.get("Retry-After")) || undefined;
  throw err;
}

function take(frame) {
  let event = "", data = "", id;
  for (const line of frame.split("\n")) {
    const at = line.indexOf(": ");
    const name = line.slice(0, at), text = line.slice(at + 2);
    if (name === "event") event = text;
    else if (name === "data") data += text;
    else if (name === "id") id = text;
  }
  if (!event) return; // a beat
  const body = JSON.parse(data);
  if (id) lastEvent = id;
  if (event === "snapshot") return onSnapshot(body);
  if (event === "state") return onState(body);
  if (event === "reset") return; // the snapshot before it is whole
  if (event === "printer_removed") return drop(body.printer_id);
  if (event.startsWith("printer_added") || event === "printer_updated") refresh("printers");
  if (event.startsWith("agent_")) refresh("agents");
}

function onSnapshot(body) {
  if (!lastEvent) lastEvent = String(body.last_event_id);
  const present = new Set(body.printers.map((p) => p.printer.id));
  for (const id of [...printers.keys()]) if (!present.has(id)) drop(id);
  for (const { printer, status } of body.printers) put(printer.id, { printer, status });
  agents = body.agents;
  stale(false);
  showLink("live", "Live");
}

function onState({ printer_id: id, changed, removed }) {
  if (removed) return drop(id);
  const known = printers.get(id);
  put(id, { status: { ...known?.status, ...changed } });
  if (!known) refresh("printers"); // its name comes with the list
}

function put(id, part) {
  const p = printers.get(id) ?? {};
  printers.set(id, Object.assign(p, part, { dirty: true }));
}

function drop(id) {
  printers.get(id)?.row?.remove();
  printers.delete(id);
}

// refresh reads a list again, once for many events that come together.
const pending = new Map();
function refresh(what) {
  if (pending.has(what)) return;
  pending.set(what, setTimeout(async () => {
    pending.delete(what);
    const resp = await fetch(`/api/v1/${what}`, { headers: headersOf(sessionStorage.getItem(STORE)) }).catch(() => null);
    if (!resp?.ok) return; // the next snapshot brings it
    const list = await resp.json();
    if (what === "agents") agents = list;
    else for (const printer of list) if (printers.has(printer.id)) put(printer.id, { printer });
    draw();
  }, 300));
}

// --- drawing --------------------------------------------------------------

// draw asks for one drawing in the next frame of the screen, however much arrives until then.
let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawAll();
  });
}

function drawAll() {
  if (!session) return; // signed out meanwhile
  const find = $("find").value.trim().toLowerCase();
  const counts = {};
  let shown = 0;
  let before = null;
  for (const [id, p] of [...printers].sort((a, b) => a[0] - b[0])) {
    if (!p.printer || !p.status) continue;
    counts[p.status.state] = (counts[p.status.state] ?? 0) + 1;
    if (!p.row) newRow(id, p);
    if (p.dirty) drawRow(p);
    const hit = !find || p.text.includes(find);
    p.row.hidden = !hit;
    shown += hit;
    const place = before ? before.nextSibling : $("rows").firstChild;
    if (place !== p.row) $("rows").insertBefore(p.row, place);
    before = p.row;
  }
  const total = Object.values(counts).reduce((a, b) => a + b, 0);
  set($("summary"), total === 0 ? "" : `${total} in all: ` + Object.keys(STATES).filter((s) => counts[s]).map((s) => `${counts[s]} ${s}`).join(", "));
  $("table").hidden = shown === 0;
  $("empty").hidden = shown > 0;
  set($("empty"), total > 0 ? "No printer matches the filter." : "There are no printers yet, or none that this key may see. Register one with POST /api/v1/printers.");
  const up = agents.filter((a) => a.connected).length;
  set($("agents"), agents.length === 0 ? "No agent has joined yet." : `${up} of ${agents.length} ${agents.length === 1 ? "agent" : "agents"} connected`);
}

function newRow(id, p) {
  p.row = $("row").content.firstElementChild.cloneNode(true);
  p.row.dataset.id = id;
  p.f = Object.fromEntries([...p.row.querySelectorAll("[data-f]")].map((e) => [e.dataset.f, e]));
}

function drawRow(p) {
  const { printer, status: s, f } = p;
  p.dirty = false;
  p.row.dataset.state = s.state;
  set(f.name, printer.name);
  set(f.model, [printer.model ?? "Unknown model", printer.serial_number, printer.location].filter(Boolean).join(" · "));
  set(f.state, STATES[s.state] ?? s.state);
  const busy = ["preparing", "printing", "paused"].includes(s.state);
  set(f.file, [busy ? s.file : "", busy ? s.stage?.name : ""].filter(Boolean).join(" · "));
  f.fault.dataset.level = s.hms_status;
  set(f.fault, fault(s));
  f.bar.hidden = !busy;
  f.bar.value = s.progress ?? 0;
  f.bar.setAttribute("aria-label", `Progress of ${printer.name}`);
  set(f.percent, busy ? (s.progress === null ? "Not known yet" : `${s.progress} %`) : "–");
  set(f.left, busy ? [s.remaining_time === null ? "" : `${duration(s.remaining_time)} left`, s.total_layers ? `layer ${s.current_layer ?? "?"} of ${s.total_layers}` : ""].filter(Boolean).join(" · ") : "");
  const t = s.temperatures;
  set(f.nozzle, degrees(t.nozzle, t.nozzle_target) + (t.nozzle_2 === null ? "" : ` and ${degrees(t.nozzle_2, t.nozzle_2_target)}`));
  set(f.bed, degrees(t.bed, t.bed_target));
  set(f.chamber, degrees(t.chamber, t.chamber_target));
  f.chamberBox.hidden = t.chamber === null;
  set(f.conn, s.connected ? "Online" : (CONNECTIONS[s.connection.state] ?? s.connection.state));
  drawAge(p);
  p.text = [printer.name, printer.model, printer.serial_number, printer.location, s.state, s.file, ...(printer.tags ?? [])].join(" ").toLowerCase();
}

function drawAge({ status: s, f }) {
  set(f.why, s.connected ? "" : [s.connection.detail, s.last_seen ? `last seen ${ago(s.last_seen)}` : "never seen"].filter(Boolean).join(" · "));
}

function fault(s) {
  if (s.hms_status === "ok") return "";
  const all = [s.print_error, ...s.hms_errors].filter(Boolean).map((e) => e.message ?? e.code);
  return all.length > 2 ? `${all.slice(0, 2).join(" · ")} and ${all.length - 2} more` : all.join(" · ");
}

// set changes a text only when it differs: nothing is announced or laid out twice.
function set(el, text) { if (el.textContent !== text) el.textContent = text; }

function degrees(now, target) {
  if (now === null) return "–";
  return target ? `${Math.round(now)} / ${Math.round(target)} °C` : `${Math.round(now)} °C`;
}

function duration(seconds) {
  const m = Math.max(1, Math.round(seconds / 60));
  return m < 60 ? `${m} min` : `${Math.floor(m / 60)} h ${String(m % 60).padStart(2, "0")} min`;
}

function ago(time) {
  const s = (Date.now() - Date.parse(time)) / 1000;
  return s < 60 ? "just now" : s < 86400 ? `${duration(s)} ago` : new Date(time).toLocaleString();
}

function showLink(kind, text) {
  $("link").dataset.link = kind;
  set($("link"), text);
}

function stale(yes) {
  document.body.classList.toggle("stale", yes && printers.size > 0);
  $("stale").hidden = !(yes && printers.size > 0);
}

// --- coming and going -----------------------------------------------------

// post sends a JSON body to the API and gives what went wrong, or "".
async function post(path, body) {
  const resp = await fetch(`/api/v1${path}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => null);
  if (!resp) return "the hub does not answer";
  if (resp.ok) return "";
  const { detail } = await resp.json().catch(() => ({}));
  return detail ?? `the hub answered ${resp.status}`;
}

// enter shows the farm to who has signed in, or entered a key.
function enter(key) {
  session?.abort();
  session = new AbortController();
  if (key) sessionStorage.setItem(STORE, key);
  for (const id of ["sign-in", "set-up"]) $(id).hidden = true;
  $("farm").hidden = false;
  $("leave").hidden = false;
  set($("leave"), key ? "Forget key" : "Sign out");
  $("table").hidden = true;
  $("empty").hidden = false;
  set($("empty"), "Loading the printers…");
  run(key, session.signal);
}

// leave goes back to the sign-in, and says why if there is a reason.
function leave(why) {
  session?.abort();
  session = null;
  sessionStorage.removeItem(STORE);
  for (const id of [...printers.keys()]) drop(id);
  agents = [];
  lastEvent = "";
  stale(false);
  showLink("off", "");
  set($("agents"), "");
  $("farm").hidden = true;
  $("leave").hidden = true;
  $("sign-in").hidden = false;
  complain("sign-in", why);
  for (const id of ["password", "key"]) $(id).value = "";
  $("username").focus();
}

function complain(form, why) {
  set($(form === "set-up" ? "setup-error" : "sign-in-error"), why ? `${why[0].toUpperCase()}${why.slice(1)}.` : "");
}

// submit sends a form once, however often its button is pressed.
function submit(form, send) {
  $(form).addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = $(form).querySelector("button");
    button.disabled = true;
    complain(form, "");
    await send();
    button.disabled = false;
  });
}

function pause(ms, stop) {
  return new Promise((done) => {
    const t = setTimeout(done, ms);
    stop.addEventListener("abort", () => { clearTimeout(t); done(); }, { once: true });
  });
}

submit("sign-in", async () => {
  const key = $("key").value.trim();
  if (key) return enter(key);
  const why = await post("/auth/login", { username: $("username").value, password: $("password").value });
  if (!why) return enter("");
  complain("sign-in", why);
  $("password").value = "";
  $("password").focus();
});

submit("set-up", async () => {
  const why = await post("/auth/setup", {
    token: setupToken, username: $("new-username").value, password: $("new-password").value,
  });
  if (why) return complain("set-up", why);
  history.replaceState(null, "", "/");
  enter("");
});

$("leave").addEventListener("click", async () => {
  const why = sessionStorage.getItem(STORE) ? "" : await post("/auth/logout", {});
  leave(why);
});
$("find").addEventListener("input", draw);
setInterval(() => { for (const p of printers.values()) if (p.row) drawAge(p); }, 20000);

// The setup link carries its token behind the #, which no server sees.
const setupToken = location.pathname === "/setup" ? location.hash.slice(1) : "";

async function begin() {
  const kept = sessionStorage.getItem(STORE);
  if (setupToken) {
    $("set-up").hidden = false;
    $("new-username").focus();
  } else if (kept) {
    enter(kept);
  } else {
    const me = await fetch("/api/v1/auth/me", { cache: "no-store" }).catch(() => null);
    if (me?.ok) return enter("");
    leave("");
    const state = await fetch("/api/v1/auth/setup", { cache: "no-store" }).then((r) => r.json()).catch(() => ({}));
    if (state.needed) complain("sign-in", "nobody can sign in yet: open the setup link in the log of the hub");
  }
}
begin();
