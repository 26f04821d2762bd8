//! From the file's tables to a [`Config`]: ranges, addresses, files, and what must fit together.

use std::{ops::RangeInclusive, path::Path};

use toml::de::DeTable;
use tollgate_api::{KeyConfig, Keys, Scope};
use tollgate_proxy::sip::settings::Settings;

use super::{
    ApiConfig, ClickhouseConfig, Config, ConfigProblem, FraudConfig, KafkaConfig, LogConfig, LrnConfig, RatingConfig, Secret, SipConfig, StoreConfig, fields,
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
    let portability = lrn(top.section("lrn"), folder);
    let config = Config {
        file: Some(path.to_owned()),
        data_dir: data_dir.unwrap_or(defaults.data_dir),
        provision,
        drain_s: top.whole("drain_s", 0..=86_400, "seconds", defaults.drain_s),
        log: log(top.section("log"), &defaults.log, folder),
        store: store(top.section("store"), &defaults.store, folder),
        sip: sip(top.section("sip")),
        cnam: cnam(top.section("cnam"), folder, &portability),
        lrn: portability,
        rating: rating(top.section("rating"), &defaults.rating),
        fraud: fraud(top.section("fraud"), &defaults.fraud),
        api: api(top.section("api")),
    };
    top.finish();
    config
}

fn log(section: Section<'_>, defaults: &LogConfig, folder: &Path) -> LogConfig {
    let kafka = (section.one_of("kind", &["embedded", "kafka"]) == "kafka").then(|| kafka(&section, folder));
    let log = LogConfig {
        kafka,
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

fn lrn(section: Section<'_>, folder: &Path) -> LrnConfig {
    let defaults = LrnConfig::default();
    let lrn = LrnConfig {
        file: file(&section, "file", folder),
        url: section.text("url", "an address in quotes, with {number} in it").map(|text| {
            if !text.value.starts_with("http") || !text.value.contains("{number}") {
                section.wrong(text.at, "lrn.url is no address with {number} in it: want as \"http://127.0.0.1:9090/lrn/{number}\"");
            }
            text.value.to_owned()
        }),
        enum_server: enum_server(&section),
        enum_suffix: section.text("enum_suffix", "a zone in quotes").map_or(defaults.enum_suffix, |text| {
            if let Some(problem) = tollgate_rating::portability::enum_dns::suffix_problem(text.value) {
                section.wrong(text.at, format!("lrn.enum_suffix {problem}"));
            }
            text.value.to_owned()
        }),
        timeout_ms: section.whole("timeout_ms", 10..=10_000, "ms", defaults.timeout_ms),
        failed_s: section.whole("failed_s", 0..=60, "seconds", defaults.failed_s),
        circuit_failures: section.whole("circuit_failures", 1..=1_000, "failures", defaults.circuit_failures),
        circuit_s: section.whole("circuit_s", 1..=3_600, "seconds", defaults.circuit_s),
        cache_s: section.whole("cache_s", 0..=86_400, "seconds", defaults.cache_s),
        cache_numbers: section.whole("cache_numbers", 1..=50_000_000, "numbers", defaults.cache_numbers),
    };
    let given: Vec<&str> = [("file", lrn.file.is_some()), ("url", lrn.url.is_some()), ("enum_server", lrn.enum_server.is_some())]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
    if given.len() > 1 {
        section.wrong(section.at(), format!("lrn has {}: give one of them", given.join(" and ")));
    }
    if lrn.enum_server.is_none()
        && let Some(place) = section.place("enum_suffix")
    {
        section.wrong(place.start, "lrn.enum_suffix is nothing without enum_server: name the server, as \"127.0.0.1:53\"");
    }
    section.finish();
    lrn
}

/// Names are waited for as long as portability is, not longer: a call waits for both at once.
fn cnam(section: Section<'_>, folder: &Path, lrn: &LrnConfig) -> LrnConfig {
    let defaults = LrnConfig::default();
    let cnam = LrnConfig {
        file: file(&section, "file", folder),
        url: section.text("url", "an address in quotes, with {number} in it").map(|text| {
            if !text.value.starts_with("http") || !text.value.contains("{number}") {
                section.wrong(text.at, "cnam.url is no address with {number} in it: want as \"http://127.0.0.1:9090/cnam/{number}\"");
            }
            text.value.to_owned()
        }),
        timeout_ms: lrn.timeout_ms,
        circuit_failures: section.whole("circuit_failures", 1..=1_000, "failures", defaults.circuit_failures),
        circuit_s: section.whole("circuit_s", 1..=3_600, "seconds", defaults.circuit_s),
        cache_s: section.whole("cache_s", 0..=86_400, "seconds", defaults.cache_s),
        cache_numbers: section.whole("cache_numbers", 1..=50_000_000, "numbers", defaults.cache_numbers),
        ..defaults
    };
    if cnam.file.is_some() && cnam.url.is_some() {
        section.wrong(section.at(), "cnam has file and url: give one of them");
    }
    section.finish();
    cnam
}

/// The address of a name server.
fn enum_server(section: &Section<'_>) -> Option<std::net::SocketAddr> {
    let text = section.text("enum_server", "an address in quotes")?;
    let server = text.value.parse().ok();
    if server.is_none() {
        section.wrong(text.at, format!("lrn.enum_server '{}' is no address with a port: want as \"127.0.0.1:53\"", text.value));
    }
    server
}

/// A file whose first line is a password.
fn password(section: &Section<'_>, key: &'static str, folder: &Path) -> Secret {
    let Some(text) = section.text(key, "a file's name in quotes") else { return Secret::default() };
    let file = folder.join(text.value);
    match std::fs::read_to_string(&file) {
        Ok(content) => Secret(content.lines().next().unwrap_or_default().trim().to_owned()),
        Err(e) => {
            section.wrong(text.at, format!("{key} names '{}', which cannot be read ({e}): put the password there, readable to this user only", file.display()));
            Secret::default()
        }
    }
}

/// A file that must be there.
fn file(section: &Section<'_>, key: &'static str, folder: &Path) -> Option<std::path::PathBuf> {
    let text = section.text(key, "a file's name in quotes")?;
    let file = folder.join(text.value);
    if !file.is_file() {
        section.wrong(text.at, format!("{key} names '{}', and there is no such file ({})", text.value, file.display()));
    }
    Some(file)
}

fn kafka(section: &Section<'_>, folder: &Path) -> KafkaConfig {
    let defaults = KafkaConfig::default();
    let text = |key, want, default: &str| section.text(key, want).map_or(default.to_owned(), |t| t.value.to_owned());
    let kafka = KafkaConfig {
        brokers: text("brokers", "host:port, separated by commas, in quotes", &defaults.brokers),
        topic_prefix: text("topic_prefix", "a prefix in quotes, as \"tollgate.\"", &defaults.topic_prefix),
        replication: section.whole("replication", 1..=7, "replicas", defaults.replication.into()) as u16,
        calls_retention_h: section.whole("calls_retention_h", 0..=1 << 20, "hours", defaults.calls_retention_h),
        archive_dir: section.text("archive_dir", "a folder in quotes").map(|t| folder.join(t.value)),
        spool_mb: section.whole("spool_mb", 16..=1 << 24, "MiB", defaults.spool_mb),
        session_ms: section.whole("session_ms", 1_000..=300_000, "ms", defaults.session_ms),
        transaction_ms: section.whole("transaction_ms", 1_000..=300_000, "ms", defaults.transaction_ms),
        security: section.one_of("security", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]).to_owned(),
        ca: file(section, "ca", folder),
        cert: file(section, "cert", folder),
        key: file(section, "key", folder),
        sasl_mechanism: section.one_of("sasl_mechanism", &["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]).to_owned(),
        sasl_user: text("sasl_user", "a name in quotes", ""),
        sasl_password: password(section, "sasl_password_file", folder),
    };
    for one in kafka.brokers.split(',') {
        let fine = one.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !fine {
            let at = section.place("brokers").map_or(section.at(), |p| p.start);
            section.wrong(at, format!("log.brokers has \"{}\": want host:port, as \"kafka-1:9092,kafka-2:9092\"", one.trim()));
        }
    }
    if kafka.calls_retention_h > 0 && kafka.archive_dir.is_none() {
        let at = section.place("calls_retention_h").map_or(section.at(), |p| p.start);
        section.wrong(at, "log.calls_retention_h without archive_dir: calls would be gone for ever; give the folder that keeps what is older, or 0");
    }
    if kafka.cert.is_some() != kafka.key.is_some() {
        section.wrong(section.at(), "log.cert and log.key belong together: give both or neither");
    }
    if kafka.security.starts_with("sasl") && (kafka.sasl_user.is_empty() || kafka.sasl_password.0.is_empty()) {
        section.wrong(section.at(), format!("log.security is \"{}\": give sasl_user and sasl_password_file", kafka.security));
    }
    kafka
}

fn clickhouse(section: &Section<'_>, folder: &Path) -> ClickhouseConfig {
    let defaults = ClickhouseConfig::default();
    let text = |key, want, default: &str| section.text(key, want).map_or(default.to_owned(), |t| t.value.to_owned());
    let mut retention = Vec::new();
    for one in section.texts("retention", "country code = days, as \"44=400\" or \"*=550\"") {
        match one.value.split_once('=').map(|(code, days)| (code.trim().to_owned(), days.trim().parse::<u32>())) {
            Some((code, Ok(days))) if days > 0 && (code == "*" || (!code.is_empty() && code.bytes().all(|b| b.is_ascii_digit()))) => retention.push((code, days)),
            _ => section.wrong(one.at, format!("store.retention has \"{}\": want country code = days, as \"44=400\", or \"*=550\" for all others", one.value)),
        }
    }
    let clickhouse = ClickhouseConfig {
        url: text("url", "an address in quotes, as \"http://127.0.0.1:8123\"", &defaults.url),
        database: text("database", "a name in quotes", &defaults.database),
        user: text("user", "a name in quotes", &defaults.user),
        password: password(section, "password_file", folder),
        compression: section.one_of("compression", &["lz4", "none"]).to_owned(),
        row_policies: section.flag("row_policies", defaults.row_policies),
        retention,
        poll_ms: section.whole("poll_ms", 1..=60_000, "ms", defaults.poll_ms),
    };
    if !clickhouse.url.starts_with("http://") && !clickhouse.url.starts_with("https://") {
        let at = section.place("url").map_or(section.at(), |p| p.start);
        section.wrong(at, format!("store.url is \"{}\": want http://HOST:8123 or https://HOST:8443", clickhouse.url));
    }
    clickhouse
}

fn store(section: Section<'_>, defaults: &StoreConfig, folder: &Path) -> StoreConfig {
    let clickhouse = (section.one_of("kind", &["embedded", "clickhouse"]) == "clickhouse").then(|| clickhouse(&section, folder));
    let store = StoreConfig {
        clickhouse,
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
        "max_call_ms" => (1_000..=7 * DAY_MS, "ms"),
        // A node whose only call says nothing for a quarter of an hour would seem lost to the others.
        "interim_ms" => (1_000..=600_000, "ms"),
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
    let rating = RatingConfig {
        poll_ms: section.whole("poll_ms", 1..=10_000, "ms", defaults.poll_ms),
        quality_hold_down_s: section.whole("quality_hold_down_s", 0..=86_400, "s", defaults.quality_hold_down_s),
    };
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
