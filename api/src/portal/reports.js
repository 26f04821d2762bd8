"use strict";
// Who sends too few valid calling numbers or too many short calls: what carriers and finance will ask about.

function reportPeriod() {
  const form = $("reports-form"), query = new URLSearchParams(), period = form.elements.period.value;
  const at = new Date(now()), month = (back) => new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - back, 1)).toISOString();
  if (period === "last") { query.set("since", month(1)); query.set("until", month(0)); }
  else if (period !== "month") query.set("since", new Date(now() - 1000 * Number(period)).toISOString());
  const account = form.elements.account.value.trim();
  if (account) query.set("account", account);
  return query;
}

async function report(path, query, csv) {
  const file = new URLSearchParams(query);
  file.set("format", "csv");
  $(csv).href = path + "?" + file;
  return api(path + "?" + query);
}

function told(id, bad, good) {
  $(id).className = "told" + (bad.length ? " amber" : "");
  $(id).replaceChildren(...(bad.length ? bad : [good]).map((line) => el("span", {}, line)));
}

function showCpn(cpn) {
  const under = cpn.items.filter((i) => i.under_mark);
  told("cpn-told", under.map((i) => i.account + " is under " + cpn.mark_pct + " %: " + i.cpn_pct + " % of " + number(i.calls) + " calls had a valid number; " + some(i.lacking, "more is lacking.", "more are lacking.")),
    "Nobody is under " + cpn.mark_pct + " %.");
  const count = (name, field) => ({name, of: (r) => number(r[field]), num: true});
  table("cpn-table", [
    {name: "Account", of: (r) => r.account}, count("Calls", "calls"),
    {name: "Valid %", of: (r) => r.cpn_pct, num: true, mark: (r) => (r.under_mark ? "amber" : "")},
    count("Valid", "valid"), count("Missing", "missing"), count("Too short", "invalid_short"), count("Too long", "invalid_long"),
    count("No such country", "invalid_bad_cc"), count("Other", "invalid_other"),
    {name: "Refused, of these valid", of: (r) => number(r.refused) + ", " + number(r.refused_valid), num: true},
  ], cpn.items, "No calls in this period.", cpn.items.length > 1 ? [{...cpn.totals, account: "All", under_mark: false}] : []);
  return under.length;
}

function showShort(of, to, short) {
  const charged = (i) => !!i.contract && Number(i.contract.fee) > 0;
  const bad = short.items.filter((i) => i.breach || charged(i));
  const line = (i) => i[of] + ": " + i.short_pct + " % of " + number(i.connected) + " calls were short, " + number(i.excess) + " more than the " + number(i.allowed) + " allowed.";
  const owes = (i) => i[of] + " owes " + money(i.contract.fee, i.contract.currency) + " by " + i.contract.contract + ": " + number(i.contract.short) + " of " + number(i.contract.connected) + " calls of up to " + i.contract.max_s + " s, " + i.contract.allowance_pct + " % allowed.";
  told(to + "-told", bad.flatMap((i) => [...(i.breach ? [line(i)] : []), ...(charged(i) ? [owes(i)] : [])]),
    "Nobody with " + number(short.min_calls) + " connected calls or more is over " + short.allowance_pct + " %.");
  const fee = (c) => (c === null || c === undefined ? "no fee agreed" : c.fee === undefined ? el("span", {title: c.note}, "period is not one contract's") :
    el("span", {title: c.contract + ": up to " + c.max_s + " s, " + c.allowance_pct + " % allowed, " + c.fee_per_call + " " + c.currency + " a call" + (c.note ? ". " + c.note : "")}, money(c.fee, c.currency)));
  table(to + "-table", [
    {name: of === "account" ? "Account" : "Carrier", of: (r) => r[of]},
    {name: "Connected", of: (r) => number(r.connected), num: true}, {name: "Short", of: (r) => number(r.short), num: true},
    {name: "Short %", of: (r) => r.short_pct, num: true, mark: (r) => (r.breach ? "amber" : "")},
    {name: "Allowed", of: (r) => number(r.allowed), num: true},
    {name: "Beyond it", of: (r) => (r.judged ? number(r.excess) : "too few calls"), num: true, mark: (r) => (r.breach ? "amber" : "")},
    ...(of === "account" ? [{name: "Fee by contract", of: (r) => fee(r.contract), num: true, mark: (r) => (charged(r) ? "amber" : "")}] : []),
  ], short.items, "No connected calls in this period.");
  return bad.length;
}

async function loadReports() {
  const query = reportPeriod();
  $("reports-error").textContent = "";
  try {
    const wants = [report("/v1/reports/cpn", query, "cpn-csv"), report("/v1/reports/short-calls", query, "short-csv")];
    if (view.costs) wants.push(report("/v1/reports/short-calls", new URLSearchParams([...query, ["by", "carrier"]]), "vendor-csv"));
    const [cpn, short, vendor] = await Promise.all(wants);
    const low = showCpn(cpn), over = showShort("account", "short", short);
    if (vendor) showShort("carrier", "vendor", vendor);
    $("short-about").textContent = "Connected calls of up to " + short.max_s + " s; " + short.allowance_pct + " % are allowed, judged from " + number(short.min_calls) + " on. The fee is that of the invoice, calls of accounts below included.";
    const found = [low ? some(low, "customer", "customers") + " under the mark" : "", over ? some(over, "customer", "customers") + " over the allowance" : ""].filter(Boolean);
    $("reports-count").textContent = found.length ? "(" + found.join(", ") + ")" : "";
  } catch (error) { $("reports-error").textContent = error.message; }
}

$("reports-form").addEventListener("submit", (event) => { event.preventDefault(); loadReports(); });
$("reports-form").addEventListener("change", () => loadReports());
// A month is not another one a second later.
setInterval(() => { if (!$("portal").hidden && !document.hidden) quietly(loadReports); }, 60000);
