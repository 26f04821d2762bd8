//! `tollgate`, the one binary: wiring only. The command line is in `cli`, the configuration in `config`, a running node
//! in `node`, what documents compile to in `plan`, what a plan
//! says of a call in `explain`, the play around a node in `demo`.

mod cli;
mod config;
mod coverage;
mod demo;
mod explain;
mod node;
mod plan;

/// Events, messages and rows are many small allocations made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator asks for huge pages and gives memory back quickly; together the kernel would zero two megabytes at a
    // time, over and over: a fifth of all CPU under load.
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    cli::main()
}
