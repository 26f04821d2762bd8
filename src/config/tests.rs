use std::{fs, path::PathBuf};

use super::*;

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tollgate-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("folder");
        Folder(path)
    }

    pub fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The places and messages of a file's mistakes, without the folder.
fn mistakes(test: &str, text: &str) -> Vec<String> {
    let folder = Folder::new(test);
    let problems = Config::load(&folder.put("tollgate.toml", text)).expect_err("mistakes");
    let prefix = format!("{}/", folder.0.display());
    problems.iter().map(|p| p.to_string().replace(&prefix, "")).collect()
}

#[test]
fn an_empty_file_is_all_defaults_and_paths_are_beside_it() {
    let folder = Folder::new("empty");
    let config = Config::load(&folder.put("tollgate.toml", "")).expect("right");
    assert_eq!(config.data_dir, folder.0.join("data"));
    assert_eq!((config.sip.listen.to_string(), config.api.listen.to_string()), ("127.0.0.1:5060".to_owned(), "127.0.0.1:8080".to_owned()));
    let defaults = Config::default_in(&folder.0.join("data"));
    assert_eq!((&config.log, &config.store, &config.fraud), (&defaults.log, &defaults.store, &defaults.fraud));
    assert_eq!(config.sip.timers, Settings::default());
}

#[test]
fn every_value_is_read() {
    let folder = Folder::new("whole");
    folder.put("p.yaml", "");
    let hash = "ab".repeat(32);
    let text = format!(
        r#"
data_dir = "d"
provision = ["p.yaml"]
drain_s = 0
[log]
kind = "embedded"
partitions = 4
window_ms = 5
ride_ms = 50
reserve_mb = 0
[store]
kind = "embedded"
flush_s = 2
flush_rows = 1_000
[sip]
listen = "127.0.0.1:0"
shards = 2
[sip.timers]
t1_ms = 20
hunt_ms = 0x100
[rating]
poll_ms = 10
[fraud]
poll_ms = 5
tick_ms = 100
[api]
listen = "[::1]:0"
[[api.keys]]
id = "acme"
sha256 = "{hash}"
tenant = "acme"
scopes = ["read", "blocks"]
"#
    );
    let config = Config::load(&folder.put("tollgate.toml", &text)).expect("right");
    assert_eq!(config.data_dir, folder.0.join("d"));
    assert_eq!(config.provision, [folder.0.join("p.yaml")]);
    assert_eq!(config.log, LogConfig { kafka: None, partitions: 4, window_ms: 5, ride_ms: 50, reserve_mb: 0 });
    assert_eq!(config.store, StoreConfig { clickhouse: None, flush_s: 2, flush_rows: 1000 });
    assert_eq!((config.sip.shards, config.sip.listen.port(), config.drain_s), (2, 0, 0));
    assert_eq!(config.sip.timers, Settings { t1_ms: 20, hunt_ms: 256, ..Settings::default() });
    assert_eq!((config.rating.poll_ms, config.fraud.poll_ms, config.fraud.tick_ms), (10, 5, 100));
    assert_eq!(config.api.keys[0].scopes, ["read", "blocks"]);
}

#[test]
fn every_mistake_is_said_at_once_with_its_place_and_mend() {
    let text = r#"data_dri = "x"
drain_s = "ten"
provision = ["gone.yaml"]
[log]
kind = "kafke"
partitions = 0
[store]
kind = "clickhose"
flush_s = 1.5
[sip]
listen = "localhost:5060"
[sip.timers]
t1_msec = 500
t2_ms = 100
[api]
listen = 8080
[[api.keys]]
id = "ops"
sha256 = "12"
scopes = ["reed"]
[frod]
"#;
    let found = mistakes("bad", text);
    let wanted = [
        ("tollgate.toml:1:1: ", "did you mean 'data_dir'?"),
        ("tollgate.toml:2:11: ", "want a whole number 0 to 86400 seconds"),
        ("tollgate.toml:3:14: ", "there is no such file"),
        ("tollgate.toml:5:8: ", "did you mean 'kafka'?"),
        ("tollgate.toml:6:14: ", "want a whole number 1 to 1024"),
        ("tollgate.toml:8:8: ", "did you mean 'clickhouse'?"),
        ("tollgate.toml:9:11: ", "a number with a fraction"),
        ("tollgate.toml:11:10: ", "want IP:PORT"),
        ("tollgate.toml:13:1: ", "did you mean 't1_ms'?"),
        ("tollgate.toml:14:9: ", "t1_ms is 500, more than t2_ms (100)"),
        ("tollgate.toml:16:10: ", "is a number: want an address in quotes"),
        ("tollgate.toml:17:", "sha256 must be 64 hex digits"),
        ("tollgate.toml:20:11: ", "did you mean 'read'?"),
        ("tollgate.toml:21:2: ", "did you mean 'fraud'?"),
    ];
    for ((place, mend), line) in wanted.iter().zip(&found) {
        assert!(line.starts_with(place) && line.contains(mend), "want {place}…{mend}, found {line}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn text_that_is_no_toml_is_said_with_its_places() {
    let found = mistakes("syntax", "data_dir = \n[sip\nlisten = 5\n");
    assert!(found.len() >= 2 && found[0].starts_with("tollgate.toml:1:"), "{found:#?}");
    assert_eq!(mistakes("twice", "drain_s = 1\ndrain_s = 2\n").len(), 1);
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problems = Config::load(Path::new("nowhere/tollgate.toml")).expect_err("none");
    assert_eq!(problems[0].to_string(), "nowhere/tollgate.toml: there is no such file; name a configuration with -c FILE");
}

#[test]
fn keys_that_everybody_knows_are_refused() {
    let known = "057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86";
    let found = mistakes("secret", &format!("[[api.keys]]\nid = \"a\"\nsha256 = \"{known}\"\n[[api.keys]]\nid = \"b\"\n"));
    assert!(found[0].contains("everybody guesses") && found[1].contains("has no sha256"), "{found:#?}");
    assert!(admin_key_problem("changeme").is_some() && admin_key_problem("0123456789abcdef").is_some());
    assert!(admin_key_problem("short").is_some_and(|p| p.contains("5 characters")));
    assert_eq!(admin_key_problem("9f86d081884c7d659a2f"), None);
}

#[test]
fn an_address_nobody_can_answer_to_is_refused() {
    let found = mistakes("any", "[sip]\nlisten = \"0.0.0.0:5060\"\n");
    assert!(found[0].starts_with("tollgate.toml:2:10: sip.listen is 0.0.0.0:5060"), "{found:#?}");
}

#[test]
fn the_embedded_log_runs_all_stages_in_one_process() {
    let config = Config::default_in(Path::new("d"));
    assert_eq!((config.check_stages(&[]), config.check_stages(&Stage::ALL)), (Ok(()), Ok(())));
    let problem = config.check_stages(&[Stage::Proxy, Stage::Api]).expect_err("a subset");
    assert!(problem.message.contains("rating, fraud, ingest"), "{problem}");
}

#[test]
fn settings_are_known_by_their_own_names() {
    let names = fields::names_of::<Settings>();
    assert!(names.contains(&"t1_ms") && names.contains(&"max_calls") && names.len() >= 13, "{names:?}");
}

#[test]
fn words_are_near_when_few_letters_are_wrong() {
    assert_eq!(nearest("lsiten", ["listen", "shards"]), Some("listen"));
    assert_eq!(nearest("Listen", ["listen"]), Some("listen"));
    assert_eq!(nearest("zzz", ["listen", "shards"]), None);
}

#[test]
fn kafka_and_clickhouse_are_read_whole_and_their_mistakes_are_told() {
    let folder = Folder::new("kafka");
    folder.put("sasl", "hush\n");
    folder.put("ca.pem", "x");
    let text = r#"
[log]
kind = "kafka"
brokers = "k1:9092, k2:9092"
topic_prefix = "a."
replication = 3
security = "sasl_ssl"
ca = "ca.pem"
sasl_mechanism = "PLAIN"
sasl_user = "tollgate"
sasl_password_file = "sasl"
spool_mb = 64
[store]
kind = "clickhouse"
url = "https://ch:8443"
retention = ["44=400", "*=550"]
"#;
    let config = Config::load(&folder.put("tollgate.toml", text)).expect("right");
    let kafka = config.log.kafka.as_ref().expect("kafka");
    assert_eq!((kafka.replication, kafka.spool_mb, kafka.sasl_password.0.as_str()), (3, 64, "hush"));
    assert!(!format!("{config:?}").contains("hush"), "a password is not shown");
    assert_eq!(config.store.clickhouse.as_ref().expect("clickhouse").retention, [("44".to_owned(), 400), ("*".to_owned(), 550)]);
    assert!(config.check_stages(&[Stage::Proxy]).is_ok());
    let bad = "[log]\nkind = \"kafka\"\nbrokers = \"nowhere\"\ncalls_retention_h = 24\nsecurity = \"sasl_ssl\"\ncert = \"no.pem\"\n[store]\nkind = \"clickhouse\"\nurl = \"ch:8123\"\nretention = [\"uk=1\"]\n";
    let found = mistakes("bad-kafka", bad).join("\n");
    for mend in ["want host:port", "without archive_dir", "no such file", "belong together", "give sasl_user and sasl_password_file", "want http://HOST", "want country code = days"] {
        assert!(found.contains(mend), "{mend} in\n{found}");
    }
}

#[test]
fn design_2_what_lives_in_one_process_is_used_in_one() {
    let mut config = Config::default_in("d".as_ref());
    let said = |c: &Config, stages: &[Stage]| c.check_stages(stages).err().map(|p| p.message).unwrap_or_default();
    assert!(said(&config, &[Stage::Proxy]).contains("the embedded log belongs to one process"));
    config.log.kafka = Some(KafkaConfig::default());
    assert!(said(&config, &[Stage::Api]).contains("the embedded CDR store belongs to one process"));
    assert_eq!(said(&config, &[Stage::Api, Stage::Ingest]), "");
    assert_eq!(said(&config, &[Stage::Rating]), "");
}
