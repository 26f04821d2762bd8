//! The house as a test (design §1): who may import whom, what the pure parts may not know, and rules of the text that a
//! compiler does not see. Needs cargo and the sources only.

mod imports;
mod text;
