//! Every version of every event ever written stays readable (design §2, Forms): `tests/golden/vN/NAME.bin` is an event as
//! version N wrote it, `NAME.json` what people saw. A file is never changed once its version is released; a new version
//! adds a folder. `UPDATE_GOLDEN=1` writes the newest version's files: review the diff.

use std::{fs, path::Path};

use prost::Message;
use tollgate_schemas::{
    event::{Body, Event, VERSION, decode},
    v1::*,
};

fn terms(deck: &str) -> Terms {
    Terms {
        deck: deck.into(),
        deck_version: "0123456789abcdef".into(),
        prefix: "4420".into(),
        destination: "United Kingdom".into(),
        rate_e12: 12_500_000_000,
        connect_fee_e12: 1_000_000_000,
        initial_s: 30,
        increment_s: 6,
        currency: "EUR".into(),
        places: 6,
        rounding: Rounding::HalfEven.into(),
        effective_from_us: 1_767_225_600_000_000,
        route_class: "standard".into(),
        blocked: false,
        steps: vec![RateStep { after_s: 600, rate_e12: 6_000_000_000, connect_fee_e12: 0, initial_s: 1, increment_s: 1 }],
        bands: vec![TimeBand {
            name: "weekend".into(),
            weekdays: 0b110_0000,
            months: 0b1000_0000_0000,
            month_days: 1 << 24,
            dates: vec![20_261_225],
            from_s: 28_800,
            to_s: 68_400,
            weight: -1,
            from_us: 1_767_225_600_000_000,
            steps: vec![RateStep { after_s: 0, rate_e12: 9_000_000_000, connect_fee_e12: 500_000_000, initial_s: 60, increment_s: 60 }],
        }],
        timezone: "Europe/Amsterdam".into(),
        min_charge_e12: 10_000_000_000,
        max_charge_e12: 5_000_000_000_000,
        end_at_max: true,
        grace_ms: 2_000,
        free_s: 3,
        seconds_rule: SecondsRule::HalfUp.into(),
        tolerance_ms: 50,
        surcharges: vec![Surcharge { name: "non_eea".into(), per_minute_e12: 250_000_000_000 }],
        fees: vec![Fee { name: "dip".into(), amount_e12: 300_000_000, on: FeeOn::Call.into() }],
        jurisdiction: "intra".into(),
        origin_group: "eea".into(),
    }
}

fn request() -> RequestKey {
    RequestKey { id: vec![6; 16], sha256: vec![0xa7; 32] }
}

fn facts() -> CallFacts {
    CallFacts {
        account: "acme-london".into(),
        root_account: "acme".into(),
        trunk: "acme-pbx".into(),
        auth_method: "ip".into(),
        transport: "udp".into(),
        direction: "outbound".into(),
        service_type: "voice".into(),
        emergency: false,
        a_validity: "valid".into(),
        a_number_source: "pai".into(),
        a_privacy: "id".into(),
        b_country: "44".into(),
        b_dest_group: "United Kingdom".into(),
        b_number_type: "fixed".into(),
        b_risk_flag: "none".into(),
        b_valid: true,
        norm_rules: "intl_prefix".into(),
        international: true,
        lrn: "12125550000".into(),
        lrn_source: "dip".into(),
        lrn_dip_ms: 12,
        b_ocn: "0123".into(),
        b_lata: "132".into(),
        b_rate_center: "NYCMZN".into(),
        b_state: "NY".into(),
        a_state: "NJ".into(),
        a_lata: "224".into(),
        jurisdiction: "inter".into(),
        jurisdiction_rule: "states_differ".into(),
        origin_group: "us".into(),
        b_listed: "test:iprn".into(),
        billing: "prepaid".into(),
        cnam_source: "dip".into(),
        cnam_dip_ms: 41,
        codec_class: "wideband".into(),
    }
}

fn feature() -> Feature {
    Feature { name: "concurrent_calls".into(), value: 6, threshold: 6, unit: "calls".into(), counted_at: "invite".into() }
}

fn scope() -> BlockScope {
    BlockScope { account: "acme".into(), dest_group: "Somalia".into(), high_risk: true, ..BlockScope::default() }
}

fn personal() -> Personal {
    Personal {
        a_raw: "+44 20 7946 0000".into(),
        a_e164: "442079460000".into(),
        a_presentation: "442079460000".into(),
        a_name: "ACME LTD".into(),
        b_raw: "00442079460001".into(),
        b_e164: "442079460001".into(),
        b_out: "442079460001".into(),
        peer_addr: "192.0.2.1:5060".into(),
        user_agent: b"pbx/1".to_vec(),
        leg: Some(SipLeg {
            call_id: b"a84b4c76e66710".to_vec(),
            from_tag: b"1928301774".to_vec(),
            from_value: b"<sip:442079460000@192.0.2.1>;tag=1928301774".to_vec(),
            to_value: b"<sip:442079460001@192.0.2.9>".to_vec(),
            remote_target: b"sip:pbx@192.0.2.1:5060".to_vec(),
            route_set: vec![b"<sip:edge.example;lr>".to_vec()],
            cseq: 314_159,
            branch: b"z9hG4bK776asdhds".to_vec(),
            request_uri: b"sip:442079460001@192.0.2.9".to_vec(),
            vias: vec![b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;received=192.0.2.1".to_vec()],
            record_routes: vec![],
        }),
        dialogs: vec![SipDialog {
            to_tag: b"a6c85cf".to_vec(),
            caller_target: b"sip:pbx@192.0.2.1:5060".to_vec(),
            callee_target: b"sip:gw@198.51.100.7".to_vec(),
            caller_route_set: vec![],
            callee_route_set: vec![b"<sip:198.51.100.1;lr>".to_vec()],
            caller_cseq: 314_160,
            callee_cseq: 1,
            caller_addr: "192.0.2.1:5060".into(),
            callee_addr: "198.51.100.7:5060".into(),
            acked: true,
            confirmed: true,
            ended: false,
        }],
        key_id: 0,
    }
}

fn choice(reason: &str) -> RouteChoice {
    RouteChoice {
        carrier: "cheap".into(), rank: 1, expected_cost_e8: 900_000, prefix: "44".into(), rate_e12: 9_000_000_000,
        reason: reason.into(), covered_by_parent_prefix: true,
        score_e8: 120_000, asr_e4: 4_690, ner_e4: 9_100, samples: 1_000, acd_ms: 184_000, quality: "good".into(), quality_class: "wideband".into(),
    }
}

fn holds() -> Vec<CreditHold> {
    vec![CreditHold { account: "acme".into(), amount_e8: 1_250_000, currency: "EUR".into() }]
}

const US: i64 = 1_795_253_400_123_456;

fn bodies() -> Vec<Body> {
    let call_id = vec![7u8; 16];
    let block_id = vec![9u8; 16];
    vec![
        Body::CallAttempted(CallAttempted {
            facts: Some(facts()),
            sell: Some(terms("retail")),
            hold_e8: 1_250_000,
            route_policy: "lcr".into(),
            choices: vec![choice("chosen")],
            tiers: vec![Tier { account: "acme".into(), terms: Some(terms("wholesale")) }],
            quality_snapshot: "q-1767225600-00c0ffee".into(),
            draw_e6: 123_456,
            holds: holds(),
        }),
        Body::CallRefused(CallRefused {
            facts: Some(facts()), reason: "blocked".into(), sip_code: 403, q850: 21, detail: "concurrent_calls".into(),
            count: 17, first_us: US, block_id: block_id.clone(), sell: Some(terms("retail")),
            route_policy: "lcr".into(), choices: vec![choice("carrier_blocked")], quality_snapshot: "q-1767225600-00c0ffee".into(), draw_e6: 123_456,
            tiers: vec![Tier { account: "acme".into(), terms: Some(terms("wholesale")) }],
        }),
        Body::CallRouteTried(CallRouteTried {
            fx: Some(Fx { from: "EUR".into(), to: "USD".into(), rate_e12: 1_165_000_000_000, source: "ecb".into(), date: "2026-11-20".into() }),
            call_id: call_id.clone(), attempt_no: 1, carrier: "cheap".into(), cost: Some(terms("cheap")), rank: 1, route_class: "standard".into(),
        }),
        Body::CallRinging(CallRinging { call_id: call_id.clone(), attempt_no: 1, code: 183, early_media: true, first_100_us: US }),
        Body::CallAnswered(CallAnswered {
            call_id: call_id.clone(), attempt_no: 1, sell: Some(terms("retail")), cost: Some(terms("cheap")), code: 200,
            account: "acme-london".into(), b_dest_group: "United Kingdom".into(), carrier: "cheap".into(),
            tiers: vec![Tier { account: "acme".into(), terms: Some(terms("wholesale")) }],
            holds: holds(),
            fx: Some(Fx { from: "EUR".into(), to: "USD".into(), rate_e12: 1_165_000_000_000, source: "ecb".into(), date: "2026-11-20".into() }),
        }),
        Body::CallDialogChanged(CallDialogChanged { call_id: call_id.clone(), what: "refresh".into(), ack_us: US }),
        Body::CallInterim(CallInterim { call_id: call_id.clone(), duration_ms: 300_000, holds: holds() }),
        Body::CallAttemptEnded(CallAttemptEnded {
            call_id: call_id.clone(), attempt_no: 2, carrier: "dear".into(), sip_code: 503, reason_phrase: "Service Unavailable".into(),
            q850: 41, local_cause: "pdd_timeout".into(), late_answer: true, duration_ms: 1, first_100_us: US, first_18x_us: US + 5, first_18x_code: 180,
        }),
        Body::CallTeardown(CallTeardown {
            call_id: call_id.clone(), actor: "fraud:spend".into(), reason: "spend 25.00 of 25.00".into(), block_id: block_id.clone(), state: "answered".into(),
        }),
        Body::CallMedia(CallMedia { call_id: call_id.clone(), leg: "core".into(), loss_e4: 12, jitter_us: 900, mos_e2: 431, packets_rx: 5_000, packets_tx: 4_999 }),
        Body::CallEnded(CallEnded {
            call_id: call_id.clone(), account: "acme-london".into(), disposition: "answered".into(), sip_code: 200, reason_phrase: "OK".into(), q850: 16,
            hangup_party: "caller".into(), end_reason: "normal".into(), local_cause: String::new(), duration_ms: 61_200,
            duration_confidence: "exact".into(), ack_us: US, attempts: 2, answered_attempt: 2, settled: holds(),
        }),
        Body::Tick(Tick { at_us: US }),
        Body::ControlApplied(ControlApplied {
            kind: "trunk".into(), name: "acme-pbx".into(), spec_json: "{\"account\":\"acme\"}".into(), removed: false,
            actor: "admin".into(), reason: "onboarding".into(), command_id: "c-1".into(),
            based_on: Some(41), batch_index: 1, batch_count: 3,
        }),
        Body::ControlRefused(ControlRefused { kind: "trunk".into(), name: "acme-pbx".into(), problem: "there is no account 'acme'".into(), actor: "admin".into(), command_id: "c-0".into() }),
        Body::DeckChunk(DeckChunk { deck: "retail".into(), deck_version: "0123456789abcdef".into(), index: 0, data: b"prefix,rate\n44,0.01\n".to_vec() }),
        Body::DeckClosed(DeckClosed { deck: "retail".into(), deck_version: "0123456789abcdef".into(), chunks: 1, bytes: 20, sha256: vec![1; 32], rows: 1 }),
        Body::CdrWritten(CdrWritten {
            cdr: Cdr { call_uuid: call_id.clone(), cdr_version: 1, record_type: "final".into(), account: "acme".into(), sell_amount: 123_000, invite_ts: US, ..Cdr::default() }.encode_to_vec(),
            content_hash: vec![2; 32],
        }),
        Body::LedgerPosted(LedgerPosted {
            kind: "usage".into(), call_id: call_id.clone(), attempt_no: 1, cdr_version: 1, reason: String::new(),
            entries: vec![
                LedgerEntry { account: "account:acme/acme-london".into(), amount_e8: 123_000, currency: "EUR".into() },
                LedgerEntry { account: "revenue/3".into(), amount_e8: -123_000, currency: "EUR".into() },
            ],
            reference: "RF18539007547034".into(), request: Some(request()),
        }),
        Body::AlertRaised(AlertRaised {
            rule: "concurrent_calls".into(), severity: "critical".into(), account: "acme".into(), dest_group: "Somalia".into(), features: vec![feature()],
            explanation: "6 calls at once, critical from 6".into(), block_id: block_id.clone(), loss_e8: 500_000_000, currency: "USD".into(), first_us: US, control_position: 12,
            stays_open: true,
        }),
        Body::BlockPlaced(BlockPlaced {
            block_id: block_id.clone(), scope: Some(scope()), actor: "fraud:concurrent_calls".into(), reason: "6 calls at once".into(), expires_us: US + 3_600_000_000,
            sip_code: 403, teardown: true, rule: "concurrent_calls".into(), evidence: vec![feature()],
        }),
        Body::BlockLifted(BlockLifted { block_id, actor: "operator:night".into(), reason: "customer called".into() }),
        Body::CallEndRequested(CallEndRequested { call_id: call_id.clone(), actor: "operator:night".into(), reason: "complaint".into() }),
        Body::Quarantined(Quarantined { stage: "rater".into(), problem: "no facts".into(), event: vec![1, 2, 3], topic: "calls".into(), partition: 3, offset: 42, call_id }),
        Body::LeaseAsked(LeaseAsked {
            node: "0123456789ab".into(),
            demands: vec![LeaseDemand {
                scope: "trunk".into(), name: "acme-pbx".into(), channels_limit: 30, cps_limit: 10, channels_used: 7, channels_wanted: 12, cps_offered: 4,
                credit: Some(CreditDemand {
                    root_account: "acme".into(), currency: "EUR".into(), limit_e8: 10_000_000_000, prepaid: true, warn_pct: vec![70, 85],
                    ceiling_e8: 500_000_000, used_e8: 430_000_000, wanted_e8: 70_000_000, applied_revision: 8,
                }),
            }],
            applied_revision: 8, credit: true, asked_ns: 123_000_000,
        }),
        Body::LeaseGranted(LeaseGranted {
            node: "0123456789ab".into(),
            shares: vec![LeaseShare { scope: "trunk".into(), name: "acme-pbx".into(), channels: 12, cps: 6, ceiling_e8: 600_000_000 }],
            hold_ms: 5_000, keep_ms: 10_000, revision: 9, credit: true, asked_ns: 123_000_000,
        }),
        Body::PaymentPosted(PaymentPosted {
            account: "acme-london".into(), root_account: "acme".into(), kind: "payment".into(), amount_e8: 25_000_000_000, currency: "EUR".into(),
            actor: "operator:billing".into(), reason: "bank transfer".into(), reference: "RF18539007547034".into(),
            request: Some(request()),
        }),
        Body::PartialPublished(PartialPublished {
            kind: "carrier_destination".into(), key: "cheap United Kingdom".into(), window_start_us: US, window_s: 60, source_partition: 3, revision: 2,
            figures: vec![Figure { name: "answered".into(), value: 17 }],
        }),
        Body::CallRerated(CallRerated {
            call_id: vec![7u8; 16], batch: "1f00c0ffee".into(), reason: "carrier's notice of 3 March".into(), actor: "finance".into(),
            rows: vec![Cdr { call_uuid: vec![7u8; 16], cdr_version: 1, record_type: "final".into(), sell_amount: 123_000, schema_version: 2, ..Cdr::default() }.encode_to_vec()],
            read_us: US, sell: Some(terms("retail")), costs: vec![AttemptTerms { attempt_no: 2, terms: Some(terms("cheap")) }],
            tiers: vec![Tier { account: "acme".into(), terms: Some(terms("wholesale")) }],
        }),
        Body::InvoiceIssued(InvoiceIssued {
            series: "2026".into(), number: 41, account: "acme-london".into(), root_account: "acme".into(), currency: "EUR".into(), from_us: US, until_us: US + 9,
            total_e8: 1_210_000_000, document: "{\"number\":\"2026-41\"}".into(),
            entries: vec![
                LedgerEntry { account: "account:acme/acme-london".into(), amount_e8: 210_000_000, currency: "EUR".into() },
                LedgerEntry { account: "tax/0".into(), amount_e8: -210_000_000, currency: "EUR".into() },
            ],
            all_currencies: true, earlier: Some(3), request: Some(request()),
        }),
        Body::NoteIssued(NoteIssued {
            series: "2026".into(), number: 42, account: "acme-london".into(), root_account: "acme".into(), currency: "EUR".into(),
            invoice_series: "2026".into(), invoice_number: 41, kind: "credit".into(), total_e8: 5_000_000, document: "{\"number\":\"2026-42\"}".into(),
            entries: vec![], follows: "7.0.12".into(), request: Some(request()),
        }),
        Body::DisputeChanged(DisputeChanged {
            dispute_id: vec![8u8; 16], carrier: "cheap".into(), state: "sent".into(), revision: 1, actor: "finance".into(), note: "by mail".into(),
            document: "{\"reason\":\"rate\"}".into(), request: Some(request()),
        }),
        Body::QualityPublished(QualityPublished {
            dest_group: "United Kingdom".into(),
            counted: Some(QualityCount {
                carrier: "cheap".into(), window_start_us: US, window_s: 60, source_partition: 3, revision: 2, figures: vec![30, 15, 24],
                codec_class: "wideband".into(),
            }),
            judged: Some(QualityVerdict {
                name: "q-1795253400-0123456789abcdef".into(),
                at_us: US,
                carriers: vec![CarrierQuality {
                    carrier: "cheap".into(), state: "demoted".into(), fas_until_us: US, asr_e6: 331_522, ner_e6: 801_000, ccr_e6: 900_000, samples: 30,
                    window_s: 300, acd_ms: 60_000, acd_capped_ms: 50_000, pdd_ms: 1_200, ast_ms: 9_000, short_e6: 20_000, fas_score_e2: 615,
                    answered: 15, talk_ms: 900_000, bad: 2, good: 1, demoted_us: US,
                    by_window: vec![QualityWindow {
                        window_s: 300, attempts: 30, answered: 15, asr_e6: 331_522, ner_e6: 801_000, acd_ms: 60_000, pdd_ms: 1_200, short_e6: 20_000,
                    }],
                }],
                durations: vec![DurationShare { mean_ms: 9_000, calls: 4 }],
                asr_e6: 450_000, later_e6: 700_000, pdd_ms: 1_500,
                classes: vec![ClassQuality {
                    codec_class: "wideband".into(),
                    carriers: vec![CarrierQuality { carrier: "cheap".into(), state: "good".into(), samples: 40, asr_e6: 350_000, ..CarrierQuality::default() }],
                    durations: vec![DurationShare { mean_ms: 20_000, calls: 30 }],
                    samples: 40, asr_e6: 350_000, later_e6: 800_000, pdd_ms: 1_200,
                }],
            }),
        }),
        Body::AlertClosed(AlertClosed { rule: "no_route".into(), account: String::new(), dest_group: "Somalia".into(), explanation: "2 networks reach all of it again".into() }),
        Body::DocumentPosted(DocumentPosted {
            account: "acme-london".into(), root_account: "acme".into(), number: "2026-41".into(), kind: "invoice".into(),
            entries: vec![
                LedgerEntry { account: "account:acme/acme-london".into(), amount_e8: 210_000_000, currency: "EUR".into() },
                LedgerEntry { account: "tax/3".into(), amount_e8: -210_000_000, currency: "EUR".into() },
            ],
        }),
        Body::CallRouteSkipped(CallRouteSkipped {
            call_id: vec![7u8; 16], carrier: "cheap".into(), rank: 1, reason: "carrier_blocked".into(), block_id: vec![9u8; 16], detail: "complaint".into(),
        }),
    ]
}

fn samples() -> Vec<Event> {
    bodies()
        .into_iter()
        .enumerate()
        .map(|(i, body)| Event {
            version: VERSION,
            oldest_reader: 2,
            id: vec![i as u8 + 1; 16],
            occurred_us: US,
            boot_id: 77,
            mono_ns: 123_456_789,
            control_position: 12,
            key: "acme".into(),
            partition_seq: 1_000 + i as u64,
            log_node: if matches!(body, Body::BlockPlaced(_)) { 0x0123_4567_89ab } else { 0 },
            cause_id: vec![5; 16],
            ingest_us: US + 9,
            personal: matches!(body, Body::CallAttempted(_) | Body::CallAnswered(_)).then(personal),
            body: Some(body),
        })
        .collect()
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_version_ever_written_is_still_read_and_shown_alike() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let newest = folder().join(format!("v{VERSION}"));
        for event in samples() {
            fs::write(newest.join(format!("{}.bin", event.name())), event.encode_to_vec()).expect("write");
            let json = serde_json::to_string_pretty(&event.json()).expect("json");
            fs::write(newest.join(format!("{}.json", event.name())), json + "\n").expect("write");
        }
    }
    let mut read = 0;
    for version in 1..=VERSION {
        let dir = folder().join(format!("v{version}"));
        for file in fs::read_dir(&dir).expect("golden folder").map(|f| f.expect("entry").path()) {
            if file.extension().is_none_or(|e| e != "bin") {
                continue;
            }
            let event = decode(&fs::read(&file).expect("file")).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let seen: serde_json::Value = serde_json::from_str(&fs::read_to_string(file.with_extension("json")).expect("json file")).expect("json");
            assert_eq!(event.json(), seen, "{}", file.display());
            assert_eq!(event.version, version);
            read += 1;
        }
    }
    assert!(read >= samples().len(), "{read} files");
}

#[test]
fn the_newest_version_is_written_as_its_golden_files_say() {
    for event in samples() {
        let file = folder().join(format!("v{VERSION}/{}.bin", event.name()));
        assert_eq!(fs::read(&file).ok().as_deref(), Some(event.encode_to_vec().as_slice()), "{}: a changed form needs a new version", file.display());
    }
}

#[test]
fn there_is_a_golden_file_for_every_kind_of_event() {
    let proto = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/tollgate/v1/events.proto")).expect("proto");
    let oneof = proto.split("oneof body {").nth(1).and_then(|s| s.split('}').next()).expect("oneof");
    let kinds = oneof.lines().filter(|l| l.contains('=')).count();
    assert_eq!(samples().len(), kinds);
}
