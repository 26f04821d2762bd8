//! The store against models. One binary, since each would link DataFusion again.

mod calls_file;
mod content;
mod crash;
mod older;
mod suite;
mod support;
mod traffic;
