//! Backups of a running node's log, streamed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tollgate_api::ports::{Backups, Fault, Pieces};
use tollgate_ingest::backup::{self, BackupError, Moments, Pace, moment_of_shared};

use super::Answer;
use crate::node::{Shared, secrets};

/// Takes backups of the log, in a thread of its own that rests as long as it works.
pub struct BackupPort {
    shared: Arc<Shared>,
    node: u64,
    dir: PathBuf,
    /// None where others write the log, too.
    moments: Option<Arc<Moments>>,
    busy: Arc<AtomicBool>,
}

/// Frames written ahead of the reader.
const AHEAD: usize = 8;
/// A reader that takes nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(120);

impl BackupPort {
    /// `node`: whose data folder `dir` is.
    pub fn new(shared: Arc<Shared>, node: u64, dir: PathBuf) -> BackupPort {
        let moments = (!shared.log.shared()).then(|| Arc::new(Moments::of(shared.log.clone())));
        BackupPort { shared, node, dir, moments, busy: Arc::default() }
    }
}

impl Backups for BackupPort {
    fn begin(&self, secrets: bool) -> Answer<'_, Pieces> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Box::pin(async { Err(Fault::Unavailable("a backup is being taken: one at a time".to_owned())) });
        }
        let busy = Busy(self.busy.clone());
        let (shared, moments, node) = (self.shared.clone(), self.moments.clone(), self.node);
        let dir = secrets.then(|| self.dir.clone());
        let (started, starting) = tokio::sync::oneshot::channel();
        let work = move || {
            let _busy = busy;
            let moment = match &moments {
                Some(moments) => moments.take(),
                None => moment_of_shared(&*shared.log),
            };
            let begun = moment.and_then(|moment| Ok((moment, secrets::files(dir.as_deref())?)));
            let (moment, secrets) = match begun {
                Ok(begun) => begun,
                Err(e) => return drop(started.send(Err(fault(&e)))),
            };
            let (pieces, read) = tokio::sync::mpsc::channel(AHEAD);
            if started.send(Ok(read)).is_err() {
                return;
            }
            let node = (!shared.log.shared()).then_some(node);
            let out = Out(pieces.clone());
            match backup::write(&*shared.log, &moment, node, (shared.clock)().utc_us, &secrets, out, Pace::Half, |_, _| {}) {
                Ok(written) => tracing::info!(events = written.events, bytes = written.bytes, hash = written.hash, "a backup was taken"),
                Err(error) => {
                    tracing::warn!(%error, "a backup broke off");
                    let _ = pieces.try_send(Err(fault(&error)));
                }
            }
        };
        let spawned = std::thread::Builder::new().name("backup".to_owned()).spawn(work);
        Box::pin(async move {
            spawned.map_err(|e| Fault::Unavailable(e.to_string()))?;
            starting.await.map_err(|_| Fault::Internal("the backup's thread ended".to_owned()))?
        })
    }
}

fn fault(error: &BackupError) -> Fault {
    if error.retryable() { Fault::Unavailable(error.to_string()) } else { Fault::Internal(error.to_string()) }
}

/// Lets the next backup begin.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Hands frames to whoever reads the answer; waits for a slow reader, not for one that is gone.
struct Out(tokio::sync::mpsc::Sender<Result<Bytes, Fault>>);

impl io::Write for Out {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        use tokio::sync::mpsc::error::TrySendError;
        let mut piece = Ok(Bytes::copy_from_slice(frame));
        let began = Instant::now();
        loop {
            piece = match self.0.try_send(piece) {
                Ok(()) => return Ok(frame.len()),
                Err(TrySendError::Closed(_)) => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "its reader is gone")),
                Err(TrySendError::Full(_)) if began.elapsed() > STUCK => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, format!("its reader took nothing for {STUCK:?}")));
                }
                Err(TrySendError::Full(piece)) => piece,
            };
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
