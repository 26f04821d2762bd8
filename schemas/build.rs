//! Compiles `proto/` without protoc, and renders the one CDR column table (`cdr.tsv`) into the `Cdr` message
//! and the constant `COLUMNS`, so that events, stores, exports and API name and type each column alike.
use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=cdr.tsv");
    println!("cargo:rerun-if-changed=proto");
    let out = env::var("OUT_DIR")?;
    let table = fs::read_to_string("cdr.tsv")?;
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|l| l.split('\t').collect()).filter(|r: &Vec<&str>| r.len() == 5).collect();
    let include = Path::new(&out).join("proto");
    fs::create_dir_all(include.join("tollgate/v1"))?;
    fs::copy("proto/tollgate/v1/events.proto", include.join("tollgate/v1/events.proto"))?;
    fs::write(include.join("tollgate/v1/cdr.proto"), cdr_proto(&rows)?)?;
    fs::write(Path::new(&out).join("columns.rs"), columns(&rows)?)?;

    let files = ["tollgate/v1/events.proto", "tollgate/v1/cdr.proto"];
    let set = protox::compile(files, [&include])?;
    let mut config = prost_build::Config::new();
    config.type_attribute(".", "#[derive(serde::Serialize)]");
    let json = [
        ("id", &["Event.id", "Event.cause_id", "BlockPlaced.block_id", "BlockLifted.block_id", "AlertRaised.block_id",
            "CallRefused.block_id", "CallTeardown.block_id", "CallTeardown.call_id", "CallRouteTried.call_id",
            "CallRouteSkipped.call_id", "CallRouteSkipped.block_id",
            "CallRinging.call_id", "CallAnswered.call_id", "CallDialogChanged.call_id", "CallInterim.call_id",
            "CallAttemptEnded.call_id", "CallMedia.call_id", "CallEnded.call_id", "LedgerPosted.call_id",
            "Quarantined.call_id", "CallEndRequested.call_id", "CallRerated.call_id", "DisputeChanged.dispute_id", "RequestKey.id"][..]),
        ("ts", &["Event.occurred_us", "Event.ingest_us", "Terms.effective_from_us", "CallRefused.first_us",
            "CallRinging.first_100_us", "CallDialogChanged.ack_us", "CallAttemptEnded.first_100_us",
            "CallAttemptEnded.first_18x_us", "CallEnded.ack_us", "Tick.at_us", "AlertRaised.first_us",
            "BlockPlaced.expires_us", "PartialPublished.window_start_us",
            "QualityCount.window_start_us", "QualityVerdict.at_us", "CarrierQuality.fas_until_us", "CarrierQuality.demoted_us",
            "CallRerated.read_us", "InvoiceIssued.from_us", "InvoiceIssued.until_us"][..]),
        ("hex", &["DeckClosed.sha256", "RequestKey.sha256", "CdrWritten.content_hash", "Quarantined.event"][..]),
        ("text", &["Personal.user_agent", "SipLeg.call_id", "SipLeg.from_tag", "SipLeg.from_value", "SipLeg.to_value",
            "SipLeg.remote_target", "SipLeg.request_uri", "SipLeg.branch", "SipDialog.to_tag", "SipDialog.caller_target",
            "SipDialog.callee_target", "DeckChunk.data"][..]),
        ("texts", &["SipLeg.route_set", "SipLeg.vias", "SipLeg.record_routes", "SipDialog.caller_route_set",
            "SipDialog.callee_route_set"][..]),
        ("cdr", &["CdrWritten.cdr"][..]),
        ("cdrs", &["CallRerated.rows"][..]),
    ];
    for (form, fields) in json {
        for field in fields {
            config.field_attribute(
                format!(".tollgate.v1.{field}"),
                format!("#[serde(serialize_with = \"crate::json::{form}\")]"),
            );
        }
    }
    // Fields that an earlier version did not have: its events are shown as they were.
    let terms = ["steps", "bands", "timezone", "min_charge_e12", "max_charge_e12", "end_at_max", "grace_ms", "free_s", "seconds_rule",
        "tolerance_ms", "surcharges", "fees", "jurisdiction", "origin_group"];
    let facts = ["lrn", "lrn_source", "lrn_dip_ms", "b_ocn", "b_lata", "b_rate_center", "b_state", "a_state", "a_lata", "jurisdiction",
        "jurisdiction_rule", "origin_group", "b_listed", "billing", "cnam_source", "cnam_dip_ms", "codec_class"];
    let choice = ["score_e8", "asr_e4", "ner_e4", "samples", "acd_ms", "quality", "quality_class"];
    let fields = ["Event.log_node", "Personal.a_name", "ControlApplied.based_on", "ControlApplied.batch_index", "ControlApplied.batch_count",
        "CallAttempted.tiers", "CallAttempted.quality_snapshot", "CallAttempted.draw_e6", "CallAnswered.tiers", "CallAttempted.holds",
        "CallAnswered.holds", "CallAnswered.fx", "CallInterim.holds", "CallEnded.settled", "AlertRaised.stays_open", "LeaseAsked.credit", "LeaseAsked.asked_ns", "LeaseDemand.credit",
        "LeaseGranted.credit", "LeaseGranted.asked_ns", "LeaseShare.ceiling_e8",
        "CallRerated.tiers", "CallRouteTried.fx", "QualityCount.codec_class", "QualityVerdict.classes", "CallRefused.route_policy", "CallRefused.choices",
        "CallRefused.quality_snapshot", "CallRefused.draw_e6", "CallRefused.tiers", "PaymentPosted.request", "LedgerPosted.reference", "LedgerPosted.request",
        "InvoiceIssued.request", "NoteIssued.request", "DisputeChanged.request"];
    let fields = fields.map(str::to_owned).into_iter()
        .chain(terms.map(|f| format!("Terms.{f}")))
        .chain(facts.map(|f| format!("CallFacts.{f}")))
        .chain(choice.map(|f| format!("RouteChoice.{f}")));
    for field in fields {
        config.field_attribute(format!(".tollgate.v1.{field}"), "#[serde(skip_serializing_if = \"crate::json::unset\")]");
    }
    config.skip_debug([".tollgate.v1.Personal"]);
    config.compile_fds(set)?;
    Ok(())
}

/// The protobuf type a column type is carried in.
fn wire(ty: &str) -> Result<&'static str, Box<dyn Error>> {
    Ok(match ty.trim_end_matches('?') {
        "uuid" => "bytes",
        "str" => "string",
        "bool" => "bool",
        "u32" => "uint32",
        "u64" => "uint64",
        "ts" | "money" | "rate" => "sint64",
        other => return Err(format!("cdr.tsv: unknown type {other}").into()),
    })
}

fn cdr_proto(rows: &[Vec<&str>]) -> Result<String, Box<dyn Error>> {
    let mut s = String::from(
        "// Made from schemas/cdr.tsv, which says what each column means; the test `the_published_proto_is_the_table`\n\
         // keeps the two alike. ts: UTC microseconds; money: 1e-8 of the unit; rate: 1e-12 of the unit per minute.\n\
         syntax = \"proto3\";\npackage tollgate.v1;\n\nmessage Cdr {\n",
    );
    for r in rows {
        let optional = if r[2].ends_with('?') { "optional " } else { "" };
        writeln!(s, "  {optional}{} {} = {};", wire(r[2])?, r[1], r[0])?;
    }
    s.push_str("}\n");
    Ok(s)
}

fn columns(rows: &[Vec<&str>]) -> Result<String, Box<dyn Error>> {
    let mut s = String::new();
    writeln!(s, "pub const CDR_PROTO: &str = {:?};", cdr_proto(rows)?)?;
    writeln!(s, "pub const COLUMNS: &[Column] = &[")?;
    for r in rows {
        let (name, ty) = (r[1], r[2].trim_end_matches('?'));
        let optional = r[2].ends_with('?');
        let variant = match ty {
            "uuid" => "Uuid", "str" => "Str", "bool" => "Bool", "u32" => "U32",
            "u64" => "U64", "ts" => "Ts", "money" => "Money", _ => "Rate",
        };
        let get = match (ty, optional) {
            ("str", _) => format!("Value::Str(&c.{name})"),
            ("uuid", false) => format!("Value::Uuid(&c.{name})"),
            ("uuid", true) => format!("c.{name}.as_deref().map_or(Value::Null, Value::Uuid)"),
            (_, false) => format!("Value::{variant}(c.{name})"),
            (_, true) => format!("c.{name}.map_or(Value::Null, Value::{variant})"),
        };
        let set = match (ty, optional) {
            ("str", _) => format!("Value::Str(s) => c.{name} = s.to_owned()"),
            ("uuid", false) => format!("Value::Uuid(b) => c.{name} = b.to_vec()"),
            ("uuid", true) => format!("Value::Uuid(b) => c.{name} = Some(b.to_vec())"),
            (_, false) => format!("Value::{variant}(x) => c.{name} = x"),
            (_, true) => format!("Value::{variant}(x) => c.{name} = Some(x)"),
        };
        // The versions of the table, by the first tags they brought.
        let since = match r[0].parse::<u32>()? {
            ..100 => 1,
            100..127 => 2,
            _ => 3,
        };
        writeln!(
            s,
            "Column {{ tag: {}, name: {:?}, ty: ColumnType::{variant}, optional: {optional}, since: {since}, source: {:?}, meaning: {:?}, \
             get: |c| {get}, set: |c, v| match v {{ {set}, _ => {{}} }} }},",
            r[0], name, r[3], r[4]
        )?;
    }
    writeln!(s, "];")?;
    Ok(s)
}
