//! `tollgate`, the one binary: wiring only. The command line is in `cli`, the configuration in `config`, a running node
//! in `node`, what documents compile to in `plan`, the play around a node in `demo`.

mod cli;
mod config;
mod demo;
mod node;
mod plan;

/// Events, messages and rows are many small allocations made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
