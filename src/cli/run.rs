//! `tollgate run`.

use std::path::PathBuf;

use anyhow::bail;

use super::{Done, Problems};
use crate::{
    config::{Config, Stage, admin_key_problem},
    node,
};

/// Runs a node: takes calls, rates, watches for fraud, stores, serves the API, until it is told to stop
#[derive(clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// Where all state lives, over the configuration's data_dir
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which stages this process runs [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    stages: Vec<Stage>,
}

pub fn run(args: Args) -> anyhow::Result<Done> {
    let mut config = Config::load(&args.config).map_err(Problems)?;
    config.check_stages(&args.stages).map_err(|p| Problems(vec![p]))?;
    if let Some(problem) = std::env::var("TOLLGATE_ADMIN_KEY").ok().and_then(|key| admin_key_problem(&key)) {
        bail!("{problem}");
    }
    if let Some(data) = args.data {
        config.data_dir = data;
    }
    node::run(config, args.stages)?;
    Ok(Done::Yes)
}
