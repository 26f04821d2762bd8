"use strict";
// Carriers' sheets that wait for a second person: what changes, and approving or rejecting it (R-14).

const SHOWN = 200;
const CHANGES = ["new", "increased", "decreased", "changed", "closed", "blocked", "unchanged"];
const ALARMS = new Set(["suspicious", "short_notice", "moved_to_now", "no_price", "withdraws", "previous_differs", "claims_otherwise", "gap", "nothing_to_close"]);
const MODES = {full: "full: what it does not list is closed", full_country: "full by country: what it does not list there is closed", partial: "partial: what it does not list stays"};
const shut = (ts) => (ts ? ts.replace("T", " ").replace(/:00(\.0+)?Z$/, "").replace(/\.\d+Z$/, "") + " UTC" : "");

function deckCounts(counts) {
  const some = CHANGES.filter((c) => counts[c]).map((c) => number(counts[c]) + " " + c);
  return some.length ? some.join(", ") : "nothing";
}

function priceText(price) {
  if (!price) return "–";
  if (price.blocked) return "blocked";
  return price.rate + " " + price.initial + "/" + price.increment + (Number(price.connect_fee) ? " +" + price.connect_fee : "")
    + [["inter", price.interrate], ["intra", price.intrarate], ["ij", price.ijrate]].map(([name, rate]) => (rate ? " " + name + " " + rate : "")).join("");
}

function flagText(flag) {
  switch (flag.flag) {
    case "suspicious": return "suspicious jump";
    case "short_notice": return "notice of " + flag.hours + " h";
    case "moved_to_now": return "was effective " + shut(flag.was);
    case "broken_out_of": return "broken out of " + flag.prefix + " (" + priceText(flag.price) + ")";
    case "falls_to": return "falls to " + flag.prefix + " (" + priceText(flag.price) + ")";
    case "no_price": return "no price any more";
    case "not_listed": return "not listed";
    case "withdraws": return "withdraws " + flag.rows + " announced";
    case "previous_differs": return "sheet says it was " + flag.said;
    case "claims_otherwise": return "sheet says " + flag.said;
    case "gap": return "gap " + shut(flag.from) + " to " + shut(flag.to);
    case "nothing_to_close": return "nothing to close";
    case "ends": return "ends " + shut(flag.at);
    default: return flag.flag;
  }
}

function deckDiff(preview) {
  const node = el("table", {class: "diff"});
  const columns = ["Code", "Destination", "Change", "Now", "Then", "From", "Look at"];
  node.append(el("thead", {}, el("tr", {}, ...columns.map((c) => el("th", {scope: "col"}, c)))));
  const lines = preview.lines.slice(0, SHOWN);
  node.append(el("tbody", {}, ...lines.map((l) => {
    const alarm = (l.flags || []).some((f) => ALARMS.has(f.flag));
    return el("tr", {},
      el("td", {}, l.prefix + (l.origin_group ? " from " + l.origin_group : "")), el("td", {}, l.destination), el("td", {}, l.change),
      el("td", {class: "num"}, priceText(l.old)), el("td", {class: "num"}, priceText(l.new)), el("td", {}, shut(l.effective)),
      el("td", {class: alarm ? "amber" : ""}, (l.flags || []).map(flagText).join("; ")));
  })));
  const left = preview.lines.length - lines.length + preview.lines_left_off;
  const notes = [];
  if (left) notes.push(el("p", {class: "hint"}, number(left) + " lines more: tollgate deck imports " + preview.import_id));
  for (const c of preview.covered_by_parent_prefix || []) {
    notes.push(el("p", {class: "hint"}, "Covered by a parent prefix: " + c.prefix + " " + c.destination + " is broken out by " + c.broken_out_by.map((b) => b.carrier + " (" + b.prefixes + ", as " + b.example + ")").join(", ")));
  }
  if ((preview.left_out || []).length) notes.push(el("p", {class: "hint"}, "Columns left out: " + preview.left_out.join(", ")));
  for (const w of preview.warnings || []) notes.push(el("p", {class: "hint"}, "Compiler: " + w));
  return el("div", {}, el("div", {class: "scroll"}, node), ...notes);
}

function importCard(item) {
  const flags = Object.entries(item.flags || {});
  const looks = flags.filter(([f]) => ALARMS.has(f)).map(([f, n]) => number(n) + " " + f.replaceAll("_", " "));
  const body = el("div", {hidden: ""});
  const open = el("button", {class: "quiet", "aria-expanded": "false", onclick: async () => {
    body.hidden = !body.hidden;
    open.textContent = body.hidden ? "Show changes" : "Hide changes";
    open.setAttribute("aria-expanded", String(!body.hidden));
    if (!body.hidden && !body.firstChild) {
      try {
        const full = await api("/v1/deck-imports/" + item.import_id);
        body.replaceChildren(deckDiff({...full.preview, import_id: item.import_id}));
      } catch (error) { body.replaceChildren(el("p", {class: "error"}, error.message)); }
    }
  }}, "Show changes");
  const waits = item.state === "proposed";
  const about = item.deck + ": " + deckCounts(item.counts);
  const decide = (verb, title, yes, text) => ask(title, about + ". " + text, yes, async (reason) => {
    await send("POST", "/v1/deck-imports/" + item.import_id + "/" + verb, {reason});
    soon("decks", loadDecks, 200);
  });
  return el("li", {},
    el("div", {class: "top"},
      el("span", {class: "chip " + (waits && looks.length ? "amber" : "")}, item.state),
      el("span", {class: "title"}, item.deck), el("time", {class: "when", datetime: item.proposed_at, title: item.proposed_at}, ago(item.proposed_at))),
    el("div", {}, deckCounts(item.counts) + (looks.length ? ". Look at: " + looks.join(", ") + "." : ".")),
    el("div", {class: "done muted"}, (item.file || "rows") + ", " + MODES[item.mode] + ". Proposed by " + item.proposed_by + (item.reason ? ": " + item.reason : "")
      + (item.order && item.order.short_notice ? ". Short notice taken: " + item.order.short_notice : "")
      + (item.decided_by ? ". " + item.state[0].toUpperCase() + item.state.slice(1) + " by " + item.decided_by + " " + ago(item.decided_at) + (item.decision_reason ? ": " + item.decision_reason : "") : "")),
    el("div", {class: "row"}, open, waits ? el("span", {},
      el("button", {class: "act", onclick: () => decide("approve", "Put this sheet in force?", "Approve", "Calls are priced by it from the dates it gives."), "aria-label": "Approve " + item.deck}, "Approve"), " ",
      el("button", {class: "act", onclick: () => decide("reject", "Lay this sheet aside?", "Reject", "The deck stays as it is."), "aria-label": "Reject " + item.deck}, "Reject")) : null),
    body);
}

async function loadDecks() {
  let page;
  try { page = await api("/v1/deck-imports?state=all&limit=30"); } catch { $("decks").hidden = true; return; }
  $("decks").hidden = false;
  const waiting = page.items.filter((i) => i.state === "proposed"), decided = page.items.filter((i) => i.state !== "proposed").slice(0, 10);
  const key = JSON.stringify(page.items.map((i) => i.import_id + i.state));
  // What is open under somebody's eyes stays open while nothing is new.
  if (view.deckKey === key) return;
  view.deckKey = key;
  const none = el("li", {class: "empty"}, "No sheet waits for approval. tollgate deck import proposes one.");
  $("deck-waiting").replaceChildren(...(waiting.length ? waiting.map(importCard) : [none]));
  $("deck-decided").replaceChildren(...decided.map(importCard));
  $("deck-decided-head").hidden = !decided.length;
}

setInterval(() => { if (!$("portal").hidden && !document.hidden) quietly(loadDecks); }, 5000);
