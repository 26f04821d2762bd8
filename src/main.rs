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

#[cfg(test)]
mod tests {
    use std::ffi::{c_int, c_void};

    /// Else a broker that comes back ends the process: `ingest/kafka/src/hints.rs`.
    #[test]
    fn issue_4_the_binary_is_linked_past_librdkafkas_update_of_leaders() {
        unsafe extern "C" {
            fn rd_kafka_metadata_update_op(client: *mut c_void, update: *mut c_void) -> c_int;
        }
        // SAFETY: the name leads to a function that reads neither; librdkafka's own would end this test.
        assert_eq!(unsafe { rd_kafka_metadata_update_op(std::ptr::null_mut(), std::ptr::null_mut()) }, 1);
    }
}
