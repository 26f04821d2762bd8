//! Numbers of a file. Which sign is the decimal one is a property of a column: a cell like `1,234` is only understood once
//! others have said so, of its column, else of the file's other ones; what then can be either is refused.

use crate::sheet::{DecimalSign, sign_shown};

use super::layout::FileProblem;

/// Where a column says something: line and cell.
type Place = Option<(u64, String)>;

#[derive(Default)]
struct Said {
    point: Place,
    comma: Place,
    /// `1,234`, and `1.234`.
    either: [Place; 2],
}

impl Said {
    fn hear(&mut self, line: u64, cell: &str) {
        let put = |place: &mut Place| {
            place.get_or_insert_with(|| (line, cell.to_owned()));
        };
        match sign_shown(cell) {
            (Some(DecimalSign::Point), _) => put(&mut self.point),
            (Some(DecimalSign::Comma), _) => put(&mut self.comma),
            (None, true) => put(&mut self.either[usize::from(!cell.contains(','))]),
            (None, false) => {}
        }
    }
}

/// The decimal sign of each of the columns `at`, by `header` and rows. `told`: what a mapping says; `semicolon`: cells are parted
/// by it, as where the comma is the decimal sign.
pub(super) fn signs(header: &[String], rows: &[csv::StringRecord], at: &[usize], told: Option<bool>, semicolon: bool, skipped: u64) -> Result<Vec<DecimalSign>, Vec<FileProblem>> {
    if let Some(comma) = told {
        return Ok(vec![if comma { DecimalSign::Comma } else { DecimalSign::Point }; at.len()]);
    }
    let mut said: Vec<Said> = at.iter().map(|_| Said::default()).collect();
    for row in rows {
        for (said, at) in said.iter_mut().zip(at) {
            // Most numbers have no sign, and times have a colon.
            let cell = row.get(*at).unwrap_or_default();
            if cell.contains(['.', ',']) && !cell.contains(':') {
                said.hear(row.position().map_or(0, csv::Position::line) + skipped, cell);
            }
        }
    }
    let mut problems = Vec::new();
    let mut problem = |column: usize, line: u64, problem: String| problems.push(FileProblem { line, column: header.get(column).cloned().unwrap_or_default(), problem });
    for (said, at) in said.iter().zip(at) {
        if let (Some((line, point)), Some((other, comma))) = (&said.point, &said.comma) {
            problem(*at, *line, format!("'{point}' has a decimal point, '{comma}' in line {other} a decimal comma: a column has one of them; say decimal_comma: true or false in a mapping, or mend the file"));
        }
    }
    let (points, commas) = (said.iter().any(|s| s.point.is_some()), said.iter().any(|s| s.comma.is_some()));
    let of_file = match (points, commas) {
        (true, false) => Some(DecimalSign::Point),
        (false, true) => Some(DecimalSign::Comma),
        _ => None,
    };
    let mut signs = Vec::with_capacity(at.len());
    for (said, at) in said.iter().zip(at) {
        let own = match (&said.point, &said.comma) {
            (Some(_), None) => Some(DecimalSign::Point),
            (None, Some(_)) => Some(DecimalSign::Comma),
            _ => None,
        };
        let sign = own.or(of_file);
        // A point alone is a decimal one, where nothing speaks for commas.
        let unclear = said.either[0].as_ref().or(said.either[1].as_ref().filter(|_| semicolon || points && commas));
        if let (None, Some((line, cell)), false) = (sign, unclear, said.point.is_some() && said.comma.is_some()) {
            problem(*at, *line, format!("'{cell}' is a thousand or a decimal, and nothing else in the column tells: say decimal_comma: true or false in a mapping"));
        }
        signs.push(sign.unwrap_or(DecimalSign::Point));
    }
    if problems.is_empty() { Ok(signs) } else { Err(problems) }
}
