//! Classes of codecs, by which carriers are judged apart.

use std::fmt;

/// Of the codec that a call's offer prefers: the first format known here of the first stream that is not switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CodecClass {
    /// No offer in the INVITE, or nothing in it that is known.
    #[default]
    Unknown,
    /// Speech sampled below 16 kHz, as G.711, G.729, AMR.
    Narrowband,
    /// Speech sampled at 16 kHz or more, as G.722, AMR-WB, EVS, Opus.
    Wideband,
    /// T.38.
    Fax,
}

impl CodecClass {
    /// Those that are judged apart.
    pub const KNOWN: [CodecClass; 3] = [CodecClass::Narrowband, CodecClass::Wideband, CodecClass::Fax];
    /// Their names, for forms and schemas.
    pub const NAMES: [&str; 3] = ["narrowband", "wideband", "fax"];

    /// The word in events and for people; empty where it is not known.
    pub fn name(self) -> &'static str {
        match self.place() {
            Some(place) => CodecClass::NAMES[place],
            None => "",
        }
    }

    /// The class of a name; what is none here, as a newer program may write, is not known.
    pub fn of(name: &str) -> CodecClass {
        CodecClass::KNOWN.into_iter().find(|c| c.name() == name).unwrap_or_default()
    }

    /// Its place in [`CodecClass::KNOWN`].
    pub fn place(self) -> Option<usize> {
        (self as usize).checked_sub(1)
    }
}

impl fmt::Display for CodecClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_37_a_class_is_found_by_its_name_and_a_strange_one_is_not_known() {
        for (place, class) in CodecClass::KNOWN.into_iter().enumerate() {
            assert_eq!((class.place(), CodecClass::of(class.name())), (Some(place), class));
        }
        assert_eq!((CodecClass::of(""), CodecClass::of("superwideband"), CodecClass::Unknown.name()), (CodecClass::Unknown, CodecClass::Unknown, ""));
    }
}
