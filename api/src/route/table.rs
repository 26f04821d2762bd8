//! The rows of the table.

use tollgate_schemas::{codec::CodecClass, control::Kind};

use super::{Access, Content, Form, Gives, Param, Route, Takes, Verb};
use crate::{alerts, auth::Scope, backup, balances, blocks, calls, cdrs, control, decks, finance, health, openapi, portal, reports, routing, stats, stream};

const fn param(name: &'static str, form: Form, about: &'static str) -> Param {
    Param { name, form, about }
}

const LIMIT: Param = param("limit", Form::Whole { from: 1, to: 1000, default: 100 }, "Most items of a page");
const CURSOR: Param = param("cursor", Form::Text, "`next_cursor` of the page before; belongs to its filter");
const SINCE: Param = param("since", Form::Time, "From this time on");
const UNTIL: Param = param("until", Form::Time, "Before this time");
const ACCOUNT: Param = param("account", Form::Name, "Billed account");
const TRUNK: Param = param("trunk", Form::Name, "Trunk the call came in on");
const CARRIER: Param = param("carrier", Form::Name, "Carrier of the attempt; for keys that see costs");
const DISPOSITION: Param = param(
    "disposition",
    Form::OneOf(&["answered", "busy", "noanswer", "rejected", "failed", "cancelled", "blocked"]),
    "How it ended",
);
const REASON: Param = param("reason", Form::Text, "Why; stays in the log with the key's id");
const DRY_RUN: Param = param("dry_run", Form::Bool, "Decide, but change nothing");

const CDRS: &[Param] = &[
    LIMIT, CURSOR, SINCE, UNTIL, ACCOUNT, CARRIER, TRUNK, DISPOSITION,
    param("record_type", Form::OneOf(&["final", "attempt"]), "Finals (default) or attempts; attempts for keys that see costs"),
    param("payer", Form::Name, "Calls that this account pays for, its own and those of accounts below it; sell columns are what it pays (R-20). With a key of an account only that account"),
    param("call_uuid", Form::Id, "One call"),
    param("sip_call_id_in", Form::Text, "Call-ID on the customer leg"),
    param("a_number", Form::Digits, "Calling number in full, canonical, without plus"),
    param("b_number", Form::Digits, "Called number in full, canonical, without plus"),
    param("view", Form::OneOf(&["full", "customer"]), "`customer`: only what the customer itself may see, for what is handed on"),
    param("as_of", Form::Positions, "As the rows stood at this position of the log (/v1/as_of), in the versions they had then"),
    param("format", Form::OneOf(&["json", "csv", "jsonl"]), "`csv` and `jsonl` stream every matching row; `limit` has no meaning for them"),
];
const REPORT: &[Param] = &[
    param(
        "group_by",
        Form::ListOf(&["account", "trunk", "carrier", "destination", "country", "hour", "day"]),
        "What rows stand for, in this order; `account` by default. With `carrier` (or its filter) attempts are counted, else calls",
    ),
    SINCE, UNTIL, ACCOUNT, CARRIER, TRUNK, DISPOSITION,
    param("format", Form::OneOf(&["json", "csv"]), "Form of the answer"),
];

const CPN: &[Param] = &[
    param("since", Form::Time, "From this time on; by default the beginning of the UTC month"),
    param("until", Form::Time, "Before this time; now by default"),
    ACCOUNT, TRUNK,
    param("by", Form::OneOf(&["account", "root_account"]), "`account` by default; `root_account`: with the accounts below it"),
    param("mark_pct", Form::Whole { from: 1, to: 100, default: 90 }, "Share of valid numbers below which carriers treat traffic otherwise, percent"),
    param("format", Form::OneOf(&["json", "csv"]), "Form of the answer"),
];
const SHORT_CALLS: &[Param] = &[
    param("since", Form::Time, "Answered from this time on; by default the beginning of the UTC month"),
    param("until", Form::Time, "Answered before this time; now by default"),
    ACCOUNT, CARRIER,
    param("by", Form::OneOf(&["account", "carrier"]), "`account` by default; `carrier` counts attempts, for keys that see costs"),
    param("max_s", Form::Whole { from: 1, to: 3600, default: 6 }, "A call up to so long is short, seconds"),
    param("allowance_pct", Form::Whole { from: 0, to: 100, default: 15 }, "Share of short calls that is allowed, percent"),
    param("min_calls", Form::Whole { from: 0, to: 1_000_000_000, default: 200 }, "Fewer connected calls than this are not judged (F-12)"),
    param("format", Form::OneOf(&["json", "csv"]), "Form of the answer"),
];

const CALLS: &[Param] = &[
    LIMIT, CURSOR, ACCOUNT, TRUNK, CARRIER,
    param("state", Form::OneOf(&["trying", "ringing", "answered", "ending"]), "How far the call is"),
];
const QUALITY: &[Param] = &[LIMIT, CURSOR, param("dest_group", Form::Text, "One destination")];
const ROUTE: &[Param] = &[
    ACCOUNT,
    param("from", Form::Text, "Calling number"),
    param("to", Form::Text, "Called number: E.164 digits, or a dialled string that is an emergency call"),
    param("at", Form::Time, "When; now by default"),
    param("quality", Form::Text, "Name of the verdict to decide by; the newest by default"),
    param("codec_class", Form::OneOf(&CodecClass::NAMES), "Of the codec that the call's offer prefers: whose figures it goes by; not known by default"),
    param("draw", Form::Whole { from: 0, to: 999_999, default: 999_999 }, "Decides splits and exploration; neither by default"),
];
const ALERTS: &[Param] = &[LIMIT, CURSOR, SINCE, UNTIL, ACCOUNT, param("severity", Form::OneOf(&["warning", "critical"]), "How bad")];
const BLOCKS: &[Param] =
    &[LIMIT, CURSOR, ACCOUNT, param("state", Form::OneOf(&["active", "lifted", "expired", "all"]), "`active` by default")];
const BALANCES: &[Param] = &[LIMIT, CURSOR, param("account", Form::Name, "One account")];
const SERIES: &[Param] = &[
    param("step", Form::OneOf(&["second", "minute"]), "Length of a point; `minute` by default, and the only one for tenants"),
    param("points", Form::Whole { from: 1, to: 3600, default: 60 }, "Most points; the last hour is kept"),
];
const BACKUP: &[Param] = &[param("with", Form::OneOf(&["secrets"]), "Also the node's own keys, for a node that takes this one's place")];
const IMPORTS: &[Param] = &[LIMIT, CURSOR, param("state", Form::OneOf(&["proposed", "approved", "rejected", "all"]), "`proposed` by default")];
const PRICE: &[Param] = &[
    param("number", Form::Digits, "Canonical, without plus"),
    param("as_of", Form::Time, "When the call is priced; now by default"),
    param("known_at", Form::Time, "As known then; by default at `as_of`, or now where that is to come"),
];
const SHEET: &[Param] = &[param("known_at", Form::Time, "As known then; now by default")];
const COVERAGE: &[Param] = &[param("at", Form::Time, "When; now by default")];
/// A sheet of a million rows has about 100 MB.
const IMPORT_BYTES: usize = 256 << 20;
const TIMEZONE: Param = param("timezone", Form::Text, "IANA zone of dates; UTC by default");
const CURRENCY: Param = param("currency", Form::Text, "ISO 4217");
const STATEMENT: &[Param] = &[
    ACCOUNT,
    param("since", Form::Text, "A date, or RFC 3339"),
    param("until", Form::Text, "The same; not in it"),
    TIMEZONE, CURRENCY,
];
const AGEING: &[Param] = &[ACCOUNT, param("at", Form::Text, "At the end of this day; now by default"), TIMEZONE];
const ACCRUAL: &[Param] = &[param("at", Form::Text, "Before this date, or RFC 3339 time"), TIMEZONE, ACCOUNT, CURRENCY];
const NETTING: &[Param] = &[ACCOUNT, CARRIER, param("payable", Form::Text, "What the carrier's bills come to"), CURRENCY];
const LANDING: &[Param] = &[param("login", Form::OneOf(&["failed"]), "Shows that a key was refused")];
const LOGIN: Option<Takes> = Some(Takes { schema: "Login", max_bytes: 4 << 10, or_form: true });
const CDR_ROWS: Gives = Gives { status: 200, content: Content::JsonOr("CdrPage", &["text/csv", "application/jsonl"]) };
const REPORT_ROWS: Gives = Gives { status: 200, content: Content::JsonOr("TrafficReport", &["text/csv"]) };
const CPN_ROWS: Gives = Gives { status: 200, content: Content::JsonOr("CpnReport", &["text/csv"]) };
const SHORT_CALL_ROWS: Gives = Gives { status: 200, content: Content::JsonOr("ShortCallReport", &["text/csv"]) };

const fn json(schema: &'static str) -> Gives {
    Gives { status: 200, content: Content::Json(schema) }
}

const fn text(media_type: &'static str) -> Gives {
    Gives { status: 200, content: Content::Text(media_type) }
}

const fn body(schema: &'static str, max_bytes: usize) -> Option<Takes> {
    Some(Takes { schema, max_bytes, or_form: false })
}

/// What a document may have in bytes; a deck carries its sheet.
const SPEC_BYTES: usize = 1 << 20;
const DECK_BYTES: usize = 64 << 20;
const ORDER_BYTES: usize = 16 << 10;

pub(super) fn table() -> Vec<Route> {
    use Access::{Open, Scoped};
    use Verb::{Delete, Get, Post};
    let row = |verb, path: &str, id: &str, about, access, params, takes, gives, handler| {
        Route { verb, path: path.to_owned(), id: id.to_owned(), about, access, params, takes, gives, handler }
    };
    let read = Scoped(Scope::Read);
    let mut rows = vec![
        row(Get, "/v1/cdrs", "listCdrs", "CDRs, newest first", read, CDRS, None, CDR_ROWS, cdrs::list),
        row(Get, "/v1/cdrs/{call_uuid}", "getCdr", "The CDR of one call, with its attempts for keys that see costs", read, &[], None, json("CdrWithAttempts"), cdrs::one),
        row(Get, "/v1/calls", "listCalls", "Calls that are up, newest first", read, CALLS, None, json("LiveCallPage"), calls::list),
        row(Get, "/v1/calls/{call_uuid}", "getCall", "One call that is up", read, &[], None, json("LiveCall"), calls::one),
        row(Post, "/v1/calls/{call_uuid}/end", "endCall", "Ends a call that is up, in whatever state", Scoped(Scope::Calls), &[], body("EndCall", ORDER_BYTES), Gives { status: 202, content: Content::Json("CallEnding") }, calls::end),
        row(Get, "/v1/alerts", "listAlerts", "What the fraud stage found, newest first", read, ALERTS, None, json("AlertPage"), alerts::list),
        row(Get, "/v1/blocks", "listBlocks", "Blocks, newest first", read, BLOCKS, None, json("BlockPage"), blocks::list),
        row(Post, "/v1/blocks", "placeBlock", "Blocks calls", Scoped(Scope::Blocks), &[], body("NewBlock", ORDER_BYTES), Gives { status: 201, content: Content::Json("Block") }, blocks::place),
        row(Get, "/v1/blocks/{block_id}", "getBlock", "One block", read, &[], None, json("Block"), blocks::one),
        row(Delete, "/v1/blocks/{block_id}", "liftBlock", "Lifts a block", Scoped(Scope::Blocks), &[REASON], None, json("BlockLifted"), blocks::lift),
        row(Get, "/v1/balances", "listBalances", "What accounts have, hold and may still spend, by name", read, BALANCES, None, json("BalancePage"), balances::list),
        row(Post, "/v1/payments", "postPayment", "Books money for an account", Access::Operator(Scope::Control), &[], body("NewPayment", ORDER_BYTES), Gives { status: 201, content: Content::Json("Payment") }, balances::pay),
        row(Get, "/v1/reports/traffic", "trafficReport", "Calls, quality and money by group", read, REPORT, None, REPORT_ROWS, reports::traffic),
        row(Get, "/v1/reports/cpn", "cpnReport", "Share of calls with a valid calling number by customer, and who is under the mark (R-26)", read, CPN, None, CPN_ROWS, reports::cpn::report),
        row(Get, "/v1/reports/short-calls", "shortCallReport", "Share of short calls by customer or carrier, who breaches the allowance, and what contracts charge (R-28)", read, SHORT_CALLS, None, SHORT_CALL_ROWS, reports::short_calls::report),
        row(Get, "/v1/cdrs/{call_uuid}/ledger", "getCdrLedger", "A call's postings with the balances of its accounts before and after each (C-098)", read, &[], None, json("CallLedger"), cdrs::ledger),
        row(Get, "/v1/cdrs/{call_uuid}/route", "getCdrRoute", "Why a call went where it went: its choices, and the same made again from the log", Access::Operator(Scope::Read), &[], None, json("RouteReplay"), routing::replay),
        row(Get, "/v1/route", "explainRoute", "Where a call would go, and why each other carrier is left out", Access::Operator(Scope::Read), ROUTE, None, json("Route"), routing::explain),
        row(Get, "/v1/quality", "listQuality", "What is known of the carriers of each destination", Access::Operator(Scope::Read), QUALITY, None, json("QualityPage"), routing::quality),
        row(Get, "/v1/stats", "getStats", "The state of things now", read, &[], None, json("Stats"), stats::now),
        row(Get, "/v1/stats/series", "getSeries", "Calls and money per second or minute of the last hour, oldest first", read, SERIES, None, json("Series"), stats::series),
        row(Get, "/v1/stream", "openStream", "Server-sent events: alert, block, unblock, cdr (a sample), stats (each second), lagged", read, &[], None, text("text/event-stream"), stream::open),
        row(Get, "/v1/as_of", "getAsOf", "The position of the log that every CDR of today is before: a query with it can be asked again", Scoped(Scope::Read), &[], None, json("AsOf"), finance::as_of),
        row(Post, "/v1/rerates", "rerateCalls", "Prices a page of calls again with the decks in force, and with `apply` orders it (R-45)", Access::Operator(Scope::Control), &[], body("RerateOrder", ORDER_BYTES), json("RerateReply"), finance::rerate),
        row(Post, "/v1/invoices", "issueInvoice", "Issues an account's invoice for a period, or with `dry_run` shows it (FN-01)", Access::Operator(Scope::Control), &[], body("InvoiceOrder", SPEC_BYTES), json("FinanceDocument"), finance::invoice),
        row(Get, "/v1/invoices", "listInvoices", "Invoices and notes, oldest first", Access::Operator(Scope::Read), &[ACCOUNT], None, json("FinanceDocuments"), finance::invoices),
        row(Get, "/v1/invoices/{number}", "getInvoice", "One invoice or note as it was issued (SERIES-NUMBER)", Access::Operator(Scope::Read), &[], None, json("FinanceDocument"), finance::one),
        row(Post, "/v1/notes", "issueNote", "Issues the credit or debit note for what was rated again since an invoice (R-46, FN-19)", Access::Operator(Scope::Control), &[], body("NoteOrder", ORDER_BYTES), json("FinanceDocument"), finance::note),
        row(Get, "/v1/statements", "getStatement", "What an account owed, was invoiced and paid over a period (FN-04)", Access::Operator(Scope::Read), STATEMENT, None, json("Statement"), finance::statement),
        row(Get, "/v1/ageing", "getAgeing", "What accounts owe by age, disputes apart (FN-03)", Access::Operator(Scope::Read), AGEING, None, json("AgeingPage"), finance::ageing),
        row(Get, "/v1/accrual", "getAccrual", "What calls before an instant came to and is not invoiced (FN-09)", Access::Operator(Scope::Read), ACCRUAL, None, json("AccrualPage"), finance::accrual),
        row(Get, "/v1/netting", "getNetting", "What a party owes as a customer set off against what it is owed as a carrier (FN-03)", Access::Operator(Scope::Read), NETTING, None, json("Netting"), finance::netting),
        row(Get, "/v1/disputes", "listDisputes", "Disputes with carriers (R-48)", Access::Operator(Scope::Read), &[], None, json("Disputes"), finance::disputes),
        row(Post, "/v1/disputes", "draftDispute", "Takes a drafted dispute into the books", Access::Operator(Scope::Control), &[], body("Dispute", SPEC_BYTES), json("Dispute"), finance::dispute),
        row(Post, "/v1/disputes/{dispute_id}/step", "stepDispute", "Moves a dispute on; late ones only with an override (FN-05)", Access::Operator(Scope::Control), &[], body("DisputeStep", ORDER_BYTES), json("Dispute"), finance::step),
        row(Get, "/v1/backup", "takeBackup", "The whole event log as one file, of one moment; for `tollgate restore`", Access::Operator(Scope::Admin), BACKUP, None, text(backup::MEDIA_TYPE), backup::take),
        row(Get, "/v1/deck-imports", "listDeckImports", "Carriers' sheets that wait for approval, newest first", Access::Operator(Scope::Read), IMPORTS, None, json("DeckImportPage"), decks::imports),
        row(Post, "/v1/deck-imports", "proposeDeckImport", "Proposes a carrier's sheet; somebody else approves it", Access::Operator(Scope::Control), &[DRY_RUN], body("NewDeckImport", IMPORT_BYTES), Gives { status: 201, content: Content::Json("DeckImportWithPreview") }, decks::propose),
        row(Get, "/v1/deck-imports/{import_id}", "getDeckImport", "One import with its preview", Access::Operator(Scope::Read), &[], None, json("DeckImportWithPreview"), decks::import),
        row(Post, "/v1/deck-imports/{import_id}/approve", "approveDeckImport", "Puts the sheet in force; not by whoever proposed it", Access::Operator(Scope::Control), &[], body("DeckImportDecision", ORDER_BYTES), json("DeckImport"), decks::approve),
        row(Post, "/v1/deck-imports/{import_id}/reject", "rejectDeckImport", "Lays the sheet aside", Access::Operator(Scope::Control), &[], body("DeckImportDecision", ORDER_BYTES), json("DeckImport"), decks::reject),
        row(Get, "/v1/decks/{name}/price", "getDeckPrice", "What a number costs at an instant, as known at another", Access::Operator(Scope::Read), PRICE, None, json("DeckPrice"), decks::price),
        row(Get, "/v1/decks/{name}/versions", "listDeckVersions", "The sheets a deck had, and since when that was known; newest first", Access::Operator(Scope::Read), &[], None, json("DeckVersions"), decks::versions),
        row(Get, "/v1/decks/{name}/sheet", "getDeckSheet", "The deck's file", Access::Operator(Scope::Read), SHEET, None, text("text/csv"), decks::sheet),
        row(Get, "/v1/coverage", "getCoverage", "Destinations sold by carrier and class: gaps, and those with one upstream", Access::Operator(Scope::Read), COVERAGE, None, json("Coverage"), decks::coverage),
        row(Get, "/openapi.json", "getOpenApi", "This document", Open, &[], None, json("OpenApi"), openapi::serve),
        row(Get, "/metrics", "getMetrics", "Metrics for Prometheus", Open, &[], None, text("application/openmetrics-text"), health::metrics),
        row(Get, "/healthz", "getHealth", "The process answers", Open, &[], None, json("Alive"), health::alive),
        row(Get, "/readyz", "getReadiness", "Whether calls are taken; 503 with the same body when not", Open, &[], None, json("Readiness"), health::ready),
        row(Get, "/", "getPortal", "The portal", Open, LANDING, None, text("text/html"), portal::page),
        row(Get, "/assets/app.js", "getPortalScript", "The portal's script", Open, &[], None, text("text/javascript"), portal::script),
        row(Get, "/assets/plots.js", "getPortalPlots", "The portal's plots", Open, &[], None, text("text/javascript"), portal::plots),
        row(Get, "/assets/decks.js", "getPortalDecks", "The portal's rate sheets", Open, &[], None, text("text/javascript"), portal::decks),
        row(Get, "/assets/reports.js", "getPortalReports", "The portal's reports of numbers and short calls", Open, &[], None, text("text/javascript"), portal::reports),
        row(Get, "/assets/app.css", "getPortalStyle", "The portal's style", Open, &[], None, text("text/css"), portal::style),
        row(Get, "/assets/icon.svg", "getPortalIcon", "The portal's icon", Open, &[], None, text("image/svg+xml"), portal::icon),
        row(Post, "/login", "login", "Takes a key once and begins a session", Open, &[], LOGIN, Gives { status: 204, content: Content::Nothing }, portal::login),
        row(Post, "/logout", "logout", "Ends the session", Open, &[], None, Gives { status: 204, content: Content::Nothing }, portal::logout),
    ];
    Kind::ALL.into_iter().for_each(|kind| rows.extend(provisioning(kind)));
    rows
}

/// All kinds of documents are alike.
fn provisioning(kind: Kind) -> [Route; 4] {
    let (folder, spec, about) = match kind {
        Kind::NumberTable => ("number_tables", "NumberTable", ["Number tables", "One number table", "Sets a number table", "Removes a number table"]),
        Kind::OriginGroup => ("origin_groups", "OriginGroup", ["Origin groups", "One origin group", "Sets an origin group", "Removes an origin group"]),
        Kind::Surcharge => ("surcharges", "Surcharge", ["Surcharge tables", "One surcharge table", "Sets a surcharge table", "Removes a surcharge table"]),
        Kind::NumberList => ("number_lists", "NumberList", ["Lists of called numbers", "One list of called numbers", "Sets a list of called numbers", "Removes a list of called numbers"]),
        Kind::FxRate => ("fx_rates", "FxRate", ["Exchange rates", "One document of exchange rates", "Sets exchange rates", "Removes exchange rates"]),
        Kind::Tax => ("taxes", "Tax", ["Tax tables", "One tax table", "Sets a tax table", "Removes a tax table"]),
        Kind::Deck => ("decks", "Deck", ["Rate sheets", "One rate sheet", "Sets a rate sheet", "Removes a rate sheet"]),
        Kind::FraudPolicy => ("fraud_policies", "FraudPolicy", ["Fraud policies", "One fraud policy", "Sets a fraud policy", "Removes a fraud policy"]),
        Kind::Carrier => ("carriers", "Carrier", ["Carriers", "One carrier", "Sets a carrier", "Removes a carrier"]),
        Kind::RoutePolicy => ("route_policies", "RoutePolicy", ["Route policies", "One route policy", "Sets a route policy", "Removes a route policy"]),
        Kind::Account => ("accounts", "Account", ["Accounts", "One account", "Sets an account", "Removes an account"]),
        Kind::Trunk => ("trunks", "Trunk", ["Trunks", "One trunk", "Sets a trunk", "Removes a trunk"]),
        Kind::Contract => ("contracts", "Contract", ["Contracts", "One contract", "Sets a contract", "Removes a contract"]),
    };
    let read = match kind {
        Kind::Carrier | Kind::FraudPolicy | Kind::RoutePolicy | Kind::NumberTable | Kind::OriginGroup | Kind::Surcharge | Kind::NumberList | Kind::FxRate | Kind::Tax | Kind::Contract => {
            Access::Operator(Scope::Read)
        }
        Kind::Account | Kind::Trunk | Kind::Deck => Access::Scoped(Scope::Read),
    };
    let write = Access::Operator(Scope::Control);
    let bytes = if matches!(kind, Kind::Deck | Kind::NumberTable) { DECK_BYTES } else { SPEC_BYTES };
    let (all, each) = (format!("/v1/{folder}"), format!("/v1/{folder}/{{name}}"));
    let row = |verb, path: &str, id: &str, about, access, params, takes, gives, handler| {
        Route { verb, path: path.to_owned(), id: format!("{id}{spec}"), about, access, params, takes, gives, handler }
    };
    [
        row(Verb::Get, &all, "list", about[0], read, &[LIMIT, CURSOR], None, json("DocumentPage"), control::list),
        row(Verb::Get, &each, "get", about[1], read, &[], None, json("Document"), control::one),
        row(Verb::Put, &each, "put", about[2], write, &[DRY_RUN, REASON], body(spec, bytes), json("ControlAccepted"), control::put),
        row(Verb::Delete, &each, "remove", about[3], write, &[DRY_RUN, REASON], None, json("ControlAccepted"), control::remove),
    ]
}
