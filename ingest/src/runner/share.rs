//! This process's part of a stage whose partitions several processes share: a thread for each partition it owns.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tollgate_schemas::log::{LogError, Member};

use crate::worker::{Control, NAP};

/// Does one partition's work until its control says stop.
pub type Work = Arc<dyn Fn(u16, &Control) -> Result<(), LogError> + Send + Sync>;

pub struct Share {
    stage: &'static str,
    work: Work,
    whole: Arc<Control>,
    parts: Mutex<HashMap<u16, Part>>,
    /// What made a partition fail that must not go on.
    problem: Arc<Mutex<Option<String>>>,
}

struct Part {
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

impl Share {
    pub fn new(stage: &'static str, work: Work, whole: Arc<Control>) -> Arc<Share> {
        Arc::new(Share { stage, work, whole, parts: Mutex::default(), problem: Arc::default() })
    }

    /// As `watch`, where every partition is this process's.
    pub fn watch_all(&self, count: u16) -> Result<(), String> {
        self.assigned(&(0..count).collect::<Vec<_>>());
        self.watch(count, Box::new(()))
    }

    /// Stays until the worker is told to stop, or a partition must not go on.
    pub fn watch(&self, count: u16, membership: Box<dyn Any + Send>) -> Result<(), String> {
        {
            // Those assigned already keep their positions.
            let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            (0..count).filter(|p| !parts.contains_key(p)).for_each(|p| self.whole.not_ours(p.into()));
        }
        self.whole.ready();
        let problem = loop {
            if self.whole.stopping() {
                break None;
            }
            let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if problem.is_some() {
                break problem;
            }
            std::thread::sleep(NAP);
        };
        // Leaving the group lets every partition go, each after its last commit.
        drop(membership);
        self.let_go(&(0..count).collect::<Vec<_>>());
        problem.map_or(Ok(()), Err)
    }

    fn start(&self, partition: u16) -> std::io::Result<Part> {
        let control = Arc::new(Control::part(self.whole.clone()));
        let (stage, work) = (self.stage, self.work.clone());
        let (own, problem) = (control.clone(), self.problem.clone());
        let thread = std::thread::Builder::new().name(format!("{stage}-{partition}")).spawn(move || {
            loop {
                match work(partition, &own) {
                    Ok(()) => return,
                    // Still this process's by the group's word: from what is committed on.
                    Err(LogError::Fenced { .. }) => tracing::warn!(stage, partition, "begins again from what is committed"),
                    Err(e) => {
                        *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.to_string());
                        return;
                    }
                }
                if !own.pause() {
                    return;
                }
            }
        })?;
        Ok(Part { control, thread })
    }

    fn let_go(&self, partitions: &[u16]) {
        let mut gone = Vec::new();
        {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            for partition in partitions {
                if let Some(part) = parts.remove(partition) {
                    part.control.stop();
                    gone.push((*partition, part));
                }
            }
        }
        for (partition, part) in gone {
            if part.thread.join().is_err() {
                let problem = format!("partition {partition} panicked");
                *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
            }
            self.whole.not_ours(partition.into());
        }
    }
}

impl Member for Share {
    fn assigned(&self, partitions: &[u16]) {
        tracing::info!(stage = self.stage, ?partitions, "owns partitions");
        for partition in partitions {
            match self.start(*partition) {
                Ok(part) => {
                    let old = self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(*partition, part);
                    drop(old);
                }
                Err(e) => *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("cannot start a thread: {e}")),
            }
        }
    }

    fn revoked(&self, partitions: &[u16]) {
        tracing::info!(stage = self.stage, ?partitions, "lets partitions go");
        self.let_go(partitions);
    }
}
