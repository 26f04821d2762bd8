//! Calls as a carrier sees them: a few large customers and many small ones, destinations of very different size, numbers,
//! Call-IDs and tags without any order, and everything else as mediation writes it.

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr, FINAL},
    id::Mint,
    money,
};

/// 2026-11-01T00:00:00Z.
pub const START_US: i64 = 1_793_491_200_000_000;

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 8) % n
    }

    /// Few often, many seldom.
    fn skewed(&mut self, n: u64) -> u64 {
        self.below(n) * self.below(n) / n * self.below(n) / n
    }
}

const ACCOUNTS: u64 = 200;
const DESTINATIONS: u64 = 400;
const CARRIERS: u64 = 12;
const AGENTS: [&str; 5] = ["Asterisk PBX 20.5.0", "FPBX-16.0.40", "Cisco-SIPGateway/IOS-17", "3CXPhoneSystem 20.0", "Ribbon SBC"];
const COUNTRIES: [&str; 8] = ["1", "49", "44", "33", "91", "52", "55", "7"];

pub struct Calls {
    mint: Mint,
    rng: Rng,
    at_us: i64,
    every_us: i64,
    offsets: [u64; 16],
}

impl Calls {
    /// A call each `every_us` on average.
    pub fn new(every_us: i64) -> Calls {
        Calls { mint: Mint::new(0x7d3a_9c51_e2f4, 3), rng: Rng(7), at_us: START_US, every_us, offsets: [0; 16] }
    }

    /// The attempt and the final of the next call.
    pub fn next(&mut self) -> [Cdr; 2] {
        let r = &mut self.rng;
        self.at_us += r.below(2 * self.every_us as u64) as i64;
        let invite = self.at_us;
        let account = r.skewed(ACCOUNTS);
        let destination = r.skewed(DESTINATIONS);
        let root = account / 2;
        let partition = (root % 16) as usize;
        let carrier = (destination * 7 + r.skewed(4)) % CARRIERS;
        let answered = r.below(100) < 55;
        let code = if answered { 200 } else { [486, 480, 487, 503, 404][r.skewed(5) as usize] };
        let rang = answered || matches!(code, 480 | 487 | 486);
        let pdd_us = 400_000 + r.below(3_000_000) as i64;
        let ring_us = 1_000_000 + r.below(20_000_000) as i64;
        let talk_us = if answered { 2_000_000 + r.skewed(1_500_000_000) as i64 } else { 0 };
        let answer = invite + pdd_us + ring_us;
        let end = answer + talk_us;
        let duration_ms = (talk_us / 1_000) as u64;
        let step = if account % 3 == 0 { 60 } else { 1 };
        let (sell_billed, cost_billed) = (duration_ms.div_ceil(1_000).div_ceil(step) * step, duration_ms.div_ceil(1_000));
        let cost_rate = (20 + destination * 13 % 900) as i64 * 100_000_000;
        let sell_rate = cost_rate * (115 + (account % 5) as i64 * 7) / 100;
        // 6 places, half up.
        let amount = |rate: i64, billed: u64| (rate as i128 * billed as i128 / 60 + 500_000) as i64 / 1_000_000 * 100;
        let (sell, cost) = (amount(sell_rate, sell_billed), amount(cost_rate, cost_billed));
        let country = COUNTRIES[(destination % 8) as usize];
        let prefix = format!("{country}{}", 20 + destination % 70);
        let b_number = format!("{prefix}{:07}", r.below(10_000_000));
        // A customer has some hundred numbers.
        let a_number = format!("4930{:04}{:03}", account * 37, r.below(300));
        let call_id = format!("{:016x}{:016x}@203.0.113.{}:5060", r.next(), r.next(), account);
        let first = self.offsets[partition];
        self.offsets[partition] += 5 + r.below(4);
        // What else happens in the partition meanwhile.
        let between = (end - invite) as u64 * 7 / (self.every_us as u64 * 16) + r.below(8);
        let seen_us = (end / 1_000_000 + 1) * 1_000_000 + (Rng(end as u64 / 1_000_000).next() % 9_000) as i64;
        let other = (carrier + 5) % CARRIERS;
        let rate = money::format_rate(cost_rate);
        let dearer = money::format_rate(cost_rate + 7_000_000);
        let explain = format!(
            "[{{\"carrier\":\"carrier-{carrier}\",\"rank\":1,\"reason\":\"chosen\",\"prefix\":\"{prefix}\",\"rate\":\"{rate}\",\"expected_cost\":\"{rate}00\"}},\
             {{\"carrier\":\"carrier-{other}\",\"rank\":2,\"reason\":\"dearer\",\"prefix\":\"{country}\",\"rate\":\"{dearer}\",\"expected_cost\":\"{dearer}00\"}}]"
        );
        let attempt_us = invite + 300 + r.below(400) as i64;
        let last = Cdr {
            call_uuid: self.mint.mint().to_vec(),
            cdr_version: 1,
            record_type: FINAL.into(),
            attempt_no: 1,
            event_first_offset: first,
            event_last_offset: first + between + 2,
            node_id: self.mint.node_name(),
            partition: partition as u32,
            account: format!("account-{account:03}"),
            root_account: format!("account-{root:03}"),
            trunk: format!("trunk-{account:03}"),
            auth_method: "ip".into(),
            ingress_src_ip: format!("203.0.113.{account}"),
            ingress_src_port: 5060,
            ingress_transport: "udp".into(),
            ingress_user_agent: AGENTS[account as usize % 5].into(),
            direction: "outbound".into(),
            service_type: "voice".into(),
            sip_call_id_in: call_id.clone(),
            from_tag: format!("as{:08x}", r.next() as u32),
            to_tag: if answered { format!("{:08x}", r.next() as u32) } else { String::new() },
            sip_call_id_out: call_id,
            a_number_raw: format!("+{a_number}"),
            a_presentation_number: format!("+{a_number}"),
            a_number_e164: a_number,
            a_number_source: "pai".into(),
            a_validity: "valid".into(),
            b_number_raw: if account % 2 == 0 { format!("00{b_number}") } else { format!("+{b_number}") },
            b_number_out: b_number.clone(),
            b_number_e164: b_number,
            b_country: country.into(),
            b_dest_group: format!("destination {destination}"),
            b_number_type: if destination % 3 == 0 { "mobile" } else { "fixed" }.into(),
            b_risk_flag: "none".into(),
            invite_ts: invite,
            first_100_ts: Some(invite + 8_000 + r.below(40_000) as i64),
            first_18x_ts: rang.then_some(invite + pdd_us),
            first_18x_code: rang.then_some(if r.below(3) == 0 { 183 } else { 180 }),
            answer_ts: answered.then_some(answer),
            ack_ts: answered.then_some(answer + 2_000 + r.below(60_000) as i64),
            end_ts: end,
            pdd_ms: rang.then_some((pdd_us / 1_000) as u64),
            setup_ms: answered.then_some(((answer - invite) / 1_000) as u64),
            ring_ms: if rang { (ring_us / 1_000) as u64 } else { 0 },
            duration_ms,
            duration_confidence: "exact".into(),
            billed_sec_sell: if answered { sell_billed } else { 0 },
            billed_sec_cost: cost_billed,
            disposition: match code {
                200 => "answered",
                486 => "busy",
                480 => "noanswer",
                487 => "cancelled",
                _ => "failed",
            }
            .into(),
            sip_final_code: code,
            reason_phrase: match code {
                200 => "OK",
                486 => "Busy Here",
                480 => "Temporarily Unavailable",
                487 => "Request Terminated",
                503 => "Service Unavailable",
                _ => "Not Found",
            }
            .into(),
            vendor_sip_code: Some(code),
            vendor_q850: (code != 200 && destination % 2 == 0).then_some(if code == 486 { 17 } else { 41 }),
            q850_cause: if answered { 16 } else { 17 },
            hangup_party: if r.below(3) == 0 { "callee" } else { "caller" }.into(),
            end_reason: "normal".into(),
            carrier: format!("carrier-{carrier}"),
            egress_dst_ip: format!("198.51.100.{carrier}"),
            egress_dst_port: 5060,
            route_class: "standard".into(),
            route_policy: "lcr".into(),
            route_rank: 1,
            route_explain: explain,
            attempts_total: 1,
            attempts_summary: format!("[{{\"carrier\":\"carrier-{carrier}\",\"code\":{code},\"ms\":{}}}]", (answer - attempt_us) / 1_000),
            sell_deck: format!("retail-{}", account % 4),
            sell_deck_version: "8f14e45fceea167a".into(),
            sell_prefix: prefix.clone(),
            sell_rate: Some(sell_rate),
            sell_connect: Some(0),
            sell_increment: format!("{step}/{step}"),
            sell_amount: sell,
            sell_currency: "USD".into(),
            cost_deck: format!("carrier-{carrier}"),
            cost_deck_version: format!("c9f0f895fb98ab{carrier:02x}"),
            cost_prefix: prefix,
            cost_rate: Some(cost_rate),
            cost_connect: Some(0),
            cost_increment: "1/1".into(),
            cost_amount: cost,
            cost_currency: "USD".into(),
            margin_base: Some(sell - cost),
            margin_pct: if sell == 0 { String::new() } else { money::format_scaled((sell - cost) * 10_000 / sell, 2, 2) },
            rating_status: if answered { "rated" } else { "zero" }.into(),
            rating_version: 1,
            fraud_action: "none".into(),
            schema_version: 1,
            count: 1,
            ingest_ts: Some(seen_us),
            ..Cdr::default()
        };
        let mut tried = last.clone();
        tried.record_type = ATTEMPT.into();
        tried.invite_ts = attempt_us;
        tried.event_last_offset = last.event_last_offset - 1;
        (tried.to_tag, tried.route_explain, tried.attempts_summary) = (String::new(), String::new(), String::new());
        tried.ack_ts = None;
        tried.pdd_ms = last.first_18x_ts.map(|t| ((t - attempt_us) / 1_000) as u64);
        tried.setup_ms = last.answer_ts.map(|t| ((t - attempt_us) / 1_000) as u64);
        [tried, last]
    }
}
