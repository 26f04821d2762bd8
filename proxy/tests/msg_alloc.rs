//! Reading a message, and editing with warm buffers, allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tollgate_proxy::sip::msg::{Edits, Header, Msg, Uri, parse_name_addr, parse_via};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system allocator; counting touches only a thread-local number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|n| n.set(n.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn hop(bytes: &[u8], edits: &mut Edits, out: &mut Vec<u8>) {
    let msg = Msg::parse(bytes).expect("frames");
    msg.check_request().expect("valid");
    for value in msg.values(Header::Via) {
        parse_via(value).expect("valid");
    }
    for value in msg.values(Header::Route).chain(msg.values(Header::Contact)) {
        let address = parse_name_addr(value.bytes).expect("valid");
        assert!(Uri::parse(address.uri).is_ok());
    }
    edits.clear();
    out.clear();
    edits.push_line_before(&msg, Header::Via, |out| {
        out.extend_from_slice(b"Via: SIP/2.0/UDP us.example;branch=z9hG4bKus")
    });
    edits.replace(msg.header_span(Header::MaxForwards).expect("there"), b"69");
    let route = msg.first_value(Header::Route).expect("there");
    edits.remove_value(&msg, &route);
    edits.apply(&msg, out);
}

#[test]
fn a_hop_does_not_allocate() {
    let bytes = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/torture/valid/folded_and_spaced.dat"
    ))
    .expect("corpus");
    let (mut edits, mut out) = (Edits::new(), Vec::new());
    hop(&bytes, &mut edits, &mut out);
    let before = ALLOCATIONS.with(Cell::get);
    hop(&bytes, &mut edits, &mut out);
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    drop(vec![1u8; out.len()]);
    assert_eq!(
        ALLOCATIONS.with(Cell::get) - before,
        1,
        "the counter counts"
    );
}
