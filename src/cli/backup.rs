//! `tollgate backup`: the whole log in one file, of a node that runs, of a stopped one's folder, or of Kafka.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tollgate_ingest::backup::{self, Contents, Moments, Pace, moment_of_shared};
use tollgate_schemas::{log::EventLog, time::format_rfc3339};
use ureq::{Agent, http::Request};

use super::{
    Done, Problems,
    log::{open_folder, open_kafka},
    now_us, out,
};
use crate::{config::Config, node};

/// Copies the whole event log into one file, while everything runs
///
/// The file is of one moment: every event up to it, and how far each stage had come. It is compressed, each part of it is hashed
/// with the part before, and it is put in its place only when it is whole. `tollgate restore --check` proves it.
#[derive(clap::Args)]
pub struct Args {
    /// The file to make; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Admin key of the running node
    #[arg(long, env = "TOLLGATE_ADMIN_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Put the node's own keys in, too, for a node that takes its place: keep the file as safe as the folder
    #[arg(long)]
    secrets: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A running node, through its API
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A stopped node's data folder
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration that names it: its Kafka, while everything runs, or a stopped node's data folder
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let place = &args.out;
    if place.exists() {
        bail!("{} is there already: name another file, or remove it", place.display());
    }
    let mut name = place.file_name().with_context(|| format!("{} names no file", place.display()))?.to_owned();
    name.push(".part");
    let part = place.with_file_name(name);
    // It holds every number that was dialled: only its owner may read it.
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut file = opened.with_context(|| part.display().to_string())?;
    let taken = take(args, &mut file).and_then(|contents| {
        file.sync_all().and_then(|()| fs::rename(&part, place)).and_then(|()| sync_folder(place)).with_context(|| place.display().to_string())?;
        Ok(contents)
    });
    let contents = match taken {
        Ok(contents) => contents,
        Err(e) => {
            // What is not whole is no backup.
            let _ = fs::remove_file(&part);
            return Err(e);
        }
    };
    if args.json {
        out::json(&shown(&contents))?;
    } else {
        out::line(&format!("{}: {}", place.display(), said(&contents)))?;
    }
    Ok(Done::Yes)
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn take(args: &Args, file: &mut File) -> anyhow::Result<Contents> {
    let bar = bar();
    let told = |done, all| tell(&bar, done, all);
    let contents = match (&args.source.url, &args.source.data, &args.source.config) {
        (Some(url), ..) => of_running(url, args, file, told)?,
        (_, Some(data), _) => of_folder(data, args, file, told)?,
        (_, _, Some(from)) => {
            let config = Config::load(from).map_err(Problems)?;
            if config.log.kafka.is_some() {
                let log = open_kafka(&config)?;
                let moment = moment_of_shared(&log)?;
                let secrets = node::secret_files(args.secrets.then_some(&*config.data_dir))?;
                backup::write(&log, &moment, None, now_us(), &secrets, file, Pace::Full, told)?
            } else {
                of_folder(&config.data_dir, args, file, told)?
            }
        }
        (None, None, None) => bail!("say what to back up: --url URL, --data DIR or -c FILE"),
    };
    bar.finish_and_clear();
    Ok(contents)
}

fn of_folder(data: &Path, args: &Args, file: &mut File, told: impl FnMut(u64, u64)) -> anyhow::Result<Contents> {
    let log = open_folder(data).map_err(|e| match e.to_string() {
        held if held.contains("held by a running node") => anyhow::anyhow!("{} is a running node's: back it up with --url, which does not disturb it", data.display()),
        _ => e,
    })?;
    let node = log.node();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let moment = Moments::of(log.clone()).take()?;
    let secrets = node::secret_files(args.secrets.then_some(data))?;
    Ok(backup::write(&*log, &moment, Some(node), now_us(), &secrets, file, Pace::Full, told)?)
}

/// Asks a node's API, and checks what comes as it comes.
fn of_running(url: &str, args: &Args, file: &mut File, told: impl FnMut(u64, u64)) -> anyhow::Result<Contents> {
    if !url.starts_with("http://") {
        bail!("the node's API speaks plain HTTP: --url is '{url}', want http://HOST:PORT");
    }
    let Some(key) = &args.key else { bail!("set TOLLGATE_ADMIN_KEY, or --key, to the node's admin key") };
    let url = url.trim_end_matches('/');
    let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(Duration::from_secs(10)));
    let path = format!("{url}/v1/backup{}", if args.secrets { "?with=secrets" } else { "" });
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {key}")).body(()).context("--url or --key cannot be sent")?;
    let answer = config.build().new_agent().run(request);
    let mut answer = answer.map_err(|e| anyhow::anyhow!("no answer from the node at {url}: {e}; is `tollgate run` up, and is --url right?"))?;
    let status = answer.status().as_u16();
    if status != 200 {
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        match status {
            401 => bail!("the node at {url} does not take this key: set TOLLGATE_ADMIN_KEY, or --key, to its admin key"),
            _ => bail!("the node at {url} gives no backup ({status}): {}", problem["detail"].as_str().unwrap_or("it does not say why")),
        }
    }
    let tee = Tee { from: answer.into_body().into_reader(), to: file };
    backup::check(tee, told).with_context(|| format!("the node at {url} did not send a whole backup; its log says why"))
}

/// Keeps what is read.
struct Tee<'a, R> {
    from: R,
    to: &'a mut File,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n]).map_err(|e| io::Error::other(format!("--out: {e}")))?;
        Ok(n)
    }
}

/// On a terminal only.
pub fn bar() -> ProgressBar {
    let bar = if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

pub fn tell(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

/// For people.
pub fn said(c: &Contents) -> String {
    let of = if c.header.shared { "a shared log".to_owned() } else { format!("node {}", c.header.node) };
    let secrets = if c.secrets > 0 { ", with the node's keys" } else { "" };
    format!("{} events of {of} up to {}, {} bytes{secrets}; {}", c.events, format_rfc3339(c.header.created_us), c.bytes, &c.hash[..16])
}

/// For programs.
pub fn shown(c: &Contents) -> Value {
    json!({
        "events": c.events, "streams": c.streams, "bytes": c.bytes, "secrets": c.secrets, "hash": c.hash,
        "node": c.header.node, "shared": c.header.shared, "partitions": c.header.partitions,
        "created": format_rfc3339(c.header.created_us), "program": c.header.program,
    })
}
