//! Writes a deck or a file of calls for trying `tollgate rate` at size, the same bytes at every run:
//! `cargo run --release -p tollgate-rating --example traffic -- deck ROWS SEED > deck.csv`
//! `cargo run --release -p tollgate-rating --example traffic -- calls COUNT ACCOUNTS > calls.csv`

#[path = "../benches/traffic.rs"]
#[allow(dead_code)]
mod traffic;

use std::io::{self, BufWriter, Write};

use tollgate_schemas::time::format_rfc3339;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|a| a.parse::<u64>().ok());
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    match (args.first().map(String::as_str), number(1), number(2)) {
        (Some("deck"), Some(rows), Some(seed)) => out.write_all(traffic::deck_csv(rows, seed).as_bytes())?,
        (Some("calls"), Some(count), Some(accounts)) => {
            writeln!(out, "call_id,account,from,to,setup,answer,end")?;
            for (at, call) in traffic::calls(count, accounts, 7).enumerate() {
                let (setup, end) = (format_rfc3339(call.setup_us), format_rfc3339(call.end_us));
                let answer = call.answer_us.map(format_rfc3339).unwrap_or_default();
                writeln!(out, "call-{at:09},account-{},{},+{},{setup},{answer},{end}", call.account, call.from, call.to)?;
            }
        }
        _ => {
            eprintln!("traffic deck ROWS SEED | traffic calls COUNT ACCOUNTS");
            std::process::exit(2);
        }
    }
    out.flush()
}
