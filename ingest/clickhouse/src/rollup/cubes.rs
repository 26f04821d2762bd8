//! Which dimensions are summed together. All of them at once would be nearly a row for each call, and so would accounts by
//! destination: a tenant's own rows stand together in the table, and are read for that.

use tollgate_schemas::store::{CdrFilter, GroupBy, TrafficQuery};

pub struct Cube {
    pub number: u8,
    /// Columns of the CDR, without the currencies, which are always there.
    pub dimensions: &'static [&'static str],
}

/// A report takes the first that has what it groups and filters by; the smaller come first.
pub const CUBES: &[Cube] = &[
    Cube { number: 0, dimensions: &["root_account", "account", "trunk"] },
    Cube { number: 1, dimensions: &["root_account", "account", "carrier"] },
    Cube { number: 2, dimensions: &["carrier", "b_country", "b_dest_group"] },
];

impl Cube {
    /// Dimensions and currencies: what is grouped by, and what these columns are called in the rollup.
    pub fn keys(&self) -> String {
        format!("{}, sell_currency, cost_currency", self.dimensions.join(", "))
    }

    fn has(&self, column: &str) -> bool {
        self.dimensions.contains(&column)
    }

    /// The cube whose sums answer the query for whole hours, if any does.
    pub fn of(query: &TrafficQuery) -> Option<&'static Cube> {
        // Named in full so that a new condition cannot be forgotten here.
        let CdrFilter {
            tenant,
            record_type: _,
            since_us: _,
            until_us: _,
            account,
            payer,
            resold,
            trunk,
            carrier,
            disposition,
            call_uuid,
            sip_call_id_in,
            a_number,
            b_number,
            as_of,
        } = &query.filter;
        // Sums are of the rows as they stand.
        if *resold || payer.is_some() {
            return None;
        }
        if as_of.is_some() || disposition.is_some() || call_uuid.is_some() || sip_call_id_in.is_some() || a_number.is_some() || b_number.is_some() {
            return None;
        }
        let filtered = [
            ("root_account", tenant.is_some()),
            ("account", tenant.is_some() || account.is_some()),
            ("trunk", trunk.is_some()),
            ("carrier", carrier.is_some()),
        ];
        let grouped = query.group_by.iter().filter_map(|by: &GroupBy| crate::traffic::group_column(*by));
        let wanted: Vec<&str> = filtered.iter().filter(|(_, is)| *is).map(|(name, _)| *name).chain(grouped).collect();
        CUBES.iter().find(|cube| wanted.iter().all(|column| cube.has(column)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cube_answers_only_what_it_can_tell_apart() {
        let cube = |filter: CdrFilter, group_by: &[GroupBy]| Cube::of(&TrafficQuery { filter, group_by: group_by.to_vec() }).map(|c| c.number);
        let none = CdrFilter::default;
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(cube(none(), &[]), Some(0));
        assert_eq!(cube(none(), &[GroupBy::Carrier, GroupBy::Hour]), Some(1));
        assert_eq!(cube(none(), &[GroupBy::Carrier, GroupBy::Country]), Some(2));
        assert_eq!(cube(CdrFilter { tenant: of("acme"), ..none() }, &[GroupBy::Carrier]), Some(1));
        assert_eq!(cube(CdrFilter { tenant: of("acme"), ..none() }, &[GroupBy::Destination]), None, "the cube has no accounts");
        assert_eq!(cube(CdrFilter { disposition: of("busy"), ..none() }, &[]), None);
        assert_eq!(cube(CdrFilter { b_number: of("1"), ..none() }, &[]), None);
    }
}
