"use strict";
const $ = (id) => document.getElementById(id);
const view = {stats: null, seconds: [], minutes: [], step: "second", currency: null, at: 0, costs: true, cdrCursor: null, cdrPaged: false, alertCursor: null, alertPaged: false};

// ---- small helpers -------------------------------------------------------------------------------------------------

function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

async function api(path, options) {
  const request = {...options, headers: {"x-tollgate": "1", ...(options && options.headers)}};
  const response = await fetch(path, request);
  if (response.status === 401) { showLogin(); throw new Error("The session has ended."); }
  const body = (response.headers.get("content-type") || "").includes("json") ? await response.json() : null;
  if (!response.ok) {
    const problems = body && body.problems ? body.problems.map((p) => (p.path ? p.path + ": " : "") + p.message).join("; ") : "";
    throw new Error(problems || (body && body.detail) || "The server said " + response.status);
  }
  return body;
}

function send(method, path, body) {
  return api(path, {method, headers: {"content-type": "application/json"}, body: body && JSON.stringify(body)});
}

const number = (n) => Number(n).toLocaleString("en");
function money(text, currency) {
  const n = Number(text), abs = Math.abs(n);
  const places = abs > 0 && abs < 0.01 ? 4 : 2;
  return n.toLocaleString("en", {minimumFractionDigits: places, maximumFractionDigits: places}) + (currency ? " " + currency : "");
}
// In tables all amounts have as many places, so that the eye can compare them; the CSV has them in full.
const cell4 = (text, currency) => Number(text).toLocaleString("en", {minimumFractionDigits: 4, maximumFractionDigits: 4}) + (currency ? " " + currency : "");
const some = (n, one, many) => number(n) + " " + (n === 1 ? one : many);
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min" + (s < 600 ? " " + (s % 60) + " s" : "");
  return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
}
// The server's clock, so that a browser with another one tells the right ages.
const now = () => Date.now() + view.skew;
view.skew = 0;
const ago = (ts) => (ts ? span((now() - Date.parse(ts)) / 1000) + " ago" : "");
const clock = (ts) => (ts ? new Date(ts).toLocaleTimeString([], {hour12: false}) : "");

function table(id, columns, rows, empty, foot) {
  const node = $(id);
  node.replaceChildren();
  if (!rows.length) { node.append(el("caption", {class: "empty"}, empty)); return; }
  node.append(el("thead", {}, el("tr", {}, ...columns.map((c) => el("th", {scope: "col", class: c.num ? "num" : ""}, c.name)))));
  const line = (row) => el("tr", {}, ...columns.map((c) => {
    const value = c.of(row);
    return el("td", {class: (c.num ? "num " : "") + ((c.mark && c.mark(row)) || "")}, value === null || value === undefined ? "–" : value);
  }));
  node.append(el("tbody", {}, ...rows.map(line)));
  if (foot && foot.length) node.append(el("tfoot", {}, ...foot.map(line)));
}

// ---- status --------------------------------------------------------------------------------------------------------

function amounts(figures) {
  return (figures.money && figures.money[view.currency]) || {revenue: "0", cost: "0", fraud_loss: "0"};
}

function showStats(stats) {
  view.stats = stats;
  view.skew = Date.parse(stats.at) - Date.now();
  view.costs = !!stats.node || Object.values(stats.last_minute.money).some((m) => m.cost !== undefined);
  document.querySelectorAll(".costs").forEach((e) => { e.hidden = !view.costs; });
  document.querySelectorAll(".operator").forEach((e) => { e.hidden = !stats.node; });
  const currencies = Object.entries(stats.last_minute.money).sort((a, b) => Number(b[1].revenue) - Number(a[1].revenue));
  if (currencies.length) view.currency = currencies[0][0] || view.currency;
  const minute = stats.last_minute, cash = amounts(minute), node = stats.node;
  const margin = Number(cash.revenue) - Number(cash.cost || 0);
  const refusedShare = minute.attempted ? minute.refused / minute.attempted : 0;
  const findings = [];
  const find = (level, text) => findings.push({level, text});
  if (stats.open_critical_alerts) find("red", some(stats.open_critical_alerts, "critical alert is open", "critical alerts are open"));
  if (node && node.log_health === "failing") find("red", "the log cannot be written: new calls are refused");
  if (node && node.log_health === "slow") find("amber", "the log is slow: new calls are refused");
  if (node && node.draining) find("amber", "the node is draining: new calls are refused");
  if (view.costs && margin < 0) find("amber", "calls of the last minute lost money");
  if (refusedShare > 0.2 && minute.attempted >= 20) find("amber", Math.round(refusedShare * 100) + " % of calls are refused");
  const level = findings.some((f) => f.level === "red") ? "red" : findings.length ? "amber" : "";
  $("status").className = level;
  const verdict = findings.length ? (level === "red" ? "Act: " : "Look: ") + findings.map((f) => f.text).join("; ") : "Nothing to do";
  if ($("verdict").textContent !== verdict) $("verdict").textContent = verdict;
  document.title = (level ? (level === "red" ? "(!) " : "(?) ") : "") + "Tollgate";
  const tile = (name, value, under, mark) => el("div", {class: mark || ""}, el("dt", {}, name), el("dd", {}, value), el("dd", {class: "under"}, under || " "));
  const perSecond = node ? node.cps_10s : (minute.attempted / 60).toFixed(1);
  $("tiles").replaceChildren(
    tile("Calls up", number(stats.calls_up), number(stats.calls_answered) + " answered"),
    tile("Calls per second", perSecond, number(minute.refused) + " refused in the last minute", refusedShare > 0.2 && minute.attempted >= 20 ? "amber" : ""),
    tile("Revenue, last minute", money(cash.revenue), view.currency || ""),
    ...(view.costs ? [tile("Margin, last minute", money(margin), cash.revenue > 0 ? Math.round((100 * margin) / cash.revenue) + " % of revenue" : "", margin < 0 ? "amber" : "")] : []),
    tile("Open critical alerts", number(stats.open_critical_alerts), some(stats.active_blocks, "active block", "active blocks"), stats.open_critical_alerts ? "red" : ""),
    ...(node ? [tile("Node", node.draining ? "draining" : node.log_health === "good" ? "good" : "log " + node.log_health, "up " + span(node.uptime_s), node.log_health === "failing" ? "red" : node.draining || node.log_health !== "good" ? "amber" : "")] : []),
  );
  $("node").textContent = node ? node.node_id : "your calls";
  if (stats.last_second && view.step === "second") {
    const at = Math.floor(Date.parse(stats.at) / 1000 - 1) * 1000, last = view.seconds[view.seconds.length - 1];
    if (!last || Date.parse(last.at) < at) view.seconds.push({...stats.last_second, at: new Date(at).toISOString()});
    view.seconds = view.seconds.slice(-300);
  }
  plots();
}

function plots() {
  const key = (color, name, value) => el("span", {class: "key " + color}, name + (value === undefined ? "" : " " + value));
  const calls = view.step === "second" ? view.seconds : view.minutes;
  const rate = view.step === "second" ? 1 : 60;
  const last = calls.length ? calls[calls.length - 1] : {attempted: 0, answered: 0, refused: 0};
  $("cap-calls").replaceChildren("Calls per second", key("one", "asked", shortNumber(last.attempted / rate)), key("two", "answered", shortNumber(last.answered / rate)), key("three", "refused", shortNumber(last.refused / rate)));
  const line = (points, name, color, of, bars) => ({name, color, bars, values: points.map(of)});
  drawPlot($("plot-calls"), {times: calls.map((p) => Date.parse(p.at)), lines: [
    line(calls, "asked", "--one", (p) => p.attempted / rate), line(calls, "answered", "--two", (p) => p.answered / rate), line(calls, "refused", "--three", (p) => p.refused / rate)]});
  // Whole minutes, and the last sixty seconds as they stand: money moves before a minute is full.
  const now = view.stats ? Date.parse(view.stats.at) : 0;
  const closed = view.stats ? view.minutes.filter((p) => Date.parse(p.at) <= now - 120000) : view.minutes;
  const minutes = view.stats ? [...closed, {...view.stats.last_minute, at: view.stats.at}] : closed;
  const times = minutes.map((p) => Date.parse(p.at));
  $("cap-money").replaceChildren((view.costs ? "Revenue and cost" : "Revenue") + " per minute", el("span", {class: "key"}, view.currency || ""), key("two", "revenue"), ...(view.costs ? [key("three", "cost")] : []));
  drawPlot($("plot-money"), {times, lines: [line(minutes, "revenue", "--two", (p) => Number(amounts(p).revenue)), ...(view.costs ? [line(minutes, "cost", "--three", (p) => Number(amounts(p).cost))] : [])]});
  const lost = minutes.reduce((sum, p) => sum + Number(amounts(p).fraud_loss), 0);
  $("cap-fraud").replaceChildren("Fraud loss per minute", el("span", {class: "key"}, money(lost, view.currency) + " in the hour"));
  drawPlot($("plot-fraud"), {times, lines: [line(minutes, "lost", "--three", (p) => Number(amounts(p).fraud_loss), true)]});
}

async function loadSeries() {
  if (view.step === "second" && !view.seconds.length) {
    try { view.seconds = (await api("/v1/stats/series?step=second&points=300")).points; } catch { view.step = "minute"; }
  }
  view.minutes = (await api("/v1/stats/series?points=60")).points;
  if (!view.currency) for (const p of view.minutes) for (const c of Object.keys(p.money)) view.currency = c;
  plots();
}

// ---- alerts and blocks ---------------------------------------------------------------------------------------------

function done(alert) {
  if (!alert.account && !alert.block_id) return alert.closed_ts ? "Over since " + ago(alert.closed_ts) + "." : alert.open ? "Open until it is mended." : "";
  if (!alert.block_id) return "Nothing was blocked.";
  const what = alert.block_state === "active" ? "Blocked" : alert.block_state ? "Was blocked (" + alert.block_state + ")" : "Blocked";
  return what + ": " + some(alert.calls_ended, "call", "calls") + " ended, " + number(alert.calls_refused) + " refused since.";
}

function alertCard(alert) {
  const mark = !alert.open ? "" : alert.severity === "critical" ? "red" : "amber";
  return el("li", {},
    el("div", {class: "top"}, el("span", {class: "chip " + mark}, alert.severity), el("span", {class: "title"}, (alert.account ? alert.account + " → " : "") + (alert.dest_group || "any destination")),
      el("time", {class: "when", datetime: alert.raised_ts, title: alert.raised_ts}, ago(alert.raised_ts))),
    el("div", {}, alert.explanation || alert.rule),
    el("div", {class: "done"}, ...(alert.account ? [el("b", {}, money(alert.loss_amount, alert.currency)), " lost. "] : []), done(alert)));
}

async function loadAlerts(more) {
  const page = await api("/v1/alerts?limit=25" + (more && view.alertCursor ? "&cursor=" + view.alertCursor : ""));
  const cards = page.items.map(alertCard);
  if (more) { $("alert-list").append(...cards); view.alertPaged = true; }
  else $("alert-list").replaceChildren(...(cards.length ? cards : [el("li", {class: "empty"}, "No alerts. The fraud stage has found nothing.")]));
  view.alertCursor = page.next_cursor;
  $("alerts-more").hidden = !page.next_cursor;
}

function scopeText(scope) {
  const names = {account: "account", trunk: "trunk", dest_group: "to", a_number: "from", b_number: "to", b_prefix: "to prefix", ip: "address", carrier: "carrier"};
  const parts = Object.entries(names).filter(([k]) => scope[k]).map(([k, name]) => name + " " + scope[k]);
  if (scope.high_risk) parts.push("high-risk destinations");
  if (scope.international) parts.push("international");
  return parts.join(", ");
}

function blockCard(block) {
  const ends = block.expires_ts ? "ends in " + span((Date.parse(block.expires_ts) - now()) / 1000) : "until lifted";
  return el("li", {}, el("div", {class: "row"},
    el("div", {},
      el("div", {class: "title"}, scopeText(block.scope)),
      el("div", {}, block.reason),
      el("div", {class: "done muted"}, "by " + block.actor + ", " + ago(block.placed_ts) + ", " + ends + "; " + number(block.calls_refused) + " refused, " + number(block.calls_ended) + " ended")),
    el("button", {class: "act", onclick: () => lift(block), "aria-label": "Lift block: " + scopeText(block.scope)}, "Lift")));
}

async function loadBlocks() {
  const page = await api("/v1/blocks?limit=200");
  const cards = page.items.map(blockCard);
  $("block-list").replaceChildren(...(cards.length ? cards : [el("li", {class: "empty"}, "Nothing is blocked.")]));
}

function lift(block) {
  ask("Lift this block?", scopeText(block.scope) + ". Calls it stopped will pass again.", "Lift block", async (reason) => {
    await send("DELETE", "/v1/blocks/" + block.block_id + "?reason=" + encodeURIComponent(reason));
    soon("blocks", loadBlocks, 300); soon("alerts", () => loadAlerts(), 300);
  });
}

$("block-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target, scope = {};
  for (const name of ["account", "trunk", "dest_group", "b_prefix", "a_number", "ip"]) {
    const value = form.elements[name].value.trim();
    if (value) scope[name] = value;
  }
  for (const name of ["high_risk", "international"]) if (form.elements[name].checked) scope[name] = true;
  const body = {scope, reason: form.elements.reason.value, teardown: form.elements.teardown.checked};
  if (form.elements.expires_s.value) body.expires_s = Number(form.elements.expires_s.value);
  $("block-error").textContent = "";
  try {
    await send("POST", "/v1/blocks", body);
    form.reset();
    $("block-new").open = false;
    soon("blocks", loadBlocks, 300);
  } catch (error) { $("block-error").textContent = error.message; }
});

// ---- calls, records, traffic ---------------------------------------------------------------------------------------

async function loadCalls() {
  const page = await api("/v1/calls?limit=50");
  $("calls-count").textContent = page.next_cursor ? "(newest 50 of " + number(view.stats ? view.stats.calls_up : 50) + ")" : "";
  const columns = [
    {name: "State", of: (c) => c.state + (c.emergency ? " (emergency)" : "")},
    {name: "Since", of: (c) => span((now() - Date.parse(c.answer_ts || c.invite_ts)) / 1000), num: true},
    {name: "Account", of: (c) => c.account}, {name: "From", of: (c) => c.a_number}, {name: "To", of: (c) => c.b_number},
    {name: "Destination", of: (c) => c.dest_group},
    ...(view.costs ? [{name: "Carrier", of: (c) => c.carrier + (c.attempt_no > 1 ? " (attempt " + c.attempt_no + ")" : "")}] : []),
    {name: "Per minute", of: (c) => c.sell_rate, num: true}, {name: "Spent", of: (c) => cell4(c.spent, c.currency), num: true},
    {name: "", of: (c) => (c.state === "ending" ? "" : el("button", {class: "act", onclick: () => endCall(c), "aria-label": "End call to " + c.b_number}, "End"))},
  ];
  const focused = document.activeElement && document.activeElement.closest("#calls-table");
  // A table that is redrawn under the hand ends the wrong call: wait until the hand is away.
  if (!focused) table("calls-table", columns, page.items, "No calls are up.");
}

function endCall(call) {
  const what = call.account + ": " + call.a_number + " to " + call.b_number + (call.emergency ? ". This is an EMERGENCY call." : ".");
  ask("End this call?", what, "End call", async (reason) => {
    await send("POST", "/v1/calls/" + call.call_uuid + "/end", {reason});
    if (document.activeElement) document.activeElement.blur();
    soon("calls", loadCalls, 300);
  });
}

function filterOf(form) {
  const query = new URLSearchParams();
  for (const field of form.elements) {
    if (!field.name || field.name === "span" || !field.value.trim() || field.closest("[hidden]")) continue;
    query.set(field.name, field.value.trim());
  }
  const seconds = form.elements.span.value;
  if (seconds) query.set("since", new Date(now() - seconds * 1000).toISOString());
  return query;
}

const cdrRows = [];
async function loadCdrs(more) {
  const query = more ? new URLSearchParams(view.cdrQuery) : filterOf($("cdr-form"));
  view.cdrQuery = query.toString();
  query.set("limit", "50");
  if (more) query.set("cursor", view.cdrCursor); else cdrRows.length = 0;
  const csv = new URLSearchParams(view.cdrQuery);
  csv.set("format", "csv");
  $("cdr-csv").href = "/v1/cdrs?" + csv;
  $("cdr-error").textContent = "";
  let page;
  try { page = await api("/v1/cdrs?" + query); } catch (error) { $("cdr-error").textContent = error.message; return; }
  view.cdrPaged = !!more;
  cdrRows.push(...page.items);
  view.cdrCursor = page.next_cursor;
  $("cdrs-more").hidden = !page.next_cursor;
  table("cdr-table", [
    {name: "Call", of: (c) => el("time", {datetime: c.invite_ts, title: c.invite_ts + " " + c.call_uuid}, clock(c.invite_ts))},
    {name: "Account", of: (c) => c.account}, {name: "From", of: (c) => c.a_number_e164 || c.a_number_raw}, {name: "To", of: (c) => c.b_number_e164 || c.b_number_raw},
    {name: "Destination", of: (c) => c.b_dest_group},
    {name: "Ended as", of: (c) => c.disposition + (c.block_reason ? ": " + c.block_reason : "") + (c.count > 1 ? " ×" + number(c.count) : "")},
    {name: "Code", of: (c) => c.sip_final_code, num: true},
    {name: "Billed", of: (c) => c.billed_sec_sell + " s", num: true},
    ...(view.costs ? [{name: "Carrier", of: (c) => c.carrier}] : []),
    {name: "Price", of: (c) => cell4(c.sell_amount, c.sell_currency), num: true},
    ...(view.costs ? [{name: "Cost", of: (c) => cell4(c.cost_amount, c.cost_currency), num: true}, {name: "Margin", of: (c) => (c.margin_base === null ? null : cell4(c.margin_base)), num: true, mark: (c) => (Number(c.margin_base) < 0 ? "red" : "")}] : []),
  ], cdrRows, "No calls match.");
}

async function loadTraffic() {
  const query = filterOf($("traffic-form"));
  const csv = new URLSearchParams(query);
  csv.set("format", "csv");
  $("traffic-csv").href = "/v1/reports/traffic?" + csv;
  $("traffic-error").textContent = "";
  let report;
  try { report = await api("/v1/reports/traffic?" + query); } catch (error) { $("traffic-error").textContent = error.message; return; }
  $("traffic-scope").textContent = report.scope === "vendor" ? "Attempts at carriers (vendor ASR)" : "Calls of customers (customer ASR)";
  const part = (name, field) => ({name, of: (r) => r[field], num: true});
  const cash = (name, field) => ({name, of: (r) => (r[field] === undefined ? "" : money(r[field])), num: true, mark: (r) => (Number(r[field]) < 0 ? "red" : "")});
  const total = (r) => ({...r, [report.group_by[0]]: "All"});
  table("traffic-table", [
    ...report.group_by.map((g) => ({name: g[0].toUpperCase() + g.slice(1), of: (r) => (r[g] === undefined ? "" : g === "hour" ? r[g].slice(0, 16).replace("T", " ") : r[g] || "(none)")})),
    {name: "Calls", of: (r) => number(r.calls), num: true}, {name: "Refused", of: (r) => number(r.refused), num: true},
    part("ASR %", "asr"), part("NER %", "ner"), part("ACD s", "acd_s"),
    {name: "PDD p50/p95 ms", of: (r) => (r.pdd_ms_p50 === undefined ? "" : (r.pdd_ms_p50 ?? "–") + " / " + (r.pdd_ms_p95 ?? "–")), num: true},
    part("Minutes", "minutes"), cash("Revenue", "revenue"),
    ...(view.costs ? [cash("Cost", "cost"), cash("Margin", "margin"), part("Margin %", "margin_pct")] : []),
    {name: "", of: (r) => r.currency},
  ], report.items, "No calls in this span.", report.totals.map(total));
}

// Ratios are lower bounds: what so few or so many calls let one say.
async function loadCarriers() {
  if (!view.stats || !view.stats.node) return;
  const form = $("carriers-form"), query = new URLSearchParams({limit: "200"});
  if (form.elements.dest_group.value.trim()) query.set("dest_group", form.elements.dest_group.value.trim());
  let page;
  $("carriers-error").textContent = "";
  try { page = await api("/v1/quality?" + query); } catch (error) { $("carriers-error").textContent = error.message; return; }
  const marked = (c) => c.state === "demoted" || c.false_answer_suspected;
  // What a codec class says of a carrier holds for its calls where it is enough; it stands below what all calls say.
  const rowsOf = (v) => [{carriers: v.carriers}, ...v.classes].flatMap((of) => of.carriers.map((c) => ({...c, dest_group: v.dest_group, codec: of.codec_class})));
  const all = page.items.flatMap((v) => rowsOf(v).sort((a, b) => a.carrier.localeCompare(b.carrier)));
  const rows = form.elements.marked.checked ? all.filter(marked) : all;
  $("carriers-count").textContent = all.some(marked) ? "(" + all.filter(marked).length + " demoted or suspected)" : "";
  const told = (c) => (c.false_answer_suspected ? "false answer suspected" : c.state === "demoted" ? "demoted " + ago(c.demoted_at) : c.state);
  const windows = (c) => c.by_window.map((w) => span(w.window_s) + ": " + w.answered + " of " + w.attempts + " answered").join("; ");
  table("carriers-table", [
    {name: "Destination", of: (c) => c.dest_group}, {name: "Carrier", of: (c) => c.carrier}, {name: "Codecs", of: (c) => c.codec || "all"},
    {name: "State", of: told, mark: (c) => (c.false_answer_suspected ? "red" : c.state === "demoted" ? "amber" : "")},
    {name: "ASR %", of: (c) => c.asr, num: true}, {name: "NER %", of: (c) => c.ner, num: true},
    {name: "First attempts", of: (c) => el("span", {title: windows(c)}, c.samples ? number(c.samples) + " in " + span(c.window_s) : "too few"), num: true},
    {name: "ACD s", of: (c) => c.acd_s, num: true}, {name: "PDD s", of: (c) => c.pdd_s, num: true}, {name: "Short %", of: (c) => c.short, num: true},
    {name: "False answer", of: (c) => (c.codec ? "" : c.false_answer_score), num: true},
  ], rows, "Nothing is known of the carriers yet. Counts come with calls.");
}

// What accounts have, hold and may still spend; who nears the limit first.
async function loadBalances() {
  let page;
  $("balances-error").textContent = "";
  try { page = await api("/v1/balances?limit=1000"); } catch (error) { $("balances-error").textContent = error.message; return; }
  const used = (b) => (b.credit_limit === null ? null : b.billing === "prepaid" ? (Number(b.available) > 0 ? 0 : 100) : Number(b.credit_limit) > 0 ? Number(b.exposure) * 100 / Number(b.credit_limit) : 100);
  const mark = (b) => (used(b) === null ? "" : used(b) >= 100 ? "red" : used(b) >= 70 ? "amber" : "");
  const rows = [...page.items].sort((a, b) => (used(b) ?? -1) - (used(a) ?? -1) || a.account.localeCompare(b.account));
  const full = rows.filter((b) => mark(b) === "red").length;
  $("balances-count").textContent = full ? "(" + full + " may not call)" : "";
  const money = (name, field) => ({name, of: (b) => (b[field] === null ? "no limit" : b[field]), num: true});
  table("balances-table", [
    {name: "Account", of: (b) => b.account}, {name: "Pays", of: (b) => (b.billing === "prepaid" ? "in advance" : "later")},
    money("Balance", "balance"), money("Held", "held"), money("Deposits", "deposits"), money("Limit", "credit_limit"),
    {...money("Available", "available"), mark}, {name: "", of: (b) => b.currency},
  ], rows, "There are no accounts.");
}

async function showRoute(event) {
  event.preventDefault();
  const query = new URLSearchParams();
  for (const name of ["account", "from", "to"]) query.set(name, $("route-form").elements[name].value.trim());
  if ($("route-form").elements.codec_class.value) query.set("codec_class", $("route-form").elements.codec_class.value);
  $("route-error").textContent = "";
  let found;
  try { found = await api("/v1/route?" + query); } catch (error) { $("route-error").textContent = error.message; return; }
  $("route-about").textContent = found.why_not ? "No route: " + found.why_not : "By " + found.policy + (found.quality_snapshot ? ", quality of " + found.quality_snapshot : "");
  table("route-table", [
    {name: "Rank", of: (c) => c.rank, num: true}, {name: "Carrier", of: (c) => c.carrier}, {name: "Why", of: (c) => c.reason.replaceAll("_", " ")},
    {name: "Prefix", of: (c) => c.prefix}, {name: "Per minute", of: (c) => c.rate, num: true},
    {name: "Expected cost", of: (c) => (c.expected_cost === null ? null : cell4(c.expected_cost, c.currency)), num: true},
    {name: "Earns from here", of: (c) => (c.score === null ? null : cell4(c.score)), num: true, mark: (c) => (Number(c.score) < 0 ? "red" : "")},
    {name: "ASR %", of: (c) => c.asr, num: true}, {name: "NER %", of: (c) => c.ner, num: true}, {name: "ACD s", of: (c) => c.acd_s, num: true},
    {name: "Quality", of: (c) => c.quality && c.quality + (c.quality_class ? " (" + c.quality_class + ")" : ""), mark: (c) => (c.quality === "demoted" ? "amber" : "")},
  ], found.carriers, "There are no carriers.");
}

$("carriers-form").addEventListener("submit", (event) => { event.preventDefault(); loadCarriers(); });
$("carriers-form").addEventListener("change", () => loadCarriers());
$("route-form").addEventListener("submit", showRoute);
$("cdr-form").addEventListener("submit", (event) => { event.preventDefault(); loadCdrs(); });
$("traffic-form").addEventListener("submit", (event) => { event.preventDefault(); loadTraffic(); });
$("traffic-form").addEventListener("change", () => loadTraffic());
$("cdrs-more").addEventListener("click", () => loadCdrs(true));
$("alerts-more").addEventListener("click", () => loadAlerts(true));

// ---- asking before acting ------------------------------------------------------------------------------------------

function ask(title, text, yes, act) {
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-error").textContent = "";
  $("ask-reason").value = "";
  $("ask").querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    $("ask-yes").disabled = true;
    try { await act($("ask-reason").value.trim() || "no reason given"); $("ask").close(); } catch (error) { $("ask-error").textContent = error.message; }
    $("ask-yes").disabled = false;
  };
  $("ask").showModal();
}
$("ask-no").addEventListener("click", () => $("ask").close());

// ---- the live stream -----------------------------------------------------------------------------------------------

let stream = null, retryTimer = null;
const pending = {};
function soon(name, run, ms) {
  if (!pending[name]) pending[name] = setTimeout(() => { delete pending[name]; quietly(run); }, ms);
}
const quietly = (run) => Promise.resolve().then(run).catch(() => {});

function connect() {
  clearTimeout(retryTimer);
  if (stream) stream.close();
  stream = new EventSource("/v1/stream");
  const on = (name, handle) => stream.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  on("stats", (stats) => { view.at = Date.now(); found(); showStats(stats); });
  on("alert", () => { if (!view.alertPaged) soon("alerts", () => loadAlerts(), 300); soon("series", loadSeries, 1000); });
  on("block", () => { soon("blocks", loadBlocks, 300); soon("alerts", () => loadAlerts(), 600); });
  on("unblock", () => { soon("blocks", loadBlocks, 300); soon("alerts", () => loadAlerts(), 600); });
  on("cdr", () => { if (!view.cdrPaged) soon("cdrs", () => loadCdrs(), 3000); });
  on("lagged", reload);
  stream.onerror = lost;
}
function lost() {
  if (stream && stream.readyState === EventSource.CLOSED) { clearTimeout(retryTimer); retryTimer = setTimeout(connect, 3000); }
  $("live").textContent = "lost";
  $("live").className = "live lost";
  $("banner").hidden = false;
  $("banner-text").textContent = "The live stream is lost. What you see is from " + (view.at ? new Date(view.at).toLocaleTimeString([], {hour12: false}) : "before") + "; trying again.";
}
function found() {
  if ($("banner").hidden && $("live").textContent === "live") return;
  const was = !$("banner").hidden;
  $("live").textContent = "live";
  $("live").className = "live";
  $("banner").hidden = true;
  if (was) reload();
}
function reload() {
  view.seconds = [];
  for (const run of [loadSeries, () => loadAlerts(), loadBlocks, loadCalls, () => loadCdrs(), loadTraffic, loadCarriers, loadBalances]) quietly(run);
}
$("retry").addEventListener("click", connect);

// ---- coming and going ----------------------------------------------------------------------------------------------

function showLogin() {
  if (stream) stream.close();
  stream = null;
  $("portal").hidden = true;
  $("login").hidden = false;
  $("key").focus();
}
$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const failed = (text) => { $("login-error").textContent = text; };
  failed("");
  try {
    const response = await fetch("/login", {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify({key: $("key").value})});
    if (response.status === 401) return failed("This key is not known.");
    if (!response.ok) return failed("The server said " + response.status + ".");
    $("key").value = "";
    await start();
  } catch { failed("The server does not answer."); }
});
$("logout").addEventListener("click", async () => {
  await fetch("/logout", {method: "POST", headers: {"x-tollgate": "1"}}).catch(() => {});
  location.reload();
});

async function start() {
  const stats = await api("/v1/stats");
  $("login").hidden = true;
  $("portal").hidden = false;
  view.step = stats.node ? "second" : "minute";
  await loadSeries();
  showStats(stats);
  connect();
  for (const run of [() => loadAlerts(), loadBlocks, loadCalls, () => loadCdrs(), loadTraffic, loadCarriers, () => loadDecks(), loadBalances, () => loadReports()]) quietly(run);
}

setInterval(() => {
  if ($("portal").hidden) return;
  if (!document.hidden) quietly(loadCalls);
  if (view.at && Date.now() - view.at > 6000) lost();
}, 2000);
setInterval(() => {
  if ($("portal").hidden || document.hidden) return;
  quietly(loadSeries);
  quietly(loadBlocks);
  if (!view.alertPaged) quietly(() => loadAlerts());
}, 15000);
setInterval(() => { if (!$("portal").hidden && !document.hidden) quietly(loadTraffic); }, 30000);
setInterval(() => { if (!$("portal").hidden && !document.hidden) { quietly(loadCarriers); quietly(loadBalances); } }, 10000);
for (const id of ["plot-calls", "plot-money", "plot-fraud"]) {
  $(id).addEventListener("mousemove", (event) => { $(id).dataset.at = event.offsetX; plots(); });
  $(id).addEventListener("mouseleave", () => { delete $(id).dataset.at; plots(); });
}
window.addEventListener("resize", plots);
if (new URLSearchParams(location.search).get("login") === "failed") $("login-error").textContent = "This key is not known.";
start().catch((error) => { if ($("login").hidden) { showLogin(); $("login-error").textContent = error.message; } });
