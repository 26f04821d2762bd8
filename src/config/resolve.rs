//! From the file's tables to a [`Config`]: ranges, addresses, files, and what must fit together.

use std::{ops::RangeInclusive, path::Path};

use toml::de::DeTable;
use tollgate_api::{KeyConfig, Keys, Scope};
use tollgate_proxy::sip::settings::Settings;

use super::{
    ApiConfig, Config, ConfigProblem, FraudConfig, LogConfig, RatingConfig, SipConfig, StoreConfig, fields,
    reader::{Reader, Section},
    secrets,
};

const DAY_MS: u64 = 86_400_000;

/// The configuration, with defaults where the file is wrong, and every mistake; none when the file is no TOML.
pub fn resolve(path: &Path, text: &str) -> (Option<Config>, Vec<ConfigProblem>) {
    let reader = Reader::new(path, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |s| s.start);
        reader.wrong(at, error.message().replace('\n', "; "));
    }
    // What is left of a file that is no TOML would only make mistakes that are none.
    let config = errors.is_empty().then(|| read(path, reader.root(table.get_ref())));
    (config, reader.into_problems())
}

fn read(path: &Path, top: Section<'_>) -> Config {
    let folder = path.parent().unwrap_or(Path::new(""));
    let defaults = Config::default_in(&folder.join("data"));
    let data_dir = top.text("data_dir", "a folder in quotes").map(|text| {
        if text.value.is_empty() {
            top.wrong(text.at, "data_dir is empty: name a folder, as \"data\"");
        }
        folder.join(text.value)
    });
    let mut provision = Vec::new();
    for text in top.texts("provision", "file names") {
        let file = folder.join(text.value);
        if file.is_file() {
            provision.push(file);
        } else {
            top.wrong(text.at, format!("provision names '{}', and there is no such file ({})", text.value, file.display()));
        }
    }
    let config = Config {
        file: Some(path.to_owned()),
        data_dir: data_dir.unwrap_or(defaults.data_dir),
        provision,
        drain_s: top.whole("drain_s", 0..=86_400, "seconds", defaults.drain_s),
        log: log(top.section("log"), &defaults.log),
        store: store(top.section("store"), &defaults.store),
        sip: sip(top.section("sip")),
        rating: rating(top.section("rating"), &defaults.rating),
        fraud: fraud(top.section("fraud"), &defaults.fraud),
        api: api(top.section("api")),
    };
    top.finish();
    config
}

fn log(section: Section<'_>, defaults: &LogConfig) -> LogConfig {
    section.kind("kind", "embedded", "kafka");
    let log = LogConfig {
        partitions: section.whole("partitions", 1..=1024, "", defaults.partitions.into()) as u16,
        window_ms: section.whole("window_ms", 0..=1000, "ms", defaults.window_ms),
        ride_ms: section.whole("ride_ms", 0..=60_000, "ms", defaults.ride_ms),
        reserve_mb: section.whole("reserve_mb", 0..=1 << 20, "MiB", defaults.reserve_mb),
    };
    if log.ride_ms < log.window_ms {
        let at = section.place("ride_ms").map_or(section.at(), |p| p.start);
        section.wrong(at, format!("log.ride_ms is {}, shorter than window_ms ({}): who waits less cannot wait longer", log.ride_ms, log.window_ms));
    }
    section.finish();
    log
}

fn store(section: Section<'_>, defaults: &StoreConfig) -> StoreConfig {
    section.kind("kind", "embedded", "clickhouse");
    let store = StoreConfig {
        flush_s: section.whole("flush_s", 1..=86_400, "seconds", defaults.flush_s),
        flush_rows: section.whole("flush_rows", 1..=1_000_000, "rows", defaults.flush_rows as u64) as usize,
    };
    section.finish();
    store
}

fn sip(section: Section<'_>) -> SipConfig {
    let listen = section.address("listen", ([127, 0, 0, 1], 5060).into());
    if listen.ip().is_unspecified() {
        let at = section.place("listen").map_or(section.at(), |p| p.start);
        // It stands in Via and Record-Route, where others must be able to answer to it (RFC 3261 §18.1.1).
        section.wrong(at, format!("sip.listen is {listen}: want the address others reach this machine by, since it stands in SIP messages"));
    }
    let shards = section.whole("shards", 1..=64, "", 1) as usize;
    let timers = timers(section.section("timers"));
    section.finish();
    SipConfig { listen, shards, timers }
}

/// What a setting may be, by its name. The names themselves come from [`Settings`].
fn range(setting: &str) -> (RangeInclusive<u64>, &'static str) {
    match setting {
        "max_uri_bytes" => (64..=65_535, "bytes"),
        "max_message_bytes" => (1_024..=65_535, "bytes"),
        "max_calls" => (1..=1_000_000, "calls"),
        "max_call_ms" | "interim_ms" => (1_000..=7 * DAY_MS, "ms"),
        "t1_ms" | "t2_ms" | "t4_ms" => (1..=60_000, "ms"),
        _ => (1..=DAY_MS, "ms"),
    }
}

fn timers(section: Section<'_>) -> Settings {
    let mut given = serde_json::Map::new();
    for name in fields::names_of::<Settings>() {
        if section.place(name).is_some() {
            let (range, unit) = range(name);
            given.insert((*name).to_owned(), section.whole(name, range.clone(), unit, *range.start()).into());
        }
    }
    let settings: Settings = match serde_json::from_value(given.into()) {
        Ok(settings) => settings,
        Err(e) => {
            section.wrong(section.at(), format!("sip.timers: {e}"));
            Settings::default()
        }
    };
    let at_most = |low: &'static str, a: u64, high: &'static str, b: u64| {
        if a > b {
            let at = section.place(low).or_else(|| section.place(high)).map_or(section.at(), |p| p.start);
            section.wrong(at, format!("sip.timers.{low} is {a}, more than {high} ({b})"));
        }
    };
    at_most("t1_ms", settings.t1_ms, "t2_ms", settings.t2_ms);
    at_most("first_response_ms", settings.first_response_ms, "pdd_ms", settings.pdd_ms);
    at_most("pdd_ms", settings.pdd_ms, "no_answer_ms", settings.no_answer_ms);
    at_most("max_uri_bytes", settings.max_uri_bytes as u64, "max_message_bytes", settings.max_message_bytes as u64);
    section.finish();
    settings
}

fn rating(section: Section<'_>, defaults: &RatingConfig) -> RatingConfig {
    let rating = RatingConfig { poll_ms: section.whole("poll_ms", 1..=10_000, "ms", defaults.poll_ms) };
    section.finish();
    rating
}

fn fraud(section: Section<'_>, defaults: &FraudConfig) -> FraudConfig {
    let fraud = FraudConfig {
        poll_ms: section.whole("poll_ms", 1..=10_000, "ms", defaults.poll_ms),
        tick_ms: section.whole("tick_ms", 10..=60_000, "ms", defaults.tick_ms),
    };
    section.finish();
    fraud
}

fn api(section: Section<'_>) -> ApiConfig {
    let listen = section.address("listen", ([127, 0, 0, 1], 8080).into());
    let mut keys: Vec<KeyConfig> = Vec::new();
    for one in section.sections("keys") {
        let key = key(&one);
        let at = one.at();
        let whole = one.place("id").is_some() && one.place("sha256").is_some();
        if !whole {
            // Said already.
        } else if keys.iter().any(|k| k.id == key.id) {
            one.wrong(at, format!("api key '{}' is there twice: give each its own id", key.id));
        } else if let Err(e) = Keys::new("a key only for this check", vec![key.clone()]) {
            one.wrong(at, e.to_string());
        } else if let Some(known) = secrets::well_known(&key.sha256) {
            one.wrong(at, format!("api key '{}' is \"{known}\", which everybody guesses: make one, as with `openssl rand -hex 24`", key.id));
        }
        one.finish();
        keys.push(key);
    }
    section.finish();
    ApiConfig { listen, keys }
}

fn key(section: &Section<'_>) -> KeyConfig {
    let text = |key, want| section.text(key, want).map(|t| t.value.to_owned());
    for (needed, want) in [("id", "a name for the key"), ("sha256", "the key's SHA-256 in hex")] {
        if section.place(needed).is_none() {
            section.wrong(section.at(), format!("an api key has no {needed}: give {want}"));
        }
    }
    let known = Scope::ALL.map(Scope::name);
    let mut scopes = Vec::new();
    for scope in section.texts("scopes", "scope names") {
        if known.contains(&scope.value) {
            scopes.push(scope.value.to_owned());
        } else {
            let meant = super::nearest(scope.value, known).map_or(String::new(), |m| format!("did you mean '{m}'? "));
            section.wrong(scope.at, format!("there is no scope '{}': {meant}there are {}", scope.value, known.join(", ")));
        }
    }
    KeyConfig {
        id: text("id", "a name in quotes").unwrap_or_default(),
        sha256: text("sha256", "64 hex digits in quotes").unwrap_or_default(),
        tenant: text("tenant", "an account's name in quotes"),
        scopes,
    }
}
