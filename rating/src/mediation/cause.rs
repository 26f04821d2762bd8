//! What a carrier's final response means: its outcome class (C-054, M-03) and its Q.850 cause (§3.7, RFC 3398 §8.2.6.1).

use tollgate_schemas::v1::CallAttemptEnded;

/// Outcome class of an attempt nobody answered. `rang`: a 18x came before. Busy, no answer and a person's reject tell
/// that the network did its part, so they must not be mixed with failures.
pub(super) fn disposition(end: &CallAttemptEnded, rang: bool) -> &'static str {
    let user_silent = rang || matches!(end.q850, 18..=20);
    match end.sip_code {
        200..=299 => "answered",
        486 | 600 => "busy",
        // A limit of ours on ringing ends a branch by CANCEL; the 487 is then not the caller's doing.
        0 | 487 if rang && says(end, "no_answer") => "noanswer",
        0 if says(end, "cancel") => "cancelled",
        487 => "cancelled",
        480 | 408 if user_silent => "noanswer",
        // Nobody spoke: a timeout on the way, not a reject.
        408 => "failed",
        400..=499 | 601..=699 => "rejected",
        _ => "failed",
    }
}

fn says(end: &CallAttemptEnded, word: &str) -> bool {
    end.local_cause.as_bytes().windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
}

/// Who ended an attempt nobody answered.
pub(super) fn ended_by(end: &CallAttemptEnded) -> &'static str {
    match (end.sip_code, end.local_cause.is_empty()) {
        (487, true) => "caller",
        _ if says(end, "cancel") => "caller",
        (1.., true) => "callee",
        _ => "system",
    }
}

/// Q.850 cause of a final response, where the carrier named none: 16 for an answered call, 127 where the table is silent.
pub(super) fn q850(sip_code: u32) -> u32 {
    match sip_code {
        200..=299 => 16,
        400 | 481 | 500 | 503 => 41,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        // The caller's own release has no cause in the table; normal clearing is what it is.
        487 => 16,
        488 | 606 => 65,
        502 => 38,
        0 => 102,
        _ => 127,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(sip_code: u32, q850: u32, local_cause: &str) -> CallAttemptEnded {
        CallAttemptEnded { sip_code, q850, local_cause: local_cause.to_owned(), ..CallAttemptEnded::default() }
    }

    #[test]
    fn m_03_outcome_classes_follow_code_ringing_and_cause() {
        for (code, cause, local, rang, want) in [
            (486, 0, "", true, "busy"),
            (600, 0, "", false, "busy"),
            (480, 0, "", true, "noanswer"),
            (480, 19, "", false, "noanswer"),
            (480, 0, "", false, "rejected"),
            (408, 0, "", true, "noanswer"),
            (408, 0, "", false, "failed"),
            (487, 0, "", true, "cancelled"),
            (487, 0, "LOCAL_NO_ANSWER", true, "noanswer"),
            (0, 0, "local_no_answer", true, "noanswer"),
            (0, 0, "LOCAL_PDD_TIMEOUT", false, "failed"),
            (0, 0, "caller_cancel", false, "cancelled"),
            (603, 21, "", true, "rejected"),
            (403, 0, "", false, "rejected"),
            (404, 1, "", false, "rejected"),
            (503, 0, "", true, "failed"),
        ] {
            assert_eq!(disposition(&end(code, cause, local), rang), want, "{code} cause {cause} {local} rang {rang}");
        }
    }

    #[test]
    fn s_3_7_causes_of_responses() {
        let table = [(400, 41), (403, 21), (404, 1), (408, 102), (480, 18), (486, 17), (500, 41), (501, 79), (502, 38), (503, 41), (504, 102), (505, 127), (600, 17), (603, 21), (604, 1), (499, 127)];
        for (code, cause) in table {
            assert_eq!(q850(code), cause, "{code}");
        }
    }

    #[test]
    fn c_058_who_ended_an_attempt() {
        assert_eq!(ended_by(&end(486, 0, "")), "callee");
        assert_eq!(ended_by(&end(487, 0, "")), "caller");
        assert_eq!(ended_by(&end(487, 0, "LOCAL_NO_ANSWER")), "system");
        assert_eq!(ended_by(&end(0, 0, "LOCAL_TIMEOUT")), "system");
    }
}
