//! `mailsluice blacklist list`

use crate::cli::client::{Client, Page, RequestPath};
use crate::cli::context::CliContext;
use crate::cli::failure::Failure;
use crate::cli::output::{self, JsonArray};
use crate::cli::table::TextTable;
use crate::cli::viewer::Viewer;
use crate::control::view::BlacklistLine;
use crate::store::BlacklistFilter;

/// Shows what the relay has, a page after the other.
pub(super) fn list(
    search: Option<&str>,
    limit: Option<u64>,
    client: &Client,
    context: &CliContext,
) -> Result<(), Failure> {
    let (mut array, viewer) = (JsonArray::default(), Viewer::now());
    let (mut widths, mut listed) = (None, 0);
    let (mut after, mut left) = (None::<String>, limit.unwrap_or(u64::MAX));
    while left > 0 {
        let page_size = left.min(u64::from(BlacklistFilter::MOST)).to_string();
        let target = RequestPath::path(&["blacklist"])
            .with("search", search)
            .with("after", after.as_deref())
            .with("limit", Some(&page_size));
        let Page { answer, next } = client.page::<Vec<BlacklistLine>>(&target)?;
        let entries = answer.value;
        left = left.saturating_sub(entries.len() as u64);
        listed += entries.len();
        if context.json {
            array.add(&answer.raw)?;
        } else if !entries.is_empty() {
            let table = table(&entries, widths.take(), &viewer);
            widths = Some(table.widths());
            output::text(&table.render(&viewer))?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if context.json {
        return array.end();
    }
    let end = match (listed, search) {
        (0, None) => "The blacklist is empty.".to_owned(),
        (0, Some(_)) => "Nothing on the blacklist fits.".to_owned(),
        _ => viewer.zone_line(),
    };
    output::text(&end)
}

/// The next entries, in columns as wide as those before them.
fn table(entries: &[BlacklistLine], widths: Option<Vec<usize>>, viewer: &Viewer) -> TextTable {
    let heads = ["ADDRESS", "SOURCE", "ADDED", "EXPIRES", "REASON"];
    let mut table = TextTable::new(&heads).folding(&["REASON", "SOURCE", "ADDED", "EXPIRES"]);
    if let Some(widths) = widths {
        table = table.going_on(widths);
    }
    for entry in entries {
        table.row(&[
            entry.address.clone(),
            entry.source.clone(),
            viewer.local(&entry.added_at),
            entry.expires_at.as_deref().map_or_else(|| "never".to_owned(), |time| viewer.local(time)),
            entry.reason.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_stands_below_at_80_columns() {
        let entry = |address: &str, reason: &str, expires: Option<&str>| BlacklistLine {
            address: address.to_owned(),
            reason: reason.to_owned(),
            source: "manual".to_owned(),
            added_at: "2026-11-22T06:50:00.000Z".to_owned(),
            expires_at: expires.map(str::to_owned),
        };
        let long = "only spam, complained about by the purchasing department in October";
        let entries = [
            entry("anna.schmidt@purchasing.customer.example", "added by hand", None),
            entry("@spam.example", long, Some("2026-12-22T06:50:00.000Z")),
        ];
        let want = "\
ADDRESS                                   SOURCE  ADDED     EXPIRES
anna.schmidt@purchasing.customer.example  manual  06:50:00  never
    reason: added by hand
@spam.example                             manual  06:50:00  2026-12-22 06:50:00
    reason: only spam, complained about by the purchasing department in October
";
        let viewer = Viewer::utc("2026-11-22T07:00:00Z").with_width(80);
        assert_eq!(table(&entries, None, &viewer).render(&viewer), want);
    }
}
